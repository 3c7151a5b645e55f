import type { Daos } from '../../src/dao/all.ts';
import type { CircuitBreakerRow } from '../../src/entities/circuit-breaker.ts';
import type { PatchRow } from '../../src/entities/patch.ts';
import type { RunRow } from '../../src/entities/run.ts';
import type { TaskRow } from '../../src/entities/task.ts';
import type { TestGateRow } from '../../src/entities/test-gate.ts';
import type { WorkerRow } from '../../src/entities/worker.ts';
import type { WorkstreamRow } from '../../src/entities/workstream.ts';
import { newId } from '../../src/lib/id.ts';

/** Creates rows in any state, with the parent rows that they need. Columns that are not given get valid defaults. */
export class Builders {
  readonly #daos: Daos;

  constructor(daos: Daos) {
    this.#daos = daos;
  }

  async run(given: Partial<RunRow> = {}): Promise<RunRow> {
    const target_id = given.target_id ?? 'app@main';
    if ((await this.#daos.targets.find(target_id)) === undefined) {
      await this.#daos.targets.create({ target_id, repository: 'app', branch: 'main', url: '/nowhere' });
    }
    const started_at = given.state === 'INITIALIZING' ? null : new Date();
    const whole = { workstreams_total: 1, tasks_total: 1, started_at, ...given };
    const since = given.created_at === undefined ? {} : { key_since: given.created_at };
    return this.#daos.runs.create({ state: 'RUNNING', ...since, ...whole, target_id });
  }

  async workstream(given: Partial<WorkstreamRow> = {}): Promise<WorkstreamRow> {
    const run_id = given.run_id ?? (await this.run()).run_id;
    return this.#daos.workstreams.create({ state: 'RUNNING', tasks_total: 1, ...given, run_id });
  }

  async task(given: Partial<TaskRow> = {}): Promise<TaskRow> {
    const workstream = given.workstream_id
      ? await this.#daos.workstreams.get(given.workstream_id)
      : await this.workstream(given.run_id ? { run_id: given.run_id } : {});
    const run = await this.#daos.runs.get(workstream.run_id);
    return this.#daos.tasks.create({
      state: 'QUEUED',
      queued_at: new Date(),
      ranked_at: new Date(Date.now() - 60_000 * (given.priority ?? 0)),
      target_id: run.target_id,
      ...given,
      run_id: run.run_id,
      workstream_id: workstream.workstream_id,
    });
  }

  /** A task that is QUEUED and dispatched: a message for it may be on its way. */
  dispatchedTask(given: Partial<TaskRow> = {}): Promise<TaskRow> {
    return this.task({ dispatch: 1, dispatched_at: new Date(), ...given });
  }

  async runningTask(given: Partial<TaskRow> = {}): Promise<TaskRow> {
    const worker_id = given.worker_id ?? (await this.worker()).worker_id;
    const lease_expires_at = new Date(Date.now() + 60_000);
    return this.dispatchedTask({ state: 'RUNNING', attempt: 1, lease_expires_at, ...given, worker_id });
  }

  worker(given: Partial<WorkerRow> = {}): Promise<WorkerRow> {
    return this.#daos.workers.create({ state: 'IDLE', task_slots: 2, gate_slots: 2, ...given });
  }

  async patch(given: Partial<PatchRow> = {}): Promise<PatchRow> {
    const task = given.task_id ? await this.#daos.tasks.get(given.task_id) : await this.task({ state: 'VALIDATING' });
    return this.#daos.patches.create({
      state: 'STAGED',
      staged_at: new Date(),
      target_id: task.target_id,
      run_id: task.run_id,
      ...given,
      task_id: task.task_id,
    });
  }

  async gate(given: Partial<TestGateRow> = {}): Promise<TestGateRow> {
    const task_id = given.task_id ?? (await this.task({ state: 'VALIDATING' })).task_id;
    return this.#daos.gates.create({ tree_id: newId('tree'), digest: 'digest', test_suite: 'unit', ...given, task_id });
  }

  breaker(given: Partial<CircuitBreakerRow> = {}): Promise<CircuitBreakerRow> {
    return this.#daos.breakers.create({ tool_name: newId('tool'), ...given });
  }
}
