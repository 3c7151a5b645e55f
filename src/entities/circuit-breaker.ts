import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import { BREAKER_STATES, type BreakerState } from '../contract/states.ts';
import { auditColumns, inList, instant } from './columns.ts';

export const CircuitBreaker = defineEntity({
  name: 'CircuitBreaker',
  tableName: 'circuit_breakers',
  checks: [
    { name: 'circuit_breakers_state_known', expression: inList('state', BREAKER_STATES) },
    { name: 'circuit_breakers_count', expression: 'failure_count >= 0' },
    { name: 'circuit_breakers_threshold', expression: 'failure_threshold > 0' },
    { name: 'circuit_breakers_cooldown', expression: 'cooldown_seconds > 0' },
    { name: 'circuit_breakers_concurrency', expression: 'concurrency is null or concurrency > 0' },
    { name: 'circuit_breakers_rate', expression: 'rate_max is null or (rate_max > 0 and rate_per_seconds > 0)' },
    { name: 'circuit_breakers_budget', expression: 'usd_per_day is null or usd_per_day = abs(usd_per_day)' },
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
    /** `probe_task_id`, `probe_attempt`: the only attempt whose result counts while HALF_OPEN. */
    probe_task_id: p.text().nullable(),
    probe_attempt: p.integer().nullable(),
    /** `counts_from`: results of attempts that began before this time do not count. */
    counts_from: instant().nullable(),
    /** `tripped_by`: the operator that opened it. It then sends no probe until it is reset by hand. */
    tripped_by: p.text().nullable(),
    /** `concurrency` to `usd_per_day`: the tool's limits, as the configuration declares them. */
    concurrency: p.integer().nullable(),
    rate_max: p.integer().nullable(),
    rate_per_seconds: p.integer().nullable(),
    usd_per_day: p.double().$type<number>().nullable(),
    version: p.integer().default(1),
    ...auditColumns,
  },
});
export type CircuitBreakerRow = InferEntity<typeof CircuitBreaker>;
