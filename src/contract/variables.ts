/**
 * Variables that Sluice sets for its children, in addition to PATH, HOME, TMPDIR, CI and those that the tool, gate or
 * step names in `env`.
 */
export const CHILD_VARIABLES = {
  runId: 'SLUICE_RUN_ID',
  taskId: 'SLUICE_TASK_ID',
  attempt: 'SLUICE_ATTEMPT',
  baseCommit: 'SLUICE_BASE_COMMIT',
  slot: 'SLUICE_SLOT',
  inputFile: 'SLUICE_INPUT_FILE',
  evidenceFile: 'SLUICE_EVIDENCE_FILE',
  messageFile: 'SLUICE_MESSAGE_FILE',
  costFile: 'SLUICE_COST_FILE',
} as const;

/** Variables that configure the daemon and its clients. */
export const DAEMON_VARIABLES = [
  'DATABASE_URL',
  'REDIS_URL',
  'SLUICE_DATA_DIR',
  'SLUICE_HOST',
  'SLUICE_PORT',
  'SLUICE_CONFIG',
  'SLUICE_URL',
  'SLUICE_TOKEN',
  'SLUICE_VERDICT_KEY',
  'LOG_LEVEL',
] as const;
