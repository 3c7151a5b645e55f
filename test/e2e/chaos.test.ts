import { expect, test } from 'vitest';
import { runChaos } from '../../chaos/chaos.ts';
import { FAULT_NAMES } from '../../chaos/faults.ts';
import { redisIsHere } from '../../harness/redis.ts';

const hasRedis = await redisIsHere();

/** Short form: every kind of fault once, in a different order on each backend, side by side. `npm run chaos` is the long form. */
test.concurrent.each(hasRedis ? (['redis', 'postgres'] as const) : (['postgres'] as const))(
  'P1, P5, P8: under load and every kind of fault on %s, no work is lost or repeated, the branch stays green, and nothing is left behind',
  async (backend) => {
    const said: string[] = [];
    const result = await runChaos({
      seed: backend === 'redis' ? 11 : 12,
      backend,
      faults: FAULT_NAMES,
      seconds: 3_600,
      rounds: 1,
      recoveryLimitMs: 900_000,
      say: (line) => said.push(line),
    });
    expect(result.verdict).toEqual({ lost: [], repeated: [], wrong: [], left: [] });
    expect(result.records.filter(({ late }) => late)).toEqual([]);
    const injected = result.records.map(({ fault }) => fault);
    expect(injected.toSorted()).toEqual(FAULT_NAMES.filter((fault) => !result.leftOut.includes(fault)).toSorted());
    expect(result.landed).toBeGreaterThan(0);
  },
);
