import { createHash } from 'node:crypto';
import type { GateDefinition, PrepareDefinition } from '../contract/policy.ts';
import { matcher } from './path-rules.ts';

/** One gate to be proven on one tree. */
export interface Proof {
  gate: GateDefinition;
  digest: string;
  treeId: string;
  /** True when the pinned paths of the tip lie over the candidate's tree. */
  pinned: boolean;
}

/** The gates that count for a change: those without `paths`, and those of which it touches one. */
export function gatesInForce(gates: readonly GateDefinition[], changedPaths: readonly string[]): GateDefinition[] {
  return gates.filter(({ paths }) => paths.length === 0 || changedPaths.some(matcher(paths)));
}

/** The branch's gates and the extra ones of runs; a name given twice with the same content counts once. */
export function unionOfGates(branch: readonly GateDefinition[], extra: readonly GateDefinition[]): GateDefinition[] {
  const all = [...branch];
  for (const gate of extra) {
    if (!all.some((known) => JSON.stringify(known) === JSON.stringify(gate))) all.push(gate);
  }
  return all;
}

/** Names what a verdict holds for: the command, its declared environment and pool, and how its slot is prepared. */
export function gateDigest(gate: GateDefinition, prepare: readonly PrepareDefinition[]): string {
  const meaning = [gate.command, gate.env, gate.pool, prepare.map(({ command, key_files }) => [command, key_files])];
  return createHash('sha256').update(JSON.stringify(meaning)).digest('hex');
}

/** Every gate in force on the tree that lands, and again under the branch's pinned files when the change touches them. */
export function proofsFor(
  gates: readonly GateDefinition[],
  prepare: readonly PrepareDefinition[],
  trees: { landing: string; pinned: string | null },
): Proof[] {
  const proof = (gate: GateDefinition, treeId: string, pinned: boolean): Proof => ({
    gate,
    digest: gateDigest(gate, prepare),
    treeId,
    pinned,
  });
  return [
    ...gates.map((gate) => proof(gate, trees.landing, false)),
    ...(trees.pinned === null ? [] : gates.map((gate) => proof(gate, trees.pinned!, true))),
  ];
}
