import type { BreakerState } from '../contract/states.ts';
import { CircuitBreaker, type CircuitBreakerRow } from '../entities/circuit-breaker.ts';
import { BaseDao, type EntitySource } from './base-dao.ts';

export class CircuitBreakerDao extends BaseDao<CircuitBreakerRow> {
  constructor(source: EntitySource) {
    super(source, { schema: CircuitBreaker, key: 'breaker_id', noun: 'breaker', idPrefix: 'brk' });
  }

  findByState(state: BreakerState): Promise<CircuitBreakerRow[]> {
    return this.findBy({ state });
  }

  /** The one row of a tool, or undefined: built-in tools have none. */
  async getByTool(tool: string): Promise<CircuitBreakerRow | undefined> {
    return (await this.findBy({ tool_name: tool }))[0];
  }

  /** The one row of a tool, or `entity.not_found`. */
  async getOfTool(tool: string): Promise<CircuitBreakerRow> {
    const breaker = await this.getByTool(tool);
    if (breaker === undefined) throw this.notFound(tool);
    return breaker;
  }
}
