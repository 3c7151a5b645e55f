import type { QueuedTargetObject, QueueEntry } from '../contract/answers.ts';
import { plain, table } from './table.ts';

/** A landing queue for people: the tip, what stops it, who is under test with what, and who waits for whom. */
export function landingQueue(target: QueuedTargetObject): string {
  const head = [`${plain(target.id)} at ${target.tip_commit?.slice(0, 12) ?? '(not seen yet)'}`];
  if (target.paused_at !== null) head.push(`paused: ${plain(target.pause_reason)}`);
  if (target.fault) head.push(`nothing can land: ${plain(target.fault.message)}`);
  if (target.policy_error !== null) head.push(`policy: ${plain(target.policy_error)}`);
  if (target.red_tip) {
    const { gate, outcome } = target.red_tip;
    head.push(`the tip itself fails ${plain(gate)} (${outcome}): only what is green on its own tree lands`);
  }
  if (target.lost_gate) {
    const { gate, times, patch_id } = target.lost_gate;
    head.push(`the gate ${plain(gate)} was lost ${times} times with ${patch_id}: it is tried alone`);
  }
  const queue = target.queue ?? [];
  const places = new Map(queue.map(({ patch_id }, index) => [patch_id, index + 1]));
  const rows = queue.map((entry, index) => [
    String(index + 1),
    entry.patch_id,
    String(entry.priority),
    entry.tree_id?.slice(0, 12) ?? '',
    whatOf(entry, places),
    plain(entry.subject),
  ]);
  return `${head.join('\n')}\n\n${table(['#', 'PATCH', 'PRIORITY', 'TREE', 'WHAT IT WAITS FOR', 'SUBJECT'], rows)}`;
}

function whatOf({ place, behind, gates }: QueueEntry, places: ReadonlyMap<string, number>): string {
  const before = behind.flatMap((id) => places.get(id) ?? []).map((n) => `#${n}`);
  const on = before.length === 0 ? 'the tip' : before.join(' ');
  const running = gates.map(({ gate, state, pinned }) => `${gate} ${state}${pinned ? ' (pinned)' : ''}`).join(', ');
  switch (place) {
    case 'testing':
      return `on ${on}: ${running || 'gates are being asked for'}`;
    case 'proven':
      return `green on ${on}, lands with it`;
    case 'doubted':
      return `a gate was not green: tried alone${running === '' ? '' : `: ${running}`}`;
    case 'behind_policy':
      return `the policy changes with ${on}: waits until that has landed`;
    case 'push_refused':
      return 'the remote refused it: others are pushed first';
    case 'behind':
      return `does not fit with ${on} yet`;
    case 'not_to_land':
      return `not to land: ${running || 'gates are being asked for'}`;
    default:
      return 'a free slot';
  }
}
