import { settleApplied, settleCleared } from '../../ledger/landing.ts';
import { pauseTarget } from '../../ledger/targets.ts';
import type { SettledScene } from './coordinator.ts';

/**
 * Finds out what became of an intent: its commit is the tip or below it, then its patches are APPLIED; otherwise the push
 * never happened and they are free again. False when there was none.
 */
export async function settleOpenIntent(scene: SettledScene): Promise<boolean> {
  const { deps, lease, target, mirror, tip } = scene;
  const intent = await deps.daos.intents.findOpen(target.target_id);
  if (intent === undefined) return false;
  const landed = (await mirror.has(intent.new_commit)) && (await mirror.isAncestor(intent.new_commit, tip.commit));
  const settle = landed ? settleApplied : settleCleared;
  const unmoved = await deps.ledger.write((tx) => settle(tx, lease, intent.intent_id));
  if (unmoved.length > 0) {
    const reason = `the branch holds patches that the ledger had given up: ${unmoved.join(', ')}`;
    await deps.ledger.write((tx) => pauseTarget(tx, { targetId: target.target_id, actor: 'settle', reason }));
    deps.log.error({ targetId: target.target_id, reason }, 'target.paused');
  }
  deps.log.info({ intentId: intent.intent_id, landed }, 'intent.settled');
  return true;
}
