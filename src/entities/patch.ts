import { defineEntity, type InferEntity, p } from '@mikro-orm/postgresql';
import { PATCH_FORMATS, type PatchFormat } from '../contract/patch-input.ts';
import { PATCH_STATES, type PatchState } from '../contract/states.ts';
import { auditColumns, inList, instant, jsonObject, textArray } from './columns.ts';
import { Task } from './task.ts';

export const Patch = defineEntity({
  name: 'Patch',
  tableName: 'patches',
  checks: [
    { name: 'patches_state_known', expression: inList('state', PATCH_STATES) },
    { name: 'patches_format_known', expression: inList('patch_format', PATCH_FORMATS) },
    {
      name: 'patches_stopped_has_reason',
      expression: "(state <> 'QUARANTINED' and state <> 'BLOCKED') or reason is not null",
    },
  ],
  indexes: [
    { name: 'patches_task', properties: ['task_id'] },
    { name: 'patches_run', properties: ['run_id', 'patch_id'] },
    { name: 'patches_state', properties: ['state', 'patch_id'] },
    { name: 'patches_file_path', properties: ['file_path'] },
    { name: 'patches_paths', expression: 'create index patches_paths on patches using gin (paths)' },
    {
      name: 'patches_queue',
      expression:
        "create index patches_queue on patches (target_id, priority desc, staged_at, patch_id) where state = 'STAGED'",
    },
    {
      name: 'patches_applied_at',
      expression: 'create index patches_applied_at on patches (target_id, applied_at) where applied_at is not null',
    },
    {
      name: 'patches_to_expire',
      expression:
        "create index patches_to_expire on patches (expires_at) where state in ('STAGED', 'QUARANTINED') and expires_at is not null",
    },
    {
      name: 'patches_to_verify',
      expression: "create index patches_to_verify on patches (target_id) where state = 'APPLIED'",
    },
  ],
  properties: {
    patch_id: p.text().primary(),
    task_id: () =>
      p
        .manyToOne(Task)
        .mapToPk()
        .fieldName('task_id')
        .deleteRule('cascade')
        .index(false)
        .foreignKeyName('patches_task_fk'),
    run_id: p.text().nullable(),
    target_id: p.text().nullable(),
    state: p.text().$type<PatchState>().default('PENDING'),
    reason: p.text().nullable(),
    evidence: jsonObject().nullable(),
    file_path: p.text().nullable(),
    paths: textArray().defaultRaw(`'{}'`),
    patch_format: p.text().$type<PatchFormat>().default('git_patch'),
    scope: textArray().nullable(),
    priority: p.integer().default(0),
    attempt: p.integer().default(0),
    /** `content`: the caller's bytes as they came; null when a tool made the change. */
    content: p.blob().$type<Buffer>().nullable(),
    /** `diff`: the change from base to tree as a git diff, which a rebuild applies. */
    diff: p.blob().$type<Buffer>().nullable(),
    size_bytes: p.integer().nullable(),
    binary: p.boolean().default(false),
    base_commit: p.text().nullable(),
    commit_id: p.text().nullable(),
    tree_id: p.text().nullable(),
    message: p.text().default(''),
    author_name: p.text().nullable(),
    author_email: p.text().nullable(),
    authored_at: instant().nullable(),
    land: p.boolean().default(true),
    /**
     * `approved_at`: when an operator let exactly this content pass protected paths, limits and the second proof of
     * pinned files.
     */
    approved_at: instant().nullable(),
    approved_by: p.text().nullable(),
    /** `reverts_patch_id`: the landed patch that this one reverts. */
    reverts_patch_id: p.text().nullable(),
    intent_id: p.text().nullable(),
    landed_commit: p.text().nullable(),
    landed_tree: p.text().nullable(),
    expires_at: instant().nullable(),
    staged_at: instant().nullable(),
    applied_at: instant().nullable(),
    verified_at: instant().nullable(),
    version: p.integer().default(1),
    ...auditColumns,
  },
});
export type PatchRow = InferEntity<typeof Patch>;
