import type { PatchFormat } from '../contract/patch-input.ts';
import { sql, type Tx } from '../database/database.ts';
import { UNLANDED_PATCH_STATES } from '../domain/lifecycles/patch.ts';
import { afterFailure, type FailureClass, RETRY_BACKOFF } from '../domain/retry.ts';
import { fullJitterMs } from '../lib/backoff.ts';
import { newId } from '../lib/id.ts';
import { storableText } from '../lib/storable.ts';
import { type BreakerFact, freeProbes, recordFact } from './breakers.ts';
import { cancelDependants, unlockDependants } from './dependants.ts';
import { recordCreated, toRows, transition } from './transition.ts';

/** The change that an attempt made, ready for the ledger. */
export interface NewPatch {
  patch_format: PatchFormat;
  content: Buffer | null;
  diff: Buffer | null;
  file_path: string | null;
  paths: string[];
  size_bytes: number | null;
  binary: boolean;
  base_commit: string;
  commit_id: string | null;
  tree_id: string | null;
  message: string;
  author_name: string;
  author_email: string;
  authored_at: string;
  /** Null: STAGED. Otherwise QUARANTINED, and why. */
  refusal: { reason: string; evidence: Readonly<Record<string, unknown>> } | null;
}

export type AttemptEnding =
  | { kind: 'unchanged' }
  | { kind: 'patch'; patch: NewPatch; mayRetry: boolean }
  | { kind: 'failed'; failure: FailureClass; reason: string; evidence: Readonly<Record<string, unknown>> };

export interface AttemptEnd {
  taskId: string;
  attempt: number;
  tool: string;
  exitCode: number | null;
  baseCommit: string | null;
  fact: BreakerFact['fact'] | null;
  ending: AttemptEnding;
}

const ACTOR = 'worker';
const FENCE = sql`and t.attempt = (w.data ->> 'attempt')::int`;
const FACTS_OF_ATTEMPT = sql`, exit_code = (w.data ->> 'exitCode')::int,
  base_commit = coalesce(w.data ->> 'baseCommit', t.base_commit)`;

/** Ends attempts in one transaction. Per end: false when the fence refused it, and then nothing of it was written. */
export async function endAttempts(tx: Tx, ends: readonly AttemptEnd[]): Promise<boolean[]> {
  const unchanged = ends.filter(({ ending }) => ending.kind === 'unchanged');
  const accepted = await endUnchanged(tx, unchanged);
  for (const end of ends) {
    if (end.ending.kind === 'patch' && (await endWithPatch(tx, end, end.ending))) accepted.add(end.taskId);
    if (end.ending.kind === 'failed' && (await endFailed(tx, end, end.ending))) accepted.add(end.taskId);
  }
  const taken = ends.filter(({ taskId }) => accepted.has(taskId));
  for (const end of taken) if (end.fact !== null) await recordFact(tx, { ...end, fact: end.fact });
  await freeProbes(
    tx,
    taken.filter(({ fact }) => fact === null),
  );
  return ends.map(({ taskId }) => accepted.has(taskId));
}

async function endUnchanged(tx: Tx, ends: readonly AttemptEnd[]): Promise<Set<string>> {
  if (ends.length === 0) return new Set();
  const moved = await transition(tx, {
    kind: 'task',
    from: ['RUNNING'],
    to: 'VALIDATING',
    rows: ends.map((end) => ({ id: end.taskId, data: { ...end, ending: undefined } })),
    actor: ACTOR,
    where: FENCE,
    set: FACTS_OF_ATTEMPT,
  });
  const ids = moved.map(({ id }) => id);
  await supersedeUnlanded(tx, { taskIds: ids });
  await completeTasks(tx, ids, 'unchanged');
  return new Set(ids);
}

