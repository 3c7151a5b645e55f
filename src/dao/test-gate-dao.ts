import { liveStates } from '../domain/lifecycle.ts';
import type { GateState } from '../domain/lifecycles/gate.ts';
import { TestGate, type TestGateRow } from '../entities/test-gate.ts';
import { BaseDao, type EntitySource } from './base-dao.ts';

export class TestGateDao extends BaseDao<TestGateRow> {
  constructor(source: EntitySource) {
    super(source, { schema: TestGate, key: 'gate_id', noun: 'gate', idPrefix: 'gate' });
  }

  findByState(state: GateState): Promise<TestGateRow[]> {
    return this.findBy({ state });
  }

  findByTask(taskId: string): Promise<TestGateRow[]> {
    return this.findBy({ task_id: taskId });
  }

  findByRun(runId: string): Promise<TestGateRow[]> {
    return this.findBy({ run_id: runId });
  }

  /** Executions of a target that have not ended. */
  findLive(targetId: string): Promise<TestGateRow[]> {
    return this.findBy({ target_id: targetId, state: { $in: liveStates('gate') } });
  }

  /** Executions on these trees, oldest first. */
  findByTrees(treeIds: readonly string[]): Promise<TestGateRow[]> {
    return this.findBy({ tree_id: { $in: [...treeIds] } });
  }
}
