import type {
  AuditObject,
  EventObject,
  ExplanationObject,
  LogObject,
  Page,
  QueuedTargetObject,
  StatsObject,
  SubmittedPatch,
  TargetCheckObject,
  ToolObject,
  WaitedPatch,
  WaitedRun,
} from '../contract/answers.ts';
import type {
  BreakerObject,
  ExpandedRunObject,
  GateObject,
  PatchObject,
  RunObject,
  TargetObject,
  TaskObject,
  WholeTaskObject,
  WorkerObject,
} from '../contract/objects.ts';
import type { SubmitPatch } from '../contract/patch-input.ts';
import type { RunSpecInput } from '../contract/run-spec.ts';
import type { GateState, PatchState, RunState, TaskState, WorkerState } from '../contract/states.ts';
import { actionsOf, type WithActions } from './actions.ts';
import { type ClientOptions, Http } from './http.ts';

export type * from '../contract/answers.ts';
export { type ErrorCode, SluiceError } from '../contract/errors.ts';
export type * from '../contract/objects.ts';

export type Expansion = 'workstreams' | 'tasks' | 'patches' | 'gates';
export interface SubmitOptions {
  /** The same key and content return the same run. */
  idempotencyKey?: string | undefined;
}
export interface ListOptions {
  limit?: number | undefined;
  cursor?: string | undefined;
}
export interface LogOptions {
  follow?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

export interface WaitOptions {
  /** For ever by default. */
  timeoutSeconds?: number | undefined;
  signal?: AbortSignal | undefined;
}

const ENDED = ['COMPLETED', 'FAILED'];
/** Longest wait of one request. */
const WAIT_AT_ONCE_SECONDS = 30;

/**
 * A client of one daemon. Errors are SluiceError with the codes of the API. Each collection has its reads and the actions
 * of `contract/actions.ts`: `runs.cancel(id, { reason })`, `patches.approve(id, { reason })`.
 */
export class SluiceClient {
  readonly runs: WithActions<'runs', RunReads>;
  readonly tasks: WithActions<'tasks', TaskReads>;
  readonly patches: WithActions<'patches', PatchReads>;
  readonly targets: WithActions<'targets', TargetReads>;
  readonly workers: WithActions<'workers', WorkerReads>;
  readonly breakers: WithActions<'breakers', BreakerReads>;
  readonly gates: GateReads;
  readonly #http: Http;

  constructor(options: ClientOptions) {
    const http = new Http(options);
    this.#http = http;
    this.runs = Object.assign(new RunReads(http), actionsOf(http, 'runs'));
    this.tasks = Object.assign(new TaskReads(http), actionsOf(http, 'tasks'));
    this.patches = Object.assign(new PatchReads(http), actionsOf(http, 'patches'));
    this.targets = Object.assign(new TargetReads(http), actionsOf(http, 'targets'));
    this.workers = Object.assign(new WorkerReads(http), actionsOf(http, 'workers'));
    this.breakers = Object.assign(new BreakerReads(http), actionsOf(http, 'breakers'));
    this.gates = new GateReads(http);
  }

  tools(): Promise<Page<ToolObject>> {
    return this.#http.json('/v1/tools');
  }

  /** Explains why a run, workstream, task, patch, gate, worker, target or tool is in its state. */
  explain(id: string): Promise<ExplanationObject> {
    return this.#http.json(`/v1/explain/${encodeURIComponent(id)}`);
  }

  stats(options: { windowSeconds?: number } = {}): Promise<StatsObject> {
    return this.#http.json('/v1/stats', { query: { window_seconds: options.windowSeconds } });
  }

