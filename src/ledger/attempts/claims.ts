import type { GateDefinition } from '../../contract/policy.ts';
import type { BreakerState } from '../../contract/states.ts';
import { sql, type Tx } from '../../database/database.ts';
import { floats, ints, texts, transition, type WantedColumn } from '../transition.ts';
import { handBackAll } from './admission.ts';

export interface Claim {
  id: string;
  dispatch: number;
  workerId: string;
  leaseMs: number;
}

/** All that a worker needs to run an attempt. `attempt` is the fence: every later write names it. */
export interface ClaimedTask {
  task_id: string;
  run_id: string;
  target_id: string;
  url: string;
  branch: string;
  repository: string;
  name: string;
  run_name: string;
  tool: string;
  input: Record<string, unknown>;
  scope: string[] | null;
  message: string | null;
  timeout_seconds: number | null;
  attempt: number;
  retry_count: number;
  max_retries: number;
  interruptions: number;
  evidence: Record<string, unknown> | null;
  breaker_state: BreakerState | null;
  dependency_commits: string[];
}

/**
 * QUEUED→RUNNING for each claim whose message is the newest, raising the fence. Returns undefined for a claim that lost
 * (an old message, a cancelled task) or that an open breaker, a pause or a spent budget stops; the latter go back to
 * the ledger. Needs one transaction: what it reads of a claimed task must not be of a later attempt.
 */
export async function claimTasks(tx: Tx, claims: readonly Claim[]): Promise<(ClaimedTask | undefined)[]> {
  const moved = await transition(tx, {
    kind: 'task',
    from: ['QUEUED'],
    to: 'RUNNING',
    ids: claims.map(({ id }) => id),
    data: wantedBy(claims),
    actor: 'worker',
    set: sql`, attempt = t.attempt + 1, worker_id = w.worker_id, started_at = now(), exit_code = null,
      lease_expires_at = now() + make_interval(secs => w.lease_seconds)`,
    where: sql`and t.dispatch = w.dispatch and t.dispatched_at is not null
      and exists (select 1 from runs r where r.run_id = t.run_id and r.state = 'RUNNING'
                    and (r.budget_usd is null or r.cost_usd < r.budget_usd))
      and (t.budget_usd is null or t.cost_usd < t.budget_usd)
      and exists (select 1 from workers k where k.worker_id = w.worker_id and k.state in ('IDLE', 'BUSY'))
      and not exists (
        select 1 from circuit_breakers b where b.tool_name = t.tool and b.state <> 'CLOSED'
          and (b.state = 'OPEN' or b.probe_task_id is distinct from t.task_id
               or b.probe_attempt is distinct from t.attempt + 1))
      and not exists (
        select 1 from circuit_breakers b join tool_costs c on c.tool_name = b.tool_name
        where b.tool_name = t.tool and c.day = (now() at time zone 'UTC')::date and c.usd >= b.usd_per_day)`,
  });
  const claimed = new Set(moved.map(({ id }) => id));
  const lost = claims.filter(({ id }) => !claimed.has(id));
  if (lost.length > 0) await handBackAll(tx, 'task', lost);
  const tasks = new Map((await readClaimed(tx, [...claimed])).map((task) => [task.task_id, task]));
  return claims.map(({ id }) => tasks.get(id));
}

/** Returns the columns of `w` that claims name. */
function wantedBy(claims: readonly Claim[]): Record<'dispatch' | 'worker_id' | 'lease_seconds', WantedColumn> {
  return {
    dispatch: ints(claims.map(({ dispatch }) => dispatch)),
    worker_id: texts(claims.map(({ workerId }) => workerId)),
    lease_seconds: floats(claims.map(({ leaseMs }) => leaseMs / 1_000)),
  };
}

async function readClaimed(tx: Tx, ids: readonly string[]): Promise<ClaimedTask[]> {
  if (ids.length === 0) return [];
  return tx.query<ClaimedTask>(sql`
    with counted as (
      -- Only starts of tools with a rate limit are counted.
      insert into tool_starts (task_id, attempt, tool_name)
      select t.task_id, t.attempt, t.tool from tasks t join circuit_breakers b on b.tool_name = t.tool
      where t.task_id = any (${[...ids]}::text[]) and b.rate_max is not null
    )
    select t.task_id, t.run_id, t.target_id, g.url, g.branch, g.repository, t.name,
           r.name as run_name, t.tool, t.input, t.scope, t.message, t.timeout_seconds, t.attempt, t.retry_count,
           t.max_retries, t.interruptions, t.evidence, b.state as breaker_state,
           array(select p.landed_commit from task_dependencies d join tasks p on p.task_id = d.depends_on_id
                 where d.task_id = t.task_id and p.landed_commit is not null order by 1) as dependency_commits
    from tasks t
    join runs r on r.run_id = t.run_id
    join targets g on g.target_id = t.target_id
    left join circuit_breakers b on b.tool_name = t.tool
    where t.task_id = any (${[...ids]}::text[])`);
}

export interface ClaimedGate {
  gate_id: string;
  task_id: string;
  run_id: string;
  target_id: string;
  url: string;
  branch: string;
  attempt: number;
  definition: GateDefinition;
  timeout_seconds: number;
  tree_id: string;
  digest: string;
  tip_commit: string;
  patch_ids: string[];
  pinned: boolean;
}

/** PENDING→RUNNING by the same fence. Returns undefined when the claim lost. */
export async function claimGate(tx: Tx, claim: Claim): Promise<ClaimedGate | undefined> {
  const moved = await transition(tx, {
    kind: 'gate',
    from: ['PENDING'],
    to: 'RUNNING',
    ids: [claim.id],
    data: wantedBy([claim]),
    actor: 'worker',
    set: sql`, attempt = t.attempt + 1, worker_id = w.worker_id, started_at = now(),
      claimed_by = w.worker_id,
      confinement = (select k.confinement from workers k where k.worker_id = w.worker_id),
      lease_expires_at = now() + make_interval(secs => w.lease_seconds)`,
    where: sql`and t.dispatch = w.dispatch and t.dispatched_at is not null
      and exists (select 1 from workers k where k.worker_id = w.worker_id and k.state in ('IDLE', 'BUSY'))`,
  });
  if (moved.length === 0) return undefined;
  const [gate] = await tx.query<ClaimedGate>(sql`
    select g.gate_id, g.task_id, g.run_id, g.target_id, a.url, a.branch, g.attempt, g.definition,
           g.timeout_seconds, g.tree_id, g.digest, g.tip_commit, g.patch_ids, g.pinned
    from test_gates g join targets a on a.target_id = g.target_id
    where g.gate_id = ${claim.id}`);
  return gate;
}
