import type { GateDefinition } from '../contract/policy.ts';
import type { Outcome, RunState } from '../contract/states.ts';
import { sql } from '../database/database.ts';
import { liveStates } from '../domain/lifecycle.ts';
import { Run, type RunRow } from '../entities/run.ts';
import { BaseDao, type EntitySource, type Page } from './base-dao.ts';

export interface RunFilter {
  state?: RunState | undefined;
  outcome?: Outcome | undefined;
  label?: { key: string; value: string } | undefined;
}

export class RunDao extends BaseDao<RunRow> {
  constructor(source: EntitySource) {
    super(source, { schema: Run, key: 'run_id', noun: 'run', idPrefix: 'run' });
  }

  findByState(state: RunState): Promise<RunRow[]> {
    return this.findBy({ state });
  }

  /** Returns the only run that was submitted under a key. */
  async findByIdempotencyKey(key: string): Promise<RunRow | undefined> {
    return (await this.findBy({ idempotency_key: key }))[0];
  }

  /** Returns runs with a concurrency key that are older than `before` and have not ended. */
  findLiveWithKey(key: string, before: string): Promise<RunRow[]> {
    return this.findBy({ concurrency_key: key, run_id: { $lt: before }, state: { $in: liveStates('run') } });
  }

  /** Returns the oldest INITIALIZING runs. Leaves out targets in backoff, so that their runs do not hold up others. */
  findToStart(limit: number, exceptTargets: readonly string[] = []): Promise<RunRow[]> {
    const criteria = { state: 'INITIALIZING', target_id: { $nin: [...exceptTargets] } } as const;
    return this.coded((em) => em.find(Run, criteria, { limit, orderBy: { created_at: 'asc', run_id: 'asc' } }));
  }

  /** Returns the gates that these runs add to those of their branch; runs that add none are left out. */
  async extraGatesOf(runIds: readonly string[]): Promise<Map<string, GateDefinition[]>> {
    const rows = await this.rows<{ run_id: string; extra_gates: GateDefinition[] }>(sql`
      select run_id, extra_gates from runs
      where run_id = any (${[...runIds]}::text[]) and extra_gates <> '[]'::jsonb`);
    return new Map(rows.map(({ run_id, extra_gates }) => [run_id, extra_gates]));
  }

  pageOf({ state, outcome, label }: RunFilter, page: Page): Promise<RunRow[]> {
    const labelled = label === undefined ? {} : { labels: { [label.key]: label.value } };
    const ended = outcome === undefined ? {} : { outcome };
    return this.page({ ...(state === undefined ? {} : { state }), ...ended, ...labelled }, page);
  }
}
