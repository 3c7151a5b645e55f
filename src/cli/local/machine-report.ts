import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type ConfinementState, confinementOf } from '../../children/confinement.ts';
import type { Settings } from '../../config.ts';
import { branchesOf, type MirrorSize, sizeOfMirror } from '../../git/maintain-mirror.ts';
import { silentLog } from '../../lib/log.ts';
import { type SlotAside, slotsAside } from '../../workspaces/slots-aside.ts';

export interface MirrorReport extends MirrorSize {
  role: string;
  mirror: string;
  branches: string[];
}

export interface MachineReport {
  dataDir: string;
  confinement: ConfinementState;
  mirrors: MirrorReport[];
  aside: SlotAside[];
}

/** Looks at the data folder of this machine, and at how a worker would confine children here. */
export async function machineReport(settings: Settings): Promise<MachineReport> {
  const { dataDir } = settings;
  return {
    dataDir,
    confinement: await confinementHere(settings),
    mirrors: await mirrorsBelow(join(dataDir, 'mirrors')),
    aside: await slotsAside(dataDir),
  };
}

/** Determines the confinement that a worker started here now would use. */
async function confinementHere(settings: Settings): Promise<ConfinementState> {
  const confinement = confinementOf(settings, silentLog(), { looksOnly: true });
  try {
    await confinement.start();
  } catch (error) {
    return { kind: 'none', problem: (error as Error).message };
  }
  return confinement.state;
}

async function mirrorsBelow(folder: string): Promise<MirrorReport[]> {
  const reports: MirrorReport[] = [];
  for (const role of await readdir(folder).catch(() => [])) {
    for (const mirror of (await readdir(join(folder, role))).filter((name) => name.endsWith('.git'))) {
      const dir = join(folder, role, mirror);
      reports.push({ role, mirror, branches: await branchesOf(dir), ...(await sizeOfMirror(dir)) });
    }
  }
  return reports;
}
