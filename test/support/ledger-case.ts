import { beforeAll, beforeEach } from 'vitest';
import { sql } from '../../src/database/database.ts';
import { Builders } from './builders.ts';
import { createTestDatabase, type TestDatabase } from './database.ts';

export interface LedgerCase {
  db: TestDatabase;
  build: Builders;
  write: TestDatabase['ledger']['write'];
}

/** Creates a database for one test file and empties it before each test. Must be called at the top of the file. */
export function ledgerCase(): LedgerCase {
  const made: { db?: TestDatabase; build?: Builders } = {};
  beforeAll(async () => {
    made.db = await createTestDatabase();
    made.build = new Builders(made.db.daos);
  });
  beforeEach(async () => {
    const tables = ['runs', 'workers', 'circuit_breakers', 'landing_intents', 'gate_verdicts', 'repositories'];
    for (const table of [...tables, 'tool_starts', 'tool_costs', 'state_transitions']) {
      await made.db!.database.query(sql`delete from ${sql.table(table)}`);
    }
  });
  return {
    get db() {
      return made.db!;
    },
    get build() {
      return made.build!;
    },
    write: (work) => made.db!.ledger.write(work),
  };
}
