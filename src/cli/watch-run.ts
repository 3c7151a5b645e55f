import { createLogUpdate } from 'log-update';
import type { SluiceClient } from '../client/sluice-client.ts';
import type { EventObject } from '../contract/answers.ts';
import type { ExpandedRunObject } from '../contract/objects.ts';
import { sleep } from '../lib/clock.ts';
import type { CliContext } from './context.ts';
import { runTree, shownTasks } from './run-tree.ts';
import { plain } from './table.ts';

const REDRAW_MS = 250;
/** A run that waits for longer than this says why. */
const EXPLAIN_EVERY_MS = 2_000;
/** States of tasks that wait for something; a running one explains itself by its output. */
const WAITING: readonly string[] = ['PENDING', 'BLOCKED', 'QUEUED', 'RETRYING', 'VALIDATING'];
const MAX_EXPLAINED = 5;
/** Columns before a sentence in the tree. */
const INDENT = 7;
/** Lines of the tree beside those of its tasks, and room for what is said of failures. */
const FURTHER_LINES = 12;
const WHOLE = ['workstreams', 'tasks', 'patches', 'gates'] as const;

/**
 * Shows a run on standard error until it has ended: as a live tree on a terminal, otherwise as one line for each event
 * and the tree at the end. With `inJson`, writes each event as one line to standard output, and last the whole run.
 */
export async function watchRun(
  context: CliContext,
  client: SluiceClient,
  { runId, inJson }: { runId: string; inJson: boolean },
): Promise<ExpandedRunObject> {
  if (inJson) {
    for await (const event of client.runs.watch(runId)) context.stdout.write(`${JSON.stringify(event)}\n`);
    const ended = await client.runs.get(runId, { expand: WHOLE });
    context.stdout.write(`${JSON.stringify(ended)}\n`);
    return ended;
  }
  if (!context.stderr.isTTY) {
    const names = await namesIn(client, runId);
    for await (const event of client.runs.watch(runId)) {
      context.stderr.write(`${eventLine(event, names.get(event.entity_id))}\n`);
    }
    const ended = await client.runs.get(runId, { expand: WHOLE });
    context.stderr.write(`${runTree(ended)}\n`);
    return ended;
  }
  const draw = createLogUpdate(context.stderr, { showCursor: true });
  const ended = new AbortController();
  const drawing = (async () => {
    let why: string | undefined;
    let whyTasks = new Map<string, string>();
    let askedAtMs = performance.now();
    const redraw = async (): Promise<void> => {
      const maxTasks = Math.max(5, (context.stderr.rows ?? 24) - FURTHER_LINES);
      const run = await client.runs.get(runId, { expand: WHOLE });
      if (performance.now() - askedAtMs > EXPLAIN_EVERY_MS) {
        const width = (context.stderr.columns ?? 80) - INDENT;
        why = shortened((await client.explain(runId)).sentence, width);
        whyTasks = await reasonsOf(client, { ids: waitingTasks(run, maxTasks), width });
        askedAtMs = performance.now();
      }
      draw(runTree(run, { why, whyTasks, maxTasks: maxTasks - whyTasks.size }));
    };
    // The daemon may be restarting: the tree goes on when it answers, and the events say when it does not come back.
    while (await sleep(REDRAW_MS, ended.signal)) await redraw().catch(() => {});
  })();
  try {
    for await (const _event of client.runs.watch(runId)) if (ended.signal.aborted) break;
  } finally {
    ended.abort();
    await drawing;
  }
  const run = await client.runs.get(runId, { expand: WHOLE });
  draw(runTree(run));
  draw.done();
  return run;
}

/** Returns the shown tasks that have waited for over two seconds, a few of them: each gets a line more. */
function waitingTasks({ tasks = [] }: ExpandedRunObject, maxTasks: number): string[] {
  const before = Date.now() - EXPLAIN_EVERY_MS;
  return shownTasks(tasks, maxTasks)
    .filter(({ state, updated_at }) => WAITING.includes(state) && Date.parse(updated_at) < before)
    .slice(0, MAX_EXPLAINED)
    .map(({ id }) => id);
}

async function reasonsOf(
  client: SluiceClient,
  { ids, width }: { ids: readonly string[]; width: number },
): Promise<Map<string, string>> {
  const found = ids.map(async (id) => [id, shortened((await client.explain(id)).sentence, width)] as const);
  return new Map(await Promise.all(found));
}

/** A sentence that takes two lines would push the tree off the screen. */
function shortened(sentence: string, width: number): string {
  return sentence.length <= width ? sentence : `${sentence.slice(0, Math.max(0, width - 1))}…`;
}

/** Returns the names of the run, its workstreams and its tasks by id. */
async function namesIn(client: SluiceClient, runId: string): Promise<Map<string, string>> {
  const { id, name, workstreams = [], tasks = [] } = await client.runs.get(runId, { expand: ['workstreams', 'tasks'] });
  return new Map([{ id, name }, ...workstreams, ...tasks].map((named) => [named.id, named.name]));
}

export function eventLine(
  { at, kind, entity_id, from_state, to_state, reason }: EventObject,
  name: string | undefined,
): string {
  const move = from_state === null ? to_state : `${from_state} → ${to_state}`;
  return `${at} ${kind.padEnd(10)} ${entity_id}${name === undefined ? '' : ` ${plain(name)}`} ${move}${reason === null ? '' : ` (${plain(reason)})`}`;
}
