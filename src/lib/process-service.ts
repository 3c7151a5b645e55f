import { type ChildProcess, spawn } from 'node:child_process';

export interface ServiceSpec {
  argv: readonly string[];
  cwd: string;
  env: Readonly<Record<string, string>>;
  onLine: (line: string) => void;
}

export interface Service {
  readonly pid: number;
  /** Resolves when the process has ended, with the signal or exit code as text. */
  readonly ended: Promise<string>;
  /** Sends `signal`, waits up to `limitMs`, then kills. Resolves when the process is gone. */
  end(signal: NodeJS.Signals, limitMs: number): Promise<void>;
}

/** Starts a long-running program, for example a database server. Rejects when it cannot be started. */
export async function startService(spec: ServiceSpec): Promise<Service> {
  const child = spawn(spec.argv[0]!, spec.argv.slice(1), {
    cwd: spec.cwd,
    env: spec.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? `exit ${code}`));
  });
  for (const stream of [child.stdout, child.stderr]) readLines(stream!, spec.onLine);
  return { pid: child.pid!, ended, end: (signal, limitMs) => endChild(child, ended, signal, limitMs) };
}

async function endChild(
  child: ChildProcess,
  ended: Promise<string>,
  signal: NodeJS.Signals,
  limitMs: number,
): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), limitMs);
  await ended;
  clearTimeout(timer);
}

function readLines(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  });
  stream.on('end', () => {
    if (rest !== '') onLine(rest);
  });
}
