import { ERROR_CODES, type ErrorCode } from './errors.ts';

/** Address of the page in the API; a problem's `type` leads to the heading of its code. */
export const ERROR_PAGE_PATH = '/docs/errors';

/** Remedies by error code, as Markdown. */
export const REMEDIES: Readonly<Record<ErrorCode, string>> = {
  'spec.invalid':
    'Mend each entry of `errors`: it names the path and the problem. `sluice run validate FILE` checks without submitting.',
  'body.invalid': 'Compare the request with the description of its route at `/docs`.',
  'body.unsupported_type': 'Send the body with `content-type: application/json`.',
  'body.too_large': 'Split the run, or send large changes as patches of their own.',
  'cursor.invalid':
    'Send `next_cursor` of the previous page of the same list as it is, or no cursor for the first page.',
  'config.invalid':
    'Mend `sluice.config.yaml`, the flag or the environment variable that the message names, and start again.',
  'policy.invalid': 'Mend `.sluice.yaml` on the target branch and push it. Nothing lands there until then.',
  'auth.missing': 'Send `Authorization: Bearer …` with a token that is in use. `sluice token create` makes one.',
  'auth.refused': 'Use a token with the scope that `facts.needed` names, or ask an operator.',
  'auth.foreign_origin': 'Call the API from a program or from its own pages, not from a page of another site.',
  'token.name_taken': 'Choose another name, or revoke the token that has it.',
  'auth.unsafe_listen': 'Create a token before the API listens on an address that others can reach.',
  'route.unknown': 'Look up the address at `/docs`. An older daemon may not have it yet.',
  'entity.not_found': 'Check the id and its prefix. A pruned or deleted run is gone with all its parts.',
  'entity.ambiguous': 'Give more characters of the id; `facts.ids` lists some that begin so.',
  'entity.exists': 'Use the object that is there, or another name.',
  'entity.invalid': 'Correct the value that the message names.',
  'state.illegal_edge': 'This is a defect of Sluice: please report it with the message.',
  'state.changed':
    'Read the object again: its state, in `facts`, does not allow this call. `sluice explain ID` says why.',
  'state.read_only': 'Use the action of the object, such as cancel or retry.',
  'target.in_use': 'Delete the runs of the target first, or pause the target to stop landing on it.',
  'idempotency.mismatch': 'Use a new key for a new spec. The run of this key is in `facts.run_id`.',
  'patch.landing': 'Wait until the push has ended, in a second or two, and call again.',
  'patch.unbuildable': 'Read the log of the daemon: git could not make the commit again from what the ledger holds.',
  'run.landing': 'Wait until the push has ended, in a second or two, and call again.',
  'run.active': 'Cancel the run, or wait for its end.',
  'command.not_allowed': 'Declare the command as a tool in the configuration, or set `allow_commands`.',
  'repository.not_allowed': 'Add the repository to the configuration, or set `allow_any_repository`.',
  'repository.unreadable':
    'Check the URL, the credentials and the network from the host of the daemon. Work waits and is tried again.',
  'branch.missing': 'Push the branch, or correct its name.',
  'feature.unsupported': 'Leave out what the message names. The README lists what the first release does not do.',
  'git.failed': 'Read the message of git in `detail` and the log of the daemon.',
  'path.refused': 'Rename the file: git refuses such a path.',
  'candidate.mismatch': 'Give all hosts the same version of git. The gate runs again on another worker.',
  'gate.other_room': 'Give all workers the same sandbox mode, or wait for one that confines as the scheduler does.',
  'sandbox.unavailable': 'Install bubblewrap on the host, allow user namespaces, or set `sandbox.mode`.',
  'machine.fault': 'Free disk, memory, files or processes on the host. No retry was used up.',
  'lease.lost': 'Nothing: another process holds the work now.',
  'database.unreachable': 'Check PostgreSQL and `DATABASE_URL`. The daemon goes on by itself when it answers.',
  'database.newer': 'Install a version of Sluice that is at least as new as the schema.',
  'database.behind': 'Run `sluice migrate up`.',
  'database.embedded': 'Read the message. Another daemon may use the data folder, or the disk may be full.',
  'queue.unreachable': 'Check Redis and `REDIS_URL`. The daemon goes on by itself when it answers.',
  'queue.not_consumed': 'Start workers that serve the pool, or look at the log of those that run.',
  'queue.policy': 'Set `maxmemory-policy noeviction` in Redis.',
  'role.starting':
    'Wait: the role connects to its database and queue. Its log says for which it waits when that takes long.',
  'port.in_use': 'Stop the program that listens there, or set `SLUICE_PORT`.',
  'daemon.unreachable': 'Start the daemon (`sluice up`), or set `SLUICE_URL`.',
  'usage.invalid': 'See `sluice COMMAND --help`.',
  'internal.error': 'This is a defect of Sluice: the log of the daemon has the details. Please report it.',
};

/** Returns the page of all error codes as Markdown, with a heading for each code. */
export function errorPage(): string {
  const sections = Object.entries(ERROR_CODES).map(
    ([code, [status, title]]) => `## ${code}\n\n${title} (HTTP ${status}). ${REMEDIES[code as ErrorCode]}`,
  );
  return `# Errors

Every error has a stable \`code\`, in the problem details of the API (RFC 9457), in the JSON of the command line and
in the logs. Programs match the code. \`retryable\` says whether the same call may succeed later; \`errors\` lists the
problems of a document; \`facts\` holds the ids, states and limits that the text speaks of.
\`src/contract/errors.ts\` is the one list of codes; \`npm run docs\` makes this page of it.

${sections.join('\n\n')}
`;
}
