import type { Reason } from '../../contract/reasons.ts';
import { sql, type Tx } from '../../database/database.ts';
import { failureFingerprint } from '../../domain/failure-fingerprint.ts';
import { isMendable } from '../../domain/mendable.ts';
import { awaitsApproval } from '../../domain/path-rules.ts';
import {
  afterFailure,
  type FailureClass,
  type NextStep,
  RETRY_BACKOFF,
  SAME_FAILURE_TWICE,
} from '../../domain/retry.ts';
import { fullJitterMs } from '../../lib/backoff.ts';
import { countRefusedEndings } from '../refused-writes.ts';
import { cancelDependants, unlockDependants } from '../runs/dependants.ts';
import { ints, texts, transition, type WantedColumn } from '../transition.ts';
import { type BreakerFact, recordFacts } from './breakers.ts';
import { recordCosts } from './costs.ts';
import { type NewPatch, recordPatch, supersedeUnlanded } from './record-patch.ts';

export type AttemptEnding =
  /** `notes`: facts for a person, such as new files that `.gitignore` left out. */
  | { kind: 'unchanged'; notes?: Readonly<Record<string, unknown>> | null }
  | { kind: 'patch'; patch: NewPatch; mayRetry: boolean }
  | {
      kind: 'failed';
      failure: FailureClass;
      reason: Reason;
      evidence: Readonly<Record<string, unknown>>;
      /** `limited`: when the tool may be called again. */
      retryAfterMs?: number | undefined;
    };

export interface AttemptEnd {
  taskId: string;
  workerId: string;
  attempt: number;
  tool: string;
  exitCode: number | null;
  baseCommit: string | null;
  /** Cost of the attempt as the tool reported it; null when it reported none. */
  costUsd: number | null;
  fact: BreakerFact['fact'] | null;
  ending: AttemptEnding;
}

const ACTOR = 'worker';
const FENCE = sql`and t.attempt = w.attempt`;
const FACTS_OF_ATTEMPT = sql`, exit_code = w.exit_code, base_commit = coalesce(w.base_commit, t.base_commit)`;

/** Returns the columns of `w` that attempts bring to the rows of their tasks. */
function factsOf(ends: readonly AttemptEnd[]): Record<'attempt' | 'exit_code' | 'base_commit', WantedColumn> {
  return {
    attempt: ints(ends.map(({ attempt }) => attempt)),
    exit_code: ints(ends.map(({ exitCode }) => exitCode)),
    base_commit: texts(ends.map(({ baseCommit }) => baseCommit)),
  };
}

/**
 * Ends attempts in one transaction. Returns for each whether it was accepted: of an ending that the fence refuses only
 * the cost is written.
 */
export async function endAttempts(tx: Tx, ends: readonly AttemptEnd[]): Promise<boolean[]> {
  const unchanged = ends.filter(({ ending }) => ending.kind === 'unchanged');
  const accepted = await endUnchanged(tx, unchanged);
  for (const end of ends) {
    if (end.ending.kind === 'patch' && (await endWithPatch(tx, end, end.ending))) accepted.add(end.taskId);
    if (end.ending.kind === 'failed' && (await endFailed(tx, end, end.ending))) accepted.add(end.taskId);
  }
  const taken = ends.filter(({ taskId }) => accepted.has(taskId));
  await recordFacts(
    tx,
    taken.map((end) => ({ ...end, fact: end.fact ?? 'neutral' })),
  );
  // Costs of refused endings count as well, because the money is spent.
  await recordCosts(tx, ends);
  const refused = ends.filter(({ taskId }) => !accepted.has(taskId));
  await countRefusedEndings(
    tx,
    refused.map((end) => ({ ...end, id: end.taskId })),
  );
  return ends.map(({ taskId }) => accepted.has(taskId));
}

