import type { CircuitBreakerRow } from '../entities/circuit-breaker.ts';
import type { Json } from '../entities/columns.ts';
import type { PatchRow } from '../entities/patch.ts';
import type { RunRow } from '../entities/run.ts';
import type { TargetRow } from '../entities/target.ts';
import type { TaskRow } from '../entities/task.ts';
import type { TestGateRow } from '../entities/test-gate.ts';
import type { WorkerRow } from '../entities/worker.ts';
import type { WorkstreamRow } from '../entities/workstream.ts';

/** Objects of the API are rows under the same names; `id` is the table's key. What only the machinery needs stays inside. */
export type ApiObject = Json & { id: string };

function withId<Row extends object, Key extends keyof Row & string>(
  row: Row,
  key: Key,
  hidden: readonly (keyof Row & string)[] = [],
): ApiObject {
  const { [key]: id, ...rest } = row;
  const shown = Object.entries(rest).filter(([column]) => !hidden.includes(column as never));
  return { id: id as string, ...Object.fromEntries(shown) };
}

export function runObject(run: RunRow): ApiObject {
  return withId(run, 'run_id', ['spec_digest', 'idempotency_key', 'version']);
}

export function workstreamObject(workstream: WorkstreamRow): ApiObject {
  return withId(workstream, 'workstream_id', ['rolled_up', 'version']);
}

const INNER_OF_TASK = [
  'rolled_up',
  'version',
  'dispatch',
  'ranked_at',
  'failure_fingerprint',
  'costed_attempts',
] as const;

export function taskObject(task: TaskRow): ApiObject {
  return withId(task, 'task_id', [...INNER_OF_TASK, 'input']);
}

export function taskObjectWhole(task: TaskRow): ApiObject {
  return withId(task, 'task_id', INNER_OF_TASK);
}

export function patchObject(patch: PatchRow): ApiObject {
  return withId(patch, 'patch_id', ['content', 'diff', 'version', 'intent_id']);
}

export function gateObject(gate: TestGateRow): ApiObject {
  return withId(gate, 'gate_id', ['version', 'dispatch']);
}

export function workerObject(worker: WorkerRow): ApiObject {
  return withId(worker, 'worker_id', ['version', 'gate_values']);
}

export function breakerObject(breaker: CircuitBreakerRow): ApiObject {
  return withId(breaker, 'breaker_id', ['version']);
}

export function targetObject(target: TargetRow): ApiObject {
  return withId(target, 'target_id', ['landing', 'steered_at']);
}
