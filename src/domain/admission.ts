import type { BreakerState } from '../contract/states.ts';

/** What the configuration says of a tool's breaker and limits. Null: no limit. */
export interface ToolLimits {
  failure_threshold: number;
  cooldown_seconds: number;
  concurrency: number | null;
  rate_max: number | null;
  rate_per_seconds: number | null;
  usd_per_day: number | null;
}

/** A tool's row with what it has in flight, all by the database's clock. Limits are null where none is declared. */
export interface ToolStanding {
  breaker_id: string;
  tool: string;
  state: BreakerState;
  /** `probe`: the next task that is admitted is the one whose result decides. */
  admits: 'all' | 'probe' | 'none';
  reason: string | null;
  tripped_by: string | null;
  /** OPEN: when a probe may go. */
  probe_at: string | null;
  probe_task_id: string | null;
  concurrency: number | null;
  /** Dispatched or running. */
  in_flight: number;
  /** Dispatched and not begun. */
  unclaimed: number;
  rate_max: number | null;
  rate_per_seconds: number | null;
  /** Begun within the last `rate_per_seconds`. */
  recent_starts: number;
  /** When the oldest of those leaves the window. */
  rate_free_at: string | null;
  usd_per_day: number | null;
  usd_today: number;
  day_turns_at: string;
}

export interface RepositoryStanding {
  repository: string;
  concurrency: number;
  in_flight: number;
  target_ids: string[];
}

/** A run whose tasks wait though it is RUNNING. */
export type RunHold =
  | { code: 'run_key'; run_id: string; key: string; max: number; holders: string[] }
  | { code: 'run_budget'; run_id: string; budget_usd: number; cost_usd: number };

/** Everything that admission knows beside the tasks themselves. */
export interface Standing {
  tools: ToolStanding[];
  repositories: RepositoryStanding[];
  runs: RunHold[];
}

export interface Candidate {
  task_id: string;
  tool: string;
  target_id: string | null;
}

/** Why a tool takes no more now; undefined: it does. `again_at`: when that changes by itself, null if something must happen. */
export type ToolHold =
  | { code: 'tool_breaker'; again_at: string | null }
  | { code: 'tool_budget'; again_at: string }
  | { code: 'tool_rate'; again_at: string | null }
  | { code: 'tool_concurrency'; again_at: null };

export function toolHold(tool: ToolStanding): ToolHold | undefined {
  if (tool.admits === 'none') {
    return { code: 'tool_breaker', again_at: tool.tripped_by === null ? tool.probe_at : null };
  }
  if (tool.usd_per_day !== null && tool.usd_today >= tool.usd_per_day) {
    return { code: 'tool_budget', again_at: tool.day_turns_at };
  }
  if (rateRoom(tool) <= 0) return { code: 'tool_rate', again_at: tool.rate_free_at };
  if (concurrencyRoom(tool) <= 0) return { code: 'tool_concurrency', again_at: null };
  return undefined;
}

/** How many more of its tasks may be admitted now; Infinity where nothing limits it. */
export function toolRoom(tool: ToolStanding): number {
  if (toolHold(tool) !== undefined) return 0;
  const probe = tool.admits === 'probe' ? 1 : Number.POSITIVE_INFINITY;
  return Math.min(probe, rateRoom(tool), concurrencyRoom(tool));
}

/** What is dispatched and has not begun is counted as if it began now: so no window ever holds more than `max` starts. */
function rateRoom({ rate_max, recent_starts, unclaimed }: ToolStanding): number {
  return rate_max === null ? Number.POSITIVE_INFINITY : rate_max - recent_starts - unclaimed;
}

/** A probe goes however many of its tool still run from before. */
function concurrencyRoom({ concurrency, in_flight, admits }: ToolStanding): number {
  return concurrency === null || admits === 'probe' ? Number.POSITIVE_INFINITY : concurrency - in_flight;
}

/** What is left to give away; each choice takes its part. */
export class Rooms {
  readonly #tools: Map<string, number>;
  readonly #repositories: { targetIds: readonly string[]; left: number }[];

  constructor({ tools, repositories }: Pick<Standing, 'tools' | 'repositories'>) {
    this.#tools = new Map(tools.map((tool) => [tool.tool, toolRoom(tool)]));
    this.#repositories = repositories.map(({ target_ids, concurrency, in_flight }) => ({
      targetIds: target_ids,
      left: concurrency - in_flight,
    }));
  }

  get fullTools(): string[] {
    return [...this.#tools].filter(([, left]) => left <= 0).map(([tool]) => tool);
  }

  get fullTargets(): string[] {
    return this.#repositories.filter(({ left }) => left <= 0).flatMap(({ targetIds }) => targetIds);
  }

  /** Takes the candidates in their order, as many as there is room for; those of a full tool or repository are passed over. */
  choose<T extends Candidate>(candidates: readonly T[], limit: number): T[] {
    const chosen: T[] = [];
    for (const candidate of candidates) {
      if (chosen.length >= limit) break;
      const repository = this.#repositories.find(({ targetIds }) => targetIds.includes(candidate.target_id ?? ''));
      const toolLeft = this.#tools.get(candidate.tool) ?? Number.POSITIVE_INFINITY;
      if (toolLeft <= 0 || (repository !== undefined && repository.left <= 0)) continue;
      this.#tools.set(candidate.tool, toolLeft - 1);
      if (repository !== undefined) repository.left -= 1;
      chosen.push(candidate);
    }
    return chosen;
  }
}