/** VALIDATING→COMPLETED, and in the same transaction what waited for it goes on. */
export async function completeTasks(tx: Tx, ids: readonly string[], reason?: string): Promise<void> {
  const completed = await transition(tx, {
    kind: 'task',
    from: ['VALIDATING'],
    to: 'COMPLETED',
    rows: toRows(ids, reason),
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
    rows: [{ id: end.taskId, data: { ...end, ending: undefined } }],
    actor: ACTOR,
    where: FENCE,
    set: FACTS_OF_ATTEMPT,
  });
  if (moved.length === 0) return false;
  const recorded = await takeRecorded(tx, end.taskId);
  await supersedeUnlanded(tx, { taskIds: [end.taskId], except: recorded });
  const patchId = recorded ?? newId('patch');
  const write = recorded === undefined ? insertPatch : completeRecorded;
  await write(tx, { patchId, end, patch: storablePatch(patch) });
  await checkPatch(tx, patchId, patch.refusal);
  if (patch.refusal !== null) {
    const evidence = { patch_id: patchId, reason: patch.refusal.reason, ...patch.refusal.evidence };
    await sendBack(tx, { taskId: end.taskId, reason: 'patch_quarantined', evidence, mayRetry });
  }
  return true;
}

/** A ready-made patch was recorded when its run was submitted. */
async function takeRecorded(tx: Tx, taskId: string): Promise<string | undefined> {
  const [row] = await tx.query<{ patch_id: string }>(sql`
    select patch_id from patches where task_id = ${taskId} and state = 'PENDING' for update`);
  return row?.patch_id;
}

/** Names come from callers and tools: what PostgreSQL refuses in text must not keep an ending from being written. */
function storablePatch(patch: NewPatch): NewPatch {
  return {
    ...patch,
    file_path: patch.file_path === null ? null : storableText(patch.file_path),
    paths: patch.paths.map(storableText),
    message: storableText(patch.message),
    author_name: storableText(patch.author_name),
    author_email: storableText(patch.author_email),
  };
}

interface WrittenPatch {
  patchId: string;
  end: AttemptEnd;
  patch: NewPatch;
}

async function completeRecorded(tx: Tx, { patchId, end, patch }: WrittenPatch): Promise<void> {
  await tx.query(sql`
    update patches p
    set file_path = ${patch.file_path}, paths = ${patch.paths}::text[], attempt = ${end.attempt}, content = ${patch.content},
        diff = ${patch.diff}, size_bytes = ${patch.size_bytes}, "binary" = ${patch.binary}, base_commit = ${patch.base_commit}, commit_id = ${patch.commit_id}, tree_id = ${patch.tree_id},
        message = ${patch.message}, author_name = ${patch.author_name}, author_email = ${patch.author_email},
        authored_at = ${patch.authored_at}::timestamptz, expires_at = r.expires_at, updated_at = now()
    from runs r where p.patch_id = ${patchId} and r.run_id = p.run_id`);
}

async function insertPatch(tx: Tx, { patchId, end, patch }: WrittenPatch): Promise<void> {
  const [row] = await tx.query<{ run_id: string }>(sql`
    insert into patches (patch_id, task_id, run_id, target_id, state, file_path, paths, patch_format, scope, priority,
                         attempt, content, diff, size_bytes, "binary", land, base_commit, commit_id, tree_id, message,
                         author_name, author_email, authored_at, expires_at)
    select ${patchId}, t.task_id, t.run_id, t.target_id, 'PENDING', ${patch.file_path}, ${patch.paths}::text[],
           ${patch.patch_format}, t.scope, t.priority, ${end.attempt}, ${patch.content}, ${patch.diff}, ${patch.size_bytes}, ${patch.binary}, r.land,
           ${patch.base_commit}, ${patch.commit_id}, ${patch.tree_id}, ${patch.message}, ${patch.author_name}, ${patch.author_email},
           ${patch.authored_at}::timestamptz, r.expires_at
    from tasks t join runs r on r.run_id = t.run_id
    where t.task_id = ${end.taskId}
    returning run_id`);
  const runId = row?.run_id ?? null;
  await recordCreated(tx, { kind: 'patch', state: 'PENDING', ids: [patchId], runId, actor: ACTOR });
}

/** PENDING→VALIDATING→STAGED or QUARANTINED: what was found out before the transaction is written down in one. */
async function checkPatch(tx: Tx, patch_id: string, refusal: NewPatch['refusal']): Promise<void> {
  const actor = 'check-patch';
  await transition(tx, { kind: 'patch', from: ['PENDING'], to: 'VALIDATING', rows: toRows([patch_id]), actor });
  if (refusal === null) {
    const set = sql`, staged_at = now()`;
    await transition(tx, { kind: 'patch', from: ['VALIDATING'], to: 'STAGED', rows: toRows([patch_id]), actor, set });
  } else {
    await transition(tx, {
      kind: 'patch',
      from: ['VALIDATING'],
      to: 'QUARANTINED',
      rows: toRows([patch_id], refusal.reason, refusal.evidence),
      actor,
      set: sql`, evidence = w.detail`,
    });
  }
}

