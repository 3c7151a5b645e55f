import type { BreakerState } from '../contract/states.ts';

/** A tool's breaker and limits as configured. Null means no limit. */
export interface ToolLimits {
  failure_threshold: number;
  cooldown_seconds: number;
  concurrency: number | null;
  rate_max: number | null;
  rate_per_seconds: number | null;
  usd_per_day: number | null;
}

/** A tool's row and its work in flight, by the database's clock. Undeclared limits are null. */
export interface ToolState {
  breaker_id: string;
  tool: string;
  state: BreakerState;
  /** `probe`: one task is admitted, and its result closes or reopens the breaker. */
  admits: 'all' | 'probe' | 'none';
  reason: string | null;
  tripped_by: string | null;
  /** While OPEN: when a probe may be admitted. */
  probe_at: string | null;
  probe_task_id: string | null;
  concurrency: number | null;
  /** Tasks dispatched or running. */
  in_flight: number;
  /** Tasks dispatched that no worker has claimed yet. */
  unclaimed: number;
  rate_max: number | null;
  rate_per_seconds: number | null;
  /** Tasks started within the last `rate_per_seconds`. */
  recent_starts: number;
  /** When the oldest of these starts leaves the window. */
  rate_free_at: string | null;
  usd_per_day: number | null;
  usd_today: number;
  day_turns_at: string;
}

export interface RepositoryState {
  repository: string;
  concurrency: number;
  in_flight: number;
  target_ids: string[];
}

/** Why a RUNNING run may start no more tasks: its concurrency key or its budget is used up. */
export type RunHold =
  | { code: 'run_key'; run_id: string; key: string; max: number; holders: string[] }
  | { code: 'run_budget'; run_id: string; budget_usd: number; cost_usd: number };

export interface AdmissionState {
  tools: ToolState[];
  repositories: RepositoryState[];
  runs: RunHold[];
}

export interface Candidate {
  task_id: string;
  tool: string;
  target_id: string | null;
}

/** Why a tool takes no more tasks now. `again_at`: when that changes by itself; null if something must happen first. */
export type ToolHold =
  | { code: 'tool_breaker'; again_at: string | null }
  | { code: 'tool_budget'; again_at: string }
  | { code: 'tool_rate'; again_at: string | null }
  | { code: 'tool_concurrency'; again_at: null };

export function toolHold(tool: ToolState): ToolHold | undefined {
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

/** Returns how many more tasks of the tool may be admitted now; Infinity without a limit. */
export function toolRoom(tool: ToolState): number {
  if (toolHold(tool) !== undefined) return 0;
  const probe = tool.admits === 'probe' ? 1 : Number.POSITIVE_INFINITY;
  return Math.min(probe, rateRoom(tool), concurrencyRoom(tool));
}

/** Counts an unclaimed dispatch as a start of this moment, so that no window ever holds more than `max` starts. */
function rateRoom({ rate_max, recent_starts, unclaimed }: ToolState): number {
  return rate_max === null ? Number.POSITIVE_INFINITY : rate_max - recent_starts - unclaimed;
}

/** A probe is admitted even if earlier tasks of its tool still fill the limit. */
function concurrencyRoom({ concurrency, in_flight, admits }: ToolState): number {
  return concurrency === null || admits === 'probe' ? Number.POSITIVE_INFINITY : concurrency - in_flight;
}

/** Remaining room of tools and repositories. Each choice takes its share. */
export class Rooms {
  readonly #tools: Map<string, number>;
  readonly #repositories: { targetIds: readonly string[]; left: number }[];

  constructor({ tools, repositories }: Pick<AdmissionState, 'tools' | 'repositories'>) {
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

  /** Takes candidates in their order while there is room, and skips those of a full tool or repository. */
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
