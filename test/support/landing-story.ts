import { appendFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type Files, GitSandbox } from '../../harness/git-sandbox.ts';
import type { PatchObject } from '../../src/contract/objects.ts';
import type { PatchInput } from '../../src/contract/patch-input.ts';
import type { Policy } from '../../src/contract/policy.ts';
import { processesWithVariable } from '../../src/lib/process-identity.ts';
import { eventually } from './eventually.ts';
import { type RunningSluice, type SluiceOptions, startSluice } from './run-sluice.ts';

export interface StoryOptions {
  /** Shell script of the gate: `$names` holds the files of `p/` in order; its exit status is the gate's. */
  rule?: string;
  landing?: Partial<Policy['landing']>;
  policy?: object;
  files?: Files;
}

export interface SubmitOptions {
  priority?: number;
  files?: Record<string, string>;
  land?: boolean;
  input?: object;
  maxRetries?: number;
}

const ENDINGS = ['VERIFIED', 'ROLLED_BACK', 'SUPERSEDED', 'EXPIRED'];
const LANDED = ['APPLIED', 'VERIFIED', 'ROLLED_BACK'];

/** Starts Sluice without confinement, because the scripted gates read and write a folder outside their slots. */
export function startForStories(options: SluiceOptions = {}): Promise<RunningSluice> {
  return startSluice({ ...options, config: { sandbox: { mode: 'none', run_as: 'daemon' }, ...options.config } });
}

/**
 * One branch with a scripted gate. A patch adds a file `p/<name>`; the gate logs which files are there, waits while it
 * is held, and then runs the rule. `end` checks four invariants that hold for every story.
 */
export class LandingStory {
  readonly sluice: RunningSluice;
  readonly git: GitSandbox;
  readonly targetId: string;
  readonly control: string;
  readonly #patches = new Map<string, { patchId: string; runId: string }>();

  private constructor(sluice: RunningSluice, git: GitSandbox) {
    this.sluice = sluice;
    this.git = git;
    this.targetId = `${git.remote}@main`;
    this.control = join(git.folder, 'control');
  }

  static async begin(sluice: RunningSluice, options: StoryOptions = {}): Promise<LandingStory> {
    const git = await GitSandbox.create({}, null);
    const story = new LandingStory(sluice, git);
    await mkdir(story.control);
    await writeFile(join(story.control, 'gate.sh'), GATE);
    await story.rule(options.rule ?? 'exit 0');
    const gates = [{ name: 'scripted', command: ['sh', join(story.control, 'gate.sh'), story.control] }];
    await git.push({
      'p/.keep': '',
      ...options.files,
      '.sluice.yaml': JSON.stringify({ gates, landing: options.landing ?? {}, ...options.policy }),
    });
    await git.git(['config', 'core.logAllRefUpdates', 'always'], git.remote);
    return story;
  }

  get gateCommand(): string[] {
    return ['sh', join(this.control, 'gate.sh'), this.control];
  }

  /** Replaces the rule; gate runs that are still held use it too. */
  async rule(script: string): Promise<void> {
    await writeFile(join(this.control, 'rule.sh'), script);
  }

  /** Makes gates that start from now on wait until `release`. */
  async hold(): Promise<void> {
    await writeFile(join(this.control, 'hold'), '');
  }

  async release(): Promise<void> {
    await rm(join(this.control, 'hold'), { force: true });
  }

  /** Submits a patch that adds `p/<name>`, or what `files` or `input` give, and returns its id. */
  async submit(name: string, options: SubmitOptions = {}): Promise<string> {
    const files = Object.entries(options.files ?? { [`p/${name}`]: `${name}\n` });
    const input = options.input ?? { format: 'inline', files: files.map(([path, content]) => ({ path, content })) };
    const run = await this.sluice.client.runs.submit({
      name,
      repository: this.git.remote,
      priority: options.priority,
      land: options.land,
      workstreams: [
        {
          name: 'w',
          tasks: [{ name, tool: 'patch', input: input as PatchInput & Record<string, never>, message: name }],
        },
      ],
    });
    const whole = await this.sluice.client.runs.get(run.id, { expand: ['patches'] });
    const patchId = whole.patches![0]!.id;
    this.#patches.set(name, { patchId, runId: run.id });
    return patchId;
  }

  /** Submits patches one after the other, so that they are queued in this order. */
  async stage(names: readonly string[], options: SubmitOptions = {}): Promise<void> {
    for (const name of names) {
      await this.submit(name, options);
      await this.until(name, 'STAGED', ...ENDINGS, 'BLOCKED', 'APPLIED');
    }
  }

  idOf(name: string): string {
    return this.#patches.get(name)!.patchId;
  }

  runOf(name: string): string {
    return this.#patches.get(name)!.runId;
  }

