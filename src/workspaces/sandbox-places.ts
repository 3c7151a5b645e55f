import { realpathSync, statSync } from 'node:fs';
import { hiddenPrograms, type SandboxPlaces } from '../tools/sandbox.ts';
import type { Slot } from './slots.ts';

/** Where services listen (databases, container engines): who can open their sockets is not confined. Those there are. */
const SOCKETS = [
  '/run',
  '/var/run',
  '/var/lib/containerd',
  '/var/lib/docker',
  '/var/lib/lxd',
  '/var/lib/mysql',
  '/var/lib/postgresql',
  '/var/snap/lxd',
];
const NAME_SERVERS = '/etc/resolv.conf';

/**
 * A sandboxed child writes in its slot and nowhere else. Of the daemon's own folders (its data, its user's home) it sees its
 * slot, the objects that its repository borrows, and programs of the search path; of the machine's sockets, none in the places
 * where they usually are.
 */
export function sandboxPlaces(
  slot: Slot,
  {
    mirrorDir,
    dataDir,
    home,
    searchPath,
  }: { mirrorDir: string; dataDir: string; home: string | undefined; searchPath: string },
): SandboxPlaces {
  const hidden = [...new Set([dataDir, home ?? '', ...SOCKETS.map(withoutLinks)])].filter(isFolder);
  return {
    work: slot.work,
    writable: [slot.work, slot.home, slot.tmp, slot.out],
    hidden,
    programs: hiddenPrograms(searchPath, hidden),
    readable: [mirrorDir, slot.dir, ...nameServers()],
  };
}

function isFolder(path: string): boolean {
  return path.startsWith('/') && path !== '/' && (statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false);
}

/** Often a link to a file among the sockets. */
function nameServers(): string[] {
  const file = withoutLinks(NAME_SERVERS);
  return SOCKETS.some((folder) => file.startsWith(`${folder}/`)) ? [file] : [];
}

function withoutLinks(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
