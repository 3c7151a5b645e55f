import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Measured } from '../dao/metrics-dao.ts';
import { capacity } from '../ledger/attempts/admission.ts';
import { readAdmissionState } from '../ledger/attempts/admission-state.ts';
import type { ApiDeps } from './api-deps.ts';

/** Window in which repairs are counted. */
const REPAIRS_SECONDS = 3_600;

/** Names, help and labels of the metrics. Units are part of a name; labels have few values. */
const GAUGES = {
  sluice_runs: ['Live runs by state', ['state']],
  sluice_tasks: ['Live tasks by state and pool', ['state', 'pool']],
  sluice_patches: ['Patches by state and target that have not landed or ended', ['state', 'target']],
  sluice_gates: ['Live gate executions by state and pool', ['state', 'pool']],
  sluice_workers: ['Live workers by state', ['state']],
  sluice_slots: ['Slots that live workers offer, by pool and kind of work', ['pool', 'kind']],
  sluice_slots_taken: ['Slots that running or dispatched work takes', ['pool', 'kind']],
  sluice_task_oldest_wait_seconds: ['Time that the oldest queued task waits for a dispatch', ['pool']],
  sluice_patch_oldest_wait_seconds: ['Time that the oldest staged patch waits to land', ['target']],
  sluice_target_trouble: [
    '1 where a target is paused, its policy unreadable or its coordinator at fault',
    ['target', 'kind'],
  ],
  sluice_tool_in_flight: ['Tasks of a tool that are dispatched or running', ['tool']],
  sluice_tool_spent_usd: ['What attempts of a tool reported today, UTC', ['tool']],
  sluice_breaker_open: ['1 while the breaker of a tool is OPEN, 0.5 while it is HALF_OPEN', ['tool']],
  sluice_repairs: ['Repairs by the reconciler in the last hour; a healthy fleet has none', ['cause']],
  sluice_landed: ['Patches that landed in the last hour', ['target']],
  sluice_landing_seconds: [
    'Time from staged to landed, of patches that landed in the last hour',
    ['target', 'quantile'],
  ],
  sluice_gate_runs: ['Gate executions that ended in the last hour', ['target', 'gate', 'outcome']],
  sluice_gate_seconds: ['Run time of gates that ended in the last hour', ['target', 'gate', 'quantile']],
  sluice_webhook_deliveries: ['Deliveries to send, and those given up in the last day', ['webhook', 'outcome']],
  sluice_refused_writes: ['Writes that fences refused, over all workers in the ledger', []],
} as const satisfies Record<string, readonly [string, readonly string[]]>;
type Name = keyof typeof GAUGES;

/** The answer of `/metrics`: the state of the ledger now, and the default metrics of this process. */
export class Metrics {
  readonly #deps: ApiDeps;
  readonly #registry = new Registry();
  readonly #gauges: ReadonlyMap<Name, Gauge>;
  #reading: Promise<string> | undefined;

  constructor(deps: ApiDeps) {
    this.#deps = deps;
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    this.#gauges = new Map(
      (Object.keys(GAUGES) as Name[]).map((name) => {
        const [help, labelNames] = GAUGES[name];
        return [name, new Gauge({ name, help, labelNames, registers })];
      }),
    );
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Requests at once share one reading. */
  text(): Promise<string> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #read(): Promise<string> {
    const { database, daos } = this.#deps;
    const [live, oldest, troubled, hour, deliveries] = await Promise.all([
      daos.metrics.live(),
      daos.metrics.oldest(),
      daos.metrics.targetsInTrouble(),
      daos.metrics.lastHour(),
      daos.metrics.deliveries(),
    ]);
    const tasks = (await capacity(database, 'task')).map((pool) => ({ ...pool, kind: 'task' }));
    const gates = (await capacity(database, 'gate')).map((pool) => ({ ...pool, kind: 'gate' }));
    const { tools } = await readAdmissionState(database);
    const repairs = await daos.transitions.countRepairs(REPAIRS_SECONDS);
    const refused = await daos.workers.countRefusedWrites();
    const ofPools = (value: (pool: (typeof tasks)[number]) => number): Measured[] =>
      [...tasks, ...gates].map((pool) => ({ labels: { pool: pool.pool, kind: pool.kind }, value: value(pool) }));
    const ofTools = (value: (tool: (typeof tools)[number]) => number): Measured[] =>
      tools.map((tool) => ({ labels: { tool: tool.tool }, value: value(tool) }));
    const measured: Record<Name, readonly Measured[]> = {
      sluice_runs: live.runs,
      sluice_tasks: live.tasks,
      sluice_patches: live.patches,
      sluice_gates: live.gates,
      sluice_workers: live.workers,
      sluice_slots: ofPools(({ slots }) => slots),
      sluice_slots_taken: ofPools(({ taken }) => taken),
      sluice_task_oldest_wait_seconds: oldest.tasks,
      sluice_patch_oldest_wait_seconds: oldest.patches,
      sluice_target_trouble: troubled,
      sluice_tool_in_flight: ofTools(({ in_flight }) => in_flight),
      sluice_tool_spent_usd: ofTools(({ usd_today }) => usd_today),
      sluice_breaker_open: ofTools(({ state }) => ({ CLOSED: 0, HALF_OPEN: 0.5, OPEN: 1 })[state]),
      sluice_repairs: Object.entries(repairs).map(([cause, value]) => ({ labels: { cause }, value })),
      sluice_landed: hour.landed,
      sluice_landing_seconds: hour.landingSeconds,
      sluice_gate_runs: hour.gateRuns,
      sluice_gate_seconds: hour.gateSeconds,
      sluice_webhook_deliveries: deliveries,
      sluice_refused_writes: [{ labels: {}, value: refused }],
    };
    for (const [name, gauge] of this.#gauges) {
      // A group that is gone must not keep its last value.
      gauge.reset();
      for (const { labels, value } of measured[name]) gauge.set(labels, value);
    }
    return this.#registry.metrics();
  }
}
