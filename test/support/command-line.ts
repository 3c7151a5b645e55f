import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

export const SLUICE = join(import.meta.dirname, '../../bin/sluice.cjs');

/** Runs the `sluice` command to its end, as a user would; kills it after five minutes, longer than any test needs. */
export async function runSluice(
  args: readonly string[],
  { cwd, environment }: { cwd: string; environment: Record<string, string> },
): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [SLUICE, ...args], {
    cwd,
    env: { PATH: process.env.PATH, ...environment },
    timeout: 300_000,
    killSignal: 'SIGKILL',
  });
  child.stdin.end();
  const [stdout, stderr, [exitCode]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { exitCode: exitCode as number, stdout, stderr };
}
