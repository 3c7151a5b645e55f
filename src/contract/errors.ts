/**
 * Every stable error code with its HTTP status and title. Programs must match the code, never the text.
 * `contract/error-page.ts` says what to do about each.
 */
export const ERROR_CODES = {
  'spec.invalid': [422, 'The document is not valid'],
  'body.invalid': [400, 'The request is not valid'],
  'body.unsupported_type': [415, 'The content type must be application/json'],
  'body.too_large': [413, 'The request is too large'],
  'cursor.invalid': [400, 'The cursor is none of this list'],
  'config.invalid': [500, 'The configuration is not valid'],
  'policy.invalid': [422, 'The policy of the target branch is not valid'],
  'auth.missing': [401, 'A valid token is required'],
  'auth.refused': [403, 'The token does not allow this'],
  'auth.foreign_origin': [403, 'Requests that write are refused from pages of other sites'],
  'token.name_taken': [409, 'A token in use has this name'],
  'auth.unsafe_listen': [500, 'Without tokens the API listens on loopback only'],
  'route.unknown': [404, 'The API has no such route'],
  'entity.not_found': [404, 'There is no such object'],
  'entity.ambiguous': [409, 'Several objects have an id that begins so'],
  'entity.exists': [409, 'The object exists already'],
  'entity.invalid': [422, 'A value breaks a rule of its table'],
  'state.illegal_edge': [409, 'This transition is not legal'],
  'state.changed': [409, 'The object is not in a state that allows this'],
  'state.read_only': [422, 'State cannot be set directly'],
  'target.in_use': [409, 'Runs of the target exist'],
  'idempotency.mismatch': [422, 'The idempotency key was used with another body'],
  'patch.landing': [409, 'The patch is being landed'],
  'patch.unbuildable': [500, 'The patch cannot be rebuilt as a commit'],
  'run.landing': [409, 'A patch of the run is being landed'],
  'run.active': [409, 'The run has not ended'],
  'command.not_allowed': [422, 'Commands that are not configured as tools are not allowed (allow_commands)'],
  'repository.not_allowed': [422, 'The repository is not in the configuration'],
  'repository.unreadable': [422, 'The repository cannot be read'],
  'branch.missing': [422, 'The branch does not exist'],
  'feature.unsupported': [422, 'This feature is not supported'],
  'git.failed': [500, 'git failed'],
  'path.refused': [422, 'git does not allow a file of this name'],
  'candidate.mismatch': [500, 'The candidate rebuilt by the worker differs from the planned one'],
  'gate.other_room': [500, 'The worker confines gates differently from the scheduler'],
  'sandbox.unavailable': [500, 'The requested sandbox is not available on this host'],
  'machine.fault': [503, 'Host resource exhausted (disk, memory, files or processes)'],
  'lease.lost': [409, 'The lease is held by another process'],
  'database.unreachable': [503, 'The database cannot be reached'],
  'database.newer': [500, 'The schema is newer than this Sluice'],
  'database.behind': [503, 'The schema is older than this Sluice'],
  'database.embedded': [500, 'The embedded PostgreSQL does not start'],
  'queue.unreachable': [503, 'The queue cannot be reached'],
  'queue.not_consumed': [503, 'Work is waiting and no worker takes it'],
  'queue.policy': [500, 'Redis may evict keys: set maxmemory-policy to noeviction'],
  'role.starting': [503, 'The role has not started yet'],
  'port.in_use': [500, 'The port is in use'],
  'daemon.unreachable': [503, 'The daemon cannot be reached'],
  'usage.invalid': [400, 'The command line is not valid'],
  'internal.error': [500, 'Internal error'],
} as const satisfies Record<string, readonly [status: number, title: string]>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** One problem of a document: `path` as in `workstreams[0].tasks[1].tool`. */
export interface Problem {
  path: string;
  message: string;
}

export interface ErrorDetails {
  /** True: the same call may succeed later. Default: false. */
  retryable?: boolean | undefined;
  problems?: readonly Problem[] | undefined;
  facts?: Readonly<Record<string, unknown>> | undefined;
  cause?: unknown;
}

/** The only error class; callers tell errors apart by `code`. */
export class SluiceError extends Error {
  override readonly name = 'SluiceError';
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly problems: readonly Problem[];
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.retryable = details.retryable ?? false;
    this.problems = details.problems ?? [];
    this.facts = details.facts ?? {};
  }

  get httpStatus(): number {
    return ERROR_CODES[this.code][0];
  }
}

export function hasCode(error: unknown, code: ErrorCode): error is SluiceError {
  return error instanceof SluiceError && error.code === code;
}
