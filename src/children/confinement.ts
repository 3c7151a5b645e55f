import type { ChildLimits, ConfigFile, ConfinementDefinition } from '../contract/config-schema.ts';
import { SluiceError } from '../contract/errors.ts';
import type { PrepareDefinition } from '../contract/policy.ts';
import { CONFINEMENT_DANGERS, type ConfinementKind } from '../contract/states.ts';
import type { Component } from '../lib/component.ts';
import type { Log } from '../lib/log.ts';
import { type ChildResult, type ChildSpec, runChild } from '../lib/process.ts';
import type { Slot } from '../workspaces/slot.ts';
import { ControlGroups } from './control-groups.ts';
import { OtherUsers } from './other-users.ts';
import { watchProcesses } from './process-limit.ts';
import {
  endingInside,
  findBubblewrap,
  findGrace,
  type Grace,
  limitsArgv,
  type SandboxView,
  sandboxArgv,
} from './sandbox.ts';
import { type VisiblePlaces, visiblePlaces } from './visible-places.ts';

export interface ConfinementOptions {
  /** Section `sandbox` of the operator's configuration file. */
  rules: ConfinementDefinition;
  searchPath: string;
  /** Files and folders of the daemon that children must not see. */
  hidden: readonly string[];
  dataDir: string;
  /** True: determines the confinement that a worker would use, and changes nothing on this host. */
  looksOnly?: boolean;
  log: Log;
}

/** Fields that are built anew for each child of one task or gate. */
export type ChildSurroundings = Pick<ConfinedChild, 'env' | 'readable' | 'signal' | 'onSpawn' | 'onOutput'>;

/** Settings of a Sluice process that decide how its children are confined. */
export interface ConfinementSettings {
  file: ConfigFile;
  environment: Readonly<Record<string, string | undefined>>;
  dataDir: string;
  configFile: string | undefined;
}

/** How the children of this process are isolated from the host. */
export interface ConfinementState {
  /** `user`: no sandbox, but the children of each slot run as a separate user. */
  kind: ConfinementKind;
  /** Why there is no sandbox although one is wanted, and problems with the users of slots; null without any. */
  problem: string | null;
}

/** A command of a tool, a gate or a `prepare` step. */
export interface ConfinedChild
  extends Omit<ChildSpec, 'cwd' | 'env' | 'maxCapturedBytes' | 'graceMs' | 'keep' | 'signal'> {
  env: Readonly<Record<string, string>>;
  network: boolean;
  limits: ChildLimits;
  /** Folders outside its slot that it may read. */
  readable: readonly string[];
  /** Exit statuses that the tool declares; they are not taken for 128 + signal number. */
  declared?: readonly number[];
  /** True: it never runs without a sandbox, whatever `mode` says. */
  mustBeConfined?: boolean;
  signal: AbortSignal;
}

interface Box {
  program: string;
  grace: Grace;
  places: VisiblePlaces;
}

function boxArgv({ program, grace, places }: Box, view: Omit<SandboxView, 'places'>): string[] {
  return [...grace.outside, program, ...sandboxArgv({ ...view, places }), '--', ...grace.inside];
}

/**
 * Runs all commands of tools, gates and `prepare` steps. The mode is decided once, when the process starts: if
 * bubblewrap breaks later, children fail and none run unconfined.
 */
export class Confinement implements Component {
  readonly name = 'confinement';
  readonly rules: ConfinementDefinition;
  readonly #options: ConfinementOptions;
  #bubblewrap: Box | undefined;
  #users: OtherUsers | undefined;
  #groups: ControlGroups | undefined;
  #missing = 'not looked for yet';
  #problem: string | null = this.#missing;

  constructor(options: ConfinementOptions) {
    this.#options = options;
    this.rules = options.rules;
  }

  /** Throws `sandbox.unavailable` when the mode requires a sandbox and none is available. */
  async start(): Promise<void> {
    const { searchPath, hidden, dataDir, looksOnly = false, log } = this.#options;
    const { mode, readable } = this.rules;
    try {
      const program = await findBubblewrap(searchPath);
      const grace = await findGrace(searchPath);
      this.#bubblewrap = { program, grace, places: visiblePlaces({ searchPath, readable, hidden }) };
      this.#problem = null;
    } catch (error) {
      if (mode === 'require') throw error;
      this.#missing = (error as Error).message;
      this.#problem = mode === 'none' ? null : this.#missing;
    }
    if (!looksOnly) this.#groups = await ControlGroups.find();
    if (!this.#confinesAll && this.rules.run_as === 'other_user') {
      const box = this.#bubblewrap?.program;
      await this.#findUsers({ searchPath, dataDir, hidden, box, looksOnly });
    }
    const { kind, problem } = this.state;
    if (kind !== 'bubblewrap') log.warn({ mode, problem, danger: CONFINEMENT_DANGERS[kind] }, 'confinement.none');
  }

