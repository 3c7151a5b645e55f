import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
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
  const target = resolve(folder);
  const isThere = await assertVacant(target);
  await mkdir(dirname(target), { recursive: true });
  const half = await mkdtemp(`${target}.partial-`);
  try {
    const tables: BackupManifest['tables'] = [];
    const migrations = await dumpTables(database, async (dump) => {
      tables.push(await writeTable(half, dump));
    });
    const created_at = new Date().toISOString();
    const manifest: BackupManifest = { format: 'sluice-backup-1', version, created_at, migrations, tables };
    await copyFile(verdictKeyFile(settings.dataDir), join(half, KEY_FILE)).catch(ignoreMissing);
    await writeFile(join(half, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o600, flush: true });
    if (isThere) await rmdir(target);
    await rename(half, target);
    return manifest;
  } catch (error) {
    await rm(half, { recursive: true, force: true });
    throw error;
  }
}

/** True for an empty folder, false when there is nothing. Throws `usage.invalid` for everything else. */
async function assertVacant(target: string): Promise<boolean> {
  const stats = await lstat(target).catch(ignoreMissing);
  if (stats === false) return false;
  if (stats.isDirectory() && (await readdir(target)).length === 0) return true;
  throw new SluiceError('usage.invalid', `${target} is there and is no empty folder: name a new one`);
}

/**
 * Fills an empty database from a backup, and puts the key of verdicts into the data folder. Throws `usage.invalid` for a
 * folder that is no whole backup or another key in the data folder, and what `loadTables` throws; the database is then
 * as it was, except for its schema.
 */
export async function restore(
  { database, settings }: Deps,
  folder: string,
): Promise<BackupManifest & { key_restored: boolean }> {
  const text = await readFile(join(folder, MANIFEST), 'utf8').catch(ignoreMissing);
  if (text === false) throw new SluiceError('usage.invalid', `${folder} holds no ${MANIFEST}: it is no backup`);
  const manifest = parseDocument(manifestSchema, parsed(text), { code: 'usage.invalid', what: MANIFEST });
  const key_restored = await restoreKey(join(folder, KEY_FILE), verdictKeyFile(settings.dataDir));
  await loadTables(database, { migrations: manifest.migrations, tables: tablesOf(folder, manifest) });
  return { ...manifest, key_restored };
}

/** Before the ledger, so that a crash leaves no ledger whose verdicts cannot be read. */
async function restoreKey(from: string, to: string): Promise<boolean> {
  const key = await readFile(from).catch(ignoreMissing);
  if (key === false) return false;
  await mkdir(dirname(to), { recursive: true, mode: 0o700 });
  const known = await readFile(to).catch(ignoreMissing);
  if (known !== false && !known.equals(key)) {
    throw new SluiceError('usage.invalid', `${to} holds another key: restore into another data folder`);
  }
  if (known === false) await writeFile(to, key, { mode: 0o600, flag: 'wx', flush: true });
  return true;
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
      for await (const line of linesOf(unpacked(fileOf(folder, table)))) {
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

/** Yields the content of a packed file. Throws `usage.invalid` when it is missing, cut off or broken. */
async function* unpacked(file: string): AsyncGenerator<Buffer, void, undefined> {
  const input = createReadStream(file);
  const unzip = createGunzip();
  // `pipe` passes no errors on.
  input.on('error', (error) => unzip.destroy(error));
  try {
    for await (const chunk of input.pipe(unzip)) yield chunk as Buffer;
  } catch (cause) {
    throw new SluiceError('usage.invalid', `the backup is damaged: ${file}: ${(cause as Error).message}`, { cause });
  }
}

/** Splits at newlines only: a row may hold other characters that end a line elsewhere. */
async function* linesOf(input: AsyncIterable<Buffer>): AsyncGenerator<string, void, undefined> {
  const decoder = new StringDecoder('utf8');
  let parts: string[] = [];
  for await (const chunk of input) {
    const [end, ...begun] = decoder.write(chunk).split('\n');
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
