import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import { BREAKER_STATES, type BreakerState } from '../domain/lifecycles/breaker.ts';
import { auditColumns, inList, instant } from './columns.ts';

export const CircuitBreaker = defineEntity({
  name: 'CircuitBreaker',
  tableName: 'circuit_breakers',
  checks: [
    { name: 'circuit_breakers_state_known', expression: inList('state', BREAKER_STATES) },
    { name: 'circuit_breakers_count', expression: 'failure_count >= 0' },
    { name: 'circuit_breakers_threshold', expression: 'failure_threshold > 0' },
    { name: 'circuit_breakers_cooldown', expression: 'cooldown_seconds > 0' },
  ],
  indexes: [
    { name: 'circuit_breakers_tool', properties: ['tool_name'] },
    { name: 'circuit_breakers_state', properties: ['state'] },
  ],
  properties: {
    breaker_id: p.text().primary(),
    tool_name: p.text().unique('circuit_breakers_one_a_tool'),
    state: p.text().$type<BreakerState>().default('CLOSED'),
    reason: p.text().nullable(),
    failure_count: p.integer().default(0),
    failure_threshold: p.integer().default(5),
    cooldown_seconds: p.integer().default(60),
    last_failure_at: instant().nullable(),
    opened_at: instant().nullable(),
    /** HALF_OPEN: the one attempt whose result decides. */
    probe_task_id: p.text().nullable(),
    probe_attempt: p.integer().nullable(),
    version: p.integer().default(1),
    ...auditColumns,
  },
});
export type CircuitBreakerRow = InferEntity<typeof CircuitBreaker>;
