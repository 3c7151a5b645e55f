import { describe, expect, test } from 'vitest';
import { Rooms, type ToolState, toolHold, toolRoom } from '../../../src/domain/admission.ts';

const tool = (given: Partial<ToolState> = {}): ToolState => ({
  breaker_id: 'brk_1',
  tool: 'agent',
  state: 'CLOSED',
  admits: 'all',
  reason: null,
  tripped_by: null,
  probe_at: null,
  probe_task_id: null,
  concurrency: null,
  in_flight: 0,
  unclaimed: 0,
  rate_max: null,
  rate_per_seconds: null,
  recent_starts: 0,
  rate_free_at: null,
  usd_per_day: null,
  usd_today: 0,
  day_turns_at: 'tomorrow',
  ...given,
});

describe('a tool', () => {
  test('a tool without limits has room for any number', () => {
    expect(toolRoom(tool({ in_flight: 1_000 }))).toBe(Number.POSITIVE_INFINITY);
    expect(toolHold(tool())).toBeUndefined();
  });

  test('a tool has the room that the narrowest of its limits leaves', () => {
    expect(toolRoom(tool({ concurrency: 5, in_flight: 2, rate_max: 4, recent_starts: 1, unclaimed: 1 }))).toBe(2);
    expect(toolRoom(tool({ concurrency: 3, in_flight: 2, rate_max: 9, recent_starts: 1 }))).toBe(1);
  });

  test('a tool reports the first limit that holds it, in a fixed order, and when that ends', () => {
    const all = { concurrency: 1, in_flight: 1, rate_max: 1, recent_starts: 1, rate_free_at: 'soon' };
    const spent = { usd_per_day: 1, usd_today: 1 };
    expect(toolHold(tool({ ...all, ...spent, admits: 'none', probe_at: 'later' }))).toEqual({
      code: 'tool_breaker',
      again_at: 'later',
    });
    expect(toolHold(tool({ admits: 'none', probe_at: 'later', tripped_by: 'ada' }))).toEqual({
      code: 'tool_breaker',
      again_at: null,
    });
    expect(toolHold(tool({ ...all, ...spent }))).toEqual({ code: 'tool_budget', again_at: 'tomorrow' });
    expect(toolHold(tool(all))).toEqual({ code: 'tool_rate', again_at: 'soon' });
    expect(toolHold(tool({ concurrency: 1, in_flight: 1 }))).toEqual({ code: 'tool_concurrency', again_at: null });
  });

  test('a tool has room for one probe, however many older attempts still run, and for none past its budget', () => {
    expect(toolRoom(tool({ admits: 'probe', concurrency: 2, in_flight: 2 }))).toBe(1);
    expect(toolRoom(tool({ admits: 'probe', usd_per_day: 1, usd_today: 2 }))).toBe(0);
  });
});

describe('rooms', () => {
  const candidates = (...names: string[]) =>
    names.map((name, n) => ({ task_id: `${name}-${n}`, tool: name, target_id: `${name}@main` }));
  const chosen = (rooms: Rooms, names: string[], limit = 10) =>
    rooms.choose(candidates(...names), limit).map(({ tool: name }) => name);

  test('choosing tasks keeps their order, skips full tools and stops at the limit', () => {
    const rooms = new Rooms({ tools: [tool({ concurrency: 1 })], repositories: [] });
    expect(chosen(rooms, ['agent', 'agent', 'free', 'free', 'free'], 3)).toEqual(['agent', 'free', 'free']);
    expect(rooms.fullTools).toEqual(['agent']);
    expect(chosen(rooms, ['agent', 'free'])).toEqual(['free']);
  });

  test('the limit of a repository counts all its targets', () => {
    const repositories = [{ repository: 'r', concurrency: 3, in_flight: 1, target_ids: ['a@main', 'b@main'] }];
    const rooms = new Rooms({ tools: [], repositories });
    expect(chosen(rooms, ['a', 'b', 'a', 'c'])).toEqual(['a', 'b', 'c']);
    expect(rooms.fullTargets).toEqual(['a@main', 'b@main']);
  });
});
