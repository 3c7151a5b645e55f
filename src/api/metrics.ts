import { Gauge, Registry } from 'prom-client';
import type { Measured, QueuedGroup } from '../dao/metrics-dao.ts';
import { type AdmissionState, toolHold } from '../domain/admission.ts';
import { capacity, type PoolCapacity } from '../ledger/attempts/admission.ts';
import { readAdmissionState } from '../ledger/attempts/admission-state.ts';
import { processRegistry } from '../lib/meters.ts';
import type { ApiDeps } from './api-deps.ts';

/** Window in which repairs are counted. */
const REPAIRS_SECONDS = 3_600;

/** Names, help and labels of the metrics. Units are part of a name; labels have few values. */
const GAUGES = {
  sluice_runs: ['Live runs by state', ['state']],
  sluice_tasks: ['Live tasks by state and pool', ['state', 'pool']],
  sluice_patches: ['Patches by state and target that have not landed or ended', ['state', 'target']],
  sluice_gates: ['Live gate executions by state and pool', ['state', 'pool']],
  sluice_workers: ['Live workers by state', ['state']],
  sluice_slots: ['Slots that live workers offer, by pool and kind of work', ['pool', 'kind']],
  sluice_slots_taken: ['Slots that running or dispatched work takes', ['pool', 'kind']],
  sluice_task_oldest_wait_seconds: ['Time that the oldest queued task waits for a dispatch', ['pool']],
  sluice_task_waits: ['Queued tasks that are not dispatched yet, by what holds them', ['pool', 'reason']],
  sluice_patch_waits: ['Staged patches by their place in the landing queue', ['target', 'place']],
  sluice_patch_oldest_wait_seconds: ['Time that the oldest staged patch waits to land', ['target']],
  sluice_target_trouble: [
    '1 where a target is paused, its policy unreadable or its coordinator at fault',
    ['target', 'kind'],
  ],
  sluice_tool_in_flight: ['Tasks of a tool that are dispatched or running', ['tool']],
  sluice_tool_spent_usd: ['What attempts of a tool reported today, UTC', ['tool']],
  sluice_breaker_open: ['1 while the breaker of a tool is OPEN, 0.5 while it is HALF_OPEN', ['tool']],
  sluice_repairs: ['Repairs by the reconciler in the last hour; a healthy fleet has none', ['cause']],
  sluice_landed: ['Patches that landed in the last hour', ['target']],
  sluice_landing_seconds: [
    'Time from staged to landed, of patches that landed in the last hour',
    ['target', 'quantile'],
  ],
  sluice_landing_overhead_seconds: [
    'Time from the last green gate to the landed push, of landings of the last hour',
    ['target', 'quantile'],
  ],
  sluice_run_seconds: ['Time of runs that ended in the last hour, from submission to end', ['outcome', 'quantile']],
  sluice_gate_runs_saved: [
    'Gate executions that landings of the last hour needed and that a batch or an older verdict made unnecessary',
    ['target'],
  ],
  sluice_gate_seconds_saved: ['Run time of the saved gate executions', ['target']],
  sluice_gate_runs: ['Gate executions that ended in the last hour', ['target', 'gate', 'outcome']],
  sluice_gate_seconds: ['Run time of gates that ended in the last hour', ['target', 'gate', 'quantile']],
  sluice_webhook_deliveries: ['Deliveries to send, and those given up in the last day', ['webhook', 'outcome']],
  sluice_refused_writes: ['Writes that fences refused, over all workers in the ledger', []],
} as const satisfies Record<string, readonly [string, readonly string[]]>;
type Name = keyof typeof GAUGES;

/** The answer of `/metrics`: the state of the ledger now, and the metrics of this process. */
export class Metrics {
  readonly #deps: ApiDeps;
  readonly #registry = new Registry();
  readonly #gauges: ReadonlyMap<Name, Gauge>;
  #reading: Promise<string> | undefined;

