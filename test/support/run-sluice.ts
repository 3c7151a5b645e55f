import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { ApiRole } from '../../src/api/api-role.ts';
import { SluiceClient } from '../../src/client/sluice-client.ts';
import { loadSettings, type Settings } from '../../src/config.ts';
import { type ConfigFileInput, configSchema } from '../../src/contract/config-schema.ts';
import type { ExpandedRunObject, PatchObject, TaskObject } from '../../src/contract/objects.ts';
import type { RunSpecInput } from '../../src/contract/run-spec.ts';
import { createDeps, type Deps, foundation } from '../../src/deps.ts';
import { type Component, startAll } from '../../src/lib/component.ts';
import { createLog, type Log } from '../../src/lib/log.ts';
import { createSchedulerRole } from '../../src/scheduler/scheduler-role.ts';
import { createWorkerRole, type WorkerOptions } from '../../src/workers/worker-role.ts';
import { atTheEnd } from './clean-up.ts';
import { cloneTemplate } from './database.ts';
import { eventually } from './eventually.ts';

export interface RunningSluice {
  client: SluiceClient;
  deps: Deps;
  url: string;
  /** A token of scope admin. */
  token: string;
  settings: Settings;
  workerIds: string[];
  /** Submits a run, waits for its end, and returns it with everything expanded. */
  finish(spec: RunSpecInput): Promise<FinishedRun>;
  whole(runId: string): Promise<FinishedRun>;
  stop(): Promise<void>;
}

export interface FinishedRun {
  run: ExpandedRunObject;
  task(name: string): TaskObject;
  /** The newest patch of a task. */
  patch(name: string): PatchObject | undefined;
}

export interface SluiceOptions {
  config?: ConfigFileInput | undefined;
  redisUrl?: string | undefined;
  databaseUrl?: string | undefined;
  workers?: Partial<WorkerOptions>[];
  /** False: no scheduler runs in this process, so it dispatches and lands nothing. */
  scheduler?: boolean;
  dataDir?: string | undefined;
  environment?: Record<string, string>;
}

const WORKER: WorkerOptions = { pools: ['default'], taskSlots: 3, gateSlots: 2, drainMs: 5_000 };

/** Starts the daemon in this process: API on a free port, scheduler, workers. It stops at the end of the test file. */
export async function startSluice(options: SluiceOptions = {}): Promise<RunningSluice> {
  const databaseUrl = options.databaseUrl ?? (await cloneTemplate());
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'sluice-test-data-')));
  const file = configSchema.parse({ allow_any_repository: true, allow_commands: true, ...options.config });
  const environment = { PATH: process.env.PATH, ...options.environment };
  const settings = {
    ...(await loadSettings(environment, { dataDir, port: 0 }, dataDir)),
    file,
    redisUrl: options.redisUrl,
  };
  const undeclared: string[] = [];
  const level = process.env.LOG_LEVEL;
  const log = level === undefined ? listeningLog(undeclared) : createLog({ level, terminal: false });
  const deps = createDeps(settings, log, databaseUrl);
  const api = new ApiRole(deps, 'test');
  const workers = (options.workers ?? [{}]).map((given) => createWorkerRole(deps, { ...WORKER, ...given }));
  const components: Component[] = [
    ...foundation(deps, { migrate: false }),
    api,
    ...(options.scheduler === false ? [] : createSchedulerRole(deps)),
    ...workers.flatMap((worker) => worker.components),
  ];
  const stopAll = await startAll(components);
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= stopAll()
      .then(() => rm(dataDir, { recursive: true, force: true }))
      .then(() => {
        if (undeclared.length > 0) throw new Error(`the description of the API lacks problems: ${undeclared.join('')}`);
      });
    return stopped;
  };
  atTheEnd(stop);
  const client = new SluiceClient({ url: api.url, token: api.localToken });
  const whole = async (runId: string) =>
    finished(await client.runs.get(runId, { expand: ['workstreams', 'tasks', 'patches', 'gates'] }));
  return {
    client,
    deps,
    url: api.url,
    token: api.localToken,
    settings,
    workerIds: workers.map(({ workerId }) => workerId),
    whole,
    finish: async (spec) => {
      const { id } = await client.runs.submit(spec);
      await eventually(`the end of ${spec.name}`, async () =>
        ['COMPLETED', 'FAILED'].includes((await client.runs.get(id)).state),
      );
      return whole(id);
    },
    stop,
  };
}

/** A log that keeps only what is said of problems that the description of a route does not name. */
function listeningLog(undeclared: string[]): Log {
  const write = (line: string): void => {
    if (line.includes('api.undeclared_problem')) undeclared.push(line);
  };
  return pino({ level: 'error' }, { write });
}

function finished(run: ExpandedRunObject): FinishedRun {
  const task = (name: string): TaskObject => {
    const found = run.tasks?.find((candidate) => candidate.name === name);
    if (found === undefined) throw new Error(`the run has no task ${name}`);
    return found;
  };
  return { run, task, patch: (name) => run.patches?.findLast(({ task_id }) => task_id === task(name).id) };
}

/** A run spec of one workstream. */
export function specOf(
  repository: string,
  tasks: RunSpecInput['workstreams'][number]['tasks'],
  more: Partial<RunSpecInput> = {},
): RunSpecInput {
  return { name: 'test', repository, workstreams: [{ name: 'work', tasks }], ...more };
}

/** A task that runs a shell script in its slot. */
export function shell(name: string, script: string, more: object = {}) {
  return { name, tool: 'command', input: { argv: ['sh', '-c', script] }, max_retries: 0, ...more };
}
