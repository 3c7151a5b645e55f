import type { z } from 'zod';
import * as object from '../contract/objects.ts';

/** What a column may hold where its object shows text: an instant, or nothing in a key that is nullable in its table. */
type Stored<Value> = Value extends string ? Value | Date | null | undefined : Value | undefined;

/** Makes rows of one table objects of the API: the key becomes `id`, and only what the schema names is shown. */
function presenter<Schema extends z.ZodObject, Key extends string>(schema: Schema, key: Key) {
  type Shown = z.output<Schema>;
  type Row = { [Column in Exclude<keyof Shown, 'id'>]?: Stored<Shown[Column]> } & { [K in Key]: string };
  const columns = Object.keys(schema.shape).filter((name) => name !== 'id');
  return (row: Row): Shown => {
    const held = row as Readonly<Record<string, unknown>>;
    const shown = columns.map((name) => [name, held[name] instanceof Date ? held[name].toISOString() : held[name]]);
    return { id: row[key], ...Object.fromEntries(shown) } as Shown;
  };
}

export const present = {
  run: presenter(object.runObject, 'run_id'),
  workstream: presenter(object.workstreamObject, 'workstream_id'),
  task: presenter(object.taskObject, 'task_id'),
  wholeTask: presenter(object.wholeTaskObject, 'task_id'),
  patch: presenter(object.patchObject, 'patch_id'),
  gate: presenter(object.gateObject, 'gate_id'),
  worker: presenter(object.workerObject, 'worker_id'),
  breaker: presenter(object.breakerObject, 'breaker_id'),
  target: presenter(object.targetObject, 'target_id'),
};
