/** How many reds of a gate on one tree may be laid to the gate, when a green stands beside them. */
export interface FlakeTolerance {
  reds: number;
  /** Reds of runs that began in this time do not count: the tip was bad too, and nothing was green. Two zeros: all count. */
  excusedFromMs: number;
  excusedBeforeMs: number;
}

/** When anything was last green under a digest, and when a tip was last bad under it; 0 for never. */
export interface GateHealth {
  greenAtMs: number;
  badTipAtMs: number;
  /** Bad runs of tips since anything was green before that last one. */
  badTips: number;
  /** When that was. */
  greenBeforeMs: number;
}

/** What is known of a gate: its runs on trees that turned out good, and how many of them went bad. */
export interface FlakeHistory {
  good: number;
  flaky: number;
}

/** Every red counts, and takes one more green. */
export const NO_TOLERANCE: FlakeTolerance = { reds: 0, excusedFromMs: 0, excusedBeforeMs: 0 };

/** One bad run of the tip may be a flake itself. */
const BAD_TIPS = 2;

/** The time in which the tip was bad and nothing else was green, once it is over. */
export function badTime({
  greenAtMs,
  badTipAtMs,
  badTips,
  greenBeforeMs,
}: GateHealth): Pick<FlakeTolerance, 'excusedFromMs' | 'excusedBeforeMs'> {
  const isOver = badTipAtMs < greenAtMs;
  if (!isOver || badTips < BAD_TIPS) return { excusedFromMs: 0, excusedBeforeMs: 0 };
  return { excusedFromMs: greenBeforeMs, excusedBeforeMs: badTipAtMs };
}

export function isExcused(startedAtMs: number, { excusedFromMs, excusedBeforeMs }: FlakeTolerance): boolean {
  return startedAtMs >= excusedFromMs && startedAtMs < excusedBeforeMs;
}

/** Reds in a row that flakes alone bring about less often than this are no flakes. */
const UNLIKELY = 1e-3;
/** Good runs assumed beside those that were seen: one flake among a few runs tells little. */
const UNSEEN_GOOD = 50;

/** The most reds that a gate with this history is likely to have shown on a good tree; none for one that was never seen to flake. */
export function redsLaidToFlakes({ good, flaky }: FlakeHistory): number {
  if (flaky === 0) return 0;
  const rate = flaky / (good + UNSEEN_GOOD);
  return Math.floor(Math.log(UNLIKELY) / Math.log(rate));
}

/** True when the greens of a gate on a tree decide, whatever reds there were. */
export function greensDecide(
  { greens, reds }: { greens: number; reds: number },
  { reds: tolerated }: FlakeTolerance,
): boolean {
  return greens > reds || (greens > 0 && reds <= tolerated);
}
