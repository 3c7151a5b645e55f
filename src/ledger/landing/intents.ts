import type { Prove } from '../../contract/policy.ts';
import { type GreenVerdict, HAS_EXECUTION, sealedPart } from '../../dao/gate-verdict-dao.ts';
import { sql, type Tx } from '../../database/database.ts';
import { type FlakeTolerance, greensDecide } from '../../domain/landing/flake-tolerance.ts';
import type { VerdictSeal } from '../../domain/verdict-seal.ts';
import type { IntendedPatch, IntendedProof } from '../../entities/landing-intent.ts';
import { newId } from '../../lib/id.ts';
import { storableJson } from '../../lib/storable.ts';
import { completeTasks } from '../attempts/attempts.ts';
import { assertLease, type HeldLease } from '../leases.ts';
import { texts, transition } from '../transition.ts';
import { NOT_LANDING, REMOVED } from './stop-patches.ts';

const ACTOR = 'coordinator';

export interface NewIntent {
  targetId: string;
  oldTip: string;
  newCommit: string;
  treeId: string;
  prove: Prove;
  /** In landing order. */
  patches: readonly IntendedPatch[];
  /** Every (tree, digest) that must have passed. An intent without proofs is refused. */
  proofs: readonly (IntendedProof & { tolerance: FlakeTolerance })[];
}

/**
 * Records the push that is about to happen, if every patch is still STAGED, every proof has a green verdict and the
 * target is not paused. Otherwise writes nothing and returns undefined. No other transaction can move the patches until
 * the intent is settled.
 */
export async function openIntent(
  tx: Tx,
  { lease, seal }: { lease: HeldLease; seal: VerdictSeal },
  intent: NewIntent,
): Promise<string | undefined> {
  await assertLease(tx, lease);
  const proofs = await provenBy(tx, intent, seal);
  if (proofs === undefined) return undefined;
  // Lock the target, so that nothing lands after an operator was told that it is paused.
  const open = await tx.query(sql`
    select 1 from targets where target_id = ${intent.targetId} and paused_at is null for share`);
  if (open.length === 0) return undefined;
  const ids = intent.patches.map(({ patch_id }) => patch_id);
  const free = await tx.query(sql`
    select patch_id from patches
    where patch_id = any (${ids}::text[]) and state = 'STAGED' and intent_id is null
    order by patch_id for update`);
  if (free.length !== ids.length) return undefined;
  const intentId = newId('intent');
  await tx.query(sql`
    insert into landing_intents (intent_id, target_id, epoch, old_tip, new_commit, tree_id, prove, proofs, patches)
    values (${intentId}, ${intent.targetId}, ${lease.epoch}, ${intent.oldTip}, ${intent.newCommit}, ${intent.treeId},
            ${intent.prove}, ${storableJson(proofs)}::jsonb, ${storableJson(intent.patches)}::jsonb)`);
  await tx.query(sql`
    update patches set intent_id = ${intentId}, updated_at = now() where patch_id = any (${ids}::text[])`);
  return intentId;
}

/**
 * Returns each proof with the execution behind it, so that a wrong plan cannot land an untested tree. Returns undefined
 * when a tree has no proof, or a proof has no execution, no verdict sealed by this daemon, or too many reds.
 */
async function provenBy(
  tx: Tx,
  { targetId, proofs, treeId, patches, prove }: NewIntent,
  seal: VerdictSeal,
): Promise<IntendedProof[] | undefined> {
  const trees = prove === 'every_commit' ? patches.map(({ tree }) => tree) : [treeId];
  if (trees.length === 0 || !trees.every((tree) => proofs.some((proof) => proof.tree === tree))) return undefined;
  // Selects the green verdicts of the proofs with their numbers of green and red runs (index `test_gates_proof`). A red
  // does not count if the tip was bad too, or if an operator has since resumed the target or staged the patch again.
  const green = await tx.query<GreenVerdict & { greens: number; reds: number }>(sql`
    select v.tree_id, v.digest, v.gate_id, v.seal, runs.greens, runs.reds
    from unnest(${proofs.map(({ tree }) => tree)}::text[], ${proofs.map(({ digest }) => digest)}::text[],
                ${proofs.map(({ tolerance }) => tolerance.excusedFromMs / 1_000)}::float8[],
                ${proofs.map(({ tolerance }) => tolerance.excusedBeforeMs / 1_000)}::float8[])
           as p(tree, digest, excused_from, excused_before)
    join gate_verdicts v on v.tree_id = p.tree and v.digest = p.digest and v.passed
    join targets a on a.target_id = ${targetId}
    cross join lateral (
      select count(*) filter (where g.state = 'PASSED')::int as greens,
             count(*) filter (where g.outcome in ('red', 'timeout')
                                and not (g.created_at >= to_timestamp(p.excused_from)
                                         and g.created_at < to_timestamp(p.excused_before))
                                and g.completed_at >= coalesce(a.resumed_at, '-infinity')
                                and g.created_at >= coalesce(q.staged_at, '-infinity'))::int as reds
      from test_gates g left join patches q on q.patch_id = g.patch_ids[cardinality(g.patch_ids)]
      where g.tree_id = v.tree_id and g.digest = v.digest) runs
    where ${HAS_EXECUTION}`);
  const proven = proofs.map(({ tolerance, ...proof }) => {
    const verdict = green
      .filter(({ tree_id, digest }) => tree_id === proof.tree && digest === proof.digest)
      .find((known) => seal.holds(sealedPart(known), known.seal));
    if (verdict === undefined || !greensDecide(verdict, tolerance)) return undefined;
    return { ...proof, gate_id: verdict.gate_id, seal: verdict.seal ?? null };
  });
  return proven.every((proof) => proof !== undefined) ? proven : undefined;
}

