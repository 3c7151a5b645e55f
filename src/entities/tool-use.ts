import { defineEntity, p } from '@mikro-orm/postgresql';
import { instant } from './columns.ts';

/** When attempts of a tool with a rate limit began. Kept as long as its window is. */
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

/** What a tool has cost on a day (UTC), by its own reports. */
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
