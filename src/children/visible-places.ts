import { readdirSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

/** What every confined child of a worker may see of the machine; the rest is not there. All paths are absolute. */
export interface VisiblePlaces {
  /** Links of the root folder into /usr, as they are here. */
  links: readonly { path: string; target: string }[];
  /** Read-only. Parents come before what lies in them. */
  readable: readonly string[];
  /** Folders and files inside readable ones that look empty: what the daemon keeps there is nobody's business. */
  hidden: readonly { path: string; isFolder: boolean }[];
}

const ROOT_FOLDERS = ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'];
/** How programs find users, names, certificates, libraries and times; nothing of it is secret. Each costs a quarter of a millisecond. */
const ETC = [
  'alternatives',
  'fonts',
  'group',
  'hosts',
  'java',
  'ld.so.cache',
  'ld.so.conf',
  'ld.so.conf.d',
  'locale.alias',
  'localtime',
  'mime.types',
  'nsswitch.conf',
  'os-release',
  'passwd',
  'perl',
  'pki/ca-trust',
  'pki/tls/cert.pem',
  'pki/tls/certs',
  'protocols',
  'resolv.conf',
  'services',
  'ssl/certs',
  'ssl/openssl.cnf',
  'terminfo',
  'timezone',
].map((name) => `/etc/${name}`);
const MACHINE = ['/sys/devices/system/cpu'];
/** Beside a `bin`: what its programs load. */
const BESIDE_BIN = ['lib', 'lib64', 'libexec', 'include'];

/**
 * The system's own folders, the programs of the search path and what the operator adds. `hidden` are files and folders of the
 * daemon, which stay out of sight also where they lie in one of those.
 */
export function visiblePlaces({
  searchPath,
  readable,
  hidden,
}: {
  searchPath: string;
  readable: readonly string[];
  hidden: readonly string[];
}): VisiblePlaces {
  const elsewhere = (folder: string) => folder.startsWith('/') && !isBelow(realPath(folder) ?? '/usr', '/usr');
  const folders = [...new Set(searchPath.split(delimiter))].filter(elsewhere);
  const programs = folders.flatMap((folder) => [...programPlaces(folder), ...linkedPlaces(folder)]);
  const links = ROOT_FOLDERS.flatMap(linkAt);
  const linked = new Set(links.map(({ path }) => path));
  const roots = ROOT_FOLDERS.filter((folder) => !linked.has(folder));
  // A name server's file is often a link to one among the sockets.
  const named = ETC.flatMap((file) => [file, realPath(file) ?? file]).filter((file) => !isBelow(file, '/usr'));
  const seen = outermost(['/usr', ...roots, ...MACHINE, ...named, ...programs, ...readable].filter(isThere));
  const out = [...new Set(hidden.flatMap((path) => [path, realPath(path) ?? path]))];
  return {
    links,
    readable: seen,
    hidden: outermost(out.filter((path) => isThere(path) && seen.some((place) => isBelow(path, place)))).map(
      (path) => ({
        path,
        isFolder: isFolder(path),
      }),
    ),
  };
}

/** What belongs to the programs of one folder of the search path. */
function programPlaces(folder: string): string[] {
  const [, top, name] = folder.split('/');
  if (top === 'opt' && name !== undefined) return [`/opt/${name}`];
  if (folder.endsWith('/node_modules/.bin')) return [dirname(folder)];
  // Those of pyenv, rbenv and asdf hand over to what stands beside them.
  if (folder.endsWith('/shims')) return [dirname(folder)];
  if (/\/s?bin$/.test(folder)) return [folder, ...BESIDE_BIN.map((beside) => join(dirname(folder), beside))];
  return [folder];
}

/** Programs that stand elsewhere: a link in `~/.local/bin` leads to what was installed. */
function linkedPlaces(folder: string): string[] {
  return entriesOf(folder).flatMap((name) => {
    const target = realPath(join(folder, name));
    if (target === undefined || isBelow(target, '/usr') || isBelow(target, folder)) return [];
    const from = dirname(target);
    return /\/s?bin$/.test(from) ? programPlaces(from) : [packageAround(target) ?? target];
  });
}

/** The package of Node that a program belongs to: it loads what lies there. */
function packageAround(file: string): string | undefined {
  const at = file.lastIndexOf('/node_modules/');
  return at === -1 ? undefined : file.slice(0, at + '/node_modules'.length);
}

function linkAt(path: string): { path: string; target: string }[] {
  try {
    return [{ path, target: readlinkSync(path) }];
  } catch {
    return [];
  }
}

/** Links alone: what lies in the folder itself is seen with it. */
function entriesOf(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isSymbolicLink()).map(({ name }) => name);
  } catch {
    return [];
  }
}

/** Without those that lie in another one. */
function outermost(paths: readonly string[]): string[] {
  const sorted = [...new Set(paths)].toSorted((a, b) => a.length - b.length);
  return sorted.filter((path, at) => !sorted.slice(0, at).some((other) => isBelow(path, other)));
}

export function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}

function isThere(path: string): boolean {
  return path.startsWith('/') && path !== '/' && statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}
