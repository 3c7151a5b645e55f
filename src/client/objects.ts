/** Objects as the API gives them: the tables' columns under their names, and `id`. Times are RFC 3339 in UTC. */
export interface ApiObject {
  id: string;
  created_at: string;
  updated_at: string;
  metadata: Record<string, unknown>;
}

interface Ending {
  state: string;
  reason: string | null;
}

export interface RunObject extends ApiObject, Ending {
  name: string;
  outcome: 'succeeded' | 'failed' | 'cancelled' | null;
  target_id: string;
  progress_percentage: number;
  labels: Record<string, string>;
  priority: number;
  evidence: Record<string, unknown> | null;
  tasks_total: number;
  tasks_ended: number;
  cost_usd: number;
  budget_usd: number | null;
  concurrency_key: string | null;
  started_at: string | null;
  completed_at: string | null;
  workstreams?: WorkstreamObject[];
  tasks?: TaskObject[];
  patches?: PatchObject[];
  gates?: GateObject[];
}

export interface WorkstreamObject extends ApiObject, Ending {
  run_id: string;
  name: string;
  position: number;
  critical: boolean;
  progress_percentage: number;
}

export interface TaskObject extends ApiObject, Ending {
  run_id: string;
  workstream_id: string;
  worker_id: string | null;
  name: string;
  position: number;
  tool: string;
  pool: string;
  outcome: 'succeeded' | 'failed' | 'cancelled' | null;
  evidence: Record<string, unknown> | null;
  attempt: number;
  retry_count: number;
  max_retries: number;
  interruptions: number;
  cost_usd: number;
  budget_usd: number | null;
  exit_code: number | null;
  base_commit: string | null;
  landed_commit: string | null;
}

export interface PatchObject extends ApiObject, Ending {
  run_id: string;
  task_id: string;
  target_id: string;
  evidence: Record<string, unknown> | null;
  file_path: string | null;
  paths: string[];
  patch_format: string;
  message: string;
  base_commit: string | null;
  landed_commit: string | null;
  staged_at: string | null;
  applied_at: string | null;
  verified_at: string | null;
}

export interface GateObject extends ApiObject, Ending {
  task_id: string;
  target_id: string;
  test_suite: string;
  outcome: string | null;
  exit_code: number | null;
  tree_id: string;
  patch_ids: string[];
  timeout_seconds: number;
  test_results: Record<string, unknown> | null;
  started_at: string | null;
  completed_at: string | null;
}

export interface WorkerObject extends ApiObject, Ending {
  hostname: string;
  pid: number;
  pools: string[];
  task_slots: number;
  gate_slots: number;
  last_heartbeat: string;
  draining: boolean;
  refused_writes: number;
  starving_since: string | null;
  /** How it keeps children apart from its machine; null where an older Sluice did not say. */
  confinement: 'bubblewrap' | 'user' | 'none' | null;
}

export interface BreakerObject extends ApiObject, Ending {
  tool_name: string;
  failure_count: number;
  failure_threshold: number;
  cooldown_seconds: number;
  opened_at: string | null;
  tripped_by: string | null;
}

/** A declared tool: its limits (null: none), what is in flight, and what it waits for. */
export interface ToolObject {
  id: string;
  state: string;
  reason: string | null;
  concurrency: number | null;
  in_flight: number;
  rate_max: number | null;
  rate_per_seconds: number | null;
  recent_starts: number;
  usd_per_day: number | null;
  usd_today: number;
  waits: string | null;
  again_at: string | null;
}

/** Why something is where it is. `again_at`: when that changes by itself; `again_when` says it in words. */
export interface ExplanationObject {
  id: string;
  kind: string;
  state: string;
  code: string;
  sentence: string;
  facts: Record<string, unknown>;
  again_at: string | null;
  again_when: string;
}

export interface StatsObject {
  pools: {
    pool: string;
    tasks_waiting: number;
    oldest_waiting_seconds: number;
    tasks_in_flight: number;
    task_slots: number;
    gates_waiting: number;
    gates_in_flight: number;
    gate_slots: number;
    /** Within the window, by state. */
    tasks_ended: Record<string, number>;
  }[];
  window_seconds: number;
  /** By cause; empty in a healthy hour. */
  repairs: Record<string, number>;
  refused_writes: number;
}

export interface TargetObject extends ApiObject {
  repository: string;
  branch: string;
  tip_commit: string | null;
  policy_error: string | null;
  /** Why nothing can land there: branch or remote gone, mirror broken. */
  fault: { code: string; message: string } | null;
  paused_at: string | null;
  pause_reason: string | null;
  /** Set while the tip itself fails a gate: nobody is blamed for it, only what is green on its own tree lands. */
  red_tip?: { gate: string; gate_id: string; outcome: string } | null;
  /** A gate whose runs were lost more than once with one patch. */
  lost_gate?: { patch_id: string; gate: string; gate_id: string; times: number } | null;
  slots?: number | null;
  queue?: QueueEntry[];
}

/** What the policy of a target probably does not mean. */
export interface TargetCheckObject {
  target_id: string;
  tip_commit: string;
  policy_error: string | null;
  warnings: { where: string; message: string }[];
}

/** A patch that waits to land. `place`: testing, proven, queued, doubted, behind, not_to_land. */
export interface QueueEntry {
  patch_id: string;
  task_id: string;
  run_id: string;
  priority: number;
  staged_at: string;
  subject: string;
  place: string;
  tree_id: string | null;
  behind: string[];
  gates: { gate_id: string; gate: string; state: string; pinned: boolean }[];
}

export interface AuditObject {
  target_id: string;
  tip_commit: string;
  proven: boolean;
  commits: {
    commit: string;
    patch_id: string;
    tree_id: string;
    landed_at: string;
    on_branch: boolean;
    proofs: { gate: string; digest: string; tree_id: string; gate_id: string | null }[];
    proven_by: string;
    proven: boolean;
    problem: string | null;
  }[];
}

/** One change of a state; `id` is its place in the order of commits. */
export interface EventObject {
  id: string;
  kind: 'run' | 'workstream' | 'task' | 'worker' | 'patch' | 'gate' | 'breaker';
  entity_id: string;
  run_id: string | null;
  attempt: number | null;
  from_state: string | null;
  to_state: string;
  reason: string | null;
  actor: string;
  at: string;
}

export interface LogObject {
  id: string;
  attempt: number;
  stream: 'stdout' | 'stderr' | 'sluice';
  text: string;
  created_at: string;
}

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}
