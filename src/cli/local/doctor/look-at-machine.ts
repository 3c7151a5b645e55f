import { stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ConfinementState } from '../../../children/confinement.ts';
import { programVersions } from '../../../children/program-versions.ts';
import type { Settings } from '../../../config.ts';
import { CONFINEMENT_DANGERS } from '../../../contract/states.ts';
import { localTokenFile } from '../../../contract/tokens.ts';
import { sizeOfFolders } from '../../../lib/size-of-folder.ts';
import { budgetedFolders } from '../../../workers/disk-budget.ts';
import type { SlotAside } from '../../../workspaces/slots-aside.ts';
import type { MirrorReport } from '../machine-report.ts';
import { type Finding, fault, ok, warning } from './finding.ts';

/** git of Debian 12, the oldest that the suite runs on. */
const OLDEST_GIT = [2, 39] as const;
const LEAST_FREE_BYTES = 1_024 ** 3;
const LEAST_FREE_SHARE = 0.05;
const GIB = 1_024 ** 3;
/** Maintenance keeps a mirror below half of this, even a busy one. */
const MANY_PACKS = 80;

/** Looks at git, confinement, disk, mirrors, slots and the local token of this machine. */
export async function lookAtMachine(
  { dataDir, environment, file }: Settings,
  report: { confinement: ConfinementState; mirrors: readonly MirrorReport[]; aside: readonly SlotAside[] },
): Promise<Finding[]> {
  return [
    await ofGit(environment.PATH ?? ''),
    ofConfinement(report.confinement),
    ...(await ofDisk(dataDir)),
    ...(await ofBudget(dataDir, { maxBytes: file.disk.max_bytes, searchPath: environment.PATH ?? '' })),
    ...report.mirrors.flatMap(ofMirror),
    ...report.aside.map(({ slot, reason, since }) =>
      fault(
        'slots',
        `slot ${slot} is set aside since ${since}: ${reason}`,
        `remove ${join(dataDir, 'slots', String(slot))} by hand; the worker then takes it again`,
      ),
    ),
    ...(await ofToken(dataDir)),
  ];
}

async function ofGit(searchPath: string): Promise<Finding> {
  const { git } = await programVersions(searchPath);
  const cure = `install git ${OLDEST_GIT.join('.')} or newer`;
  if (git === undefined) return fault('git', 'there is no git on PATH', cure);
  const [, major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(git) ?? []).map(Number);
  const isOld = major < OLDEST_GIT[0] || (major === OLDEST_GIT[0] && minor < OLDEST_GIT[1]);
  return isOld ? fault('git', `${git} is too old`, cure) : ok('git', git);
}

function ofConfinement({ kind, problem }: ConfinementState): Finding {
  const danger = CONFINEMENT_DANGERS[kind];
  if (danger === null) return ok('confinement', kind);
  const why = problem ?? 'the configuration turns the sandbox off';
  const cure = problem === null ? 'set sandbox.mode to require' : 'install bubblewrap and allow user namespaces';
  return warning('confinement', `${kind}: ${why}; ${danger}`, cure);
}

async function ofDisk(dataDir: string): Promise<Finding[]> {
  const { bsize, blocks, bavail, files, ffree } = await statfs(await nearestFolder(dataDir));
  const free = bavail * bsize;
  const gibs = `${(free / GIB).toFixed(1)} GiB of ${((blocks * bsize) / GIB).toFixed(0)} GiB free`;
  const bytes =
    free < LEAST_FREE_BYTES || bavail < blocks * LEAST_FREE_SHARE
      ? warning('disk', `${gibs} where ${dataDir} is`, 'free space, or move SLUICE_DATA_DIR; lower disk.max_bytes')
      : ok('disk', gibs);
  // Some file systems have no fixed number of inodes and say 0.
  if (files === 0) return [bytes];
  const share = `${Math.round((100 * ffree) / files)} % of inodes free`;
  return [
    bytes,
    ffree < files * LEAST_FREE_SHARE
      ? warning('inodes', share, 'remove small files: caches of prepare steps, old data folders')
      : ok('inodes', share),
  ];
}

/** Returns the folder itself, or the one that it would be made in. */
async function nearestFolder(folder: string): Promise<string> {
  const isThere = await stat(folder).then(
    () => true,
    () => false,
  );
  return isThere || dirname(folder) === folder ? folder : nearestFolder(dirname(folder));
}

async function ofBudget(
  dataDir: string,
  { maxBytes, searchPath }: { maxBytes: number | undefined; searchPath: string },
): Promise<Finding[]> {
  const bytes = await sizeOfFolders(budgetedFolders(dataDir), { searchPath });
  const gibs = (amount: number) => `${(amount / GIB).toFixed(1)} GiB`;
  if (bytes === undefined) {
    return [warning('data folder', `its size cannot be measured`, `look at the rights and the disk of ${dataDir}`)];
  }
  if (maxBytes === undefined) return [ok('data folder', `${gibs(bytes)}, without a budget (disk.max_bytes)`)];
  const says = `${gibs(bytes)} of ${gibs(maxBytes)}`;
  if (bytes <= maxBytes) return [ok('data folder', says)];
  const cure = 'free space in mirrors, slots and prepared, or raise disk.max_bytes; workers take no work meanwhile';
  return [fault('data folder', says, cure)];
}

function ofMirror({ mirror, role, packs }: MirrorReport): Finding[] {
  if (packs <= MANY_PACKS) return [];
  const says = `the ${role} mirror ${mirror} has ${packs} packs: its maintenance does not run`;
  return [
    warning('mirrors', says, `look for mirror.* in the log of the ${role}, or remove the mirror: it is made again`),
  ];
}

async function ofToken(dataDir: string): Promise<Finding[]> {
  const file = localTokenFile(dataDir);
  const stats = await stat(file).catch(() => undefined);
  if (stats === undefined || (stats.mode & 0o077) === 0) return [];
  return [fault('token', `${file} can be read by other users`, `chmod 600 ${file}, and revoke the token it holds`)];
}
