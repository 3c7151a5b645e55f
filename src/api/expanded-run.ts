import { z } from 'zod';
import { SluiceError } from '../contract/errors.ts';
import { gateObject, patchObject, taskObject, workstreamObject } from '../contract/objects.ts';
import type { Daos } from '../dao/all.ts';
import type { RunRow } from '../entities/run.ts';
import { present } from './present.ts';

const EXPANSIONS = ['workstreams', 'tasks', 'patches', 'gates'] as const;
type Expansion = (typeof EXPANSIONS)[number];

/** Parts that `expand` names, separated by commas. Throws `body.invalid` for one that does not exist. */
export function expansionsIn(expand: string): Expansion[] {
  const wanted = expand.split(',').filter((name) => name !== '');
  const strange = wanted.find((name) => !(EXPANSIONS as readonly string[]).includes(name));
  if (strange !== undefined) {
    throw new SluiceError('body.invalid', `expand: ${strange} is none of ${EXPANSIONS.join(', ')}`);
  }
  return EXPANSIONS.filter((name) => wanted.includes(name));
}

/**
 * Yields a run with its parts as the text of one JSON object, in pieces: a run of 100,000 tasks must neither stall the
 * process nor be held in memory.
 */
export async function* expandedRun(
  daos: Daos,
  run: RunRow,
  wanted: readonly Expansion[],
): AsyncGenerator<string, void, undefined> {
  const of = { run_id: run.run_id };
  const parts = {
    // In the order of the run spec.
    workstreams: () => texts(workstreamObject, [daos.workstreams.findByRun(run.run_id)], present.workstream),
    tasks: () => texts(taskObject, daos.tasks.batches(of), present.task),
    patches: () => texts(patchObject, daos.patches.batches(of), present.patch),
    gates: () => texts(gateObject, daos.gates.batches(of), present.gate),
  } satisfies Record<Expansion, unknown>;
  yield JSON.stringify(present.run(run)).slice(0, -1);
  for (const name of wanted) {
    yield `,${JSON.stringify(name)}:[`;
    let separator = '';
    for await (const text of parts[name]()) {
      yield separator + text;
      separator = ',';
    }
    yield ']';
  }
  yield '}';
}

/** Yields the objects of each batch that is not empty, separated by commas. */
async function* texts<Row, Schema extends z.ZodObject>(
  schema: Schema,
  batches: AsyncIterable<Row[]> | Iterable<Promise<Row[]>>,
  presented: (row: Row) => z.output<Schema>,
): AsyncGenerator<string, void, undefined> {
  for await (const rows of batches) {
    if (rows.length > 0) yield rows.map((row) => JSON.stringify(z.encode(schema, presented(row)))).join(',');
  }
}
