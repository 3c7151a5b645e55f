import type { PatchFormat } from '../../contract/patch-input.ts';
import type { Reason } from '../../contract/reasons.ts';
import { selectIds, sql, type Tx } from '../../database/database.ts';
import { UNLANDED_PATCH_STATES } from '../../domain/lifecycles/patch.ts';
import { newId } from '../../lib/id.ts';
import { storableText } from '../../lib/storable.ts';
import { KEEP_DETAIL, recordCreated, transition } from '../transition.ts';

const ACTOR = 'worker';

/** The change of an attempt, ready for the ledger. */
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
  /** Null: STAGED. Otherwise QUARANTINED for this reason. */
  refusal: { reason: Reason; evidence: Readonly<Record<string, unknown>> } | null;
  /** How the patch was read and what it leaves out; the evidence of a STAGED patch. */
  notes: Readonly<Record<string, unknown>> | null;
}

/**
 * PENDING→VALIDATING→STAGED or QUARANTINED for the change of an attempt. Every other unlanded patch of its task is
 * SUPERSEDED. Returns the patch's id.
 */
export async function recordPatch(
  tx: Tx,
  { taskId, attempt, patch }: { taskId: string; attempt: number; patch: NewPatch },
): Promise<string> {
  const recorded = await takeRecorded(tx, taskId);
  const patchId = recorded ?? newId('patch');
  await supersedeUnlanded(tx, { taskIds: [taskId], except: patchId });
  const write = recorded === undefined ? insertPatch : completeRecorded;
  await write(tx, { patchId, taskId, attempt, patch: storablePatch(patch) });
  await applyCheckResult(tx, patchId, patch);
  return patchId;
}

/** Returns the patch that was recorded when a run with a ready-made patch was submitted. */
async function takeRecorded(tx: Tx, taskId: string): Promise<string | undefined> {
  const [row] = await tx.query<{ patch_id: string }>(sql`
    select patch_id from patches where task_id = ${taskId} and state = 'PENDING' for update`);
  return row?.patch_id;
}

/** Names come from callers and tools. Text that PostgreSQL refuses must not prevent an ending from being written. */
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
  taskId: string;
  attempt: number;
  patch: NewPatch;
}

async function completeRecorded(tx: Tx, { patchId, attempt, patch }: WrittenPatch): Promise<void> {
  await tx.query(sql`
    update patches p
    set file_path = ${patch.file_path}, paths = ${patch.paths}::text[], attempt = ${attempt}, content = ${patch.content},
        diff = ${patch.diff}, size_bytes = ${patch.size_bytes}, "binary" = ${patch.binary}, base_commit = ${patch.base_commit}, commit_id = ${patch.commit_id}, tree_id = ${patch.tree_id},
        message = ${patch.message}, author_name = ${patch.author_name}, author_email = ${patch.author_email},
        authored_at = ${patch.authored_at}::timestamptz, expires_at = r.expires_at, updated_at = now()
    from runs r where p.patch_id = ${patchId} and r.run_id = p.run_id`);
}

async function insertPatch(tx: Tx, { patchId, taskId, attempt, patch }: WrittenPatch): Promise<void> {
  const [row] = await tx.query<{ run_id: string }>(sql`
    insert into patches (patch_id, task_id, run_id, target_id, state, file_path, paths, patch_format, scope, priority,
                         attempt, content, diff, size_bytes, "binary", land, base_commit, commit_id, tree_id, message,
                         author_name, author_email, authored_at, expires_at, reverts_patch_id)
    select ${patchId}, t.task_id, t.run_id, t.target_id, 'PENDING', ${patch.file_path}, ${patch.paths}::text[],
           ${patch.patch_format}, t.scope, t.priority, ${attempt}, ${patch.content}, ${patch.diff}, ${patch.size_bytes}, ${patch.binary}, r.land,
           ${patch.base_commit}, ${patch.commit_id}, ${patch.tree_id}, ${patch.message}, ${patch.author_name}, ${patch.author_email},
           ${patch.authored_at}::timestamptz, r.expires_at,
           (select p.reverts_patch_id from patches p
            where p.task_id = t.task_id and p.reverts_patch_id is not null limit 1)
    from tasks t join runs r on r.run_id = t.run_id
    where t.task_id = ${taskId}
    returning run_id`);
  const runId = row?.run_id ?? null;
  await recordCreated(tx, { kind: 'patch', state: 'PENDING', ids: [patchId], runId, actor: ACTOR });
}

/** PENDING→VALIDATING→STAGED or QUARANTINED in one step, because the check ran before the transaction. */
async function applyCheckResult(
  tx: Tx,
  patch_id: string,
  { refusal, notes }: Pick<NewPatch, 'refusal' | 'notes'>,
): Promise<void> {
  const actor = 'check-patch';
  const move = { kind: 'patch', from: ['PENDING'], via: ['VALIDATING'], ids: [patch_id], actor } as const;
  const set = sql`, evidence = w.detail`;
  await (refusal === null
    ? transition(tx, { ...move, to: 'STAGED', detail: notes ?? undefined, set: sql`${set}, staged_at = now()` })
    : transition(tx, { ...move, to: 'QUARANTINED', reason: refusal.reason, detail: refusal.evidence, set }));
}

/** Supersedes every patch of these tasks that has not landed, except one. */
export async function supersedeUnlanded(
  tx: Tx,
  { taskIds, except = '' }: { taskIds: readonly string[]; except?: string },
): Promise<void> {
  const ids = await selectIds(
    tx,
    sql`select patch_id as id from patches
    where task_id = any (${[...taskIds]}::text[]) and state = any (${[...UNLANDED_PATCH_STATES]}::text[])
      and intent_id is null and patch_id <> ${except}`,
  );
  await transition(tx, {
    kind: 'patch',
    from: UNLANDED_PATCH_STATES,
    to: 'SUPERSEDED',
    ids,
    reason: 'newer_attempt',
    detail: except === '' ? undefined : { superseded_by: except },
    actor: ACTOR,
    where: sql`and t.intent_id is null`,
    set: KEEP_DETAIL,
  });
}
