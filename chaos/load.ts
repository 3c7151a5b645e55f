import { SluiceError } from '../src/contract/errors.ts';
import type { RunSpecInput } from '../src/contract/run-spec.ts';
import { sleep } from '../src/lib/clock.ts';
import type { World } from './world.ts';

type Task = RunSpecInput['workstreams'][number]['tasks'][number];

/** The required end of a task. */
export interface Expected {
  runId: string;
  task: string;
  state: 'COMPLETED' | 'FAILED' | 'CANCELLED';
  /** The file that the task puts on the branch; null: none. */
  file: string | null;
}

/** Runs are submitted while fewer tasks are live. More keep two cores so busy that recoveries measure the machine. */
const BACKLOG = 6;
const LOOK_EVERY_MS = 250;

/** Submits runs of short real tasks until `stop`, and records the required end of each task. */
export class Load {
  readonly expected: Expected[] = [];
  /** True after an error ended the submissions; `stop` rejects with it. */
  failed = false;
  readonly #world: World;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #count = 0;

  constructor(world: World) {
    this.#world = world;
  }

  get tasks(): number {
    return this.expected.length;
  }

  start(): void {
    this.#running ??= this.#loop();
    // `stop` rejects with the error.
    this.#running.catch(() => {
      this.failed = true;
    });
  }

  /** Resolves when no more runs are submitted. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #loop(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const live = await this.#world.daos.tasks
        .count({ state: { $nin: ['COMPLETED', 'FAILED', 'CANCELLED'] } })
        .catch(() => BACKLOG);
      if (live < BACKLOG) await this.submit();
      else await sleep(LOOK_EVERY_MS, this.#stop.signal);
    }
  }

  /** Submits under an idempotency key, so that a retry after a lost response never makes a second run. */
  async submit(): Promise<void> {
    this.#count += 1;
    const name = `run-${this.#count}`;
    const { tasks, expected } = makeTasks(this.#count, this.#world);
    const spec: RunSpecInput = {
      name,
      repository: 'app',
      workstreams: tasks.map((chain, n) => ({ name: `w${n}`, critical: false, tasks: chain })),
    };
    while (!this.#stop.signal.aborted) {
      try {
        const { id } = await this.#world.client.runs.submit(spec, { idempotencyKey: name });
        this.expected.push(...expected.map((each) => ({ runId: id, ...each })));
        return;
      } catch (error) {
        // A 4xx response is a bug of the harness; every other error is transient.
        if (error instanceof SluiceError && error.httpStatus < 500) throw error;
        await sleep(100);
      }
    }
  }
}

/**
 * Makes one task of each kind: a change by a tool, a pair with a dependency, a ready-made patch, a patch that the gate
 * rejects, a task that changes nothing and leaves a child which only Sluice ends, and a tool that fails at first.
 * Changes append to files, so that a repeated change shows as a second line.
 */
function makeTasks(n: number, { random }: World): { tasks: Task[][]; expected: Omit<Expected, 'runId'>[] } {
  const shell = (name: string, script: string, more: object = {}): Task => ({
    name,
    tool: 'command',
    input: { argv: ['sh', '-c', script] },
    max_retries: 3,
    message: name,
    ...more,
  });
  const pause = random.between(0.05, 0.6).toFixed(2);
  const patch = (name: string, file: string): Task => ({
    name,
    tool: 'patch',
    input: { format: 'inline', files: [{ path: file, content: `${name}\n` }] },
    message: name,
  });
  const file = (kind: string): string => `f/${kind}-${n}`;
  const tasks = [
    [shell('change', `sleep ${pause}; echo ${n} >> ${file('change')}`)],
    [
      shell('first', `echo ${n} >> ${file('first')}`),
      shell('second', `cat ${file('first')} >> ${file('second')}`, { depends_on: ['first'] }),
    ],
    [patch('ready', file('ready'))],
    [patch('breaks', file('bad'))],
    [shell('nothing', `setsid sleep 900 >/dev/null 2>&1 & sleep ${pause}`)],
    [
      {
        name: 'flaky',
        tool: 'flaky',
        input: { script: `test "$SLUICE_ATTEMPT" -gt 1 || exit 1; echo ${n} >> ${file('flaky')}` },
        max_retries: 20,
        message: 'flaky',
      },
    ],
  ];
  const completed = { state: 'COMPLETED' } as const;
  return {
    tasks,
    expected: [
      { task: 'change', file: file('change'), ...completed },
      { task: 'first', file: file('first'), ...completed },
      { task: 'second', file: file('second'), ...completed },
      { task: 'ready', file: file('ready'), ...completed },
      { task: 'breaks', file: null, state: 'FAILED' },
      { task: 'nothing', file: null, ...completed },
      { task: 'flaky', file: file('flaky'), ...completed },
    ],
  };
}
