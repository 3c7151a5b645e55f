import { SluiceError } from '../../contract/errors.ts';
import { NAMED_KINDS } from '../../dao/name-dao.ts';
import { idFor } from '../find-by-name.ts';
import { type ExplainDeps, type Explained, sceneOf } from './explain-context.ts';
import { explainTool, explainWorker } from './explain-fleet.ts';
import { explainGate, explainPatch } from './explain-patch.ts';
import { explainRun, explainWorkstream } from './explain-run.ts';
import { explainTarget } from './explain-target.ts';
import { explainTask } from './explain-task.ts';

/**
 * Explains an object by its id, the beginning of one, or its name. Names of targets and tools come before those of runs.
 * Throws `entity.not_found`, `entity.ambiguous`.
 */
export async function explain(from: ExplainDeps, id: string): Promise<Explained> {
  const deps = sceneOf(from);
  const explainers = {
    run: explainRun,
    ws: explainWorkstream,
    task: explainTask,
    patch: explainPatch,
    gate: explainGate,
    wrk: explainWorker,
  } as const;
  const prefix = /^([a-z]+)_[0-9a-z]{26}$/.exec(id)?.[1] ?? '';
  if (Object.hasOwn(explainers, prefix)) return explainers[prefix as keyof typeof explainers](deps, id);
  if (prefix === 'brk') return explainTool(deps, (await deps.daos.breakers.get(id)).tool_name);
  const target = await deps.daos.targets.find(id);
  if (target !== undefined) return explainTarget(deps, target);
  if ((await deps.daos.breakers.getByTool(id)) !== undefined) return explainTool(deps, id);
  const found = await idFor(deps.daos.names, NAMED_KINDS, id);
  if (found !== id) return explain(from, found);
  throw new SluiceError(
    'entity.not_found',
    `there is nothing called ${id}: give the id of a run, workstream, task, patch, gate, worker or target, or the name of a tool`,
  );
}
