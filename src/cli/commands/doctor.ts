import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { loadSettings } from '../../config.ts';
import { branchesOf, type MirrorSize, sizeOfMirror } from '../../git/maintain-mirror.ts';
import { type CliContext, print } from '../context.ts';
import { plain, table } from '../table.ts';

interface MirrorReport extends MirrorSize {
  role: string;
  mirror: string;
  branches: string[];
}

/** Looks at this machine's data folder; asks no daemon. */
export function doctorCommand(program: Command, context: CliContext): void {
  program
    .command('doctor')
    .description('what the data folder of this machine holds: the size of each mirror and the branches it is kept for')
    .option('--data-dir <folder>', 'where mirrors, slots and the embedded database live')
    .action(async (options: { dataDir?: string }, command: Command) => {
      const { dataDir } = await loadSettings(context.environment, options);
      const mirrors = await mirrorsBelow(join(dataDir, 'mirrors'));
      print(context, command, { data_dir: dataDir, mirrors: mirrors.map(inWireNames) }, () =>
        table(
          ['MIRROR', 'ROLE', 'PACKS', 'LOOSE', 'MIB', 'BRANCHES'],
          mirrors.map(({ mirror, role, packs, looseObjects, sizeBytes, branches }) => [
            mirror,
            role,
            String(packs),
            String(looseObjects),
            (sizeBytes / 1024 / 1024).toFixed(1),
            plain(branches.join(', ')),
          ]),
        ),
      );
    });
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

function inWireNames({ mirror, role, packs, looseObjects, sizeBytes, branches }: MirrorReport): object {
  return { mirror, role, packs, loose_objects: looseObjects, size_bytes: sizeBytes, branches };
}
