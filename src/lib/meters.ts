import { AggregatorRegistry, Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client';

/** Metrics of this process. Those of the ledger are read when they are asked for (`api/metrics.ts`). */
export const processRegistry = new Registry();
collectDefaultMetrics({ register: processRegistry });

const registers = [processRegistry];
/** Seconds: from a fast statement to a build of an hour. */
const LONG = [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600];
const SHORT = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30];

/** Labels have few values: states, names of the configuration, names of stages. */
export const meters = {
  transitions: new Counter({
    name: 'sluice_transitions_total',
    help: 'Changes of state that this process committed',
    labelNames: ['kind', 'to'],
    registers,
  }),
  attemptSeconds: new Histogram({
    name: 'sluice_attempt_seconds',
    help: 'Time of attempts of tasks, from claim to recorded ending',
    labelNames: ['tool', 'ending'],
    buckets: LONG,
    registers,
  }),
  gateSeconds: new Histogram({
    name: 'sluice_gate_execution_seconds',
    help: 'Time of gate executions, from claim to recorded verdict',
    labelNames: ['outcome'],
    buckets: LONG,
    registers,
  }),
  gitSeconds: new Histogram({
    name: 'sluice_git_seconds',
    help: 'Time of git processes by their command',
    labelNames: ['command'],
    buckets: SHORT,
    registers,
  }),
  roundSeconds: new Histogram({
    name: 'sluice_round_seconds',
    help: 'Time of rounds of the stages and other regular work',
    labelNames: ['stage'],
    buckets: SHORT,
    registers,
  }),
};

/** Returns a function that observes the seconds since its start in a histogram. */
export function stopwatch<Label extends string>(
  histogram: Histogram<Label>,
): (labels: Readonly<Record<Label, string>>) => void {
  const startedAt = performance.now();
  return (labels) => histogram.observe({ ...labels }, (performance.now() - startedAt) / 1_000);
}

/** The metrics of this process as plain data, for a process that gathers those of several. */
export type Measurements = Awaited<ReturnType<Registry['getMetricsAsJSON']>>;

export function measurements(): Promise<Measurements> {
  return processRegistry.getMetricsAsJSON();
}

/** Returns the metrics of several processes in one text of Prometheus; values with equal labels are added up. */
export function mergedText(all: readonly Measurements[]): Promise<string> {
  return AggregatorRegistry.aggregate(all as object[]).metrics();
}