async function endUnchanged(tx: Tx, ends: readonly AttemptEnd[]): Promise<Set<string>> {
  if (ends.length === 0) return new Set();
  const moved = await transition(tx, {
    kind: 'task',
    from: ['RUNNING'],
    via: ['VALIDATING'],
    to: 'COMPLETED',
    rows: ends.map((end) => ({
      id: end.taskId,
      reason: 'unchanged',
      detail: end.ending.kind === 'unchanged' ? (end.ending.notes ?? undefined) : undefined,
    })),
    data: factsOf(ends),
    actor: ACTOR,
    where: FENCE,
    set: sql`${FACTS_OF_ATTEMPT}, evidence = coalesce(w.detail, t.evidence)`,
  });
  const ids = moved.map(({ id }) => id);
  await supersedeUnlanded(tx, { taskIds: ids });
  await unlockDependants(tx, ids);
  return new Set(ids);
}

/** VALIDATING→COMPLETED, and in the same transaction frees the tasks that waited for these. */
export async function completeTasks(tx: Tx, ids: readonly string[], reason?: Reason): Promise<void> {
  const completed = await transition(tx, {
    kind: 'task',
    from: ['VALIDATING'],
    to: 'COMPLETED',
    ids,
    reason,
    actor: ACTOR,
  });
  if (completed.length > 0)
    await unlockDependants(
      tx,
      completed.map(({ id }) => id),
    );
}

async function endWithPatch(
  tx: Tx,
  end: AttemptEnd,
  { patch, mayRetry }: Extract<AttemptEnding, { kind: 'patch' }>,
): Promise<boolean> {
  const moved = await transition(tx, {
    kind: 'task',
    from: ['RUNNING'],
    to: 'VALIDATING',
    ids: [end.taskId],
    detail: patch.notes ?? undefined,
    data: factsOf([end]),
    actor: ACTOR,
    where: FENCE,
    set: sql`${FACTS_OF_ATTEMPT}, evidence = coalesce(w.detail, t.evidence)`,
  });
  if (moved.length === 0) return false;
  const patchId = await recordPatch(tx, { taskId: end.taskId, attempt: end.attempt, patch });
  const { refusal, commit_id } = patch;
  // A patch that an operator may approve keeps its task waiting: another attempt would only cost more.
  if (refusal !== null && !awaitsApproval({ state: 'QUARANTINED', reason: refusal.reason, commit_id })) {
    const evidence = { patch_id: patchId, reason: refusal.reason, ...refusal.evidence };
    const retries = mayRetry && isMendable(refusal.reason);
    await sendBack(tx, { taskId: end.taskId, reason: 'patch_quarantined', evidence, mayRetry: retries });
  }
  return true;
}

async function endFailed(
  tx: Tx,
  end: AttemptEnd,
  { failure, reason, evidence, retryAfterMs }: Extract<AttemptEnding, { kind: 'failed' }>,
): Promise<boolean> {
  const [task] = await tx.query<FailingTask>(sql`
    select retry_count, max_retries, interruptions, failure_fingerprint from tasks
    where task_id = ${end.taskId} and attempt = ${end.attempt} and state = 'RUNNING' for update`);
  if (task === undefined) return false;
  // Fingerprints only failures that the tool reported. The breaker handles faults of the tool; an unreachable remote repeats one message through no fault of the task.
  const telling = end.exitCode !== null && end.fact !== 'fault' && failure !== 'interrupted';
  const fingerprint = telling ? failureFingerprint({ reason, evidence }) : null;
  const next = afterFailure(
    failure,
    {
      retryCount: task.retry_count,
      maxRetries: task.max_retries,
      interruptions: task.interruptions,
      sameAsBefore: fingerprint !== null && fingerprint === task.failure_fingerprint,
      retryAfterMs,
    },
    (failures) => fullJitterMs(RETRY_BACKOFF, failures),
  );
  const known = failure === 'interrupted' ? task.failure_fingerprint : fingerprint;
  await moveOn(tx, { end, next, reason, evidence, fingerprint: known });
  return true;
}