/**
 * Settles an intent whose commit is on the branch, and moves its patches STAGED→APPLIED. Idempotent. Returns patches
 * that could not be moved: the branch holds them but the ledger disagrees, so an operator must check them.
 */
export async function settleApplied(tx: Tx, lease: HeldLease, intentId: string): Promise<string[]> {
  await assertLease(tx, lease);
  const patches = await settle(tx, intentId, 'applied');
  return applyPatches(tx, { intentId, patches, where: sql`and t.intent_id = ${intentId}` });
}

async function applyPatches(
  tx: Tx,
  { intentId, patches, where }: { intentId: string; patches: readonly IntendedPatch[]; where: ReturnType<typeof sql> },
): Promise<string[]> {
  const moved = await transition(tx, {
    kind: 'patch',
    from: ['STAGED'],
    to: 'APPLIED',
    rows: patches.map(({ patch_id, commit, tree }) => ({
      id: patch_id,
      detail: { commit, tree, intent_id: intentId },
    })),
    data: {
      landed_commit: texts(patches.map(({ commit }) => commit)),
      landed_tree: texts(patches.map(({ tree }) => tree)),
    },
    actor: ACTOR,
    where,
    set: sql`, applied_at = now(), landed_commit = w.landed_commit, landed_tree = w.landed_tree`,
  });
  return patches.map(({ patch_id }) => patch_id).filter((id) => !moved.some((row) => row.id === id));
}

/** Settles an intent whose push did not happen, and releases its patches, which stay STAGED. */
export async function settleCleared(tx: Tx, lease: HeldLease, intentId: string): Promise<string[]> {
  await assertLease(tx, lease);
  await settle(tx, intentId, 'cleared');
  await tx.query(sql`update patches set intent_id = null, updated_at = now() where intent_id = ${intentId}`);
  return [];
}

/**
 * Applies a cleared intent whose push reached the branch after all. Returns the patches that could not be moved, like
 * `settleApplied`, or undefined when a later intent has already recorded the same commits as landed.
 */
export async function settleLate(tx: Tx, lease: HeldLease, intentId: string): Promise<string[] | undefined> {
  await assertLease(tx, lease);
  const unknown = await tx.query(sql`
    select 1 from landing_intents i, jsonb_to_recordset(i.patches) as p(patch_id text, commit text)
    where i.intent_id = ${intentId} and not exists (
      select 1 from patches landed where landed.patch_id = p.patch_id and landed.landed_commit = p.commit)`);
  if (unknown.length === 0) return undefined;
  const [late] = await tx.query<{ patches: IntendedPatch[] }>(sql`
    update landing_intents set outcome = 'applied', settled_at = now()
    where intent_id = ${intentId} and outcome = 'cleared' returning patches`);
  return applyPatches(tx, { intentId, patches: late?.patches ?? [], where: NOT_LANDING });
}

async function settle(tx: Tx, intentId: string, outcome: 'applied' | 'cleared'): Promise<IntendedPatch[]> {
  const settled = await tx.query<{ patches: IntendedPatch[] }>(sql`
    update landing_intents set outcome = ${outcome}, settled_at = now()
    where intent_id = ${intentId} and settled_at is null returning patches`);
  return settled[0]?.patches ?? [];
}

/** Moves patches APPLIED→VERIFIED, and in the same transaction completes their tasks and unblocks the dependants. */
export async function verifyPatches(tx: Tx, lease: HeldLease, patchIds: readonly string[]): Promise<void> {
  await assertLease(tx, lease);
  const verified = await transition(tx, {
    kind: 'patch',
    from: ['APPLIED'],
    to: 'VERIFIED',
    ids: patchIds,
    actor: ACTOR,
    set: sql`, verified_at = now()`,
  });
  if (verified.length === 0) return;
  await rollBackReverted(
    tx,
    verified.map(({ id }) => id),
  );
  const tasks = await tx.query<{ task_id: string }>(sql`
    update tasks t set landed_commit = p.landed_commit, updated_at = now()
    from patches p where p.task_id = t.task_id and p.patch_id = any (${verified.map(({ id }) => id)}::text[])
    returning t.task_id`);
  await completeTasks(
    tx,
    tasks.map(({ task_id }) => task_id),
    'landed',
  );
}

/** Moves the patches that these ones revert to ROLLED_BACK, in the transaction that verifies the reverts. */
async function rollBackReverted(tx: Tx, verifiedIds: readonly string[]): Promise<void> {
  const reverted = await tx.query<{ patch_id: string; by: string }>(sql`
    select reverts_patch_id as patch_id, patch_id as by from patches
    where patch_id = any (${[...verifiedIds]}::text[]) and reverts_patch_id is not null`);
  await transition(tx, {
    kind: 'patch',
    from: ['APPLIED', 'VERIFIED'],
    to: 'ROLLED_BACK',
    rows: reverted.map(({ patch_id, by }) => ({ id: patch_id, reason: 'reverted', detail: { by } })),
    actor: ACTOR,
  });
}

/** Marks a landed patch as removed from the branch. It stays APPLIED until an operator resumes the target. */
export async function noteLostPatch(tx: Tx, lease: HeldLease, patchId: string): Promise<void> {
  await assertLease(tx, lease);
  await tx.query(sql`
    update patches set reason = ${REMOVED}, updated_at = now() where patch_id = ${patchId} and state = 'APPLIED'`);
}
