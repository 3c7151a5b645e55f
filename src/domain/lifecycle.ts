import { SluiceError } from '../contract/errors.ts';
import type {
  BreakerState,
  GateState,
  PatchState,
  RunState,
  TaskState,
  WorkerState,
  WorkstreamState,
} from '../contract/states.ts';
import { BREAKER_EDGES, BREAKER_FORCED_EDGES } from './lifecycles/breaker.ts';
import { GATE_EDGES } from './lifecycles/gate.ts';
import { PATCH_EDGES } from './lifecycles/patch.ts';
import { RUN_EDGES, RUN_FORCED_EDGES } from './lifecycles/run.ts';
import { TASK_EDGES, TASK_FORCED_EDGES } from './lifecycles/task.ts';
import { WORKER_EDGES } from './lifecycles/worker.ts';
import { WORKSTREAM_EDGES, WORKSTREAM_FORCED_EDGES } from './lifecycles/workstream.ts';

/** The state of each kind of object that has a lifecycle. */
export interface StateOf {
  run: RunState;
  workstream: WorkstreamState;
  task: TaskState;
  worker: WorkerState;
  patch: PatchState;
  gate: GateState;
  breaker: BreakerState;
}
export type Kind = keyof StateOf;

type Edges = Readonly<Record<string, readonly string[]>>;

const EDGES: Readonly<Record<Kind, Edges>> = {
  run: RUN_EDGES,
  workstream: WORKSTREAM_EDGES,
  task: TASK_EDGES,
  worker: WORKER_EDGES,
  patch: PATCH_EDGES,
  gate: GATE_EDGES,
  breaker: BREAKER_EDGES,
};

const FORCED_EDGES: Readonly<Partial<Record<Kind, Edges>>> = {
  run: RUN_FORCED_EDGES,
  workstream: WORKSTREAM_FORCED_EDGES,
  task: TASK_FORCED_EDGES,
  breaker: BREAKER_FORCED_EDGES,
};

export const KINDS = Object.keys(EDGES) as Kind[];

export function statesOf<K extends Kind>(kind: K): StateOf[K][] {
  return Object.keys(EDGES[kind]) as StateOf[K][];
}

export function edgesFrom<K extends Kind>(kind: K, from: StateOf[K]): readonly StateOf[K][] {
  return (EDGES[kind][from] ?? []) as readonly StateOf[K][];
}

export function forcedEdgesFrom<K extends Kind>(kind: K, from: StateOf[K]): readonly StateOf[K][] {
  return (FORCED_EDGES[kind]?.[from] ?? []) as readonly StateOf[K][];
}

/** True when no edge leads on: only an edge that an operator forces may leave the state. */
export function isTerminal<K extends Kind>(kind: K, state: StateOf[K]): boolean {
  return edgesFrom(kind, state).length === 0;
}

export function terminalStates<K extends Kind>(kind: K): StateOf[K][] {
  return statesOf(kind).filter((state) => isTerminal(kind, state));
}

export function liveStates<K extends Kind>(kind: K): StateOf[K][] {
  return statesOf(kind).filter((state) => !isTerminal(kind, state));
}

/** Throws `state.illegal_edge` unless the lifecycle (or, if forced, the operator's table) has the edge. */
export function assertEdge<K extends Kind>(kind: K, from: StateOf[K], to: StateOf[K], forced = false): void {
  const allowed = forced ? forcedEdgesFrom(kind, from) : edgesFrom(kind, from);
  if (allowed.includes(to)) return;
  throw new SluiceError('state.illegal_edge', `a ${kind} cannot go from ${from} to ${to}`, {
    facts: { kind, from, to, forced },
  });
}