  patch(name: string): Promise<PatchObject> {
    return this.sluice.client.patches.get(this.idOf(name));
  }

  async until(name: string, ...states: string[]): Promise<PatchObject> {
    return eventually(`${name} to be ${states.join(' or ')}`, async () => {
      const patch = await this.patch(name);
      return states.includes(patch.state) ? patch : undefined;
    });
  }

  async allUntil(names: readonly string[], ...states: string[]): Promise<void> {
    for (const name of names) await this.until(name, ...states);
  }

  /** Returns the trees that gates ran on, each as the names of its patches, in order of start. */
  async runs(): Promise<string[]> {
    const text = await readFile(join(this.control, 'runs'), 'utf8').catch(() => '');
    return text.split('\n').filter((line) => line !== '');
  }

  /** Waits until a gate has started on a tree with just these patches. */
  async started(names: string): Promise<void> {
    await eventually(`a gate on ${names}`, async () => (await this.runs()).includes(names));
  }

  async forgetRuns(): Promise<void> {
    await rm(join(this.control, 'runs'), { force: true });
  }

  /** Pauses the target; creates it if no patch has done so yet. */
  async pause(): Promise<void> {
    const { targets } = this.sluice.deps.daos;
    const { remote } = this.git;
    if ((await targets.find(this.targetId)) === undefined) {
      await targets.create({ target_id: this.targetId, repository: remote, branch: 'main', url: remote });
    }
    await this.sluice.client.targets.pause(this.targetId, { reason: 'a story' });
  }

  async resume(): Promise<void> {
    await this.sluice.client.targets.resume(this.targetId, { reason: 'a story' });
  }

  /** Returns the subjects of the commits on the branch, without those that the sandbox pushed as `change`. */
  async landed(): Promise<string[]> {
    return (await this.git.subjects()).filter((subject) => subject !== 'change');
  }

  /** Checks the four invariants and removes the sandbox. */
  async end(): Promise<void> {
    await this.release();
    const { daos } = this.sluice.deps;
    // 1. Every commit that Sluice pushed has a tree with green verdicts.
    const audit = await this.sluice.client.targets.audit(this.targetId);
    expect(audit.commits.filter(({ proven }) => !proven)).toEqual([]);
    const values = (await this.git.git(['reflog', 'show', '--format=%H', 'main'], this.git.remote)).split('\n');
    const given = (await daos.intents.findApplied(this.targetId)).filter(({ new_commit }) =>
      values.includes(new_commit),
    );
    for (const { tree_id } of given) expect(await daos.verdicts.findPassed([tree_id])).not.toEqual([]);
    // 2. No process of a gate outlives its execution.
    const live = await daos.gates.findLive(this.targetId);
    if (live.length === 0) {
      await eventually('the end of every gate process', async () => (await this.#gateProcesses()).length === 0);
    }
    // 3. Each patch has at most one ending. 4. A patch is landed in the ledger exactly if it is on the branch.
    const reachable = (await this.git.git(['rev-list', 'main'], this.git.remote)).split('\n');
    const trailers = await this.git.git(
      ['log', '--format=%(trailers:key=Sluice-Patch,valueonly)', 'main'],
      this.git.remote,
    );
    for (const { patchId } of this.#patches.values()) {
      const transitions = await daos.transitions.findByEntity(patchId);
      const endings = transitions.filter(({ to_state }) => ENDINGS.includes(to_state));
      expect(endings.length).toBeLessThanOrEqual(endings.some(({ to_state }) => to_state === 'ROLLED_BACK') ? 2 : 1);
      const { state, landed_commit } = await this.sluice.client.patches.get(patchId);
      expect([patchId, LANDED.includes(state)]).toEqual([patchId, trailers.includes(patchId)]);
      if (landed_commit !== null) expect(reachable).toContain(landed_commit);
    }
    await this.git.remove();
  }

  async #gateProcesses(): Promise<number[]> {
    const patches = await Promise.all([...this.#patches.keys()].map((name) => this.patch(name)));
    return (await Promise.all(patches.map(({ task_id }) => processesWithVariable(`SLUICE_TASK_ID=${task_id}`)))).flat();
  }

  /** Appends text to a file of the control folder, for rules to read. */
  async tell(file: string, text = ''): Promise<void> {
    await appendFile(join(this.control, file), text);
  }

  async told(file: string): Promise<string[]> {
    const names = await readdir(this.control);
    return names.includes(file) ? (await readFile(join(this.control, file), 'utf8')).split('\n') : [];
  }
}

const GATE = `
control="$1"
names=$(ls p | tr '\\n' ' ' | sed 's/ $//')
echo "\${names:-nothing}" >> "$control/runs"
while [ -e "$control/hold" ]; do sleep 0.03; done
. "$control/rule.sh"
`;
