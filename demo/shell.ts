import { runChild } from '../src/lib/process.ts';

/** Runs a program that must succeed and returns its standard output. */
export async function run(
  argv: readonly string[],
  { cwd, stdin, env = {} }: { cwd: string; stdin?: string | undefined; env?: Record<string, string> },
): Promise<string> {
  const { ending, stdout, stderr } = await runChild({
    argv,
    cwd,
    stdin,
    env: { ...(process.env as Record<string, string>), ...IDENTITY, ...env },
    timeoutMs: 120_000,
    maxCapturedBytes: 64 * 1024 * 1024,
  });
  if (ending.kind === 'exited' && ending.exitCode === 0) return stdout.toString('utf8');
  throw new Error(`${argv.join(' ')}: ${JSON.stringify(ending)}\n${stderr.toString('utf8')}`);
}

const IDENTITY = {
  GIT_AUTHOR_NAME: 'Demo',
  GIT_AUTHOR_EMAIL: 'demo@sluice.invalid',
  GIT_COMMITTER_NAME: 'Demo',
  GIT_COMMITTER_EMAIL: 'demo@sluice.invalid',
  GIT_CONFIG_GLOBAL: '/dev/null',
};
