import { beforeAll, describe, expect, test } from 'vitest';
import { TestGateDao } from '../../src/dao/test-gate-dao.ts';
import { type RawBuilder, sql, type Tx } from '../../src/database/database.ts';
import { admitGates, admitTasks, capacity, requeueDue } from '../../src/ledger/attempts/admission.ts';
import { readAdmissionState } from '../../src/ledger/attempts/admission-state.ts';
import { endAttempts } from '../../src/ledger/attempts/attempts.ts';
import { claimTasks } from '../../src/ledger/attempts/claims.ts';
import { overdue, stagesWithWork } from '../../src/ledger/fleet/overlooked.ts';
import { suspectLostDispatches } from '../../src/ledger/fleet/repair.ts';
import { heartbeat, reapWorkers } from '../../src/ledger/fleet/workers.ts';
import { expireOverdue } from '../../src/ledger/landing/stop-patches.ts';
import { activeTargets } from '../../src/ledger/landing/targets.ts';
import { retryRun, retryTask } from '../../src/ledger/runs/retry.ts';
import { rollUp } from '../../src/ledger/runs/roll-up.ts';
import { startRun } from '../../src/ledger/runs/start-run.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { attemptEnd, claimOf, newPatch } from '../support/ledger-words.ts';

interface Plan {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'CTE Name'?: string;
  'Function Call'?: string;
  Plans?: Plan[];
}

/** Tables that grow with every run: a statement of the hot paths must never read one whole. */
const GROWING = ['tasks', 'patches', 'test_gates', 'state_transitions', 'log_chunks'];

let db: TestDatabase;
beforeAll(async () => {
  db = await createTestDatabase();
  await fill(db);
});

describe('statements of the hot paths on a filled ledger', () => {
  test('the dispatcher: due retries, gates and tasks', async () => {
    expect(await offencesOf(requeueDue)).toEqual([]);
    expect(await offencesOf(admitGates)).toEqual([]);
    expect(await offencesOf(admitTasks)).toEqual([]);
    expect(await indexesOf(admitTasks)).toContain('tasks_to_admit');
    expect(await offencesOf(async (tx) => void (await readAdmissionState(tx)))).toEqual([]);
    expect(await offencesOf((tx) => capacity(tx, 'task'))).toEqual([]);
  });

  test('a worker: claims, endings without and with a patch, heartbeats', async () => {
    const claims = Array.from({ length: 100 }, (_, i) => claimOf(`task_d${i}`, 'wrk_1'));
    expect(await offencesOf((tx) => claimTasks(tx, claims))).toEqual([]);
    const ends = Array.from({ length: 100 }, (_, i) => attemptEnd(`task_r${i}`, { workerId: 'wrk_1', costUsd: 0.1 }));
    expect(await offencesOf((tx) => endAttempts(tx, ends))).toEqual([]);
    const patched = ends.map((end) => ({
      ...end,
      ending: { kind: 'patch', patch: newPatch(), mayRetry: true } as const,
    }));
    expect(await offencesOf((tx) => endAttempts(tx, patched.slice(0, 5)))).toEqual([]);
    const heldIds = ends.map(({ taskId }) => taskId);
    const beat = { workerId: 'wrk_1', heldIds, leaseMs: 6_000, starving: false };
    expect(await offencesOf((tx) => heartbeat(tx, beat))).toEqual([]);
  });

  test('the scheduler: the start of a large run, the roll-up, the reconciler, the look for active targets', async () => {
    expect(await offencesOf((tx) => startRun(tx, 'run_new'))).toEqual([]);
    expect(await offencesOf(rollUp)).toEqual([]);
    expect(await offencesOf((tx) => suspectLostDispatches(tx, 5_000))).toEqual([]);
    expect(await offencesOf((tx) => reapWorkers(tx, { unhealthyAfterMs: 2_000, deadAfterMs: 6_000 }))).toEqual([]);
    expect(await offencesOf(expireOverdue)).toEqual([]);
    expect(await offencesOf(activeTargets)).toEqual([]);
    expect(await offencesOf(stagesWithWork)).toEqual([]);
    const times = { redispatchAfterMs: 5_000, unhealthyAfterMs: 2_000 };
    expect(await offencesOf((tx) => overdue(tx, times))).toEqual([]);
  });

  test('the coordinator: what is known of the patches in its queue', async () => {
    const daos = (tx: Tx) => new TestGateDao({ query: tx.query, fork: () => db.database.fork() });
    const patchIds = Array.from({ length: 50 }, (_, i) => `patch_${i}`);
    const since = new Date(Date.now() - 86_400_000);
    expect(await offencesOf((tx) => daos(tx).findEndedAbout('app@main', { patchIds, since }))).toEqual([]);
  });

  test('an operator: the retry of a run, and the parts of a run in batches', async () => {
    const order = { actor: 'ada', reason: 'the remote is back' };
    expect(await offencesOf((tx) => retryRun(tx, 'run_old', order))).toEqual([]);
    const one = await plansOf((tx) => retryTask(tx, 'task_x1', order));
    expect(await plansOf((tx) => retryRun(tx, 'run_old', order))).toHaveLength(one.length);
    for (const [table, key] of Object.entries({ tasks: 'task_id', patches: 'patch_id', test_gates: 'gate_id' })) {
      const batch = sql`select * from ${sql.table(table)} where run_id = 'run_new' and ${sql.ref(key)} > '' order by ${sql.ref(key)} limit 200`;
      expect(await offencesOf((tx) => tx.query(batch))).toEqual([]);
    }
  });

  test('a batch costs the same statements whatever its size', async () => {
    const claims = (size: number) => Array.from({ length: size }, (_, i) => claimOf(`task_d${i}`, 'wrk_1'));
    const late = (size: number) => Array.from({ length: size }, (_, i) => claimOf(`task_e${i}`, 'wrk_1'));
    const ends = (size: number) => Array.from({ length: size }, (_, i) => attemptEnd(`task_r${i}`, { costUsd: 0.1 }));
    const statements = async (work: (tx: Tx) => Promise<unknown>) => (await plansOf(work)).length;
    for (const size of [1, 20, 250]) {
      expect(await statements((tx) => claimTasks(tx, claims(size)))).toBe(2);
      expect(await statements((tx) => claimTasks(tx, late(size)))).toBe(2);
      expect(await statements((tx) => endAttempts(tx, ends(size)))).toBe(7);
    }
  });

  test('control: a whole table and a join of two batches are found', async () => {
    const whole = sql`select count(*) from tasks where name = 'x'`;
    expect(await offencesOf((tx) => tx.query(whole))).toEqual(['Seq Scan on tasks']);
    const batches = sql`
      select 1 from jsonb_to_recordset('[]') as a(id text) join jsonb_to_recordset('[]') as b(id text) on a.id < b.id`;
    expect(await offencesOf((tx) => tx.query(batches))).toEqual(['Nested Loop over Function Scan']);
  });
});

