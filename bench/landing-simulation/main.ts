import { percentile } from '../measure.ts';
import { POLICIES } from './policies.ts';
import { type Outcome, type Policy, play, type Scenario } from './world.ts';

const SEEDS = Number(process.argv[2] ?? 40);
const PATCHES = 64;

/** Plays every policy on the same patches, flakes and arrivals. */
for (const arrivals of ['burst', 'poisson'] as const) {
  for (const slots of [1, 4, 16]) {
    for (const failing of [0.05, 0.1, 0.2]) {
      for (const flakes of [0, 0.02]) compare({ arrivals, slots, failing, flakes });
    }
  }
}

interface Cell {
  arrivals: 'burst' | 'poisson';
  slots: number;
  failing: number;
  flakes: number;
}

function compare({ arrivals, slots, failing, flakes }: Cell): void {
  // Poisson arrivals come at 80 % of the rate that the oracle can prove.
  const arrivalRate = arrivals === 'burst' ? Number.POSITIVE_INFINITY : 0.8 * slots;
  const scenarios = Array.from({ length: SEEDS }, (_, seed): Scenario => {
    return { seed, patches: PATCHES, failing, flakes, slots, arrivalRate };
  });
  const played = POLICIES.map((policy) => ({ policy, outcomes: scenarios.map((scenario) => play(policy, scenario)) }));
  console.log(`\n${arrivals}, W = ${slots}, ${failing * 100} % failing, ${flakes * 100} % flakes\n`);
  console.log(
    '| proves | policy | rounds | runs a patch | median | against oracle | 95th | innocents rejected | untested |',
  );
  console.log('|---|---|---:|---:|---:|---:|---:|---:|---:|');
  for (const { policy, outcomes } of played) {
    const reference = played.find((other) => other.policy.name === 'oracle' && other.policy.proves === policy.proves)!;
    console.log(`| ${row(policy, outcomes, reference.outcomes).join(' | ')} |`);
  }
}

function row(policy: Policy, outcomes: readonly Outcome[], oracle: readonly Outcome[]): string[] {
  const turnarounds = outcomes.flatMap((outcome) => outcome.turnarounds);
  const mean = (pick: (outcome: Outcome) => number): number =>
    outcomes.reduce((sum, outcome) => sum + pick(outcome), 0) / outcomes.length;
  const median = percentile(turnarounds, 0.5);
  const best = percentile(
    oracle.flatMap((outcome) => outcome.turnarounds),
    0.5,
  );
  return [
    policy.proves,
    policy.name,
    mean(({ rounds }) => rounds).toFixed(1),
    mean(({ runs }) => runs / PATCHES).toFixed(2),
    median.toFixed(2),
    (median / best).toFixed(2),
    percentile(turnarounds, 0.95).toFixed(2),
    String(outcomes.reduce((sum, { innocentsRejected }) => sum + innocentsRejected, 0)),
    String(outcomes.reduce((sum, { untestedLanded }) => sum + untestedLanded, 0)),
  ];
}
