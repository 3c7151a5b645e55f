import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

/** A slot that is not handed out because it could not be emptied, or takes no files. */
export interface SlotAside {
  slot: number;
  reason: string;
  /** ISO 8601. */
  since: string;
}

const ASIDE = '.aside';

/** Returns the folder of all slots of a data folder. */
export function slotsRoot(dataDir: string): string {
  return resolve(dataDir, 'slots');
}

/** Writes the reason beside the slot's folder, where its children cannot write. The first reason is kept. */
export async function noteAside(root: string, slot: number, reason: string): Promise<void> {
  await writeFile(join(root, `${slot}${ASIDE}`), reason, { flag: 'wx' }).catch(() => {});
}

export function forgetAside(root: string, slot: number): Promise<void> {
  return rm(join(root, `${slot}${ASIDE}`), { force: true });
}

/** Lists the slots of a host that any of its processes has set aside. */
export async function slotsAside(dataDir: string): Promise<SlotAside[]> {
  const root = slotsRoot(dataDir);
  const names = (await readdir(root).catch(() => [])).filter((name) => name.endsWith(ASIDE));
  const notes = names.map(async (name): Promise<SlotAside> => {
    const [reason, { mtime }] = await Promise.all([readFile(join(root, name), 'utf8'), stat(join(root, name))]);
    return { slot: Number(name.slice(0, -ASIDE.length)), reason, since: mtime.toISOString() };
  });
  return (await Promise.all(notes)).toSorted((a, b) => a.slot - b.slot);
}