  constructor(deps: ApiDeps) {
    this.#deps = deps;
    const registers = [this.#registry];
    this.#gauges = new Map(
      (Object.keys(GAUGES) as Name[]).map((name) => {
        const [help, labelNames] = GAUGES[name];
        return [name, new Gauge({ name, help, labelNames, registers })];
      }),
    );
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Requests at once share one reading. */
  text(): Promise<string> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #read(): Promise<string> {
    const { database, daos } = this.#deps;
    const [live, oldest, troubled, hour, landings, runSeconds, places, deliveries] = await Promise.all([
      daos.metrics.live(),
      daos.metrics.oldest(),
      daos.metrics.targetsInTrouble(),
      daos.metrics.lastHour(),
      daos.metrics.landingsOfLastHour(),
      daos.metrics.runSecondsOfLastHour(),
      daos.metrics.placesOfPatches(),
      daos.metrics.deliveries(),
    ]);
    const tasks = (await capacity(database, 'task')).map((pool) => ({ ...pool, kind: 'task' }));
    const gates = (await capacity(database, 'gate')).map((pool) => ({ ...pool, kind: 'gate' }));
    const admission = await readAdmissionState(database);
    const { tools } = admission;
    const overDisk = await daos.workers.poolsOverDisk();
    const waits = waitsOf(await daos.metrics.queuedTasks(admission.runs), { admission, pools: tasks, overDisk });
    const repairs = await daos.transitions.countRepairs(REPAIRS_SECONDS);
    const refused = await daos.workers.countRefusedWrites();
    const ofPools = (value: (pool: (typeof tasks)[number]) => number): Measured[] =>
      [...tasks, ...gates].map((pool) => ({ labels: { pool: pool.pool, kind: pool.kind }, value: value(pool) }));
    const ofTools = (value: (tool: (typeof tools)[number]) => number): Measured[] =>
      tools.map((tool) => ({ labels: { tool: tool.tool }, value: value(tool) }));
    const measured: Record<Name, readonly Measured[]> = {
      sluice_runs: live.runs,
      sluice_tasks: live.tasks,
      sluice_patches: live.patches,
      sluice_gates: live.gates,
      sluice_workers: live.workers,
      sluice_slots: ofPools(({ slots }) => slots),
      sluice_slots_taken: ofPools(({ taken }) => taken),
      sluice_task_oldest_wait_seconds: oldest.tasks,
      sluice_task_waits: waits,
      sluice_patch_waits: places,
      sluice_patch_oldest_wait_seconds: oldest.patches,
      sluice_target_trouble: troubled,
      sluice_tool_in_flight: ofTools(({ in_flight }) => in_flight),
      sluice_tool_spent_usd: ofTools(({ usd_today }) => usd_today),
      sluice_breaker_open: ofTools(({ state }) => ({ CLOSED: 0, HALF_OPEN: 0.5, OPEN: 1 })[state]),
      sluice_repairs: Object.entries(repairs).map(([cause, value]) => ({ labels: { cause }, value })),
      sluice_landed: hour.landed,
      sluice_landing_seconds: hour.landingSeconds,
      sluice_landing_overhead_seconds: landings.overheadSeconds,
      sluice_run_seconds: runSeconds,
      sluice_gate_runs_saved: landings.runsSaved,
      sluice_gate_seconds_saved: landings.secondsSaved,
      sluice_gate_runs: hour.gateRuns,
      sluice_gate_seconds: hour.gateSeconds,
      sluice_webhook_deliveries: deliveries,
      sluice_refused_writes: [{ labels: {}, value: refused }],
    };
    for (const [name, gauge] of this.#gauges) {
      // A group that is gone must not keep its last value.
      gauge.reset();
      for (const { labels, value } of measured[name]) gauge.set(labels, value);
    }
    return Registry.merge([this.#registry, processRegistry]).metrics();
  }
}

/** Names what holds each group of queued tasks, in the order in which admission checks. */
function waitsOf(
  groups: readonly QueuedGroup[],
  facts: { admission: AdmissionState; pools: readonly PoolCapacity[]; overDisk: readonly string[] },
): Measured[] {
  const { admission, pools, overDisk } = facts;
  const { tools, repositories, runs } = admission;
  const counts = new Map<string, Measured>();
  for (const { pool, tool, target_id, held_run, tasks } of groups) {
    const ofRun = runs.find(({ run_id }) => run_id === held_run)?.code;
    const state = tools.find((each) => each.tool === tool);
    const ofTool = state === undefined ? undefined : toolHold(state)?.code;
    const repository = repositories.find(({ target_ids }) => target_ids.includes(target_id ?? ''));
    const isFull = repository !== undefined && repository.in_flight >= repository.concurrency;
    const ofRepository = isFull ? 'repository_concurrency' : undefined;
    const { slots, free } = pools.find((each) => each.pool === pool) ?? { slots: 0, free: 0 };
    const noSlots = overDisk.includes(pool) ? 'disk_budget' : 'no_worker';
    const ofPool = slots === 0 ? noSlots : free <= 0 ? 'slots' : 'next_dispatch';
    const reason = ofRun ?? ofTool ?? ofRepository ?? ofPool;
    const key = `${pool} ${reason}`;
    counts.set(key, { labels: { pool, reason }, value: (counts.get(key)?.value ?? 0) + tasks });
  }
  return [...counts.values()];
}
