import { createHash } from 'node:crypto';
import { pathMatcher } from '../contract/glob.ts';
import type { GateDefinition, PrepareDefinition } from '../contract/policy.ts';

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
  return gates.filter(({ paths }) => paths.length === 0 || changedPaths.some(pathMatcher(paths)));
}

/** The branch's gates and the extra ones of runs; a name given twice with the same content counts once. */
export function unionOfGates(branch: readonly GateDefinition[], extra: readonly GateDefinition[]): GateDefinition[] {
  const all = [...branch];
  for (const gate of extra) {
    if (!all.some((known) => JSON.stringify(known) === JSON.stringify(gate))) all.push(gate);
  }
  return all;
}

/** What stands around a gate of a target, by the operator's configuration: a verdict holds there alone. */
export interface GateRoom {
  /** The address of the repository. */
  repository: string;
  confinement: 'auto' | 'require' | 'none';
  /** True where a gate that asks for a network gets one; `everyGate`: also those that do not ask. */
  network: boolean | 'everyGate';
  /** What its variables hold on the workers; nothing for those that no worker has, nor without a key to hash them with. */
  values: GateValues;
}

/** Keyed hashes of what variables hold, by name. */
export type GateValues = Readonly<Record<string, string>>;

/** What a gate asks: the command, its declared environment and pool, and how its slot is prepared. */
export function gateMeaning(gate: GateDefinition, prepare: readonly PrepareDefinition[]): string {
  const steps = prepare.map(({ command, key_files, env }) => [command, key_files, ...(env.length === 0 ? [] : [env])]);
  return sha256([gate.command, gate.env, gate.pool, steps]);
}

/** Names what a verdict holds for: what the gate asks, and the room in which it is asked. */
export function gateDigest(gate: GateDefinition, prepare: readonly PrepareDefinition[], room: GateRoom): string {
  const names = [...gate.env, ...prepare.flatMap(({ env }) => env)];
  const values = names.length === 0 ? [] : [names.map((name) => room.values[name] ?? null)];
  const meaning = gateMeaning(gate, prepare);
  return sha256([meaning, room.repository, room.confinement, hasNetwork(gate, room), ...values]);
}

export function hasNetwork(gate: GateDefinition, { network }: Pick<GateRoom, 'network'>): boolean {
  return network === 'everyGate' || (network && gate.network === true);
}

function sha256(content: unknown): string {
  return createHash('sha256').update(JSON.stringify(content)).digest('hex');
}

/** Every gate in force on the tree that lands, and again under the branch's pinned files when the change touches them. */
export function proofsFor(
  gates: readonly GateDefinition[],
  { prepare, room }: { prepare: readonly PrepareDefinition[]; room: GateRoom },
  trees: { landing: string; pinned: string | null },
): Proof[] {
  const proof = (gate: GateDefinition, treeId: string, pinned: boolean): Proof => ({
    gate,
    digest: gateDigest(gate, prepare, room),
    treeId,
    pinned,
  });
  return [
    ...gates.map((gate) => proof(gate, trees.landing, false)),
    ...(trees.pinned === null ? [] : gates.map((gate) => proof(gate, trees.pinned!, true))),
  ];
}
