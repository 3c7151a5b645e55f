import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Credentials } from '../contract/config-schema.ts';
import { SluiceError } from '../contract/errors.ts';
import { runChild } from '../lib/process.ts';

/** Gives git access to one remote: the environment of calls to it, and the redaction of its secrets from logs. */
export interface RemoteAccess {
  environment(): Promise<Readonly<Record<string, string>>>;
  redact(text: string): string;
}

export const OPEN_ACCESS: RemoteAccess = { environment: async () => ({}), redact: (text) => text };

/** The user name that hosting services accept with any token. */
const ANYBODY = 'x-access-token';
const TOKEN_AGE_MS = 60_000;
const TOKEN_COMMAND_MS = 30_000;

/**
 * Answers git's prompts from two variables, and only for the token's own host. A token therefore never appears in an
 * argument, a file or a configuration.
 */
const ASKPASS = `#!/bin/sh
case "$1" in
Username*"://$SLUICE_GIT_HOST'"*) printf '%s\\n' "$SLUICE_GIT_USERNAME" ;;
Password*"@$SLUICE_GIT_HOST'"*) printf '%s\\n' "$SLUICE_GIT_TOKEN" ;;
*) exit 1 ;;
esac
`;

/** Restricts ssh to one key and the hosts that the operator listed: no agent, no other key, no prompt. */
const SSH = `#!/bin/sh
exec ssh -o BatchMode=yes -o IdentitiesOnly=yes -o IdentityAgent=none -o StrictHostKeyChecking=yes \\
  -o "UserKnownHostsFile=\\"$SLUICE_SSH_KNOWN_HOSTS\\"" -i "$SLUICE_SSH_KEY" "$@"
`;

/**
 * Makes the access of one repository from its configuration. `helpers` is a folder of the daemon for two small scripts.
 */
export function remoteAccess(
  credentials: Credentials,
  { url, helpers, daemon }: { url: string; helpers: string; daemon: Readonly<Record<string, string | undefined>> },
): RemoteAccess {
  if ('ssh_key_file' in credentials) {
    const { ssh_key_file, known_hosts_file } = credentials;
    return {
      environment: async () => ({
        GIT_SSH: await writeScript(join(helpers, 'ssh-with-key'), SSH),
        GIT_SSH_VARIANT: 'ssh',
        SLUICE_SSH_KEY: ssh_key_file,
        SLUICE_SSH_KNOWN_HOSTS: known_hosts_file,
      }),
      redact: (text) => text,
    };
  }
  let known: { token: string; atMs: number } | undefined;
  const read = async (): Promise<string> => {
    if (known !== undefined && performance.now() - known.atMs < TOKEN_AGE_MS) return known.token;
    const token = await readToken(credentials, daemon);
    known = { token, atMs: performance.now() };
    return token;
  };
  return {
    environment: async () => ({
      GIT_ASKPASS: await writeScript(join(helpers, 'askpass'), ASKPASS),
      SLUICE_GIT_HOST: URL.canParse(url) ? new URL(url).host : '',
      // Redirects are not followed, because the token must not reach another host.
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'http.followRedirects',
      GIT_CONFIG_VALUE_0: 'false',
      SLUICE_GIT_USERNAME: credentials.username ?? ANYBODY,
      SLUICE_GIT_TOKEN: await read(),
    }),
    redact: (text) => (known === undefined ? text : text.replaceAll(known.token, '[redacted]')),
  };
}

async function readToken(
  credentials: Exclude<Credentials, { ssh_key_file: string }>,
  daemon: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  if ('token_env' in credentials) {
    const token = daemon[credentials.token_env];
    if (token !== undefined && token !== '') return token;
    throw unreadable(
      `the environment variable ${credentials.token_env}, which must hold the token of the repository, is not set`,
    );
  }
  const env = Object.fromEntries(Object.entries(daemon).filter(([, value]) => value !== undefined)) as Record<
    string,
    string
  >;
  const { ending, stdout } = await runChild({
    argv: credentials.token_command,
    cwd: '/',
    env,
    timeoutMs: TOKEN_COMMAND_MS,
  });
  const token = stdout.toString('utf8').trim();
  if (ending.kind === 'exited' && ending.exitCode === 0 && token !== '') return token;
  // The output is not quoted, because it may be a secret or part of one.
  throw unreadable(`the token command of the repository printed no token or failed: ${JSON.stringify(ending)}`);
}

function unreadable(words: string): SluiceError {
  return new SluiceError('repository.unreadable', words, { retryable: true });
}

/** Writes the script by a rename, because another process of this host may be executing it. */
async function writeScript(path: string, text: string): Promise<string> {
  if ((await readFile(path, 'utf8').catch(() => '')) === text) return path;
  await mkdir(dirname(path), { recursive: true });
  const half = `${path}.${randomUUID()}`;
  await writeFile(half, text, { mode: 0o700 });
  await rename(half, path);
  return path;
}
