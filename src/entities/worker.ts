import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import type { ConfinementKind } from '../contract/states.ts';
import { WORKER_STATES, type WorkerState } from '../contract/states.ts';
import type { GateValues } from '../domain/gates-in-force.ts';
import { auditColumns, inList, instant, textArray } from './columns.ts';

export const Worker = defineEntity({
  name: 'Worker',
  tableName: 'workers',
  checks: [
    { name: 'workers_state_known', expression: inList('state', WORKER_STATES) },
    { name: 'workers_refused_writes', expression: 'refused_writes >= 0' },
  ],
  indexes: [
    { name: 'workers_state', properties: ['state'] },
    {
      name: 'workers_last_heartbeat',
      expression: 'create index workers_last_heartbeat on workers (last_heartbeat desc)',
    },
  ],
  properties: {
    worker_id: p.text().primary(),
    state: p.text().$type<WorkerState>().default('IDLE'),
    last_heartbeat: instant().defaultRaw('now()'),
    reason: p.text().nullable(),
    hostname: p.text().nullable(),
    pid: p.integer().nullable(),
    pools: textArray().defaultRaw(`'{default}'`),
    task_slots: p.integer().default(1),
    gate_slots: p.integer().default(1),
    draining: p.boolean().default(false),
    stopped_at: instant().nullable(),
    /** `refused_writes`: writes that a fence refused, because the attempt had ended or belonged to another worker. */
    refused_writes: p.integer().default(0),
    /** `starving_since`: since when it takes nothing although work for it is waiting. */
    starving_since: instant().nullable(),
    /** `over_disk_since`: since when it takes nothing because its data folder is over `disk.max_bytes`. */
    over_disk_since: instant().nullable(),
    /** `stalled_since`: since when its main thread is blocked, so that no lease is renewed. */
    stalled_since: instant().nullable(),
    /** `confinement`: how it isolates its children; null for workers of older versions, which did not report it. */
    confinement: p.text().$type<ConfinementKind>().nullable(),
    /** `gate_values`: keyed hashes of the variables that it gives to gates, by address of the repository and name. */
    gate_values: p.json().$type<Record<string, GateValues>>().defaultRaw(`'{}'::jsonb`),
    version: p.integer().default(1),
    ...auditColumns,
  },
});
export type WorkerRow = InferEntity<typeof Worker>;