/** Returns what the plans of `work` should not hold. `work` is rolled back. */
async function offencesOf(work: (tx: Tx) => Promise<unknown>): Promise<string[]> {
  return [...new Set((await plansOf(work)).flatMap(offencesIn))];
}

async function indexesOf(work: (tx: Tx) => Promise<unknown>): Promise<string[]> {
  const indexesIn = (plan: Plan): string[] => [plan['Index Name'] ?? '', ...(plan.Plans ?? []).flatMap(indexesIn)];
  return (await plansOf(work)).flatMap(indexesIn);
}

async function plansOf(work: (tx: Tx) => Promise<unknown>): Promise<Plan[]> {
  const plans: Plan[] = [];
  const done = new Error('rolled back');
  const explained = db.ledger.write(async (tx) => {
    const query = async <Row>(statement: RawBuilder<Row>): Promise<Row[]> => {
      const [row] = await tx.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
        sql`explain (format json, verbose) ${statement}`,
      );
      plans.push(row!['QUERY PLAN'][0].Plan);
      return tx.query(statement);
    };
    await work({ query, wake: () => {}, moved: () => {} });
    throw done;
  });
  await expect(explained).rejects.toBe(done);
  return plans;
}

function offencesIn(plan: Plan): string[] {
  const below = (plan.Plans ?? []).flatMap(offencesIn);
  const table = plan['Relation Name'] ?? '';
  if (plan['Node Type'] === 'Seq Scan' && GROWING.includes(table)) below.push(`Seq Scan on ${table}`);
  // A batch may be read for each row of a table that stays small, such as the breakers.
  const isBounded = !GROWING.includes(plan.Plans?.[0]?.['Relation Name'] ?? GROWING[0]!);
  let inner = plan['Node Type'] === 'Nested Loop' && !isBounded ? plan.Plans?.at(1) : undefined;
  if (inner?.['Node Type'] === 'Materialize') inner = inner.Plans?.[0];
  if (inner !== undefined && isBatch(inner)) below.push(`Nested Loop over ${inner['Node Type']}`);
  return below;
}

