import { type ChildProcess, spawn } from 'node:child_process';
import { ownStreamsOnly } from './inherited-descriptors.ts';
import { NotTried } from './small-process.ts';
import type { SpawnedChild } from './spawned-child.ts';
import { spawner } from './spawner.ts';

export interface ChildSpec {
  argv: readonly string[];
  cwd: string;
  /** The whole environment of the child, which inherits nothing. */
  env: Readonly<Record<string, string>>;
  stdin?: string | Buffer | undefined;
  timeoutMs: number;
  /** Ends the child when it prints nothing for this long and `isActive` is not true. */
  idleTimeoutMs?: number | undefined;
  /** Called when the idle timeout expires; true grants another idle period, because the child works without output. */
  isActive?: (() => Promise<boolean>) | undefined;
  /** Time between SIGTERM and SIGKILL. */
  graceMs?: number;
  /** Bytes of each stream that are kept in memory; the rest is read and dropped. */
  maxCapturedBytes?: number;
  /** The end of a longer output that is kept; the head by default. */
  keep?: 'head' | 'tail';
  signal?: AbortSignal | undefined;
  onOutput?: (stream: 'stdout' | 'stderr', chunk: Buffer) => void;
  /** Called with the id of the process group before any output is read. If it throws, the child is killed. */
  onSpawn?: (groupId: number) => void;
}

/** The first cause wins: a child that exits with 0 while it is being killed for a timeout counts as timed out. */
export type ChildEnding =
  | { kind: 'exited'; exitCode: number }
  | { kind: 'signalled'; signal: NodeJS.Signals }
  | { kind: 'timeout'; limit: 'run' | 'idle' }
  | { kind: 'aborted'; cause: unknown }
  | { kind: 'not_started'; code: string; message: string };

export interface ChildResult {
  ending: ChildEnding;
  durationMs: number;
  stdout: Buffer;
  stderr: Buffer;
  /** True when a stream printed more than was kept. */
  truncated: boolean;
}

const DEFAULT_GRACE_MS = 1_000;
const DEFAULT_CAPTURE_BYTES = 1024 * 1024;
/** A grandchild that left the group may hold a pipe open; the wait for its output ends after this time. */
const CLOSE_LIMIT_MS = 500;
/** After a timeout or an abort the remaining output matters less, so the wait is shorter. */
const ENDED_CLOSE_LIMIT_MS = 100;

/**
 * Runs one child as the leader of its own process group and resolves when the child has exited and the group was
 * killed. Never rejects: the ending is a value.
 */
export async function runChild(spec: ChildSpec): Promise<ChildResult> {
  const startedAt = performance.now();
  const capture = new Capture(spec.maxCapturedBytes ?? DEFAULT_CAPTURE_BYTES, spec.keep ?? 'head');
  const result = (ending: ChildEnding): ChildResult => ({
    ending,
    durationMs: performance.now() - startedAt,
    ...capture.taken(),
  });
  if (spec.signal?.aborted) return result({ kind: 'aborted', cause: spec.signal.reason });
  let child: ChildProcess | SpawnedChild;
  try {
    const elsewhere = spawner.isReady ? await spawnElsewhere(spec) : undefined;
    // Without an await after it: a child that cannot start says so in this turn of the event loop.
    child = elsewhere ?? spawnHere(spec);
  } catch (error) {
    return result(notStarted(error));
  }
  if (child.pid !== undefined) {
    liveGroups.add(child.pid);
    try {
      spec.onSpawn?.(child.pid);
    } catch (error) {
      // A process that could not be recorded could not be ended after a crash, so it must not run.
      signalGroup(child.pid, 'SIGKILL');
      await superviseChild(child, spec, capture);
      return result(notStarted(error));
    }
  }
  return result(await superviseChild(child, spec, capture));
}

/** Returns undefined when the small process could not try. */
async function spawnElsewhere(spec: ChildSpec): Promise<SpawnedChild | undefined> {
  try {
    return await spawner.spawn(spec);
  } catch (error) {
    if (error instanceof NotTried) return undefined;
    throw error;
  }
}

function spawnHere({ argv, cwd, env }: ChildSpec): ChildProcess {
  return spawn(argv[0]!, argv.slice(1), {
    cwd,
    env,
    detached: true,
    stdio: ownStreamsOnly(['pipe', 'pipe', 'pipe']),
  });
}

