import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assertSupported, readPolicy } from '../../candidates/read-policy.ts';
import { confinementOf } from '../../children/confinement.ts';
import { namedVariables } from '../../children/environment.ts';
import { type Environment, loadSettings } from '../../config.ts';
import type { GateDefinition, Policy } from '../../contract/policy.ts';
import type { ConfinementKind } from '../../contract/states.ts';
import { type PolicyWarning, policyWarnings } from '../../domain/policy-warnings.ts';
import { NamedRepositories } from '../../domain/repository-book.ts';
import type { Mirror } from '../../git/mirror.ts';
import { Mirrors } from '../../git/mirrors.ts';
import { Git } from '../../git/run-git.ts';
import { listTree } from '../../git/tree-changes.ts';
import { silentLog } from '../../lib/log.ts';
import { removeTree } from '../../lib/remove-tree.ts';
import { spawner } from '../../lib/spawner.ts';
import { type Outcome, type ProveDeps, proveTree } from '../../pipeline/run-gate/prove-tree.ts';
import { cacheLimits, Preparation } from '../../workspaces/prepare.ts';
import type { Slot } from '../../workspaces/slot.ts';
import { SlotRack } from '../../workspaces/slots.ts';
import { takeSnapshot } from './snapshot.ts';

export interface CheckOptions {
  /** A folder of the repository. */
  here: string;
  config?: string | undefined;
  /** Names of the gates to run; all of them when empty. */
  gates: readonly string[];
  onGate: (tree: CheckedTree, gate: CheckedGate) => void;
}

export interface CheckedGate {
  gate: string;
  /** `skipped`: a gate that it depends on did not pass. */
  outcome: Outcome['outcome'] | 'skipped';
  /** True: its result stops no patch. */
  advisory: boolean;
  exit_code: number | null;
  seconds: number;
  evidence: Readonly<Record<string, unknown>>;
}

export interface CheckedTree {
  tree: 'HEAD' | 'working tree';
  commit: string;
  policy_error: string | null;
  warnings: PolicyWarning[];
  gates: CheckedGate[];
}

export interface CheckReport {
  confinement: ConfinementKind;
  trees: CheckedTree[];
}

const DEFAULT_PATH = '/usr/local/bin:/usr/bin:/bin';

interface TreeToCheck {
  tree: CheckedTree['tree'];
  mirror: Mirror;
  branch: string;
  wanted: readonly string[];
  onGate: CheckOptions['onGate'];
}

/**
 * Reads the policy here and runs its gates on what is committed and on what is in the folder, each in a fresh slot, as
 * a worker would. Calls `onGate` after each gate. Throws `usage.invalid` outside of a repository.
 */
export async function checkHere(
  environment: Environment,
  { here, onGate, ...options }: CheckOptions,
): Promise<CheckReport> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-check-'));
  const git = new Git({ home: join(folder, 'git'), searchPath: environment.PATH ?? DEFAULT_PATH });
  const mirrors = new Mirrors({ git, root: join(folder, 'mirrors') });
  await spawner.start();
  try {
    const { url, remote, branches } = await takeSnapshot(git, { here, folder: join(folder, 'snapshot') });
    const deps = await roomLikeAWorkers(environment, { ...options, folder, address: remote ?? url });
    try {
      const trees: CheckedTree[] = [];
      for (const { name, branch } of branches) {
        const on = { mirror: mirrors.of(url), branch, wanted: options.gates, onGate };
        trees.push(await checkTree(deps, { tree: name, ...on }));
      }
      return { confinement: deps.confinement.state.kind, trees };
    } finally {
      await deps.slots.close();
      await deps.confinement.stop();
    }
  } finally {
    mirrors.close();
    await spawner.stop();
    await removeTree(folder);
  }
}

