import { createLogUpdate } from 'log-update';
import type { SluiceClient } from '../client/sluice-client.ts';
import type { EventObject } from '../contract/answers.ts';
import type { ExpandedRunObject } from '../contract/objects.ts';
import { sleep } from '../lib/clock.ts';
import type { CliContext } from './context.ts';
import { runTree } from './run-tree.ts';
import { plain } from './table.ts';

const REDRAW_MS = 250;
const WHOLE = ['workstreams', 'tasks', 'patches', 'gates'] as const;

/** Shows a run on standard error until it has ended: as a live tree on a terminal, otherwise as one line per event. */
export async function watchRun(context: CliContext, client: SluiceClient, runId: string): Promise<ExpandedRunObject> {
  if (!context.stderr.isTTY) {
    for await (const event of client.runs.watch(runId)) context.stderr.write(`${eventLine(event)}\n`);
    return client.runs.get(runId, { expand: WHOLE });
  }
  const draw = createLogUpdate(context.stderr, { showCursor: true });
  const ended = new AbortController();
  const drawing = (async () => {
    while (await sleep(REDRAW_MS, ended.signal)) draw(runTree(await client.runs.get(runId, { expand: WHOLE })));
  })();
  try {
    for await (const _event of client.runs.watch(runId)) if (ended.signal.aborted) break;
  } finally {
    ended.abort();
    await drawing.catch(() => {});
  }
  const run = await client.runs.get(runId, { expand: WHOLE });
  draw(runTree(run));
  draw.done();
  return run;
}

export function eventLine({ at, kind, entity_id, from_state, to_state, reason }: EventObject): string {
  const move = from_state === null ? to_state : `${from_state} → ${to_state}`;
  return `${at} ${kind.padEnd(10)} ${entity_id} ${move}${reason === null ? '' : ` (${plain(reason)})`}`;
}
