import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Credentials } from '../contract/config-schema.ts';
import { SluiceError } from '../contract/errors.ts';
import { runChild } from '../lib/process.ts';

/** Lets git in at one remote: variables for the calls that speak to it, and what must not stand in any log. */
export interface RemoteAccess {
  environment(): Promise<Readonly<Record<string, string>>>;
  redact(text: string): string;
}

export const OPEN_ACCESS: RemoteAccess = { environment: async () => ({}), redact: (text) => text };

/** What hosting services take beside a token, whoever it belongs to. */
const ANYBODY = 'x-access-token';
const TOKEN_AGE_MS = 60_000;
const TOKEN_COMMAND_MS = 30_000;

/**
 * Answers git's questions from two variables, for the host that the token is meant for: a token never stands in an argument, a
 * file or a configuration.
 */
const ASKPASS = `#!/bin/sh
case "$1" in
Username*"://$SLUICE_GIT_HOST'"*) printf '%s\\n' "$SLUICE_GIT_USERNAME" ;;
Password*"@$SLUICE_GIT_HOST'"*) printf '%s\\n' "$SLUICE_GIT_TOKEN" ;;
*) exit 1 ;;
esac
`;

/** One key and the hosts that the operator knows: no agent, no other key, no question. */
const SSH = `#!/bin/sh
exec ssh -o BatchMode=yes -o IdentitiesOnly=yes -o IdentityAgent=none -o StrictHostKeyChecking=yes \\
  -o "UserKnownHostsFile=\\"$SLUICE_SSH_KNOWN_HOSTS\\"" -i "$SLUICE_SSH_KEY" "$@"
`;

/** Makes the access of one repository from what the configuration says. `helpers`: a folder of ours for two small scripts. */
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
      // Where a remote sends us on, the token does not go.
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
    throw unreadable(`the variable ${credentials.token_env}, which holds its token, is not set`);
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
  // What it printed may be a secret, or half of one.
  throw unreadable(`its token command gave no token: ${JSON.stringify(ending)}`);
}

function unreadable(words: string): SluiceError {
  return new SluiceError('repository.unreadable', words, { retryable: true });
}

/** Appears whole, by a rename: another process of this machine may be running it. */
async function writeScript(path: string, text: string): Promise<string> {
  if ((await readFile(path, 'utf8').catch(() => '')) === text) return path;
  await mkdir(dirname(path), { recursive: true });
  const half = `${path}.${randomUUID()}`;
  await writeFile(half, text, { mode: 0o700 });
  await rename(half, path);
  return path;
}
