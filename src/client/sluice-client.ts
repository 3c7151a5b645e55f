import type {
  AuditObject,
  EventObject,
  ExplanationObject,
  LogObject,
  Page,
  PrunedRuns,
  QueuedTargetObject,
  RepositoryCheckObject,
  RepositoryObject,
  StatsObject,
  SubmittedPatch,
  TargetCheckObject,
  ToolObject,
  WaitedPatch,
  WaitedRun,
} from '../contract/answers.ts';
import type {
  BreakerObject,
  DeliveryObject,
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
import type {
  DeliveryOutcome,
  GateState,
  Outcome,
  PatchState,
  RunState,
  TaskState,
  WorkerState,
} from '../contract/states.ts';
import { actionsOf, type WithActions } from './actions.ts';
import { type Bytes, type ClientOptions, Http } from './http.ts';
import { type LogOptions, Reads, type WaitOptions } from './reads.ts';

export type * from '../contract/answers.ts';
export { type ErrorCode, SluiceError } from '../contract/errors.ts';
export type * from '../contract/objects.ts';
export type { ListOptions, LogOptions, WaitOptions } from './reads.ts';

export type Expansion = 'workstreams' | 'tasks' | 'patches' | 'gates';
export interface SubmitOptions {
  /** The same key and content return the same run. */
  idempotencyKey?: string | undefined;
}
const ENDED = ['COMPLETED', 'FAILED'];
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
  readonly repositories: RepositoryReads;
  readonly deliveries: DeliveryReads;
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
    this.repositories = new RepositoryReads(http);
    this.deliveries = new DeliveryReads(http);
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

class RunReads extends Reads<RunObject, RunObject, { state?: RunState; outcome?: Outcome; label?: string }> {
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

  /** Deletes all runs that ended so many days ago, batch by batch. Returns their number. */
  async prune({ olderThanDays }: { olderThanDays: number }): Promise<number> {
    let deleted = 0;
    for (let more = true; more; ) {
      const body = { older_than_days: olderThanDays };
      const pruned: PrunedRuns = await this.http.json('/v1/runs/prune', { method: 'POST', body });
      deleted += pruned.deleted;
      more = pruned.more;
    }
    return deleted;
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

  diff(id: string): Promise<Bytes> {
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

class RepositoryReads extends Reads<never, RepositoryObject, object> {
  constructor(http: Http) {
    super(http, 'repositories');
  }

  /** Returns whether the daemon can read the repository now, with its credentials. */
  check(id: string): Promise<RepositoryCheckObject> {
    return this.http.json(this.pathOf(id, '/check'));
  }
}

class WorkerReads extends Reads<WorkerObject, WorkerObject, { state?: WorkerState }> {
  constructor(http: Http) {
    super(http, 'workers');
  }
}

/** Events that webhooks were told, or will be. */
class DeliveryReads extends Reads<never, DeliveryObject, { webhook?: string; outcome?: DeliveryOutcome }> {
  constructor(http: Http) {
    super(http, 'webhooks/deliveries');
  }

  /** Sends a delivery again, with the same id and body. */
  replay(id: string): Promise<DeliveryObject> {
    return this.http.json(this.pathOf(id, '/replay'), { method: 'POST' });
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
