import type { QueuedTargetObject } from '../contract/answers.ts';
import type { Daos } from '../dao/all.ts';
import { lostGateOf } from '../domain/landing/view.ts';
import type { TargetRow } from '../entities/target.ts';
import { present } from './present.ts';

const SHOWN = 200;

/**
 * Returns a target with its landing queue. The patches and their gates are current; places and trees are those of the
 * coordinator's last round.
 */
export async function targetWithQueue(daos: Daos, target: TargetRow): Promise<QueuedTargetObject> {
  const queue = await daos.patches.findQueue(target.target_id, SHOWN);
  const live = await daos.gates.findLive(target.target_id);
  const places = new Map((target.landing?.line ?? []).map((place) => [place.patch_id, place]));
  return {
    ...present.target(target),
    red_tip: target.landing?.red_tip ?? null,
    lost_gate: lostGateOf(target.landing),
    slots: target.landing?.slots ?? null,
    queue: queue.map(({ patch_id, task_id, run_id, priority, staged_at, message }) => {
      const { place = 'queued', tree_id = null, behind = [] } = places.get(patch_id) ?? {};
      const gates = live
        .filter((gate) => gate.tree_id === tree_id && tree_id !== null)
        .map((gate) => ({ gate_id: gate.gate_id, gate: gate.test_suite, state: gate.state, pinned: gate.pinned }));
      const subject = message.split('\n')[0]!;
      return {
        patch_id,
        task_id,
        run_id: run_id!,
        priority,
        staged_at: staged_at!.toISOString(),
        subject,
        place,
        tree_id,
        behind,
        gates,
      };
    }),
  };
}
