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

  /** Returns undefined for a tool without a breaker, such as a built-in one. */
  async getByTool(tool: string): Promise<CircuitBreakerRow | undefined> {
    return (await this.findBy({ tool_name: tool }))[0];
  }

  /** Throws `entity.not_found` for a tool without a breaker. */
  async getOfTool(tool: string): Promise<CircuitBreakerRow> {
    const breaker = await this.getByTool(tool);
    if (breaker === undefined) throw this.notFound(tool);
    return breaker;
  }
}
