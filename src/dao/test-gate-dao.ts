import type { GateDefinition } from '../contract/policy.ts';
import type { GateOutcome, GateState } from '../contract/states.ts';
import { sql } from '../database/database.ts';
import type { FlakeHistory, GateHealth } from '../domain/landing/flake-tolerance.ts';
import { liveStates } from '../domain/lifecycle.ts';
import { TestGate, type TestGateRow } from '../entities/test-gate.ts';
import { BaseDao, type EntitySource, type Page } from './base-dao.ts';

/** Result of an execution, with the tree that it tested and the patches in it. */
export interface GateExecution {
  gate_id: string;
  state: 'PASSED' | 'FAILED';
  outcome: GateOutcome | null;
  tree_id: string;
  digest: string;
  definition: GateDefinition;
  pinned: boolean;
  advisory: boolean;
  tip_commit: string;
  patch_ids: string[];
  created_at: Date;
  completed_at: Date;
}

export interface GateFilter {
  run?: string | undefined;
  task?: string | undefined;
  patch?: string | undefined;
  target?: string | undefined;
  state?: GateState | undefined;
}

export class TestGateDao extends BaseDao<TestGateRow> {
  constructor(source: EntitySource) {
    super(source, { schema: TestGate, key: 'gate_id', noun: 'gate', idPrefix: 'gate' });
  }

  findByState(state: GateState): Promise<TestGateRow[]> {
    return this.findBy({ state });
  }

  /** Counts gates that are not dispatched yet. */
  waitingByPool(): Promise<{ pool: string; waiting: number }[]> {
    return this.rows(sql`
      select pool, count(*)::int as waiting from test_gates
      where state = 'PENDING' and dispatched_at is null group by pool order by pool`);
  }

  findByTask(taskId: string): Promise<TestGateRow[]> {
    return this.findBy({ task_id: taskId });
  }

  findByRun(runId: string): Promise<TestGateRow[]> {
    return this.findBy({ run_id: runId });
  }

  /** Returns a page of executions. `patch`: those whose candidate held this patch. */
  pageOf({ run, task, patch, target, state }: GateFilter, page: Page): Promise<TestGateRow[]> {
    const given = { run_id: run, task_id: task, target_id: target, state };
    const criteria = Object.entries(given).filter(([, value]) => value !== undefined);
    const ofPatch = patch === undefined ? {} : { patch_ids: { $contains: [patch] } };
    return this.page({ ...Object.fromEntries(criteria), ...ofPatch }, page);
  }

  /** Returns executions of a target that have not ended. */
  findLive(targetId: string): Promise<TestGateRow[]> {
    return this.findBy({ target_id: targetId, state: { $in: liveStates('gate') } });
  }

  /** Returns executions that ended on these trees, oldest first. */
  findEndedOn(treeIds: readonly string[]): Promise<GateExecution[]> {
    return this.#executions(sql`tree_id = any (${[...treeIds]}::text[]) and state in ('PASSED', 'FAILED')`);
  }

  /** Returns ended executions whose candidates held one of these patches, oldest first. */
  findEndedAbout(
    targetId: string,
    { patchIds, since }: { patchIds: readonly string[]; since: Date },
  ): Promise<GateExecution[]> {
    // One look-up in the index on patch_ids for each patch: for an overlap with the whole queue the planner expects most
    // rows and reads the table.
    return this.#executions(sql`
      target_id = ${targetId} and created_at >= ${since.toISOString()}::timestamptz and state in ('PASSED', 'FAILED')
      and gate_id = any (array(
        select g.gate_id from unnest(${[...patchIds]}::text[]) as p(id)
        cross join lateral (select gate_id from test_gates where patch_ids @> array[p.id] offset 0) g))`);
  }

  /** Returns the health of each digest. Executions without patches are those of the tip itself. */
  async findHealth(targetId: string, digests: readonly string[]): Promise<Map<string, GateHealth>> {
    type Row = { digest: string; green: string | null; bad: string | null; before: string | null; badTips: number };
    const rows = await this.rows<Row>(sql`
      with runs as (
        select digest, state = 'PASSED' as green, outcome in ('red', 'timeout') and patch_ids = '{}' as bad, completed_at
        from test_gates
        where target_id = ${targetId} and digest = any (${[...digests]}::text[]) and state in ('PASSED', 'FAILED')
      ), known as (
        select digest, max(completed_at) filter (where green) as green, max(completed_at) filter (where bad) as bad
        from runs group by digest
      )
      select k.digest, k.green, k.bad, g.before, (
               select count(*)::int from runs r
               where r.digest = k.digest and r.bad and r.completed_at > coalesce(g.before, '-infinity')
             ) as "badTips"
      from known k left join lateral (
        select max(completed_at) as before from runs r where r.digest = k.digest and r.green and r.completed_at < k.bad
      ) g on true`);
    const at = (text: string | null): number => (text === null ? 0 : new Date(text).getTime());
    return new Map(
      rows.map(({ digest, green, bad, before, badTips }) => [
        digest,
        { greenAtMs: at(green), badTipAtMs: at(bad), badTips, greenBeforeMs: at(before) },
      ]),
    );
  }

  /** Returns creation and end of green executions under a digest that were created since `since`, oldest first. */
  async findGreenTimes(
    targetId: string,
    { digest, since }: { digest: string; since: Date },
  ): Promise<{ startedAtMs: number; endedAtMs: number }[]> {
    const rows = await this.rows<{ created_at: string; completed_at: string }>(sql`
      select created_at, completed_at from test_gates
      where target_id = ${targetId} and digest = ${digest} and state = 'PASSED'
        and created_at >= ${since.toISOString()}::timestamptz
      order by created_at limit 10000`);
    return rows.map(({ created_at, completed_at }) => ({
      startedAtMs: new Date(created_at).getTime(),
      endedAtMs: new Date(completed_at).getTime(),
    }));
  }

  /**
   * Returns the flake history of each gate from the last `last` executions on a target. Counts only pairs of tree and
   * digest that were green at least as often as red.
   */
  async flakes(targetId: string, { last }: { last: number }): Promise<Map<string, FlakeHistory>> {
    const rows = await this.rows<FlakeHistory & { gate: string }>(sql`
      select gate, sum(greens + bad)::int as good, sum(bad)::int as flaky from (
        select test_suite as gate, count(*) filter (where state = 'PASSED') as greens,
               count(*) filter (where outcome in ('red', 'timeout')) as bad from (
          select test_suite, tree_id, digest, state, outcome from test_gates
          where target_id = ${targetId} and state in ('PASSED', 'FAILED') order by created_at desc limit ${last}
        ) recent group by test_suite, tree_id, digest
      ) pairs where greens >= bad group by gate`);
    return new Map(rows.map(({ gate, good, flaky }) => [gate, { good, flaky }]));
  }

  async #executions(where: ReturnType<typeof sql>): Promise<GateExecution[]> {
    const rows = await this.rows<GateExecution>(sql`
      select gate_id, state, outcome, tree_id, digest, definition, pinned, advisory, tip_commit, patch_ids,
             created_at, completed_at
      from test_gates where ${where} order by created_at, gate_id`);
    return rows.map((row) => ({
      ...row,
      created_at: new Date(row.created_at),
      completed_at: new Date(row.completed_at),
    }));
  }
}
