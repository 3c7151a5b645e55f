import type { SubmitPatch } from '../contract/patch-input.ts';
import type { RunSpecInput } from '../contract/run-spec.ts';
import { type ClientOptions, Http } from './http.ts';
import type {
  AuditObject,
  BreakerObject,
  EventObject,
  ExplanationObject,
  GateObject,
  LogObject,
  Page,
  PatchObject,
  RunObject,
  StatsObject,
  TargetCheckObject,
  TargetObject,
  TaskObject,
  ToolObject,
  WorkerObject,
} from './objects.ts';

export type Expansion = 'workstreams' | 'tasks' | 'patches' | 'gates';
export interface SubmitOptions {
  /** The same key and the same content give the same run again. */
  idempotencyKey?: string;
}
export interface ListOptions {
  limit?: number;
  cursor?: string;
}

const ENDED = ['COMPLETED', 'FAILED'];

/** A client of one daemon. Errors are SluiceError with the codes of the API. */
export class SluiceClient {
  readonly runs: RunsClient;
  readonly tasks: TasksClient;
  readonly patches: PatchesClient;
  readonly gates: GatesClient;
  readonly #http: Http;

  constructor(options: ClientOptions) {
    this.#http = new Http(options);
    this.runs = new RunsClient(this.#http);
    this.tasks = new TasksClient(this.#http);
    this.patches = new PatchesClient(this.#http);
    this.gates = new GatesClient(this.#http);
  }

  workers(options: ListOptions & { state?: string } = {}): Promise<Page<WorkerObject>> {
    return this.#http.json('/v1/workers', { query: { ...options } });
  }

  /** The worker takes no more and stops when it is empty. */
  drainWorker(id: string, reason: string): Promise<WorkerObject> {
    return this.#http.json(`/v1/workers/${encodeURIComponent(id)}/drain`, { method: 'POST', body: { reason } });
  }

  tools(): Promise<Page<ToolObject>> {
    return this.#http.json('/v1/tools');
  }

  breakers(): Promise<Page<BreakerObject>> {
    return this.#http.json('/v1/breakers');
  }

  /** `trip` stops a tool for all until `reset`. */
  steerBreaker(tool: string, action: 'reset' | 'trip', reason: string): Promise<BreakerObject> {
    return this.#http.json(`/v1/breakers/${encodeURIComponent(tool)}/${action}`, { method: 'POST', body: { reason } });
  }

  /** Why a run, task, patch, gate, worker, target or tool is where it is. */
  explain(id: string): Promise<ExplanationObject> {
    return this.#http.json(`/v1/explain/${encodeURIComponent(id)}`);
  }

  stats(options: { windowSeconds?: number } = {}): Promise<StatsObject> {
    return this.#http.json('/v1/stats', { query: { window_seconds: options.windowSeconds } });
  }

  targets(): Promise<Page<TargetObject>> {
    return this.#http.json('/v1/targets');
  }

  /** Every commit that Sluice landed there, looked at again. */
  audit(id: string): Promise<AuditObject> {
    return this.#http.json(`/v1/targets/${encodeURIComponent(id)}/audit`);
  }

  /** What its policy probably does not mean. */
  checkTarget(id: string): Promise<TargetCheckObject> {
    return this.#http.json(`/v1/targets/${encodeURIComponent(id)}/check`);
  }

  /** With the patches that wait there, in landing order. */
  target(id: string): Promise<TargetObject> {
    return this.#http.json(`/v1/targets/${encodeURIComponent(id)}`);
  }

  /** `pause` stops landing, not testing; `resume` lets it go on after somebody has looked. */
  steerTarget(id: string, action: 'pause' | 'resume', reason: string): Promise<TargetObject> {
    return this.#http.json(`/v1/targets/${encodeURIComponent(id)}/${action}`, { method: 'POST', body: { reason } });
  }

  /** State transitions of everything from `after` on, in commit order, until `signal` aborts. */
  async *events(options: { after?: string; signal?: AbortSignal } = {}): AsyncGenerator<EventObject> {
    const { after, signal } = options;
    for await (const { data } of this.#http.stream('/v1/events', { query: { after }, signal }))
      yield data as EventObject;
  }
}

class RunsClient {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  submit(spec: RunSpecInput, options: SubmitOptions = {}): Promise<RunObject> {
    return this.#http.json('/v1/runs', { method: 'POST', body: spec, headers: keyHeader(options) });
  }

  /** Throws `spec.invalid` with every problem; submits nothing. */
  validate(spec: unknown): Promise<{ valid: true }> {
    return this.#http.json('/v1/runs', { method: 'POST', body: spec, query: { dry_run: true } });
  }

  get(id: string, options: { expand?: readonly Expansion[] } = {}): Promise<RunObject> {
    return this.#http.json(`/v1/runs/${encodeURIComponent(id)}`, { query: { expand: options.expand?.join(',') } });
  }

  list(options: ListOptions & { state?: string; label?: string } = {}): Promise<Page<RunObject>> {
    return this.#http.json('/v1/runs', { query: { ...options } });
  }

  pause(id: string, reason?: string): Promise<RunObject> {
    return this.#steer(id, 'pause', reason);
  }

  resume(id: string, reason?: string): Promise<RunObject> {
    return this.#steer(id, 'resume', reason);
  }

  cancel(id: string, reason?: string): Promise<RunObject> {
    return this.#steer(id, 'cancel', reason);
  }

  /** Its failed tasks again. */
  retry(id: string, reason: string): Promise<RunObject> {
    return this.#steer(id, 'retry', reason);
  }

  setBudget(id: string, order: { usd: number; reason: string }): Promise<RunObject> {
    return this.#http.json(`/v1/runs/${encodeURIComponent(id)}/budget`, { method: 'POST', body: order });
  }

  async delete(id: string): Promise<void> {
    await this.#http.json(`/v1/runs/${encodeURIComponent(id)}`, { method: 'DELETE' });
  }

  /** State transitions of the run from its beginning, in commit order, until it has ended. Survives lost connections. */
  async *watch(id: string, options: { signal?: AbortSignal } = {}): AsyncGenerator<EventObject> {
    const path = `/v1/runs/${encodeURIComponent(id)}/events`;
    for await (const { data } of this.#http.stream(path, options)) {
      const event = data as EventObject;
      yield event;
      if (event.kind === 'run' && ENDED.includes(event.to_state)) return;
    }
  }

  #steer(id: string, action: string, reason: string | undefined): Promise<RunObject> {
    return this.#http.json(`/v1/runs/${encodeURIComponent(id)}/${action}`, { method: 'POST', body: { reason } });
  }
}

class TasksClient {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  get(id: string): Promise<TaskObject> {
    return this.#http.json(`/v1/tasks/${encodeURIComponent(id)}`);
  }

  list(options: ListOptions & { run?: string; state?: string; tool?: string } = {}): Promise<Page<TaskObject>> {
    return this.#http.json('/v1/tasks', { query: { ...options } });
  }

  cancel(id: string, reason?: string): Promise<TaskObject> {
    return this.#http.json(`/v1/tasks/${encodeURIComponent(id)}/cancel`, { method: 'POST', body: { reason } });
  }

  /** One that failed or was cancelled runs again. */
  retry(id: string, reason: string): Promise<TaskObject> {
    return this.#http.json(`/v1/tasks/${encodeURIComponent(id)}/retry`, { method: 'POST', body: { reason } });
  }

  setBudget(id: string, order: { usd: number; reason: string }): Promise<TaskObject> {
    return this.#http.json(`/v1/tasks/${encodeURIComponent(id)}/budget`, { method: 'POST', body: order });
  }

  /** What the tool printed; with `follow` until the task has ended. */
  logs(id: string, options: LogOptions = {}): AsyncGenerator<LogObject> {
    return readLogs(this.#http, `/v1/tasks/${encodeURIComponent(id)}/logs`, options);
  }
}

class PatchesClient {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  submit(
    patch: Partial<SubmitPatch> & Pick<SubmitPatch, 'repository' | 'input'>,
    options: SubmitOptions = {},
  ): Promise<{ run: RunObject; task: TaskObject; patch: PatchObject }> {
    return this.#http.json('/v1/patches', { method: 'POST', body: patch, headers: keyHeader(options) });
  }

  get(id: string): Promise<PatchObject> {
    return this.#http.json(`/v1/patches/${encodeURIComponent(id)}`);
  }

  list(options: ListOptions & { run?: string; task?: string; state?: string } = {}): Promise<Page<PatchObject>> {
    return this.#http.json('/v1/patches', { query: { ...options } });
  }

  /** `approve`, `requeue` or `drop`; the reason is kept. */
  steer(id: string, action: 'approve' | 'requeue' | 'drop', reason: string): Promise<PatchObject> {
    return this.#http.json(`/v1/patches/${encodeURIComponent(id)}/${action}`, { method: 'POST', body: { reason } });
  }

  prioritize(id: string, order: { priority: number; reason: string }): Promise<PatchObject> {
    return this.#http.json(`/v1/patches/${encodeURIComponent(id)}/prioritize`, { method: 'POST', body: order });
  }

  /** The run that takes a landed patch back. */
  rollback(id: string, reason: string): Promise<RunObject> {
    return this.#http.json(`/v1/patches/${encodeURIComponent(id)}/rollback`, { method: 'POST', body: { reason } });
  }

  diff(id: string): Promise<Buffer> {
    return this.#http.bytes(`/v1/patches/${encodeURIComponent(id)}/diff`);
  }
}

class GatesClient {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  get(id: string): Promise<GateObject> {
    return this.#http.json(`/v1/gates/${encodeURIComponent(id)}`);
  }

  list(options: ListOptions & { run?: string; state?: string } = {}): Promise<Page<GateObject>> {
    return this.#http.json('/v1/gates', { query: { ...options } });
  }

  logs(id: string, options: LogOptions = {}): AsyncGenerator<LogObject> {
    return readLogs(this.#http, `/v1/gates/${encodeURIComponent(id)}/logs`, options);
  }
}

export interface LogOptions {
  follow?: boolean;
  signal?: AbortSignal;
}

async function* readLogs(http: Http, path: string, { follow = false, signal }: LogOptions): AsyncGenerator<LogObject> {
  if (follow) {
    for await (const { data } of http.stream(path, { query: { follow: true }, signal })) yield data as LogObject;
    return;
  }
  let after: string | null = '0';
  while (after !== null) {
    const page: Page<LogObject> = await http.json(path, { query: { after }, signal });
    yield* page.items;
    after = page.next_cursor;
  }
}

function keyHeader({ idempotencyKey }: SubmitOptions): Record<string, string> {
  return idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey };
}
