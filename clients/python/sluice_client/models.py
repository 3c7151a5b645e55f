# Made from src/contract by `npm run docs`. Do not edit.
from __future__ import annotations

from typing import Any, Literal, TypedDict, Union


class Audit(TypedDict):
    target_id: str
    tip_commit: str
    proven: bool
    commits: list[dict[str, Any]]


class Breaker(TypedDict):
    id: str
    created_at: str
    updated_at: str
    metadata: dict[str, Any]
    tool_name: str
    state: Literal["CLOSED", "OPEN", "HALF_OPEN"]
    reason: Union[str, None]
    failure_count: int
    failure_threshold: int
    cooldown_seconds: int
    last_failure_at: Union[str, None]
    opened_at: Union[str, None]
    probe_task_id: Union[str, None]
    tripped_by: Union[str, None]
    concurrency: Union[int, None]
    rate_max: Union[int, None]
    rate_per_seconds: Union[int, None]
    usd_per_day: Union[float, None]


class Delivery(TypedDict):
    id: str
    created_at: str
    webhook: str
    event_id: str
    type: str
    outcome: Literal["pending", "delivered", "failed"]
    body: str
    attempts: int
    next_attempt_at: Union[str, None]
    status: Union[int, None]
    error: Union[str, None]
    settled_at: Union[str, None]


class Event(TypedDict):
    id: str
    kind: Literal["run", "workstream", "task", "worker", "patch", "gate", "breaker"]
    entity_id: str
    run_id: Union[str, None]
    attempt: Union[int, None]
    from_state: Union[str, None]
    to_state: str
    reason: Union[str, None]
    actor: str
    at: str


class ExpandedRun(TypedDict, total=False):
    id: str
    created_at: str
    updated_at: str
    metadata: dict[str, Any]
    name: str
    target_id: str
    state: Literal["INITIALIZING", "RUNNING", "PAUSED", "COMPLETED", "FAILED"]
    outcome: Union[Literal["succeeded", "failed", "cancelled"], None]
    reason: Union[str, None]
    evidence: Union[dict[str, Any], None]
    labels: dict[str, str]
    priority: int
    land: bool
    extra_gates: list[dict[str, Any]]
    submitted_by: Union[str, None]
    concurrency_key: Union[str, None]
    concurrency_max: Union[int, None]
    supersede: bool
    budget_usd: Union[float, None]
    cost_usd: float
    progress_percentage: int
    workstreams_total: int
    workstreams_ended: int
    tasks_total: int
    tasks_ended: int
    expires_at: Union[str, None]
    started_at: Union[str, None]
    completed_at: Union[str, None]
    workstreams: list[Workstream]
    tasks: list[Task]
    patches: list[Patch]
    gates: list[Gate]


class Explanation(TypedDict):
    id: str
    kind: Literal["run", "workstream", "task", "patch", "gate", "worker", "tool", "target"]
    state: str
    code: str
    sentence: str
    facts: dict[str, Any]
    again_at: Union[str, None]
    again_when: str


class Gate(TypedDict):
    id: str
    created_at: str
    updated_at: str
    metadata: dict[str, Any]
    run_id: str
    task_id: str
    target_id: str
    worker_id: Union[str, None]
    claimed_by: Union[str, None]
    test_suite: str
    state: Literal["PENDING", "RUNNING", "PASSED", "FAILED", "BLOCKED"]
    outcome: Union[Literal["red", "timeout", "lost", "unproven", "withdrawn", "tainted"], None]
    reason: Union[str, None]
    definition: Any
    digest: Union[str, None]
    tree_id: Union[str, None]
    tip_commit: Union[str, None]
    patch_ids: list[str]
    pinned: bool
    advisory: bool
    pool: str
    attempt: int
    timeout_seconds: int
    exit_code: Union[int, None]
    test_results: Union[dict[str, Any], None]
    confinement: Union[Literal["bubblewrap", "user", "none"], None]
    dispatched_at: Union[str, None]
    started_at: Union[str, None]
    completed_at: Union[str, None]


class LogChunk(TypedDict):
    id: str
    attempt: int
    stream: Literal["stdout", "stderr", "sluice"]
    text: str
    created_at: str