function superviseChild(child: ChildProcess | SpawnedChild, spec: ChildSpec, capture: Capture): Promise<ChildEnding> {
  return new Promise((resolve) => {
    let ending: ChildEnding | undefined;
    let exited = false;
    const timers = new Set<NodeJS.Timeout>();
    const after = (ms: number, act: () => void): NodeJS.Timeout => {
      const timer = setTimeout(act, ms);
      timers.add(timer);
      return timer;
    };
    const end = (cause: ChildEnding): void => {
      if (ending !== undefined) return;
      ending = cause;
      signalGroup(child.pid, 'SIGTERM');
      after(spec.graceMs ?? DEFAULT_GRACE_MS, () => signalGroup(child.pid, 'SIGKILL'));
    };
    const onAbort = (): void => end({ kind: 'aborted', cause: spec.signal?.reason });
    let settled = false;
    const finish = (final: ChildEnding): void => {
      if (settled) return;
      settled = true;
      for (const timer of timers) clearTimeout(timer);
      spec.signal?.removeEventListener('abort', onAbort);
      signalGroup(child.pid, 'SIGKILL');
      if (child.pid !== undefined) liveGroups.delete(child.pid);
      child.stdout?.destroy();
      child.stderr?.destroy();
      resolve(final);
    };

    after(spec.timeoutMs, () => end({ kind: 'timeout', limit: 'run' }));
    let lastOutputAt = 0;
    let idle = spec.idleTimeoutMs === undefined ? undefined : after(spec.idleTimeoutMs, onIdle);
    async function onIdle(): Promise<void> {
      const askedAt = performance.now();
      const active = await spec.isActive?.().catch(() => false);
      if (settled || exited) return;
      // Output that arrived during the check has restarted the idle timer.
      if (lastOutputAt > askedAt) return;
      if (active) idle = after(spec.idleTimeoutMs!, onIdle);
      else end({ kind: 'timeout', limit: 'idle' });
    }
    const onChunk = (stream: 'stdout' | 'stderr') => (chunk: Buffer) => {
      lastOutputAt = performance.now();
      if (idle !== undefined && !exited) idle = idle.refresh();
      capture.add(stream, chunk);
      spec.onOutput?.(stream, chunk);
    };
    child.stdout?.on('data', onChunk('stdout'));
    child.stderr?.on('data', onChunk('stderr'));
    // A child that does not read its input closes the pipe early, which is no fault.
    child.stdin?.on('error', () => {});
    child.stdin?.end(spec.stdin ?? '');
    // A stream of the spawner was paused while it was handed over.
    child.stdout?.resume();
    child.stderr?.resume();
    spec.signal?.addEventListener('abort', onAbort, { once: true });
    if (spec.signal?.aborted) onAbort();

    let byItself: ChildEnding = { kind: 'exited', exitCode: 0 };
    child.once('error', (error) => finish(notStarted(error)));
    child.once('exit', (code, signal) => {
      exited = true;
      byItself = signal === null ? { kind: 'exited', exitCode: code ?? 0 } : { kind: 'signalled', signal };
      // Kills the processes that the leader left in its group.
      signalGroup(child.pid, 'SIGKILL');
      after(ending === undefined ? CLOSE_LIMIT_MS : ENDED_CLOSE_LIMIT_MS, () => finish(ending ?? byItself));
    });
    child.once('close', () => finish(ending ?? byItself));
  });
}

/** Groups that this process started and that still run. */
const liveGroups = new Set<number>();

/** Kills all children when this process must exit at once. Synchronous, so that it also works in an exit handler. */
export function killLiveGroups(): void {
  for (const groupId of liveGroups) signalGroup(groupId, 'SIGKILL');
}

/** Signals a whole process group; a group that has ended is no error. */
export function signalGroup(groupId: number | undefined, signal: NodeJS.Signals): void {
  if (groupId === undefined) return;
  try {
    process.kill(-groupId, signal);
  } catch {
    // ESRCH: the group has ended.
  }
}

function notStarted(error: unknown): ChildEnding {
  const { code, message } = error as NodeJS.ErrnoException;
  return { kind: 'not_started', code: code ?? 'UNKNOWN', message };
}

class Capture {
  readonly #chunks = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  readonly #sizes = { stdout: 0, stderr: 0 };
  readonly #maxBytes: number;
  readonly #keep: 'head' | 'tail';
  #truncated = false;

  constructor(maxBytes: number, keep: 'head' | 'tail') {
    this.#maxBytes = maxBytes;
    this.#keep = keep;
  }

  add(stream: 'stdout' | 'stderr', chunk: Buffer): void {
    const room = this.#maxBytes - this.#sizes[stream];
    if (chunk.length > room) this.#truncated = true;
    const kept = this.#keep === 'tail' ? chunk : chunk.subarray(0, Math.max(0, room));
    if (kept.length === 0) return;
    this.#chunks[stream].push(kept);
    this.#sizes[stream] += kept.length;
    if (this.#keep === 'tail') this.#dropHead(stream);
  }

  taken(): Pick<ChildResult, 'stdout' | 'stderr' | 'truncated'> {
    const whole = (stream: 'stdout' | 'stderr'): Buffer =>
      Buffer.concat(this.#chunks[stream]).subarray(-this.#maxBytes);
    return { stdout: whole('stdout'), stderr: whole('stderr'), truncated: this.#truncated };
  }

  /** Drops whole chunks that the tail no longer needs. */
  #dropHead(stream: 'stdout' | 'stderr'): void {
    const chunks = this.#chunks[stream];
    while (this.#sizes[stream] - (chunks[0]?.length ?? 0) >= this.#maxBytes)
      this.#sizes[stream] -= chunks.shift()!.length;
  }
}
