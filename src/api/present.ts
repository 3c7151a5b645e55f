import type { z } from 'zod';
import * as object from '../contract/objects.ts';
import { awaitsApproval } from '../domain/path-rules.ts';

/** Type that a column may have in a row: a string may be a Date there, and null where only the table allows null. */
type Stored<Value> = Value extends string ? Value | Date | null | undefined : Value | undefined;

/**
 * Returns a function that turns rows of one table into API objects: the key becomes `id`, and only columns that the
 * schema names are shown.
 */
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

const patchColumns = presenter(object.patchObject.omit({ awaits_approval: true }), 'patch_id');

export const present = {
  run: presenter(object.runObject, 'run_id'),
  workstream: presenter(object.workstreamObject, 'workstream_id'),
  task: presenter(object.taskObject, 'task_id'),
  wholeTask: presenter(object.wholeTaskObject, 'task_id'),
  patch: (row: Parameters<typeof patchColumns>[0]) => {
    const shown = patchColumns(row);
    return { ...shown, awaits_approval: awaitsApproval(shown) };
  },
  gate: presenter(object.gateObject, 'gate_id'),
  worker: presenter(object.workerObject, 'worker_id'),
  breaker: presenter(object.breakerObject, 'breaker_id'),
  target: presenter(object.targetObject, 'target_id'),
  delivery: presenter(object.deliveryObject, 'delivery_id'),
};
