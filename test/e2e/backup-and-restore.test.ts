import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { backUp, restore } from '../../src/cli/local/backup.ts';
import { Database, sql } from '../../src/database/database.ts';
import { migrateUp } from '../../src/database/migrator.ts';
import { startAll } from '../../src/lib/component.ts';
import { createSchedulerRole } from '../../src/scheduler/scheduler-role.ts';
import { runSluice } from '../support/command-line.ts';
import { createEmptyDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { LandingStory, startForStories } from '../support/landing-story.ts';
import { startSluice } from '../support/run-sluice.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-test-backup-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const subjectsOf = async (story: LandingStory) =>
  (await story.git.subjects()).filter((subject) => /^[abc]$/.test(subject));

test('a restored ledger goes on: an open intent is settled by the remote, and nothing lands twice', async () => {
  const sluice = await startForStories({ scheduler: false });
  const story = await LandingStory.begin(sluice, { landing: { max_batch: 1 } });
  const at = join(folder, 'backup');
  let taken: Promise<unknown> | undefined;
  // The push of the first patch is on the branch and not settled: its intent is open in the backup.
  sluice.deps.crashPoint = async (name) => {
    if (name !== 'after-push' || taken !== undefined) return;
    taken = backUp(sluice.deps, at, 'test');
    await taken;
  };
  await story.pause();
  const stop = await startAll(createSchedulerRole(sluice.deps));
  await story.stage(['a', 'b']);
  await story.resume();
  await story.until('a', 'VERIFIED');
  await taken;
  // Lands in the original after the backup: it waits in the restored ledger.
  await story.until('b', 'VERIFIED');
  const lastEvent = (await sluice.deps.daos.transitions.readAfter('0-0', { limit: 100_000 })).at(-1)!.cursor;
  await stop();
  const tip = await story.git.tip();
  expect((await stat(at)).mode & 0o077).toBe(0);

  const url = await createEmptyDatabase();
  const database = new Database({ url });
  await database.start();
  await restore({ ...sluice.deps, database }, at);
  const [open] = await database.query<{ n: number }>(sql`
    select count(*)::int as n from landing_intents where settled_at is null`);
  expect(open!.n).toBe(1);
  await database.stop();
  const again = await startSluice({ databaseUrl: url });
  const patchId = story.idOf('a');
  await eventually('the settled intent', async () => (await again.client.patches.get(patchId)).state === 'VERIFIED');
  const second = await eventually('the end of the second', async () => {
    const found = await again.client.patches.get(story.idOf('b'));
    return found.state === 'STAGED' ? undefined : found;
  });
  expect(second).toMatchObject({ state: 'SUPERSEDED', reason: 'already_on_branch' });
  expect(await story.git.tip()).toBe(tip);
  expect(await subjectsOf(story)).toEqual(['a', 'b']);
  const events = await again.deps.daos.transitions.readAfter('0-0', { limit: 100_000 });
  expect(events.length).toBeGreaterThan(10);
  expect(events.at(-1)!.cursor).not.toBe(lastEvent);
  expect((await again.client.targets.audit(story.targetId)).proven).toBe(true);
  await again.stop();
  await sluice.stop();
});

test('a backup that is damaged, newer or no backup, and a database that holds a ledger, are refused', async () => {
  const sluice = await startForStories({ scheduler: false, workers: [] });
  const at = join(folder, 'damaged');
  await backUp(sluice.deps, at, 'test');
  await expect(backUp(sluice.deps, at, 'test')).rejects.toMatchObject({ code: 'usage.invalid' });
  const precious = join(folder, 'precious');
  await writeFile(precious, 'x');
  await expect(backUp(sluice.deps, precious, 'test')).rejects.toMatchObject({ code: 'usage.invalid' });
  expect(await readFile(precious, 'utf8')).toBe('x');
  await backUp(sluice.deps, `${join(folder, 'slash')}/`, 'test');
  expect(await readdir(join(folder, 'slash'))).toContain('manifest.json');
  await expect(restore(sluice.deps, folder)).rejects.toMatchObject({ code: 'usage.invalid' });
  const into = async () => {
    const database = new Database({ url: await createEmptyDatabase() });
    await database.start();
    return { ...sluice.deps, database };
  };
  const manifest = join(at, 'manifest.json');
  const whole = await readFile(manifest, 'utf8');
  const empty = await into();
  await writeFile(manifest, whole.replace(/("table": "tokens",\s+"rows": )\d+/, '$17'));
  await expect(restore(empty, at)).rejects.toThrow(/damaged: tokens/);
  await writeFile(manifest, whole.replace('"migrations": [', '"migrations": ["Migration20991231000001_later",'));
  await expect(restore(empty, at)).rejects.toMatchObject({ code: 'database.newer' });
  await writeFile(manifest, whole.replace(/\{[^{}]*"table": "tokens"[^{}]*\},/, ''));
  await expect(restore(empty, at)).rejects.toThrow(/damaged: it lacks tokens/);
  await writeFile(manifest, whole);
  await rename(join(at, 'tokens.ndjson.gz'), join(at, 'gone'));
  await expect(restore(empty, at)).rejects.toMatchObject({ code: 'usage.invalid' });
  await rename(join(at, 'gone'), join(at, 'tokens.ndjson.gz'));
  // A conflict that a transaction is otherwise repeated for: the input of this one can be read only once.
  await empty.database.query(sql`create function fail() returns trigger language plpgsql as
    $$ begin raise exception 'once' using errcode = '40P01'; end $$`);
  await empty.database.query(sql`create trigger fail before insert on tokens execute function fail()`);
  await expect(restore(empty, at)).rejects.toThrow();
  await empty.database.query(sql`drop function fail cascade`);
  await restore(empty, at);
  expect((await empty.database.query(sql`select 1 from tokens`)).length).toBeGreaterThan(0);
  await migrateUp(empty.database);
  await empty.database.query(sql`
    insert into state_transitions (kind, entity_id, to_state, actor) values ('run', 'run_x', 'INITIALIZING', 'api')`);
  await expect(restore(empty, at)).rejects.toMatchObject({ code: 'entity.exists' });
  await empty.database.stop();
  await sluice.stop();
});

test('the commands say which database they use, and only a restore makes an embedded one', async () => {
  const keyed = { ...(await startForStories({ scheduler: false, workers: [] })).deps };
  const other = { ...keyed, settings: { ...keyed.settings, dataDir: join(folder, 'other') } };
  await mkdir(other.settings.dataDir);
  await writeFile(join(other.settings.dataDir, 'verdict.key'), 'a key');
  await backUp(other, join(folder, 'keyed'), 'test');
  await writeFile(join(other.settings.dataDir, 'verdict.key'), 'another key');
  await expect(restore(other, join(folder, 'keyed'))).rejects.toThrow(/another key/);
  const run = (args: string[], environment: Record<string, string> = {}) =>
    runSluice(args, { cwd: folder, environment });
  const data = join(folder, 'data');
  for (const args of [
    ['backup', 'x'],
    ['token', 'list'],
    ['migrate', 'status'],
  ]) {
    const refused = await run(args, { SLUICE_DATA_DIR: data });
    expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(`embedded, in ${data}`) });
  }
  const at = join(folder, 'keyed');
  expect(await run(['restore', at, '--data-dir', data])).toMatchObject({ exitCode: 0 });
  const listed = await run(['token', 'list', '-o', 'json'], { SLUICE_DATA_DIR: data });
  expect(JSON.parse(listed.stdout)).not.toEqual([]);
  expect(await readFile(join(data, 'verdict.key'), 'utf8')).toBe('a key');
});