interface FailingTask {
  retry_count: number;
  max_retries: number;
  interruptions: number;
  failure_fingerprint: string | null;
}

async function moveOn(
  tx: Tx,
  step: {
    end: AttemptEnd;
    next: NextStep;
    reason: Reason;
    evidence: Readonly<Record<string, unknown>>;
    fingerprint: string | null;
  },
): Promise<void> {
  const { end, next, reason, evidence, fingerprint } = step;
  const move = {
    kind: 'task',
    ids: [end.taskId],
    reason,
    detail: evidence,
    data: factsOf([end]),
    actor: ACTOR,
    where: FENCE,
  } as const;
  const facts = sql`${FACTS_OF_ATTEMPT}, evidence = w.detail, failure_fingerprint = ${fingerprint}`;
  switch (next.to) {
    case 'QUEUED':
      await transition(tx, {
        ...move,
        from: ['RUNNING'],
        to: 'QUEUED',
        set: sql`, interruptions = t.interruptions + 1`,
      });
      return;
    case 'RETRYING':
      await transition(tx, {
        ...move,
        from: ['RUNNING'],
        to: 'RETRYING',
        set: sql`${facts}, retry_count = t.retry_count + ${next.usesRetry ? 1 : 0},
          available_at = now() + make_interval(secs => ${next.delayMs / 1000}::float8)`,
      });
      return;
    case 'FAILED': {
      const why = next.reason ?? reason;
      const detail = why === reason ? evidence : { ...evidence, last_reason: reason };
      await transition(tx, { ...move, reason: why, detail, from: ['RUNNING'], to: 'FAILED', set: facts });
      await cancelDependants(tx, [end.taskId]);
      return;
    }
    default:
      next satisfies never;
  }
}

/**
 * VALIDATING→RETRYING with the evidence while retries are left, else FAILED, for a patch that was quarantined,
 * conflicts or is red. A ready-made patch is not retried, because the same bytes would fail again; nor is a tool whose
 * change was stopped twice in a row for the same reason.
 */
export async function sendBack(
  tx: Tx,
  back: { taskId: string; reason: Reason; evidence: Readonly<Record<string, unknown>>; mayRetry: boolean },
): Promise<void> {
  const { taskId, reason, evidence, mayRetry } = back;
  // A conflict depends on what others landed meanwhile, not on the tool alone, so it has no fingerprint.
  const fingerprint = reason === 'patch_blocked:conflict' ? null : failureFingerprint({ reason, evidence });
  const move = {
    kind: 'task',
    from: ['VALIDATING'],
    ids: [taskId],
    reason,
    detail: evidence,
    actor: 'ledger',
  } as const;
  const set = sql`, evidence = w.detail, failure_fingerprint = ${fingerprint}`;
  const retried = mayRetry
    ? await transition(tx, {
        ...move,
        to: 'RETRYING',
        where: sql`and t.retry_count < t.max_retries
          and (${fingerprint}::text is null or t.failure_fingerprint is distinct from ${fingerprint})`,
        set: sql`${set}, retry_count = t.retry_count + 1, available_at = now()`,
      })
    : [];
  if (retried.length > 0) return;
  const [task] = await tx.query<FailingTask>(sql`
    select retry_count, max_retries, interruptions, failure_fingerprint from tasks where task_id = ${taskId}`);
  const hadRetries = mayRetry && task !== undefined && task.retry_count < task.max_retries;
  const repeated = hadRetries && fingerprint !== null && task.failure_fingerprint === fingerprint;
  const last = repeated ? { reason: SAME_FAILURE_TWICE as Reason, detail: { ...evidence, last_reason: reason } } : {};
  const failed = await transition(tx, { ...move, ...last, to: 'FAILED', set });
  if (failed.length > 0) await cancelDependants(tx, [taskId]);
}