/** Builds what a worker of this machine runs gates with, in a data folder of its own. */
async function roomLikeAWorkers(
  environment: Environment,
  { folder, config, address }: { folder: string; config?: string | undefined; address: string },
): Promise<ProveDeps> {
  const given = config === undefined ? {} : { config };
  const settings = await loadSettings(environment, { dataDir: folder, allowAll: true, ...given });
  const { repositories: known, sandbox } = settings.file;
  const repositories = new NamedRepositories({ known, allowAny: true, folder: settings.folder, sandbox });
  const confinement = confinementOf(settings, silentLog());
  await confinement.start();
  const allowed = repositories.gateVariables(address);
  return {
    slots: new SlotRack(folder, silentLog(), (slot) => confinement.uidOf(slot)),
    confinement,
    preparation: new Preparation({
      dataDir: folder,
      searchPath: environment.PATH ?? DEFAULT_PATH,
      limits: cacheLimits(settings.file),
    }),
    environment,
    repositories: { gateRoom: () => repositories.gateRoom(address) },
    gateVariables: (_url, names = allowed) =>
      namedVariables(
        names.filter((name) => allowed.includes(name)),
        environment,
      ),
  };
}

async function checkTree(
  deps: ProveDeps,
  { tree: name, mirror, branch, wanted, onGate }: TreeToCheck,
): Promise<CheckedTree> {
  const { commit, tree: treeId } = await mirror.fetchTip(branch);
  const { policy, error } = await readPolicy(mirror, commit);
  const tree: CheckedTree = { tree: name, commit, policy_error: error, warnings: [], gates: [] };
  if (policy === null) return tree;
  await assertSupported(mirror, commit);
  const paths = (await listTree(mirror, treeId)).map(({ path }) => path);
  tree.warnings.push(...ownWarnings(policy), ...deniedVariables(policy, deps), ...policyWarnings(policy, paths));
  for (const gate of policy.gates.filter((each) => wanted.length === 0 || wanted.includes(each.name))) {
    const checked = isReady(gate, tree) ? await runHere(deps, gate, { mirror, commit, treeId, policy }) : skipped(gate);
    tree.gates.push(checked);
    onGate(tree, checked);
  }
  return tree;
}

/** True when every gate ran green, and the policy is sound in the folder; it may not be committed yet. */
export function isSound({ trees }: CheckReport): boolean {
  return (
    trees.at(-1)!.policy_error === null &&
    trees.every(({ gates }) => gates.every(({ outcome, advisory }) => outcome === 'passed' || advisory))
  );
}

function isReady({ depends_on }: GateDefinition, { gates }: CheckedTree): boolean {
  return depends_on.every((name) => gates.every(({ gate, outcome }) => gate !== name || outcome === 'passed'));
}

function skipped({ name, advisory }: GateDefinition): CheckedGate {
  return { gate: name, advisory, outcome: 'skipped', exit_code: null, seconds: 0, evidence: {} };
}

/** Warns of variables that a worker would not give to a gate. */
function deniedVariables({ gates, prepare }: Policy, { gateVariables }: ProveDeps): PolicyWarning[] {
  const allowed = Object.keys(gateVariables(''));
  const wanted = [
    ...gates.map((gate) => ({ where: `gates.${gate.name}.env`, names: gate.env })),
    ...prepare.map((step) => ({ where: `prepare.${step.name}.env`, names: step.env })),
  ];
  return wanted.flatMap(({ where, names }) => {
    const denied = names.filter((name) => !allowed.includes(name));
    if (denied.length === 0) return [];
    const message = `${denied.join(', ')}: not set here, or not in gate_env of this repository in the configuration`;
    return [{ where, message }];
  });
}

function ownWarnings({ gates }: Policy): PolicyWarning[] {
  if (gates.some(({ advisory }) => !advisory)) return [];
  return [{ where: 'gates', message: 'no gate must pass, so nothing lands: a patch without a test is blocked' }];
}

async function runHere(
  deps: ProveDeps,
  definition: GateDefinition,
  { mirror, commit, treeId, policy }: { mirror: Mirror; commit: string; treeId: string; policy: Policy },
): Promise<CheckedGate> {
  const { name, advisory, timeout_seconds } = definition;
  const ids = { run_id: 'check', task_id: 'check', attempt: 1, url: mirror.url };
  const gate = { ...ids, tip_commit: commit, tree_id: treeId, definition, timeout_seconds };
  const startedAt = performance.now();
  let slot: Slot | undefined;
  try {
    const { signal } = new AbortController();
    const call = { gate, mirror, commit, policy, output: { write: () => {} }, signal };
    const { outcome, exitCode, results } = await proveTree(deps, call, (taken) => {
      slot = taken;
    });
    const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
    return { gate: name, advisory, outcome, exit_code: exitCode, seconds, evidence: results };
  } finally {
    if (slot !== undefined) await deps.slots.release(slot);
  }
}