  /** Yields the state transitions of all objects after `after`, in commit order, until `signal` aborts. */
  async *events(
    options: { after?: string | undefined; signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<EventObject> {
    const { after, signal } = options;
    for await (const { data } of this.#http.stream('/v1/events', { query: { after }, signal }))
      yield data as EventObject;
  }
}

/** Reads of one collection. */
class Reads<Whole, Listed, Filter extends object> {
  protected readonly http: Http;
  readonly #path: string;

  constructor(http: Http, collection: string) {
    this.http = http;
    this.#path = `/v1/${collection}`;
  }

  get(id: string): Promise<Whole> {
    return this.http.json(this.pathOf(id));
  }

  /** Returns one page. Targets and breakers come ordered by id, all other objects newest first. */
  list(options: ListOptions & Filter = {} as Filter): Promise<Page<Listed>> {
    return this.http.json(this.#path, { query: { ...(options as Record<string, string | number | undefined>) } });
  }

  /** Yields every object that matches, page after page. */
  async *all(options: Omit<ListOptions, 'cursor'> & Filter = {} as Filter): AsyncGenerator<Listed, void, undefined> {
    let cursor: string | undefined;
    do {
      const page: Page<Listed> = await this.list({ ...options, cursor } as ListOptions & Filter);
      yield* page.items;
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
  }

  protected pathOf(id: string, below = ''): string {
    return `${this.#path}/${encodeURIComponent(id)}${below}`;
  }

  /** Asks again until the object has ended, or `timeoutSeconds` are over; each request waits at the daemon. */
  protected async untilEnded<Waited extends { ended: boolean }>(id: string, options: WaitOptions): Promise<Waited> {
    const { timeoutSeconds = Number.POSITIVE_INFINITY, signal } = options;
    const endsAt = performance.now() + 1_000 * timeoutSeconds;
    while (true) {
      const left = Math.ceil((endsAt - performance.now()) / 1_000);
      const query = { timeout_seconds: Math.max(0, Math.min(WAIT_AT_ONCE_SECONDS, left)) };
      const waited: Waited = await this.http.json(this.pathOf(id, '/wait'), { query, signal });
      if (waited.ended || performance.now() >= endsAt) return waited;
    }
  }

  protected async *readLogs(id: string, { follow = false, signal }: LogOptions): AsyncGenerator<LogObject> {
    const path = this.pathOf(id, '/logs');
    if (follow) {
      for await (const { data } of this.http.stream(path, { query: { follow: true }, signal })) yield data as LogObject;
      return;
    }
    let after: string | null = '0';
    while (after !== null) {
      const page: Page<LogObject> = await this.http.json(path, { query: { after }, signal });
      yield* page.items;
      after = page.next_cursor;
    }
  }
}

class RunReads extends Reads<RunObject, RunObject, { state?: RunState; label?: string }> {
  constructor(http: Http) {
    super(http, 'runs');
  }

  submit(spec: RunSpecInput, options: SubmitOptions = {}): Promise<RunObject> {
    return this.http.json('/v1/runs', { method: 'POST', body: spec, headers: keyHeader(options) });
  }

  /** Throws `spec.invalid` with every problem; submits nothing. */
  validate(spec: unknown): Promise<{ valid: true }> {
    return this.http.json('/v1/runs', { method: 'POST', body: spec, query: { dry_run: true } });
  }

  override get(id: string, options: { expand?: readonly Expansion[] } = {}): Promise<ExpandedRunObject> {
    return this.http.json(this.pathOf(id), { query: { expand: options.expand?.join(',') } });
  }

  /** Resolves when the run has ended, or with its state after `timeoutSeconds`. */
  async wait(id: string, options: WaitOptions = {}): Promise<RunObject> {
    return (await this.untilEnded<WaitedRun>(id, options)).run;
  }

  async delete(id: string): Promise<void> {
    await this.http.json(this.pathOf(id), { method: 'DELETE' });
  }

  /**
   * Yields the state transitions of a run from its start, in commit order, until it has ended. Reconnects by itself.
   */
  async *watch(id: string, options: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<EventObject> {
    for await (const { data } of this.http.stream(this.pathOf(id, '/events'), options)) {
      const event = data as EventObject;
      yield event;
      if (event.kind === 'run' && ENDED.includes(event.to_state)) return;
    }
  }
}

class TaskReads extends Reads<WholeTaskObject, TaskObject, { run?: string; state?: TaskState; tool?: string }> {
  constructor(http: Http) {
    super(http, 'tasks');
  }

  /** Yields the output of the tool. With `follow`, ends only when the task has ended. */
  logs(id: string, options: LogOptions = {}): AsyncGenerator<LogObject> {
    return this.readLogs(id, options);
  }
}

class PatchReads extends Reads<PatchObject, PatchObject, { run?: string; task?: string; state?: PatchState }> {
  constructor(http: Http) {
    super(http, 'patches');
  }

  submit(
    patch: Partial<SubmitPatch> & Pick<SubmitPatch, 'repository' | 'input'>,
    options: SubmitOptions = {},
  ): Promise<SubmittedPatch> {
    return this.http.json('/v1/patches', { method: 'POST', body: patch, headers: keyHeader(options) });
  }

  /** Resolves when the patch has landed or was stopped, or with its state after `timeoutSeconds`. */
  async wait(id: string, options: WaitOptions = {}): Promise<PatchObject> {
    return (await this.untilEnded<WaitedPatch>(id, options)).patch;
  }

  diff(id: string): Promise<Buffer> {
    return this.http.bytes(this.pathOf(id, '/diff'));
  }
}

interface GateFilter {
  run?: string;
  task?: string;
  /** Executions whose candidate held this patch. */
  patch?: string;
  target?: string;
  state?: GateState;
}

class GateReads extends Reads<GateObject, GateObject, GateFilter> {
  constructor(http: Http) {
    super(http, 'gates');
  }

  logs(id: string, options: LogOptions = {}): AsyncGenerator<LogObject> {
    return this.readLogs(id, options);
  }
}

/** `get` includes the landing queue. */
class TargetReads extends Reads<QueuedTargetObject, TargetObject, object> {
  constructor(http: Http) {
    super(http, 'targets');
  }

  /** Forgets a target that no run is for. */
  async delete(id: string): Promise<void> {
    await this.http.json(this.pathOf(id), { method: 'DELETE' });
  }

  /** Checks every commit that Sluice landed on the target. */
  audit(id: string): Promise<AuditObject> {
    return this.http.json(this.pathOf(id, '/audit'));
  }

  /** Returns likely mistakes in the policy of the target. */
  check(id: string): Promise<TargetCheckObject> {
    return this.http.json(this.pathOf(id, '/check'));
  }
}

class WorkerReads extends Reads<WorkerObject, WorkerObject, { state?: WorkerState }> {
  constructor(http: Http) {
    super(http, 'workers');
  }
}

/** One breaker for each declared tool; its id in paths is the tool's name. */
class BreakerReads extends Reads<BreakerObject, BreakerObject, object> {
  constructor(http: Http) {
    super(http, 'breakers');
  }
}

function keyHeader({ idempotencyKey }: SubmitOptions): Record<string, string> {
  return idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey };
}
