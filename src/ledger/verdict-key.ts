import { SluiceError } from '../contract/errors.ts';
import { sql, type Tx } from '../database/database.ts';

/**
 * One key seals the verdicts of a fleet: the first that comes is written down by its fingerprint. Throws `config.invalid` for
 * another one, and for none where there is one: such a process would write verdicts that count nowhere.
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

/** The next process with a key sets it anew. Landings sealed with the old key are audited without their seals. */
export async function forgetVerdictKey(tx: Tx): Promise<void> {
  await tx.query(sql`update installation set verdict_key = null, sealed_since = null`);
}