class Patch(TypedDict):
    id: str
    created_at: str
    updated_at: str
    metadata: dict[str, Any]
    run_id: str
    task_id: str
    target_id: str
    attempt: int
    state: Literal["PENDING", "VALIDATING", "QUARANTINED", "STAGED", "APPLIED", "VERIFIED", "ROLLED_BACK", "SUPERSEDED", "EXPIRED", "BLOCKED"]
    reason: Union[str, None]
    evidence: Union[dict[str, Any], None]
    file_path: Union[str, None]
    paths: list[str]
    patch_format: Literal["unified_diff", "context_diff", "git_patch", "inline"]
    size_bytes: Union[int, None]
    binary: bool
    scope: Union[list[str], None]
    priority: int
    land: bool
    message: str
    author_name: Union[str, None]
    author_email: Union[str, None]
    authored_at: Union[str, None]
    base_commit: Union[str, None]
    commit_id: Union[str, None]
    tree_id: Union[str, None]
    landed_commit: Union[str, None]
    landed_tree: Union[str, None]
    reverts_patch_id: Union[str, None]
    awaits_approval: bool
    approved_at: Union[str, None]
    approved_by: Union[str, None]
    expires_at: Union[str, None]
    staged_at: Union[str, None]
    applied_at: Union[str, None]
    verified_at: Union[str, None]


class Problem(TypedDict, total=False):
    type: str
    title: str
    status: int
    code: str
    detail: str
    retryable: bool
    errors: list[dict[str, Any]]
    facts: dict[str, Any]


class PrunedRuns(TypedDict):
    deleted: int
    more: bool


class QueuedTarget(TypedDict):
    id: str
    created_at: str
    updated_at: str
    metadata: dict[str, Any]
    repository: str
    branch: str
    tip_commit: Union[str, None]
    tip_tree: Union[str, None]
    policy_error: Union[str, None]
    fault: Union[dict[str, Any], None]
    observed_at: Union[str, None]
    paused_at: Union[str, None]
    paused_by: Union[str, None]
    pause_reason: Union[str, None]
    resumed_at: Union[str, None]
    red_tip: Union[dict[str, Any], None]
    lost_gate: Union[dict[str, Any], None]
    slots: Union[int, None]
    queue: list[dict[str, Any]]


class Readiness(TypedDict, total=False):
    status: Literal["ready", "not_ready"]
    checks: dict[str, Any]
    confinement: dict[str, Any]


class Repository(TypedDict):
    id: str
    url: str
    concurrency: Union[int, None]
    targets: list[str]


class RepositoryCheck(TypedDict):
    id: str
    url: str
    readable: bool
    problem: Union[str, None]
    default_branch: Union[str, None]
    branches: int


class Run(TypedDict):
    id: str
    created_at: str
    updated_at: str
    metadata: dict[str, Any]
    name: str
    target_id: str
    state: Literal["INITIALIZING", "RUNNING", "PAUSED", "COMPLETED", "FAILED"]
    outcome: Union[Literal["succeeded", "failed", "cancelled"], None]
    reason: Union[str, None]
    evidence: Union[dict[str, Any], None]
    labels: dict[str, str]
    priority: int
    land: bool
    extra_gates: list[dict[str, Any]]
    submitted_by: Union[str, None]
    concurrency_key: Union[str, None]
    concurrency_max: Union[int, None]
    supersede: bool
    budget_usd: Union[float, None]
    cost_usd: float
    progress_percentage: int
    workstreams_total: int
    workstreams_ended: int
    tasks_total: int
    tasks_ended: int
    expires_at: Union[str, None]
    started_at: Union[str, None]
    completed_at: Union[str, None]


class Statistics(TypedDict):
    pools: list[dict[str, Any]]
    window_seconds: int
    repairs: dict[str, int]
    refused_writes: int


class SubmittedPatch(TypedDict):
    run: Run
    task: Task
    patch: Patch


class Target(TypedDict):
    id: str
    created_at: str
    updated_at: str
    metadata: dict[str, Any]
    repository: str
    branch: str
    tip_commit: Union[str, None]
    tip_tree: Union[str, None]
    policy_error: Union[str, None]
    fault: Union[dict[str, Any], None]
    observed_at: Union[str, None]
    paused_at: Union[str, None]
    paused_by: Union[str, None]
    pause_reason: Union[str, None]
    resumed_at: Union[str, None]


class TargetCheck(TypedDict):
    target_id: str
    tip_commit: str
    policy_error: Union[str, None]
    warnings: list[dict[str, Any]]


