import { defineEntity, p } from '@mikro-orm/postgresql';
import { instant } from './columns.ts';

/**
 * Start times of attempts of tools with a rate limit. Rows are deleted once they are outside the window of the limit.
 */
export const ToolStart = defineEntity({
  name: 'ToolStart',
  tableName: 'tool_starts',
  indexes: [{ name: 'tool_starts_tool', properties: ['tool_name', 'started_at'] }],
  properties: {
    task_id: p.text().primary(),
    attempt: p.integer().primary(),
    tool_name: p.text(),
    started_at: instant().defaultRaw('now()'),
  },
});

/** Cost of a tool on one day (UTC), as the tool reported it. */
export const ToolCost = defineEntity({
  name: 'ToolCost',
  tableName: 'tool_costs',
  checks: [{ name: 'tool_costs_usd', expression: 'usd = abs(usd)' }],
  properties: {
    tool_name: p.text().primary(),
    day: p.date().primary(),
    usd: p.double().$type<number>().default(0),
  },
});
