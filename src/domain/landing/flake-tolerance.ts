/** How many reds of a gate on one tree count as flakes when the same tree also has a green. */
export interface FlakeTolerance {
  reds: number;
  /**
   * Reds of runs that began in this interval do not count, because the tip was bad too and nothing was green. Both 0:
   * every red counts.
   */
  excusedFromMs: number;
  excusedBeforeMs: number;
}

/** When a digest was last green on any tree, and last bad on a tip; 0 for never. */
export interface GateHealth {
  greenAtMs: number;
  badTipAtMs: number;
  /** Bad runs of tips after `greenBeforeMs`, including the one at `badTipAtMs`. */
  badTips: number;
  /** When anything was last green before the bad run at `badTipAtMs`. */
  greenBeforeMs: number;
}

/** A gate's runs on trees that turned out good, and how many of these runs went bad. */
export interface FlakeHistory {
  good: number;
  flaky: number;
}

/** No red counts as a flake: a tree needs more greens than reds. */
export const NO_TOLERANCE: FlakeTolerance = { reds: 0, excusedFromMs: 0, excusedBeforeMs: 0 };

/** Bad runs needed to call a tip bad, because a single one may be a flake. */
const BAD_TIPS = 2;

/** Returns the interval in which the tip was bad and nothing was green, once a later green has ended it. */
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

/** Reds in a row that flakes produce with a lower probability than this are not flakes. */
const UNLIKELY = 1e-3;
/** Good runs assumed in addition to the observed ones, because one flake in a few runs says little about the rate. */
const UNSEEN_GOOD = 50;

/** Returns the most reds on a good tree that flakes explain, given a gate's history; 0 without a recorded flake. */
export function redsLaidToFlakes({ good, flaky }: FlakeHistory): number {
  if (flaky === 0) return 0;
  const rate = flaky / (good + UNSEEN_GOOD);
  return Math.floor(Math.log(UNLIKELY) / Math.log(rate));
}

/** True when a gate's greens prove a tree in spite of its reds: they outnumber the reds, or flakes explain the reds. */
export function greensDecide(
  { greens, reds }: { greens: number; reds: number },
  { reds: tolerated }: FlakeTolerance,
): boolean {
  return greens > reds || (greens > 0 && reds <= tolerated);
}