async function endFailed(
  tx: Tx,
  end: AttemptEnd,
  { failure, reason, evidence }: Extract<AttemptEnding, { kind: 'failed' }>,
): Promise<boolean> {
  const [task] = await tx.query<{ retry_count: number; max_retries: number; interruptions: number }>(sql`
    select retry_count, max_retries, interruptions from tasks
    where task_id = ${end.taskId} and attempt = ${end.attempt} and state = 'RUNNING' for update`);
  if (task === undefined) return false;
  const next = afterFailure(
    failure,
    { retryCount: task.retry_count, maxRetries: task.max_retries, interruptions: task.interruptions },
    (failures) => fullJitterMs(RETRY_BACKOFF, failures),
  );
  const rows = [{ id: end.taskId, reason, detail: evidence, data: { ...end, ending: undefined } }];
  const move = { kind: 'task', rows, actor: ACTOR, where: FENCE } as const;
  const facts = sql`${FACTS_OF_ATTEMPT}, evidence = w.detail`;
  switch (next.to) {
    case 'QUEUED':
      await transition(tx, {
        ...move,
        from: ['RUNNING'],
        to: 'QUEUED',
        set: sql`, interruptions = t.interruptions + 1, dispatched_at = null, queued_at = now()`,
      });
      break;
    case 'RETRYING':
      await transition(tx, {
        ...move,
        from: ['RUNNING'],
        to: 'RETRYING',
        set: sql`${facts}, retry_count = t.retry_count + ${next.usesRetry ? 1 : 0},
          available_at = now() + make_interval(secs => ${next.delayMs / 1000}::float8)`,
      });
      break;
    case 'FAILED':
      await transition(tx, {
        ...move,
        rows: [{ ...rows[0]!, reason: next.reason ?? reason }],
        from: ['RUNNING'],
        to: 'FAILED',
        set: facts,
      });
      await cancelDependants(tx, [end.taskId]);
      break;
    default:
      next satisfies never;
  }
  return true;
}

/**
 * VALIDATING→RETRYING with the evidence while retries are left, else FAILED: its patch was quarantined, conflicts or is
 * red. A ready-made patch may not retry: the same bytes would fail again.
 */
export async function sendBack(
  tx: Tx,
  back: { taskId: string; reason: string; evidence: Readonly<Record<string, unknown>>; mayRetry: boolean },
): Promise<void> {
  const rows = [{ id: back.taskId, reason: back.reason, detail: back.evidence }];
  const move = { kind: 'task', from: ['VALIDATING'], rows, actor: 'ledger' } as const;
  const retried = back.mayRetry
    ? await transition(tx, {
        ...move,
        to: 'RETRYING',
        where: sql`and t.retry_count < t.max_retries`,
        set: sql`, retry_count = t.retry_count + 1, evidence = w.detail, available_at = now()`,
      })
    : [];
  if (retried.length > 0) return;
  const failed = await transition(tx, { ...move, to: 'FAILED', set: sql`, evidence = w.detail` });
  if (failed.length > 0) await cancelDependants(tx, [back.taskId]);
}

/** A completing attempt replaces every patch of its task that has not landed. */
async function supersedeUnlanded(
  tx: Tx,
  { taskIds, except = '' }: { taskIds: readonly string[]; except?: string },
): Promise<void> {
  const old = await tx.query<{ patch_id: string }>(sql`
    select patch_id from patches
    where task_id = any (${[...taskIds]}::text[]) and state = any (${[...UNLANDED_PATCH_STATES]}::text[])
      and intent_id is null and patch_id <> ${except}`);
  await transition(tx, {
    kind: 'patch',
    from: UNLANDED_PATCH_STATES,
    to: 'SUPERSEDED',
    rows: toRows(
      old.map(({ patch_id }) => patch_id),
      'newer_attempt',
    ),
    actor: ACTOR,
    where: sql`and t.intent_id is null`,
  });
}
