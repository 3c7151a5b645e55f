import { LogChunk, type LogChunkRow } from '../entities/log-chunk.ts';
import { BaseDao, type EntitySource } from './base-dao.ts';

/** Reads the output of tools and gates, in order. `after` is the last chunk id seen. */
export class LogDao extends BaseDao<LogChunkRow> {
  constructor(source: EntitySource) {
    super(source, { schema: LogChunk, key: 'chunk_id', noun: 'log chunk' });
  }

  readTask(taskId: string, { after = '0', limit }: { after?: string; limit: number }): Promise<LogChunkRow[]> {
    return this.coded((em) =>
      em.find(
        LogChunk,
        { task_id: taskId, gate_id: null, chunk_id: { $gt: after } },
        { limit, orderBy: { chunk_id: 'asc' } },
      ),
    );
  }

  readGate(gateId: string, { after = '0', limit }: { after?: string; limit: number }): Promise<LogChunkRow[]> {
    return this.coded((em) =>
      em.find(LogChunk, { gate_id: gateId, chunk_id: { $gt: after } }, { limit, orderBy: { chunk_id: 'asc' } }),
    );
  }
}
