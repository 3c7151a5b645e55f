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
  'DATABASE_URL_FILE',
  'DATABASE_PASSWORD',
  'DATABASE_PASSWORD_FILE',
  'REDIS_URL',
  'REDIS_URL_FILE',
  'SLUICE_DATA_DIR',
  'SLUICE_HOST',
  'SLUICE_PORT',
  'SLUICE_CONFIG',
  'SLUICE_URL',
  'SLUICE_TOKEN',
  'SLUICE_TOKEN_FILE',
  'SLUICE_VERDICT_KEY',
  'SLUICE_VERDICT_KEY_FILE',
  'SLUICE_MONITOR_HOST',
  'SLUICE_MONITOR_PORT',
  'LOG_LEVEL',
] as const;
