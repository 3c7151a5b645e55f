import { lostGateOf } from '../../domain/landing/view.ts';
import { count, type Explanation, stands, wait } from '../../domain/wait.ts';
import type { TargetRow } from '../../entities/target.ts';
import type { Explained, ExplainScene } from './explain-context.ts';

export async function explainTarget({ daos }: ExplainScene, target: TargetRow): Promise<Explained> {
  const staged = await daos.patches.count({ target_id: target.target_id, state: 'STAGED' });
  const facts = { tip_commit: target.tip_commit, staged, slots: target.landing?.slots ?? null };
  const state = target.paused_at ? 'paused' : 'open';
  const known = { id: target.target_id, kind: 'target', state } as const;
  const held = whyTargetHolds(target);
  if (held !== undefined) return { ...known, ...held, facts: { ...facts, ...held.facts } };
  if (staged === 0)
    return { ...known, ...stands('target_idle', 'nothing waits to land there', facts, 'when a patch is staged') };
  const testing = target.landing?.line.filter(({ place }) => place === 'testing').length ?? 0;
  const lost = lostGateOf(target.landing);
  const also = lost === null ? '' : `; the gate ${lost.gate} was lost ${lost.times} times with ${lost.patch_id}`;
  const sentence = `${staged} ${staged === 1 ? 'patch waits' : 'patches wait'} to land, ${count(testing, 'candidate')} under test${also}`;
  return { ...known, ...stands('target_landing', sentence, { ...facts, lost_gate: lost }, 'about once a second') };
}

/** Explains what holds all patches of a target; undefined if nothing does. */
export function whyTargetHolds(target: TargetRow): Explanation | undefined {
  const { target_id, pause_reason, paused_by, paused_at, policy_error, fault, landing } = target;
  if (paused_at) {
    const facts = { target_id, paused_by, paused_at: paused_at.toISOString(), pause_reason };
    return wait('target_paused', `landing on ${target_id} is paused by ${paused_by} (${pause_reason})`, {
      facts,
      when: 'when an operator resumes the target',
    });
  }
  if (fault) {
    return wait('target_fault', `nothing can land on ${target_id}: ${fault.message}`, {
      facts: { target_id, fault },
      when: 'in each round of the coordinator, about once a second',
    });
  }
  if (policy_error) {
    return wait('policy_invalid', `the policy of ${target_id} cannot be used: ${policy_error}`, {
      facts: { target_id, policy_error },
      when: 'when the branch moves',
    });
  }
  if (landing?.red_tip) {
    const { gate, gate_id, outcome } = landing.red_tip;
    const sentence = `the tip of ${target_id} itself fails the gate ${gate} (${outcome}); only patches whose candidate passes it land`;
    return wait('red_tip', sentence, {
      facts: { target_id, gate, gate_id, outcome },
      when: 'when the branch moves, or the gate is green on it again',
    });
  }
  return undefined;
}