class Task(TypedDict):
    id: str
    created_at: str
    updated_at: str
    metadata: dict[str, Any]
    run_id: str
    workstream_id: str
    target_id: str
    worker_id: Union[str, None]
    name: str
    position: int
    tool: str
    pool: str
    state: Literal["PENDING", "QUEUED", "VALIDATING", "RUNNING", "COMPLETED", "FAILED", "BLOCKED", "CANCELLED", "RETRYING"]
    outcome: Union[Literal["succeeded", "failed", "cancelled"], None]
    reason: Union[str, None]
    evidence: Union[dict[str, Any], None]
    scope: Union[list[str], None]
    message: Union[str, None]
    priority: int
    open_dependencies: int
    timeout_seconds: Union[int, None]
    queue_timeout_seconds: Union[int, None]
    attempt: int
    retry_count: int
    max_retries: int
    interruptions: int
    worker_deaths: int
    budget_usd: Union[float, None]
    cost_usd: float
    exit_code: Union[int, None]
    base_commit: Union[str, None]
    landed_commit: Union[str, None]
    queued_at: Union[str, None]
    queue_expires_at: Union[str, None]
    dispatched_at: Union[str, None]
    available_at: Union[str, None]
    started_at: Union[str, None]
    completed_at: Union[str, None]


class Tool(TypedDict):
    id: str
    state: Literal["CLOSED", "OPEN", "HALF_OPEN"]
    reason: Union[str, None]
    tripped_by: Union[str, None]
    probe_at: Union[str, None]
    probe_task_id: Union[str, None]
    concurrency: Union[int, None]
    in_flight: int
    unclaimed: int
    rate_max: Union[int, None]
    rate_per_seconds: Union[int, None]
    recent_starts: int
    rate_free_at: Union[str, None]
    usd_per_day: Union[float, None]
    usd_today: float
    day_turns_at: str
    waits: Union[str, None]
    again_at: Union[str, None]


class WaitedPatch(TypedDict):
    ended: bool
    patch: Patch


class WaitedRun(TypedDict):
    ended: bool
    run: Run


class WholeTask(TypedDict):
    id: str
    created_at: str
    updated_at: str
    metadata: dict[str, Any]
    run_id: str
    workstream_id: str
    target_id: str
    worker_id: Union[str, None]
    name: str
    position: int
    tool: str
    pool: str
    state: Literal["PENDING", "QUEUED", "VALIDATING", "RUNNING", "COMPLETED", "FAILED", "BLOCKED", "CANCELLED", "RETRYING"]
    outcome: Union[Literal["succeeded", "failed", "cancelled"], None]
    reason: Union[str, None]
    evidence: Union[dict[str, Any], None]
    scope: Union[list[str], None]
    message: Union[str, None]
    priority: int
    open_dependencies: int
    timeout_seconds: Union[int, None]
    queue_timeout_seconds: Union[int, None]
    attempt: int
    retry_count: int
    max_retries: int
    interruptions: int
    worker_deaths: int
    budget_usd: Union[float, None]
    cost_usd: float
    exit_code: Union[int, None]
    base_commit: Union[str, None]
    landed_commit: Union[str, None]
    queued_at: Union[str, None]
    queue_expires_at: Union[str, None]
    dispatched_at: Union[str, None]
    available_at: Union[str, None]
    started_at: Union[str, None]
    completed_at: Union[str, None]
    input: dict[str, Any]


class Worker(TypedDict):
    id: str
    created_at: str
    updated_at: str
    metadata: dict[str, Any]
    hostname: Union[str, None]
    pid: Union[int, None]
    state: Literal["IDLE", "BUSY", "UNHEALTHY", "DEAD", "STOPPED"]
    reason: Union[str, None]
    pools: list[str]
    task_slots: int
    gate_slots: int
    draining: bool
    last_heartbeat: str
    stopped_at: Union[str, None]
    starving_since: Union[str, None]
    stalled_since: Union[str, None]
    over_disk_since: Union[str, None]
    refused_writes: int
    confinement: Union[Literal["bubblewrap", "user", "none"], None]


class Workstream(TypedDict):
    id: str
    created_at: str
    updated_at: str
    metadata: dict[str, Any]
    run_id: str
    name: str
    position: int
    critical: bool
    state: Literal["PENDING", "INITIALIZING", "RUNNING", "PAUSED", "BLOCKED", "COMPLETED", "FAILED", "CANCELLED", "ABANDONED"]
    outcome: Union[Literal["succeeded", "failed", "cancelled"], None]
    reason: Union[str, None]
    progress_percentage: int
    open_dependencies: int
    tasks_total: int
    tasks_ended: int
    tasks_failed: int
    tasks_cancelled: int
    started_at: Union[str, None]
    completed_at: Union[str, None]
