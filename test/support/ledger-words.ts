import type { AttemptEnd } from '../../src/ledger/attempts/attempts.ts';
import type { ToolSettings } from '../../src/ledger/attempts/breakers.ts';
import type { Claim } from '../../src/ledger/attempts/claims.ts';
import type { NewPatch } from '../../src/ledger/attempts/record-patch.ts';

/** Builds a worker's claim of a dispatched task or gate. */
export function claimOf(id: string, workerId: string, dispatch = 1): Claim {
  return { id, dispatch, workerId, leaseMs: 6_000 };
}

export function attemptEnd(taskId: string, given: Partial<AttemptEnd> = {}): AttemptEnd {
  return {
    taskId,
    workerId: 'wrk_none',
    attempt: 1,
    tool: 'command',
    exitCode: 0,
    baseCommit: null,
    costUsd: null,
    fact: null,
    ending: { kind: 'unchanged' },
    ...given,
  };
}

export function toolSettings(tool: string, given: Partial<ToolSettings> = {}): ToolSettings {
  return {
    tool,
    failure_threshold: 2,
    cooldown_seconds: 60,
    concurrency: null,
    rate_max: null,
    rate_per_seconds: null,
    usd_per_day: null,
    ...given,
  };
}

export function newPatch(refusal: NewPatch['refusal'] = null): NewPatch {
  return {
    patch_format: 'git_patch',
    content: null,
    diff: Buffer.from('diff\0with NUL'),
    file_path: 'a',
    paths: ['a'],
    size_bytes: 13,
    binary: false,
    base_commit: 'b'.repeat(40),
    commit_id: 'c'.repeat(40),
    tree_id: 'd'.repeat(40),
    message: 'm',
    author_name: 'A',
    author_email: 'a@b',
    authored_at: new Date().toISOString(),
    refusal,
    notes: null,
  };
}
