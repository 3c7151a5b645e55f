import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from '../src/database/database.ts';
import { poll } from '../src/lib/clock.ts';
import type { Expected } from './load.ts';
import { seenProcesses } from './processes.ts';
import type { World } from './world.ts';

/** Violations found at the end, from outside. Every list should be empty. */
export interface Verdict {
  /** Submitted tasks that did not reach their required state. */
  lost: string[];
  /** Recorded or landed more than once. */
  repeated: string[];
  /** The branch and the ledger disagree, a commit is unproven, the branch was red, or a role ended unexpectedly. */
  wrong: string[];
  /** Leftover processes, slot contents, leases, locks and messages. */
  left: string[];
}

const END_LIMIT_MS = 15 * 60_000;
/** Longer than the queue locks a message whose consumer died. */
const EMPTY_LIMIT_MS = 15 * 60_000;

/** Waits for every run to end, checks the outcome, stops the roles, and checks what they left behind. */
export async function judge(world: World, expected: readonly Expected[]): Promise<Verdict> {
  await poll(async () => ((await liveRuns(world)) === 0 ? true : undefined), { everyMs: 500, limitMs: END_LIMIT_MS });
  const outcome = await judgeTasks(world, expected);
  const branch = await judgeBranch(world, expected);
  const messages = await leftInQueues(world);
  const { api, schedulers, workers } = world.roles;
  // Stop the roles gracefully, as an operator would.
  const roles = [...workers, ...schedulers, api];
  await Promise.all(roles.map((role) => role.end('SIGTERM')));
  return {
    lost: outcome.lost,
    repeated: [...outcome.repeated, ...branch.repeated],
    wrong: [...branch.wrong, ...roles.flatMap(({ troubles }) => troubles)],
    left: [...messages, ...(await leftBehind(world))],
  };
}

async function liveRuns({ daos }: World): Promise<number> {
  return daos.runs.count({ state: { $nin: ['COMPLETED', 'FAILED'] } });
}

async function judgeTasks(
  { daos, database }: World,
  expected: readonly Expected[],
): Promise<Pick<Verdict, 'lost' | 'repeated'>> {
  const tasks = await daos.tasks.findBy({});
  const lost = expected.flatMap(({ runId, task, state }) => {
    const found = tasks.find((row) => row.run_id === runId && row.name === task);
    return found?.state === state
      ? []
      : [`${runId} ${task}: ${found?.state ?? 'absent'} (${found?.reason}), not ${state}`];
  });
  const endings = await database.query<{ what: string }>(sql`
    select entity_id || ' ended ' || count(*) || ' times' as what from state_transitions
    where kind = 'task' and to_state in ('COMPLETED', 'FAILED', 'CANCELLED') group by entity_id having count(*) > 1`);
  const attempts = await database.query<{ what: string }>(sql`
    select entity_id || ' has two results of attempt ' || attempt as what from state_transitions
    where kind = 'task' and from_state = 'RUNNING' and to_state = 'VALIDATING' group by entity_id, attempt having count(*) > 1`);
  return { lost, repeated: [...endings, ...attempts].map(({ what }) => what) };
}

async function judgeBranch(
  { branch, daos, client }: World,
  expected: readonly Expected[],
): Promise<Pick<Verdict, 'repeated' | 'wrong'>> {
  const commits = await branch.landed();
  const landed = commits.map(({ patchId }) => patchId);
  const lines = await branch.lineCounts();
  const repeated = [
    ...twice(landed),
    ...twice(commits.map(({ taskId }) => taskId)),
    ...[...lines].flatMap(([file, count]) => (count === 1 ? [] : [`${file} has ${count} lines`])),
  ];
  const verified = (await daos.patches.findBy({ state: { $in: ['APPLIED', 'VERIFIED', 'ROLLED_BACK'] } })).map(
    ({ patch_id }) => patch_id,
  );
  const wrong = [
    ...landed
      .filter((patchId) => !verified.includes(patchId))
      .map((patchId) => `${patchId} is on the branch, not in the ledger`),
    ...verified
      .filter((patchId) => !landed.includes(patchId))
      .map((patchId) => `${patchId} is in the ledger, not on the branch`),
    ...expected.flatMap(({ file }) => (file === null || lines.has(file) ? [] : [`${file} is not on the branch`])),
    ...(await branch.redCommits()).map((commit) => `the branch was red at ${commit}`),
  ];
  const audit = await client.targets.audit('app@main');
  wrong.push(
    ...audit.commits
      .filter(({ proven }) => !proven)
      .map(({ commit, problem }) => `${commit} is not proven: ${problem}`),
  );
  return { repeated, wrong };
}

function twice(ids: readonly string[]): string[] {
  return ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `${id} landed twice`);
}

/** Waits for empty queues: a message whose consumer died is redelivered after its lock expires, and is then refused. */
async function leftInQueues(world: World): Promise<string[]> {
  let left: string[] = [];
  await poll(
    async () => {
      left = await messages(world);
      return left.length === 0 ? true : undefined;
    },
    { everyMs: 1_000, limitMs: EMPTY_LIMIT_MS },
  );
  return left;
}

async function messages({ redis, database }: World): Promise<string[]> {
  if (redis === undefined) {
    const rows = await database.query<{ what: string }>(sql`
      select queue || '/' || id || ' is ' || state as what from bullmq.job where state in ('waiting', 'active', 'delayed')`);
    return rows.map(({ what }) => what);
  }
  const keys = (await redis.client.keys('*')).filter((key) => /:(wait|active|delayed|prioritized)$/.test(key));
  const found = await Promise.all(
    keys.map(async (key) => {
      const length =
        (await redis.client.type(key)) === 'zset' ? await redis.client.zcard(key) : await redis.client.llen(key);
      return length === 0 ? [] : [`${key} holds ${length}`];
    }),
  );
  return found.flat();
}

async function leftBehind({ database, machines, folder }: World): Promise<string[]> {
  // Roles, workers, tools and git, found by arguments, environment or working directory. The database still runs.
  const processes = (await seenProcesses())
    .filter(({ arguments: argv, environment, folder: at }) =>
      [...argv, ...environment, at].some((each) => each.includes(folder)),
    )
    .filter(({ folder: at }) => !at.startsWith(join(folder, 'database')))
    .map(({ pid, arguments: argv }) => `process ${pid}: ${argv.join(' ').slice(0, 80)}`);
  const slots = await Promise.all(
    machines.map(async (machine) => {
      const numbers = await readdir(join(machine, 'slots')).catch(() => []);
      const kept = await Promise.all(
        numbers
          .filter((entry) => /^\d+$/.test(entry))
          .map(async (number) => ({ number, entries: await readdir(join(machine, 'slots', number)) })),
      );
      return kept.flatMap(({ number, entries }) =>
        entries.length === 0 ? [] : [`slot ${machine}/${number} holds ${entries.join(', ')}`],
      );
    }),
  );
  const rows = await database.query<{ what: string }>(sql`
    select 'lease ' || name || ' is held' as what from leases where expires_at > now()
    union all select 'task ' || task_id || ' is RUNNING' from tasks where state = 'RUNNING'
    union all select 'gate ' || gate_id || ' is ' || state from test_gates where state in ('PENDING', 'RUNNING', 'BLOCKED')
    union all select 'worker ' || worker_id || ' is ' || state from workers where state not in ('DEAD', 'STOPPED')
    union all select 'intent ' || intent_id || ' is open' from landing_intents where settled_at is null
    union all select 'lock of ' || pid from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`);
  return [...processes, ...slots.flat(), ...rows.map(({ what }) => what)];
}
