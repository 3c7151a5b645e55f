import type { QueuedTargetObject, QueueEntry } from '../contract/answers.ts';
import { plain, table } from './table.ts';

/** Formats a landing queue: the tip, what stops landing, and what each patch is tested on or waits for. */
export function landingQueue(target: QueuedTargetObject): string {
  const head = [`${plain(target.id)} at ${target.tip_commit?.slice(0, 12) ?? '(not seen yet)'}`];
  if (target.paused_at !== null) head.push(`paused: ${plain(target.pause_reason)}`);
  if (target.fault) head.push(`nothing can land: ${plain(target.fault.message)}`);
  if (target.policy_error !== null) head.push(`policy: ${plain(target.policy_error)}`);
  if (target.red_tip) {
    const { gate, outcome } = target.red_tip;
    head.push(`the tip itself fails gate ${plain(gate)} (${outcome}): a patch lands only if its own tree is green`);
  }
  if (target.lost_gate) {
    const { gate, times, patch_id } = target.lost_gate;
    head.push(`gate ${plain(gate)} was lost ${times} times with ${patch_id}: the patch is tested alone`);
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
      return `on ${on}: ${running || 'gates not started yet'}`;
    case 'proven':
      return `green on ${on}, ready to land`;
    case 'doubted':
      return `suspect, because a gate was not green: tested alone${running === '' ? '' : `: ${running}`}`;
    case 'behind_policy':
      return `waits until ${on} has landed, because it changes the policy`;
    case 'push_refused':
      return 'the remote refused its push: other patches are pushed first';
    case 'behind':
      return `conflicts with ${on}: waits until that has landed or is stopped`;
    case 'not_to_land':
      return `tested only (land: false): ${running || 'gates not started yet'}`;
    default:
      return 'a free slot';
  }
}
