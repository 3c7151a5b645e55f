import { ERROR_CODES, type ErrorCode } from './errors.ts';
import type { GateOutcome } from './states.ts';

/**
 * Why an object is in its state: the values of `reason` in the API, the ledger and the audit trail, each with its meaning
 * for people. Programs match the name. `docs/reasons.md` is made from this table.
 */
export const REASONS = {
  // Orders of people, and runs as a whole.
  cancelled: 'It was cancelled, or its run was.',
  paused: 'An operator paused the run and gave no reason.',
  drain: 'An operator asked the worker to take no more and to stop.',
  approved: 'An operator approved exactly this content.',
  prioritized: 'An operator moved the patch in the queue.',
  budget_set: 'An operator set the budget.',
  budget_spent: 'The cost reached the budget, so no further attempt begins.',
  tasks_failed: 'At least one task of the workstream failed or was cancelled.',
  critical_workstream_failed: 'A critical workstream did not complete.',
  dependency: 'It waits for what it depends on.',
  dependency_failed: 'Something that it depends on will not complete.',

  // How an attempt of a task ended.
  unchanged: 'The tool changed nothing, and that counts as done.',
  landed: 'The patch of the task is on the branch.',
  already_on_branch: 'The branch holds the change already.',
  proven_not_to_land: 'The gates passed, and the run asked not to land.',
  tool_limited: 'The tool asked to be called later. No retry is used.',
  tool_changed_nothing: 'The tool changed nothing, and its configuration calls that a failure.',
  tool_unknown: 'The worker does not know the tool.',
  prepare_failed: 'A prepare step of the policy failed.',
  breaker_open: 'The circuit breaker of the tool opened before the tool began. No retry is used.',
  queue_timeout: 'The task waited in the queue for longer than it may.',
  same_failure_twice: 'Two attempts in a row failed in the same way, so another one would too.',
  too_many_interruptions: 'Attempts were interrupted too often.',
  kills_its_worker: 'Workers hung or crashed while they ran the task.',
  patch_quarantined: 'The change may not land as it is; its patch says why.',
  patch_expired: 'The patch of the task did not land in time.',
  patch_dropped: 'An operator gave the patch of the task up.',
  patch_taken_up_again: 'An operator let the earlier patch of the task go on in place of a new attempt.',
  task_ended: 'The task ended before it used this patch.',

  // Workers and what they leave behind.
  worker_lost: 'The worker was lost. No retry is used.',
  worker_stopped: 'The worker stopped. No retry is used.',
  orphaned: 'Its worker had ended already. No retry is used.',
  stopped: 'The worker stopped in order.',
  crashed: 'The process of the worker crashed.',
  process_ended: 'The process of the worker is gone.',
  silent: 'The worker sent no heartbeat for a while.',
  lease_expired: 'The worker sent no heartbeat for a whole lease.',
  dispatch_lost: 'Its queue message was lost, so it is dispatched again.',
  roll_up_stuck: 'Counters were wrong and were counted again.',
  dependency_overlooked: 'What it waited for had completed, so it goes on.',

  // Breakers.
  cooldown_over: 'The cooldown is over: one probe may run.',
  probe_succeeded: 'The probe succeeded.',
  probe_failed: 'The probe failed.',
  consecutive_faults: 'The tool failed as often in a row as its threshold says.',

  // Why a patch may not land as it is.
  malformed: 'A line of the diff cannot be accounted for.',
  does_not_apply: 'Names or hunks do not fit the base.',
  ambiguous_paths: 'The file names can be read in two ways.',
  base_unknown: 'The branch does not hold the base commit.',
  empty: 'The content changes nothing.',
  unsafe_path: 'A path leaves the repository, lies in `.git`, or is not portable.',
  link_leaves_tree: 'A symbolic link points out of the repository.',
  cannot_be_checked_out: 'No file system accepts a name, path or link of the change.',
  embedded_repository: 'The change holds a git repository of its own.',
  policy_invalid: 'The branch would have no policy that can be read.',
  submodule_entry: 'The change touches a submodule.',
  lfs_content: 'Content would replace an LFS pointer.',
  not_capturable: 'A pipe, device or unreadable file replaces a tracked file.',
  out_of_scope: 'The change leaves the scope of its task.',
  protected_path: 'The change touches a protected path.',
  too_many_files: 'The change touches more files than the policy allows.',
  too_large: 'The change is larger than the policy allows.',
  binary_content: 'The change holds binary files, which the policy refuses.',
  holds_secret: 'The change holds a value of the environment of its tool.',

  // Ends of patches in the queue.
  conflict: 'The change conflicts with the branch.',
  base_gone: 'The base commit is gone.',
  unbuildable: 'The change cannot be rebuilt as a commit.',
  no_gate: 'The policy of the branch has no gate, so nothing can be proven.',
  push_refused: 'The remote refused the push.',
  newer_attempt: 'A newer attempt of the task replaced it.',
  dropped: 'An operator gave the patch up.',
  too_old: 'The patch did not land within `expires_in_seconds`.',
  reverted: 'A rollback took the patch back.',
  removed_from_branch: 'The commit was removed from the branch before it was verified.',
} as const;

