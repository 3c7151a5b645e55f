import { SluiceError } from '../../contract/errors.ts';
import type { Policy } from '../../contract/policy.ts';
import { type Reader, sql, type Tx } from '../../database/database.ts';
import type { LandingView } from '../../domain/landing/view.ts';
import type { TargetFault, TargetRow } from '../../entities/target.ts';
import { storableJson } from '../../lib/storable.ts';

export interface ObservedTip {
  targetId: string;
  commit: string;
  tree: string;
  policy: Policy | null;
  policyError: string | null;
}

export interface RepositorySettings {
  repository: string;
  /** Highest number of tasks at once; null for no limit. */
  concurrency: number | null;
}

/** Stores the concurrency of the configured repositories, and removes it from those no longer configured. */
export async function declareRepositories(tx: Tx, settings: readonly RepositorySettings[]): Promise<void> {
  await tx.query(sql`
    insert into repositories (repository, concurrency)
    select repository, concurrency from jsonb_to_recordset(${storableJson(settings)}::jsonb)
      as r(repository text, concurrency int) order by repository
    on conflict (repository) do update set concurrency = excluded.concurrency, updated_at = now()`);
  await tx.query(sql`
    update repositories set concurrency = null, updated_at = now()
    where concurrency is not null and repository <> all (${settings.map(({ repository }) => repository)}::text[])`);
}

/** Inserts a target if it is not known, so that it can be paused before anything is submitted to it. */
export async function makeTargetKnown(
  tx: Tx,
  target: Pick<TargetRow, 'target_id' | 'repository' | 'branch' | 'url'>,
): Promise<void> {
  await tx.query(sql`
    insert into targets (target_id, repository, branch, url)
    values (${target.target_id}, ${target.repository}, ${target.branch}, ${target.url})
    on conflict (target_id) do nothing`);
}

/** Deletes a target that no run is for. Throws `entity.not_found`, `target.in_use`. */
export async function forgetTarget(tx: Tx, targetId: string): Promise<void> {
  // A submission holds this lock too, so its run is seen below or its target is made anew.
  const [known] = await tx.query(sql`select 1 from targets where target_id = ${targetId} for update`);
  if (known === undefined) throw new SluiceError('entity.not_found', `there is no target ${targetId}`);
  const [run] = await tx.query<{ run_id: string }>(sql`select run_id from runs where target_id = ${targetId} limit 1`);
  if (run !== undefined) {
    throw new SluiceError('target.in_use', `run ${run.run_id} is for the target ${targetId}`, { facts: run });
  }
  await tx.query(sql`delete from targets where target_id = ${targetId}`);
}

/** Stores the tip of the remote branch and its policy if they changed, and clears the target's fault. */
export async function observeTip(tx: Tx, tip: ObservedTip): Promise<void> {
  await tx.query(sql`
    update targets
    set tip_commit = ${tip.commit}, tip_tree = ${tip.tree}, policy_error = ${tip.policyError}, observed_at = now(),
        policy = ${tip.policy === null ? null : storableJson(tip.policy)}::jsonb, fault = null, updated_at = now()
    where target_id = ${tip.targetId}
      and (fault is not null or tip_commit is distinct from ${tip.commit} or policy_error is distinct from ${tip.policyError} or policy is null)`);
}

/** Stores why the coordinator cannot work on a target. */
export async function noteTargetFault(tx: Tx, targetId: string, fault: TargetFault): Promise<void> {
  await tx.query(sql`
    update targets set fault = ${storableJson(fault)}::jsonb, updated_at = now() where target_id = ${targetId}`);
}

export async function clearTargetFault(tx: Tx, targetId: string): Promise<void> {
  await tx.query(sql`
    update targets set fault = null, updated_at = now() where target_id = ${targetId} and fault is not null`);
}

/** Stores the coordinator's view of its landing queue, for display to operators. */
export async function showLanding(tx: Tx, targetId: string, view: LandingView): Promise<void> {
  await tx.query(sql`
    update targets set landing = ${storableJson(view)}::jsonb, updated_at = now() where target_id = ${targetId}`);
}

/** Stops landing on a target until an operator resumes it. A target that is paused already keeps its first reason. */
export async function pauseTarget(
  tx: Tx,
  { targetId, actor, reason }: { targetId: string; actor: string; reason: string },
): Promise<void> {
  await tx.query(sql`
    update targets set paused_at = now(), paused_by = ${actor}, pause_reason = ${reason}, updated_at = now()
    where target_id = ${targetId} and paused_at is null`);
  tx.wake('landing');
}

/** Ends the pause of a target. Call `resumeTarget` instead, which also rolls back patches removed from the branch. */
export async function unpauseTarget(tx: Tx, targetId: string): Promise<void> {
  await tx.query(sql`
    update targets
    set paused_at = null, paused_by = null, pause_reason = null, resumed_at = now(), updated_at = now()
    where target_id = ${targetId}`);
  tx.wake('landing');
}

/** Returns the targets with work for a coordinator: patches to land or verify, open intents, or live gate runs. */
export async function activeTargets(reader: Reader): Promise<string[]> {
  const rows = await reader.query<{ target_id: string }>(sql`
    select target_id from patches where state in ('STAGED', 'APPLIED')
    union select target_id from landing_intents where settled_at is null
    union select target_id from test_gates where state in ('PENDING', 'RUNNING', 'BLOCKED')
    order by target_id`);
  return rows.map(({ target_id }) => target_id);
}
