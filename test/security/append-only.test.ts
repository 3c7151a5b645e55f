import { expect, inject, test } from 'vitest';
import { withAdmin } from '../../harness/admin-connection.ts';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { grantAgain, grantDaemonRole } from '../../src/database/daemon-role.ts';
import { Database, sql } from '../../src/database/database.ts';
import { migrateDown, migrateUp } from '../../src/database/migrator.ts';
import { newId } from '../../src/lib/id.ts';
import { atTheEnd } from '../support/clean-up.ts';
import { createTestDatabase } from '../support/database.ts';
import { shell, specOf, startSluice } from '../support/run-sluice.ts';

test('a daemon with a restricted database role lands a patch, but cannot change a verdict, intent or transition', async () => {
  const role = newId('daemon');
  // Runs after the database is dropped (last registered, first run), because the role has rights in it.
  atTheEnd(() => withAdmin(inject('templateUrl'), (client) => client.query(`drop role if exists ${role}`)));
  const { url: ownerUrl, database: owner } = await createTestDatabase();
  await owner.transaction((tx) => grantDaemonRole(tx, role));
  // Tables of later migrations are granted too.
  await migrateDown(owner);
  await migrateUp(owner);
  await owner.transaction(grantAgain);
  await withAdmin(ownerUrl, (client) => client.query(`alter role ${role} password 'p'`));
  const url = Object.assign(new URL(ownerUrl), { username: role, password: 'p' }).href;

  const git = await GitSandbox.create();
  const sluice = await startSluice({ databaseUrl: url });
  const { run } = await sluice.finish(specOf(git.remote, [shell('t', 'echo a > a.txt')]));
  expect(run.state).toBe('COMPLETED');
  await sluice.stop();
  await git.remove();

  const daemon = new Database({ url });
  await daemon.start();
  for (const forbidden of [
    sql`update gate_verdicts set passed = true`,
    sql`delete from gate_verdicts`,
    sql`update state_transitions set actor = 'nobody'`,
    sql`delete from state_transitions`,
    sql`update landing_intents set proofs = '[]'`,
    sql`delete from landing_intents`,
    sql`truncate gate_verdicts`,
    sql`alter table gate_verdicts add column mine text`,
    sql`insert into sluice_migrations (name) values ('mine')`,
  ]) {
    await expect(daemon.query(forbidden)).rejects.toThrow(/permission denied|must be owner/);
  }
  // The owner's search path looks in a schema of its own name first, so migrations must refuse one made by the daemon.
  const [ownerRow] = await owner.query<{ name: string }>(sql`select session_user as name`);
  await daemon.query(sql`create schema ${sql.id(ownerRow!.name)}`);
  await expect(migrateUp(owner)).rejects.toMatchObject({ code: 'config.invalid' });
  await daemon.stop();
});