/** A list that was computed once. As the inner side of a nested loop it is read whole for each outer row. */
function isBatch(plan: Plan): boolean {
  const ofParameter = /\('/.test(plan['Function Call'] ?? '');
  return plan['Node Type'] === 'CTE Scan' || (plan['Node Type'] === 'Function Scan' && ofParameter);
}

/** A ledger with a history: 30,000 ended tasks, 300 dispatched, 300 running, 5,000 waiting, 200 failed, and a new run of 100. */
async function fill({ database, daos }: TestDatabase): Promise<void> {
  await daos.targets.create({ target_id: 'app@main', repository: 'app', branch: 'main', url: '/nowhere' });
  await daos.workers.create({ worker_id: 'wrk_1', state: 'BUSY', task_slots: 400, gate_slots: 4 });
  await database.query(sql`
    insert into workers (worker_id, state) select 'wrk_old' || n, 'STOPPED' from generate_series(1, 1000) as n`);
  await daos.breakers.create({ tool_name: 'command', rate_max: 1_000_000, rate_per_seconds: 60 });
  const run = { target_id: 'app@main', workstreams_total: 1, tasks_total: 30_000 };
  await daos.runs.create({ run_id: 'run_old', state: 'RUNNING', started_at: new Date(), ...run });
  await daos.runs.create({ run_id: 'run_new', state: 'INITIALIZING', ...run });
  await daos.workstreams.create({ workstream_id: 'ws_old', run_id: 'run_old', state: 'RUNNING', tasks_total: 36_000 });
  await daos.workstreams.create({ workstream_id: 'ws_new', run_id: 'run_new', state: 'PENDING', tasks_total: 100 });
  const tasks = (
    prefix: string,
    count: number,
    given: { state: string; workstream?: 'old' | 'new'; more?: string },
  ) => {
    const { state, workstream = 'old', more = '0, 0, null, null, null, false, null' } = given;
    return database.query(sql`
      insert into tasks (task_id, workstream_id, run_id, target_id, state, ranked_at, queued_at,
                         attempt, dispatch, dispatched_at, worker_id, lease_expires_at, rolled_up, completed_at)
      select ${`task_${prefix}`} || n, ${`ws_${workstream}`}, ${`run_${workstream}`}, 'app@main', ${state}, now(), now(),
             ${sql.raw(more)}
      from generate_series(0, ${count - 1}::int) as n`);
  };
  const ended = `1, 1, now(), null, null, true, now() - interval '1 day'`;
  await tasks('e', 30_000, { state: 'COMPLETED', more: ended });
  await tasks('w', 5_000, { state: 'QUEUED' });
  await tasks('d', 300, { state: 'QUEUED', more: '0, 1, now(), null, null, false, null' });
  await tasks('r', 300, { state: 'RUNNING', more: `1, 1, now(), 'wrk_1', now() + interval '1 hour', false, null` });
  await tasks('f', 300, { state: 'COMPLETED', more: '1, 1, now(), null, null, false, now()' });
  await tasks('x', 200, { state: 'FAILED', more: ended });
  await tasks('n', 100, { state: 'PENDING', workstream: 'new' });
  await database.query(sql`
    insert into task_dependencies (task_id, depends_on_id)
    select 'task_w' || n, 'task_r' || n from generate_series(0, 299) as n`);
  await database.query(sql`
    insert into patches (patch_id, task_id, run_id, target_id, state)
    select 'patch_' || n, 'task_e' || n, 'run_old', 'app@main', case when n < 50 then 'STAGED' else 'VERIFIED' end
    from generate_series(0, 19999) as n`);
  await database.query(sql`
    insert into test_gates (gate_id, task_id, run_id, target_id, state, exit_code, tree_id, digest, patch_ids, completed_at)
    select 'gate_' || n, 'task_e' || n, 'run_old', 'app@main', case when n < 20 then 'PENDING' else 'PASSED' end, 0,
           'tree_' || n, 'digest', array['patch_' || n], case when n < 20 then null else now() - interval '1 day' end
    from generate_series(0, 19999) as n`);
  await database.query(sql`
    insert into state_transitions (kind, entity_id, run_id, from_state, to_state, actor)
    select 'task', 'task_e' || n, 'run_old', 'RUNNING', 'VALIDATING', 'worker' from generate_series(0, 29999) as n`);
  await database.query(sql`analyze`);
}
