import { SluiceError } from '../contract/errors.ts';
import { sql, type Tx } from '../database/database.ts';

/** Proof that its holder may act alone. Every write under it names the epoch. */
export interface HeldLease {
  readonly name: string;
  readonly holder: string;
  readonly epoch: number;
}

/** Takes a free or expired lease, or renews one's own. Returns undefined while another process holds it. */
export async function acquireLease(
  tx: Tx,
  { name, holder, ttlMs }: { name: string; holder: string; ttlMs: number },
): Promise<HeldLease | undefined> {
  const [lease] = await tx.query<{ epoch: number }>(sql`
    insert into leases (name, holder, epoch, expires_at)
    values (${name}, ${holder}, 1, now() + make_interval(secs => ${ttlMs / 1000}::float8))
    on conflict (name) do update
      set epoch = leases.epoch + case when leases.holder = excluded.holder then 0 else 1 end,
          holder = excluded.holder, expires_at = excluded.expires_at
      where leases.holder = excluded.holder or leases.expires_at < now()
    returning epoch`);
  return lease === undefined ? undefined : { name, holder, epoch: lease.epoch };
}

export async function releaseLease(tx: Tx, lease: HeldLease): Promise<void> {
  await tx.query(sql`
    update leases set expires_at = now() - interval '1 second'
    where name = ${lease.name} and holder = ${lease.holder} and epoch = ${lease.epoch}`);
}

/**
 * Throws `lease.lost` unless the lease still holds. The row stays locked (shared) until the transaction ends, so nobody
 * can take it over in the middle of a write.
 */
export async function assertLease(tx: Tx, lease: HeldLease): Promise<void> {
  const rows = await tx.query(sql`
    select 1 from leases
    where name = ${lease.name} and holder = ${lease.holder} and epoch = ${lease.epoch} and expires_at > now()
    for share`);
  if (rows.length === 0) {
    throw new SluiceError('lease.lost', `the lease ${lease.name} (epoch ${lease.epoch}) is lost`, {
      facts: { ...lease },
    });
  }
}