  async #findUsers(where: Parameters<typeof OtherUsers.prepare>[0]): Promise<void> {
    try {
      this.#users = await OtherUsers.prepare(where);
      const closed = await this.#users.closedFolders();
      if (closed.length > 0) this.#addProblem(`the users of slots cannot run programs in ${closed.join(', ')}`);
    } catch (error) {
      this.#addProblem(`children cannot run as separate users: ${(error as Error).message}`);
    }
  }

  #addProblem(problem: string): void {
    this.#problem = this.#problem === null ? problem : `${this.#problem}; ${problem}`;
  }

  get #confinesAll(): boolean {
    return this.rules.mode !== 'none' && this.#bubblewrap !== undefined;
  }

  /** Returns the user id that the children of a slot run as; undefined means the daemon's own. */
  async uidOf(slotNumber: number): Promise<number | undefined> {
    return this.#users?.idOf(slotNumber);
  }

  async stop(): Promise<void> {}

  get state(): ConfinementState {
    const without = this.#users === undefined ? 'none' : 'user';
    return { kind: this.#confinesAll ? 'bubblewrap' : without, problem: this.#problem };
  }

  /** Throws `sandbox.unavailable` when a child must be confined and no sandbox is available. */
  async run(slot: Slot, child: ConfinedChild): Promise<ChildResult> {
    const { argv, network, limits, readable, declared = [], mustBeConfined = false, signal, ...spec } = child;
    const { searchPath } = this.#options;
    const box = this.#boxFor(mustBeConfined);
    const { home, tmp, out, given } = slot.child;
    const view = { work: slot.work, writable: [slot.work, home, tmp, out], readable: [given, ...readable], network };
    const sandboxed = box === undefined ? [] : boxArgv(box, view);
    // A sandbox kills everything inside when it ends, so its child needs a group only for limits.
    const needsGroup = box === undefined || this.#groups?.keeps(limits);
    const group = needsGroup ? await this.#groups?.open(limits) : undefined;
    const crowd = watchProcesses(slot, { max: limits.processes, sandboxed: box !== undefined });
    try {
      const perProcess = group?.limitsMemory ? { ...limits, memory_bytes: undefined } : limits;
      const byProcess = await limitsArgv(perProcess, searchPath);
      const around = [...(group?.argv ?? []), ...byProcess, ...(await this.#asUserOf(slot)), ...sandboxed];
      const result = await runChild({
        ...spec,
        argv: [...around, ...argv],
        cwd: slot.work,
        signal: AbortSignal.any([signal, crowd.signal]),
        keep: 'tail',
      });
      if (around.length === 0) return result;
      return { ...result, ending: endingInside(result, { sandboxed: box !== undefined, declared }) };
    } finally {
      crowd.stop();
      await group?.end();
      if (slot.uid !== undefined) await this.#users?.endAll(slot.uid);
    }
  }

  /** Returns the `runStep` of a `PrepareCall`, which runs a step's command in the slot. */
  stepsIn(
    slot: Slot,
    common: () => Promise<ChildSurroundings>,
    variables: (names: readonly string[]) => Record<string, string>,
  ): (step: PrepareDefinition) => Promise<ChildResult> {
    const { prepare_network: network, prepare_limits: limits = {} } = this.rules;
    return async ({ command, env, timeout_seconds }) => {
      const around = await common();
      return this.run(slot, {
        ...around,
        env: { ...around.env, ...variables(env) },
        argv: command,
        network,
        limits,
        timeoutMs: timeout_seconds * 1_000,
      });
    };
  }

  async #asUserOf(slot: Slot): Promise<string[]> {
    if (this.#users === undefined || slot.uid === undefined) return [];
    await this.#users.admit(slot);
    return this.#users.argv(slot.uid);
  }

  #boxFor(mustBeConfined: boolean): Box | undefined {
    if (this.rules.mode === 'none' && !mustBeConfined) return undefined;
    if (this.#bubblewrap === undefined && (mustBeConfined || this.rules.mode === 'require')) {
      throw new SluiceError('sandbox.unavailable', `the requested sandbox is not available: ${this.#missing}`);
    }
    return this.#bubblewrap;
  }
}

/** Builds the confinement from the settings. The daemon's own files and keys are always hidden from children. */
export function confinementOf(
  settings: ConfinementSettings,
  log: Log,
  { looksOnly = false }: { looksOnly?: boolean } = {},
): Confinement {
  const { file, environment, dataDir, configFile } = settings;
  const keys = Object.values(file.repositories).flatMap(({ credentials }) =>
    credentials !== undefined && 'ssh_key_file' in credentials
      ? [credentials.ssh_key_file, credentials.known_hosts_file]
      : [],
  );
  return new Confinement({
    rules: file.sandbox,
    searchPath: environment.PATH ?? '/usr/local/bin:/usr/bin:/bin',
    dataDir,
    looksOnly,
    hidden: [dataDir, ...(configFile === undefined ? [] : [configFile]), ...keys],
    log,
  });
}
