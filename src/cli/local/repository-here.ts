import { holdsNoPassword } from '../../contract/config-schema.ts';
import { SluiceError } from '../../contract/errors.ts';
import type { Git } from '../../git/run-git.ts';

/** Returns a function that asks git about the repository that holds `here`. It throws `usage.invalid` when git refuses. */
export function questionsAt(git: Git, here: string): (...args: string[]) => Promise<string> {
  return async (...args) => {
    const { exitCode, stdout, stderr } = await git.ask({ args: ['-C', here, ...args] });
    if (exitCode === 0) return stdout.toString('utf8').trimEnd();
    throw new SluiceError('usage.invalid', `no git repository with a commit here: ${stderr}`);
  };
}

/**
 * Returns the address of `origin` without a user and a password: git may hold a token there, and neither the
 * configuration nor a report may. Undefined when there is no such remote.
 */
export async function originOf(git: Git, here: string): Promise<{ url: string; hadSecret: boolean } | undefined> {
  const { exitCode, stdout } = await git.ask({ args: ['-C', here, 'remote', 'get-url', 'origin'] });
  if (exitCode !== 0) return undefined;
  const remote = stdout.toString('utf8').trim();
  if (holdsNoPassword(remote)) return { url: remote, hadSecret: false };
  const url = new URL(remote);
  url.username = '';
  url.password = '';
  return { url: url.href, hadSecret: true };
}
