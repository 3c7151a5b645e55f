import type { Actor } from '../../contract/order.ts';
import type { GateDefinition } from '../../contract/policy.ts';
import type { GateOutcome } from '../../contract/states.ts';
import { sql, type Tx } from '../../database/database.ts';
import type { VerdictSeal } from '../../domain/verdict-seal.ts';
import { storableJson } from '../../lib/storable.ts';
import { assertLease, type HeldLease } from '../leases.ts';
import { countRefusedEndings } from '../refused-writes.ts';
import { ints, recordCreated, transition } from '../transition.ts';

export interface NewGate {
  gate_id: string;
  target_id: string;
  definition: GateDefinition;
  digest: string;
  tree_id: string;
  tip_commit: string;
  patch_ids: readonly string[];
  pinned: boolean;
  /** Id of the patch whose task owns the row. */
  owner: string;
}

/** Queues one execution. Returns false when one is live on the same (tree, digest), or the owner is not STAGED. */
export async function requestGate(tx: Tx, lease: HeldLease, gate: NewGate): Promise<boolean> {
  await assertLease(tx, lease);
  const made = await tx.query<{ run_id: string | null }>(sql`
    insert into test_gates (gate_id, task_id, run_id, target_id, state, test_suite, timeout_seconds, definition, pool,
                            digest, tree_id, tip_commit, patch_ids, pinned, advisory)
    select ${gate.gate_id}, p.task_id, p.run_id, ${gate.target_id}, 'PENDING', ${gate.definition.name},
           ${gate.definition.timeout_seconds}, ${storableJson(gate.definition)}::jsonb, ${gate.definition.pool},
           ${gate.digest}, ${gate.tree_id}, ${gate.tip_commit}, ${[...gate.patch_ids]}::text[], ${gate.pinned},
           ${gate.definition.advisory}
    from patches p where p.patch_id = ${gate.owner} and p.state = 'STAGED'
    on conflict do nothing
    returning run_id`);
  if (made.length === 0) return false;
  const runId = made[0]!.run_id;
  await recordCreated(tx, { kind: 'gate', state: 'PENDING', ids: [gate.gate_id], runId, actor: 'coordinator' });
  return true;
}

export interface GateEnd {
  gateId: string;
  workerId: string;
  attempt: number;
  exitCode: number | null;
  /** `passed`, or why the gate failed. Only `passed` and `red` are verdicts. */
  outcome: 'passed' | Exclude<GateOutcome, 'withdrawn'>;
  results: Readonly<Record<string, unknown>>;
}

/** Moves a gate RUNNING→PASSED or FAILED and records its verdict. Returns false when the fence refused the write. */
export async function endGate(tx: Tx, end: GateEnd, seal: VerdictSeal): Promise<boolean> {
  const passed = end.outcome === 'passed';
  const moved = await transition(tx, {
    kind: 'gate',
    from: ['RUNNING'],
    to: passed ? 'PASSED' : 'FAILED',
    ids: [end.gateId],
    reason: end.outcome === 'passed' ? null : end.outcome,
    detail: end.results,
    data: { attempt: ints([end.attempt]), exit_code: ints([end.exitCode]) },
    actor: 'worker',
    where: sql`and t.attempt = w.attempt`,
    set: sql`, exit_code = w.exit_code, outcome = w.reason, test_results = w.detail`,
  });
  if (moved.length === 0) {
    await countRefusedEndings(tx, [{ ...end, id: end.gateId }]);
    return false;
  }
  if (passed || end.outcome === 'red') await recordVerdict(tx, { gateId: end.gateId, passed, seal });
  return true;
}

/** Records the verdict of an execution, as flaky if an earlier one on the same (tree, digest) differs. */
async function recordVerdict(
  tx: Tx,
  { gateId, passed, seal }: { gateId: string; passed: boolean; seal: VerdictSeal },
): Promise<void> {
  const [gate] = await tx.query<{ treeId: string; digest: string }>(
    sql`select tree_id as "treeId", digest from test_gates where gate_id = ${gateId}`,
  );
  const signed = passed ? seal.sign({ ...gate!, gateId }) : null;
  await tx.query(sql`
    insert into gate_verdicts (tree_id, digest, gate_id, passed, flaky, gate_name, seal)
    select g.tree_id, g.digest, g.gate_id, ${passed},
           exists (select 1 from gate_verdicts v
                   where v.tree_id = g.tree_id and v.digest = g.digest and v.passed <> ${passed}),
           g.test_suite, ${signed}::text
    from test_gates g where g.gate_id = ${gateId}`);
}

/** Ends gate runs whose result is no longer needed as FAILED (`withdrawn`). Returns the ids that moved. */
export async function withdrawGates(tx: Tx, lease: HeldLease, gateIds: readonly string[]): Promise<string[]> {
  await assertLease(tx, lease);
  return failGates(tx, { gateIds, outcome: 'withdrawn', actor: 'coordinator' });
}

/** Fails gate runs without a result from a worker, and tells the workers of running ones to cancel them. */
export async function failGates(
  tx: Tx,
  { gateIds, outcome, actor }: { gateIds: readonly string[]; outcome: 'withdrawn' | 'lost'; actor: Actor },
): Promise<string[]> {
  const moved = await transition(tx, {
    kind: 'gate',
    from: ['PENDING', 'BLOCKED', 'RUNNING'],
    to: 'FAILED',
    ids: gateIds,
    reason: outcome,
    actor,
    set: sql`, outcome = w.reason`,
  });
  for (const { id, from_state } of moved) if (from_state === 'RUNNING') tx.wake(`cancel:${id}`);
  return moved.map(({ id }) => id);
}
