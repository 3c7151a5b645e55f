import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { StringDecoder } from 'node:string_decoder';
import { createGunzip, createGzip } from 'node:zlib';
import { z } from 'zod';
import { verdictKeyFile } from '../../config.ts';
import { SluiceError } from '../../contract/errors.ts';
import { parseDocument } from '../../contract/parse.ts';
import { dumpTables, loadTables, type TableDump } from '../../database/dump.ts';
import type { Deps } from '../../deps.ts';

const MANIFEST = 'manifest.json';
const KEY_FILE = 'verdict.key';

const manifestSchema = z.strictObject({
  format: z.literal('sluice-backup-1'),
  version: z.string(),
  created_at: z.iso.datetime(),
  migrations: z.array(z.string()).min(1),
  tables: z.array(z.strictObject({ table: z.string().regex(/^[a-z_]+$/), rows: z.int(), sha256: z.string() })),
});
export type BackupManifest = z.output<typeof manifestSchema>;

/**
 * Writes the ledger as it is at one moment to a new folder, readable by its owner only, while the daemon works. The
 * folder has its name only when it is whole. The key of verdicts is in it where this machine keeps one.
 */
export async function backUp({ database, settings }: Deps, folder: string, version: string): Promise<BackupManifest> {
  if ((await readdir(folder).catch(() => [])).length > 0) {
    throw new SluiceError('usage.invalid', `${folder} is not empty: name a new folder`);
  }
  const half = `${folder}.partial`;
  await rm(half, { recursive: true, force: true });
  await mkdir(half, { recursive: true, mode: 0o700 });
  const tables: BackupManifest['tables'] = [];
  const migrations = await dumpTables(database, async (dump) => {
    tables.push(await writeTable(half, dump));
  });
  const manifest: BackupManifest = {
    format: 'sluice-backup-1',
    version,
    created_at: new Date().toISOString(),
    migrations,
    tables,
  };
  const key = verdictKeyFile(settings.dataDir);
  await copyFile(key, join(half, KEY_FILE)).catch(ignoreMissing);
  await writeFile(join(half, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o600 });
  await rm(folder, { recursive: true, force: true });
  await rename(half, folder);
  return manifest;
}

/**
 * Fills an empty database from a backup. Throws `usage.invalid` for a folder that is no whole backup, and what
 * `loadTables` throws; the database is then as it was, except for its schema.
 */
export async function restore({ database, settings }: Deps, folder: string): Promise<BackupManifest> {
  const text = await readFile(join(folder, MANIFEST), 'utf8').catch(() => undefined);
  if (text === undefined) throw new SluiceError('usage.invalid', `${folder} holds no ${MANIFEST}: it is no backup`);
  const manifest = parseDocument(manifestSchema, parsed(text), { code: 'usage.invalid', what: MANIFEST });
  await loadTables(database, { migrations: manifest.migrations, tables: tablesOf(folder, manifest) });
  const key = verdictKeyFile(settings.dataDir);
  const hasKey = await copyFile(join(folder, KEY_FILE), key).then(() => true, ignoreMissing);
  if (hasKey) await chmod(key, 0o600);
  return manifest;
}

async function writeTable(folder: string, { table, rows }: TableDump): Promise<BackupManifest['tables'][number]> {
  const digest = createHash('sha256');
  let count = 0;
  async function* lines(): AsyncGenerator<string, void, undefined> {
    for await (const row of rows) {
      count += 1;
      digest.update(row).update('\n');
      yield `${row}\n`;
    }
  }
  const file = createWriteStream(fileOf(folder, table), { mode: 0o600, flush: true });
  await pipeline(Readable.from(lines()), createGzip(), file);
  return { table, rows: count, sha256: digest.digest('hex') };
}

async function* tablesOf(folder: string, { tables }: BackupManifest): AsyncGenerator<TableDump, void, undefined> {
  for (const { table, rows, sha256 } of tables) {
    const digest = createHash('sha256');
    let count = 0;
    async function* lines(): AsyncGenerator<string, void, undefined> {
      const input = createReadStream(fileOf(folder, table)).pipe(createGunzip());
      for await (const line of linesOf(input)) {
        count += 1;
        digest.update(line).update('\n');
        yield line;
      }
      // Thrown inside the transaction of the restore, so that nothing of a damaged backup stays.
      if (count !== rows || digest.digest('hex') !== sha256) {
        throw new SluiceError('usage.invalid', `the backup is damaged: ${table} is not as it was written`);
      }
    }
    yield { table, rows: lines() };
  }
}

/** Splits at newlines only: a row may hold other characters that end a line elsewhere. */
async function* linesOf(input: Readable): AsyncGenerator<string, void, undefined> {
  const decoder = new StringDecoder('utf8');
  let parts: string[] = [];
  for await (const chunk of input) {
    const [end, ...begun] = decoder.write(chunk as Buffer).split('\n');
    parts.push(end!);
    for (const next of begun) {
      yield parts.join('');
      parts = [next];
    }
  }
}

function fileOf(folder: string, table: string): string {
  return join(folder, `${table}.ndjson.gz`);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): false {
  if (error.code !== 'ENOENT') throw error;
  return false;
}
