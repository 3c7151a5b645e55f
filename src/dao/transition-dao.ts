import type { EventObject } from '../contract/answers.ts';
import { sql } from '../database/database.ts';
import { StateTransition, type StateTransitionRow } from '../entities/state-transition.ts';
import { BaseDao, type EntitySource } from './base-dao.ts';

/** Place of a transition in commit order: `<xid>-<transition_id>`; also the id of its event. */
export type TransitionCursor = string;

export interface TransitionEvent extends Omit<EventObject, 'id'> {
  cursor: TransitionCursor;
}

export class TransitionDao extends BaseDao<StateTransitionRow> {
  constructor(source: EntitySource) {
    super(source, { schema: StateTransition, key: 'transition_id', noun: 'transition' });
  }

  findByEntity(entityId: string): Promise<StateTransitionRow[]> {
    return this.coded((em) => em.find(StateTransition, { entity_id: entityId }, { orderBy: { transition_id: 'asc' } }));
  }

  /** Counts repairs by the reconciler within the window, by cause. */
  async countRepairs(windowSeconds: number): Promise<Record<string, number>> {
    const rows = await this.rows<{ cause: string; n: number }>(sql`
      select coalesce(reason, to_state) as cause, count(*)::int as n from state_transitions
      where actor = 'reconciler' and created_at > now() - make_interval(secs => ${windowSeconds}) group by 1 order by 1`);
    return Object.fromEntries(rows.map(({ cause, n }) => [cause, n]));
  }

  /**
   * Transitions after `after`, in commit order. Only rows below the snapshot's xmin: a slower transaction may still
   * commit lower ones, and a reader that went past them would never see them.
   */
  async readAfter(
    after: TransitionCursor,
    { runId, limit }: { runId?: string | undefined; limit: number },
  ): Promise<TransitionEvent[]> {
    const [xid = '0', id = '0'] = after.split('-');
    // Without an "or", so that the index by run serves the events of one run.
    const ofRun = runId === undefined ? sql`` : sql`and run_id = ${runId}`;
    return this.rows<TransitionEvent>(sql`
        select xid::text || '-' || transition_id as cursor, kind, entity_id, run_id, attempt, from_state, to_state,
               reason, actor, to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at
        from state_transitions
        where xid < pg_snapshot_xmin(pg_current_snapshot())
          and (xid, transition_id) > (${xid}::xid8, ${id}::bigint) ${ofRun}
        order by xid, transition_id
        limit ${limit}`);
  }
}
