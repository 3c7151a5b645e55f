import { createHash } from 'node:crypto';
import { pathMatcher } from '../contract/glob.ts';
import type { GateDefinition, PrepareDefinition } from '../contract/policy.ts';

/** One gate to be proven on one tree. */
export interface Proof {
  gate: GateDefinition;
  digest: string;
  treeId: string;
  /** True when `treeId` is the candidate's tree with its pinned files replaced by the branch's. */
  pinned: boolean;
}

/** Returns the gates that apply to a change: those without `paths`, and those with a path that the change touches. */
export function gatesInForce(gates: readonly GateDefinition[], changedPaths: readonly string[]): GateDefinition[] {
  return gates.filter(({ paths }) => paths.length === 0 || changedPaths.some(pathMatcher(paths)));
}

/** Returns the branch's gates and the extra gates of runs. Identical definitions count once. */
export function unionOfGates(branch: readonly GateDefinition[], extra: readonly GateDefinition[]): GateDefinition[] {
  const all = [...branch];
  for (const gate of extra) {
    if (!all.some((known) => JSON.stringify(known) === JSON.stringify(gate))) all.push(gate);
  }
  return all;
}

/** Conditions under which a gate runs, set by the operator. A verdict holds only under the same conditions. */
export interface GateRoom {
  /** The address of the repository. */
  repository: string;
  confinement: 'auto' | 'require' | 'none';
  /** True: gates that ask for a network get one. `everyGate`: all gates get one. */
  network: boolean | 'everyGate';
  /** Hashes of its variables' values on the workers. A variable that no worker has is absent; without a key all are. */
  values: GateValues;
}

/** Keyed hashes of the values of variables, by name. */
export type GateValues = Readonly<Record<string, string>>;

/** Hashes what a gate runs: the command, its declared environment and pool, and how its slot is prepared. */
export function gateMeaning(gate: GateDefinition, prepare: readonly PrepareDefinition[]): string {
  const steps = prepare.map(({ command, key_files, env }) => [command, key_files, ...(env.length === 0 ? [] : [env])]);
  return sha256([gate.command, gate.env, gate.pool, steps]);
}

/** Identifies what a verdict holds for: what the gate runs, and the conditions under which it runs. */
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

/** Requires each gate on the tree that lands, and on the pinned tree if the change touches pinned files. */
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
