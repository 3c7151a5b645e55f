import { type Reader, sql } from '../../database/database.ts';
import type { AdmissionState, RepositoryState, RunHold, ToolState } from '../../domain/admission.ts';
import { liveStates } from '../../domain/lifecycle.ts';

const IN_FLIGHT = sql`state = 'RUNNING' or (state = 'QUEUED' and dispatched_at is not null)`;

/**
 * Reads everything that admission decides by. It locks nothing: if a breaker opens meanwhile, the claim hands the
 * admitted task back.
 */
export async function readAdmissionState(tx: Reader): Promise<AdmissionState> {
  return {
    tools: await readTools(tx),
    repositories: await readRepositories(tx),
    runs: [...(await readWaitingForKey(tx)), ...(await readSpent(tx))],
  };
}

/**
 * `admits` is `probe` when the cooldown is over, or when HALF_OPEN has no live probe. A named probe counts only while
 * it runs or its message is on its way, so a lost message, a refused claim or a cancel frees the name.
 */
function readTools(tx: Reader): Promise<ToolState[]> {
  return tx.query<ToolState>(sql`
    with flight as (
      select tool, count(*)::int as in_flight, count(*) filter (where state = 'QUEUED')::int as unclaimed
      from tasks where ${IN_FLIGHT} group by tool
    )
    select b.breaker_id, b.tool_name as tool, b.state, b.reason, b.tripped_by, b.probe_task_id, b.concurrency,
           b.rate_max, b.rate_per_seconds, b.usd_per_day,
           case when b.state = 'CLOSED' then 'all'
                when b.tripped_by is not null then 'none'
                when b.state = 'OPEN' and b.opened_at + make_interval(secs => b.cooldown_seconds) <= now() then 'probe'
                when b.state = 'HALF_OPEN' and not exists (
                  select 1 from tasks t where t.task_id = b.probe_task_id and (
                    (t.state = 'RUNNING' and t.attempt = b.probe_attempt)
                    or (t.state = 'QUEUED' and t.dispatched_at is not null and t.attempt + 1 = b.probe_attempt))
                ) then 'probe'
                else 'none' end as admits,
           case when b.state = 'OPEN' then ${iso(sql`b.opened_at + make_interval(secs => b.cooldown_seconds)`)} end as probe_at,
           coalesce(f.in_flight, 0) as in_flight, coalesce(f.unclaimed, 0) as unclaimed,
           coalesce(s.n, 0) as recent_starts,
           ${iso(sql`s.oldest + make_interval(secs => b.rate_per_seconds)`)} as rate_free_at,
           coalesce(c.usd, 0) as usd_today,
           ${iso(sql`(date_trunc('day', now() at time zone 'UTC') + interval '1 day') at time zone 'UTC'`)} as day_turns_at
    from circuit_breakers b
    left join flight f on f.tool = b.tool_name
    left join tool_costs c on c.tool_name = b.tool_name and c.day = (now() at time zone 'UTC')::date
    left join lateral (
      select count(*)::int as n, min(started_at) as oldest from tool_starts
      where tool_name = b.tool_name and started_at > now() - make_interval(secs => b.rate_per_seconds)
    ) s on b.rate_max is not null
    order by b.breaker_id`);
}

function readRepositories(tx: Reader): Promise<RepositoryState[]> {
  return tx.query<RepositoryState>(sql`
    with flight as (
      select target_id, count(*)::int as n from tasks where ${IN_FLIGHT} group by target_id
    )
    select r.repository, r.concurrency, coalesce(sum(f.n), 0)::int as in_flight, array_agg(g.target_id) as target_ids
    from repositories r
    join targets g on g.repository = r.repository
    left join flight f on f.target_id = g.target_id
    where r.concurrency is not null
    group by r.repository, r.concurrency`);
}

/**
 * Returns live runs with a key that wait behind as many older ones as may hold it. The index runs_holding_key serves
 * it.
 */
async function readWaitingForKey(tx: Reader): Promise<RunHold[]> {
  const live = sql`concurrency_key is not null and state = any (${liveStates('run')}::text[])`;
  const rows = await tx.query<{ run_id: string; key: string; max: number }>(sql`
    select run_id, concurrency_key as key, concurrency_max as max
    from runs where ${live} order by concurrency_key, key_since, run_id`);
  return [...Map.groupBy(rows, ({ key }) => key).values()].flatMap((ofKey) =>
    ofKey.flatMap(({ run_id, key, max }, place): RunHold[] => {
      if (place < max) return [];
      return [{ code: 'run_key', run_id, key, max, holders: ofKey.slice(0, max).map((holder) => holder.run_id) }];
    }),
  );
}

async function readSpent(tx: Reader): Promise<RunHold[]> {
  const rows = await tx.query<{ run_id: string; budget_usd: number; cost_usd: number }>(sql`
    select run_id, budget_usd, cost_usd from runs where state = 'RUNNING' and cost_usd >= budget_usd`);
  return rows.map((row) => ({ code: 'run_budget', ...row }));
}

function iso(instant: ReturnType<typeof sql>): ReturnType<typeof sql> {
  return sql`to_char((${instant}) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
}
