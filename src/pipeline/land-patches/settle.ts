import { settleApplied, settleCleared, settleLate } from '../../ledger/landing/intents.ts';
import { pauseTarget } from '../../ledger/landing/targets.ts';
import type { SettledScene } from './landing-round.ts';

/**
 * Finds out what became of an intent. If its commit is on the branch, its patches become APPLIED; otherwise the push
 * never happened and they are free again. False when there was no open intent.
 */
export async function settleOpenIntent(scene: SettledScene): Promise<boolean> {
  const { deps, lease, target, mirror, tip } = scene;
  const intent = await deps.daos.intents.findOpen(target.target_id);
  if (intent === undefined) return false;
  const landed = await mirror.contains(tip.commit, intent.new_commit);
  const settle = landed ? settleApplied : settleCleared;
  const unmoved = await deps.ledger.write((tx) => settle(tx, lease, intent.intent_id));
  await pauseFor(scene, unmoved);
  deps.log.info({ intentId: intent.intent_id, landed }, 'intent.settled');
  return true;
}

/** Most cleared intents that are looked for on the branch again. */
const REMEMBERED = 20;

/**
 * A push may outlive the coordinator that started it. When the tip has moved, cleared intents are looked for on the
 * branch once more. True when one had arrived.
 */
export async function settleArrivals(scene: SettledScene): Promise<boolean> {
  const { deps, lease, target, mirror, tip } = scene;
  if (target.tip_commit === tip.commit) return false;
  let arrived = false;
  for (const intent of await deps.daos.intents.findCleared(target.target_id, { limit: REMEMBERED })) {
    if (!(await mirror.contains(tip.commit, intent.new_commit))) continue;
    const unmoved = await deps.ledger.write((tx) => settleLate(tx, lease, intent.intent_id));
    if (unmoved === undefined) continue;
    deps.log.warn({ intentId: intent.intent_id, unmoved }, 'intent.arrived_late');
    await pauseFor(scene, unmoved);
    arrived = true;
  }
  return arrived;
}

async function pauseFor({ deps, target }: SettledScene, unmoved: readonly string[]): Promise<void> {
  if (unmoved.length === 0) return;
  const reason = `the branch holds patches that the ledger no longer counts as landing: ${unmoved.join(', ')}`;
  await deps.ledger.write((tx) => pauseTarget(tx, { targetId: target.target_id, actor: 'settle', reason }));
  deps.log.error({ targetId: target.target_id, reason }, 'target.paused');
}