/** Reasons with an argument after a colon, such as `tool_exit:1`. */
export const REASONS_WITH_ARGUMENT = {
  tool_exit: 'The tool ended with this exit status.',
  tool_crashed: 'The tool was ended by this signal.',
  tool_timeout: 'The tool exceeded this limit of time: `run` or `idle`.',
  tool_limit: 'The tool exceeded this limit.',
  tool_not_started: 'The tool could not be started; the code is that of the operating system.',
  machine_fault: 'The host was out of a resource. No retry is used.',
  interrupted: 'The attempt was interrupted by this. No retry is used.',
  patch_blocked: 'The patch of the task was stopped for this reason.',
} as const;

/** `gate_red` and the like: a patch that was stopped by this outcome of a gate. */
export const GATE_REASONS = {
  red: 'A gate failed.',
  timeout: 'A gate did not end in time.',
  lost: 'The worker was lost while a gate ran on it.',
  unproven: 'The command of a gate could not be run, so it proves nothing.',
  withdrawn: 'The result of the gate was no longer needed.',
  tainted: 'A gate changed the files that it tested, so it proves nothing.',
} as const satisfies Record<GateOutcome, string>;

export type ReasonName = keyof typeof REASONS;
type ReasonWithArgument = `${keyof typeof REASONS_WITH_ARGUMENT}:${string}`;

/** The words of a person, as `order.ts` signs them. */
declare const OF_PERSON: unique symbol;
export type PersonsReason = string & { readonly [OF_PERSON]: true };

/** Every value that `reason` takes. An error that ends an object stands there by its code. */
export type Reason = ReasonName | ReasonWithArgument | GateOutcome | `gate_${GateOutcome}` | ErrorCode | PersonsReason;

/** Returns what a reason means, with its argument; the reason itself where it is the words of a person. */
export function meaningOf(reason: string): string {
  const [name = '', argument] = splitOnce(reason);
  if (argument === undefined)
    return lookUp(REASONS, name) ?? titleOf(name) ?? lookUp(GATE_REASONS, name.replace(/^gate_/, '')) ?? reason;
  const meaning = lookUp(REASONS_WITH_ARGUMENT, name);
  if (meaning === undefined) return reason;
  const means = name === 'patch_blocked' ? meaningOf(argument) : argument;
  return `${meaning.replace(/\.$/, '')}: ${means}`;
}

/** The reason with its meaning in brackets, for a sentence; `no reason given` where there is none. */
export function explained(reason: string | null | undefined): string {
  if (reason == null) return 'no reason given';
  const meaning = meaningOf(reason);
  if (meaning === reason) return reason;
  return `${reason} (${meaning.charAt(0).toLowerCase()}${meaning.slice(1).replace(/\.$/, '')})`;
}

function splitOnce(reason: string): [string, string?] {
  const colon = reason.indexOf(':');
  return colon < 0 ? [reason] : [reason.slice(0, colon), reason.slice(colon + 1)];
}

function titleOf(code: string): string | undefined {
  return code in ERROR_CODES ? `${ERROR_CODES[code as ErrorCode][1]}.` : undefined;
}

function lookUp(table: Readonly<Record<string, string>>, name: string): string | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}
