import { SluiceError } from '../contract/errors.ts';
import { sql, type Tx } from '../database/database.ts';

/**
 * Agrees on the one key that seals the verdicts of a fleet: the first process records its fingerprint. Throws
 * `config.invalid` for another key, and for none when there is one, because such a process would write verdicts that do
 * not count.
 */
export async function agreeOnVerdictKey(tx: Tx, fingerprint: string | null): Promise<void> {
  if (fingerprint !== null) {
    await tx.query(
      sql`update installation set verdict_key = ${fingerprint}, sealed_since = now() where verdict_key is null`,
    );
  }
  const [row] = await tx.query<{ verdict_key: string | null }>(sql`select verdict_key from installation`);
  if ((row?.verdict_key ?? null) === fingerprint) return;
  const found = fingerprint === null ? 'there is none here' : 'the one here is another';
  throw new SluiceError(
    'config.invalid',
    `SLUICE_VERDICT_KEY: verdicts of this database are sealed with a key, and ${found}; it stands in SLUICE_VERDICT_KEY or in verdict.key of the data folder of every scheduler and worker`,
  );
}

/** Lets the next process with a key record it. Landings sealed with the old key are audited without their seals. */
export async function forgetVerdictKey(tx: Tx): Promise<void> {
  await tx.query(sql`update installation set verdict_key = null, sealed_since = null`);
}
