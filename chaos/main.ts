import { parseArgs } from 'node:util';
import { runChaos } from './chaos.ts';
import { FAULT_NAMES, type FaultName } from './faults.ts';
import { complaintsOf, summaryOf, tableOf } from './report.ts';
import type { Backend } from './world.ts';

/**
 * `npm run chaos` injects every kind of fault under load and then judges the final state from outside. Exits with 0
 * only if the verdict is empty and, with `--faults none`, nothing was repaired.
 */
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    faults: { type: 'string', default: FAULT_NAMES.join(',') },
    'max-faults': { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    backend: { type: 'string', default: 'redis' },
  },
});

const faults = (values.faults === 'none' ? [] : values.faults.split(',')) as FaultName[];
const strange = faults.filter((fault) => !FAULT_NAMES.includes(fault));
if (strange.length > 0 || !['redis', 'postgres'].includes(values.backend)) {
  console.error(`chaos: faults are none or some of ${FAULT_NAMES.join(', ')}; backends are redis and postgres`);
  process.exit(2);
}
const result = await runChaos({
  seed: Number(values.seed),
  backend: values.backend as Backend,
  faults,
  seconds: Number(values.minutes) * 60,
  ...(values['max-faults'] === undefined ? {} : { maxFaults: Number(values['max-faults']) }),
  recoveryLimitMs: 60_000,
  say: (line) => console.error(`${new Date().toISOString().slice(11, 19)} ${line}`),
});
console.log(`${tableOf(result)}\n\n${summaryOf(result)}`);
const complaints = complaintsOf(result);
for (const complaint of complaints) console.log(complaint);
process.exit(complaints.length === 0 ? 0 : 1);
