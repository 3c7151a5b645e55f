import { percentile } from '../bench/measure.ts';
import type { ChaosResult } from './chaos.ts';

const SHOWN = 20;

/** Formats recovery times by fault as a Markdown table. */
export function tableOf({ records }: ChaosResult): string {
  const kinds = [...Map.groupBy(records, ({ fault }) => fault)].toSorted(([a], [b]) => a.localeCompare(b));
  const row = (name: string, times: readonly number[], late: number): string =>
    `| ${name} | ${times.length} | ${seconds(percentile(times, 0.5))} | ${seconds(percentile(times, 0.99))} | ${late} |`;
  return [
    '| fault | injected | recovery, median s | 99th percentile s | later than 60 s |',
    '|---|---:|---:|---:|---:|',
    ...kinds.map(([fault, found]) =>
      row(
        fault,
        found.map(({ recoveryMs }) => recoveryMs),
        found.filter(({ late }) => late).length,
      ),
    ),
    row(
      'all',
      records.map(({ recoveryMs }) => recoveryMs),
      records.filter(({ late }) => late).length,
    ),
  ].join('\n');
}

export function summaryOf({ records, leftOut, tasks, landed, repairs, refusedWrites, verdict }: ChaosResult): string {
  const { lost, repeated, wrong, left } = verdict;
  return [
    `${records.length} faults, ${tasks} tasks, ${landed} patches landed: ${lost.length} lost, ${repeated.length} repeated, ${wrong.length} wrong on the branch, ${left.length} left behind.`,
    `Put right by the reconciler: ${JSON.stringify(repairs)}; writes that fences refused: ${refusedWrites}.`,
    ...(leftOut.length === 0 ? [] : [`Not possible here: ${leftOut.join(', ')}.`]),
  ].join('\n');
}

/** Lists every violation, one per line. Without faults, each repair by the reconciler is a violation too. */
export function complaintsOf({ records, repairs, verdict }: ChaosResult): string[] {
  const complaints = Object.entries(verdict).flatMap(([kind, found]) =>
    (found as string[]).slice(0, SHOWN).map((what) => `${kind}: ${what}`),
  );
  const unasked = records.length === 0 ? Object.entries(repairs) : [];
  return [...complaints, ...unasked.map(([cause, times]) => `unhealthy: ${cause}, ${times} times`)];
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1);
}
