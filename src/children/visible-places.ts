import { readdirSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

/** Places of this host that every confined child sees; nothing else exists for it. All paths are absolute. */
export interface VisiblePlaces {
  /** Links of the root folder, such as /bin to usr/bin, with the targets that they have on this host. */
  links: readonly { path: string; target: string }[];
  /** Mounted read-only. None lies inside another one. */
  readable: readonly string[];
  /** Folders and files of the daemon inside readable ones; they look empty to children. */
  hidden: readonly { path: string; isFolder: boolean }[];
}

const ROOT_FOLDERS = ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'];
/** Files by which programs find users, names, certificates, libraries and times. None is secret; each costs 0.25 ms. */
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
/** Folders beside a `bin` from which its programs load files. */
const BESIDE_BIN = ['lib', 'lib64', 'libexec', 'include'];

/**
 * Collects the system's own folders, the programs of the search path and the operator's additions. `hidden` files and
 * folders of the daemon stay invisible even inside one of those.
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
  // The target of a link is made visible too: `/etc/resolv.conf` often points into /run.
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

/** Returns the folders that the programs in one folder of the search path need. */
function programPlaces(folder: string): string[] {
  const [, top, name] = folder.split('/');
  if (top === 'opt' && name !== undefined) return [`/opt/${name}`];
  if (folder.endsWith('/node_modules/.bin')) return [dirname(folder)];
  // Shims of pyenv, rbenv and asdf call programs beside their folder.
  if (folder.endsWith('/shims')) return [dirname(folder)];
  if (/\/s?bin$/.test(folder)) return [folder, ...BESIDE_BIN.map((beside) => join(dirname(folder), beside))];
  return [folder];
}

/** Returns what links lead to: one in `~/.local/bin` may point to a program that is installed elsewhere. */
function linkedPlaces(folder: string): string[] {
  return entriesOf(folder).flatMap((name) => {
    const target = realPath(join(folder, name));
    if (target === undefined || isBelow(target, '/usr') || isBelow(target, folder)) return [];
    const from = dirname(target);
    return /\/s?bin$/.test(from) ? programPlaces(from) : [packageAround(target) ?? target];
  });
}

/** Returns the `node_modules` folder that a program lies in, because the program loads packages from there. */
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

/** Returns links only: regular files are visible together with their folder. */
function entriesOf(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isSymbolicLink()).map(({ name }) => name);
  } catch {
    return [];
  }
}

/** Leaves out paths that lie inside another one. */
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
