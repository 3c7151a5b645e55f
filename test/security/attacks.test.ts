import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { ControlGroups } from '../../src/children/control-groups.ts';
import type { ConfigFileInput } from '../../src/contract/config-schema.ts';
import { processesWithVariable } from '../../src/lib/process-identity.ts';
import { bubblewrapWorks } from '../support/bubblewrap.ts';
import { eventually } from '../support/eventually.ts';
import { shell, specOf } from '../support/run-sluice.ts';
import { spawnSluice } from '../support/sluice-process.ts';

type Mode = 'bubblewrap' | 'user' | 'none';
const SANDBOX: Readonly<Record<Mode, ConfigFileInput['sandbox']>> = {
  bubblewrap: { mode: 'require' },
  user: { mode: 'none' },
  none: { mode: 'none', run_as: 'daemon' },
};
type Place = 'tool' | 'prepare' | 'gate';
const PLACES: readonly Place[] = ['tool', 'prepare', 'gate'];
const LEFT = 'leaves a process behind';

interface Attacked {
  broke: Record<Place, Set<string>>;
  tried: number;
}

/** Attacks a daemon of `sluice up`, with its embedded database, twice from each place. Returns successes by place. */
async function attacked(mode: Mode): Promise<Attacked> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-test-attack-'));
  // Not below TMPDIR, which children never see, and not in a place that a sandbox hides by name.
  const machine = await mkdtemp('/var/tmp/sluice-test-machine-');
  const [home, bin, sockets, dataDir] = ['home', 'bin', 'sockets', 'data'].map((name) => join(machine, name)) as [
    string,
    string,
    string,
    string,
  ];
  for (const made of [home, bin, sockets, dataDir]) await mkdir(made);
  await chmod(machine, 0o711);
  for (const folder of [home, sockets]) await chmod(folder, 0o700);
  await writeFile(join(home, '.netrc'), 'machine example password hunter2');
  const key = join(machine, 'deploy.key');
  await writeFile(key, 'PRIVATE KEY', { mode: 0o600 });
  await writeFile(join(bin, 'helper'), '#!/bin/sh\n');
  await chmod(join(bin, 'helper'), 0o755);
  const mark = `${mode}-${process.pid}`;
  const neighbours = [join(sockets, 'engine.sock'), `\0sluice-attack-${mark}`, { port: 0, host: '127.0.0.1' }].map(
    (at) => createServer((socket) => socket.end()).listen(at),
  );
  await Promise.all(neighbours.map((neighbour) => once(neighbour, 'listening')));
  const { port } = neighbours[2]!.address() as AddressInfo;
  // A size that no other program uses, so that the segment can be recognized.
  const sharedBytes = 4_096 * 7 + (process.pid % 4_096) + 4_096 * Object.keys(SANDBOX).indexOf(mode);
  const repositories = {
    keyed: { url: 'ssh://git@example.invalid/x.git', credentials: { ssh_key_file: key, known_hosts_file: key } },
  };
  const sluice = await spawnSluice({
    databaseUrl: '',
    dataDir,
    config: { sandbox: SANDBOX[mode], repositories, allow_any_repository: true, allow_commands: true },
    environment: { HOME: home, PATH: `${process.env.PATH}:${bin}`, DAEMON_SECRET: `secret-of-${mark}` },
  });
  const facts = {
    ...{ dataDir, home, bin, key, sockets, mark },
    config: join(dataDir, 'sluice.config.yaml'),
    secret: `secret-of-${mark}`,
    port,
    sharedBytes,
    url: sluice.url,
    pids: [sluice.child.pid!, ...sluice.workers],
  };
  const command = (place: Place) => ['node', 'attacks.mjs', place];
  const git = await GitSandbox.create(
    { 'attacks.mjs': await readFile(new URL('attacks.mjs', import.meta.url)) },
    {
      prepare: [{ name: 'attack', command: command('prepare'), key_files: ['round.txt'], kept_paths: ['made'] }],
      gates: [{ name: 'attack', command: command('gate') }],
    },
  );
  await git.push({ 'facts.json': JSON.stringify({ ...facts, remote: git.remote }) });
  const broke = { tool: new Set<string>(), prepare: new Set<string>(), gate: new Set<string>() };
  let tried = 0;
  const listen = async (place: Place, logs: AsyncIterable<{ text: string }>) => {
    let text = '';
    for await (const chunk of logs) text += chunk.text;
    // A prepare step prints first, to the same log.
    const parts = text.split(/^TRIED .*$/m);
    for (const [index, part] of parts.entries()) {
      const who = index === 0 && parts.length > 2 ? 'prepare' : place;
      for (const [, name] of part.matchAll(/^BROKE (.*)$/gm)) broke[who].add(name!);
    }
    tried = Math.max(tried, ...[...text.matchAll(/^TRIED (\d+)/gm)].map(([, count]) => Number(count)));
  };
  for (const round of ['first', 'second']) {
    const script = `node attacks.mjs tool; echo ${round} > round.txt`;
    const { id } = await sluice.client.runs.submit(specOf(git.remote, [shell(round, script)]));
    const ended = async () => ['COMPLETED', 'FAILED'].includes((await sluice.client.runs.get(id)).state);
    await eventually('the end', ended);
    const run = await sluice.client.runs.get(id, { expand: ['tasks', 'gates'] });
    expect([run.tasks![0]!.reason, run.state]).toEqual(['landed', 'COMPLETED']);
    for (const task of run.tasks!) await listen('tool', sluice.client.tasks.logs(task.id));
    for (const gate of run.gates!) await listen('gate', sluice.client.gates.logs(gate.id));
  }
  for (const place of PLACES) {
    const left = await processesWithVariable(`ATTACK=${mark}-${place}`);
    if (left.length > 0) broke[place].add(LEFT);
    for (const pid of left) process.kill(pid, 'SIGKILL');
  }
  for (const nest of ['/tmp', '/var/tmp', '/dev/shm']) await rm(join(nest, `sluice-attack-${mark}`), { force: true });
  await sluice.stop();
  for (const neighbour of neighbours) neighbour.close();
  await removeSharedMemory(sharedBytes);
  await git.remove();
  for (const made of [folder, machine]) await rm(made, { recursive: true, force: true });
  return { broke, tried };
}

async function removeSharedMemory(sizeBytes: number): Promise<void> {
  const lines = (await readFile('/proc/sysvipc/shm', 'utf8')).split('\n').map((line) => line.trim().split(/\s+/));
  for (const [, id, , size] of lines) if (Number(size) === sizeBytes) await promisify(execFile)('ipcrm', ['-m', id!]);
}

const hasBubblewrap = await bubblewrapWorks();
const isRoot = process.getuid?.() === 0;
/** With control groups no process outlives its child, confined or not. */
const hasGroups = (await ControlGroups.find()) !== undefined;
let confined: Attacked | undefined;
let asUsers: Attacked | undefined;
let open: Attacked;
beforeAll(async () => {
  confined = hasBubblewrap ? await attacked('bubblewrap') : undefined;
  asUsers = isRoot ? await attacked('user') : undefined;
  open = await attacked('none');
  if (process.env.SLUICE_ATTACK_TABLE) {
    const names = new Set([
      ...PLACES.flatMap((place) => [open, asUsers, confined].flatMap((found) => [...(found?.broke[place] ?? [])])),
    ]);
    for (const name of names) {
      const cell = (found?: Attacked) => PLACES.filter((place) => found?.broke[place].has(name)).join(', ') || '–';
      console.log(`| ${name} | ${cell(confined)} | ${cell(asUsers)} | ${cell(open)} |`);
    }
  }
});

/** Tools and prepare steps have a network, so they reach listeners on this machine; the API still requires a token. */
const REACHED = [
  'reaches the API',
  'finds an abstract socket of another program',
  'reaches another program on the loopback',
];
const TOLD: Readonly<Record<Place, readonly string[]>> = {
  tool: REACHED,
  prepare: REACHED,
  gate: [],
};

describe.skipIf(!hasBubblewrap)('with bubblewrap', () => {
  test.each(PLACES)('from a %s no attack succeeds', (place) => {
    expect(confined!.tried).toBeGreaterThanOrEqual(40);
    expect([...confined!.broke[place]].filter((name) => !TOLD[place].includes(name))).toEqual([]);
  });
});

/** Another user cannot reach files and processes of the daemon or of other slots, but sees what any user sees. */
const SEEN_BY_ANY_USER = [
  ...REACHED,
  'reads arguments of the daemon',
  'sees processes of the machine',
  'finds what another child left',
  'finds shared memory of another child',
];

describe.skipIf(!isRoot)('without a sandbox, as another user', () => {
  test.each(PLACES)('from a %s nothing of the daemon is read or changed', (place) => {
    expect([...asUsers!.broke[place]].filter((name) => !SEEN_BY_ANY_USER.includes(name))).toEqual([]);
  });
});

/** Attacks that must succeed without confinement, which proves that they are effective. */
const CONTROL = [
  'reads a secret of the daemon from its environment',
  'reads arguments of the daemon',
  'sees open files of the daemon',
  'may signal the daemon',
  'lists the data folder',
  'reads the key of verdicts',
  'reads the local token',
  'reads the database’s password',
  'reads the configuration',
  'reads a key that credentials name',
  'reads the home of the daemon’s user',
  'reaches the database',
  'reaches the API',
  'is let in by the API',
  'finds a socket of another program',
  'changes the settings of a mirror',
  'writes objects into a mirror',
  'reads references of a mirror',
  'reads what has not landed',
  'sees processes of the machine',
  'reads files of the database',
  'changes files of the database',
  'changes the local token',
  'changes the key of verdicts',
  'changes the configuration',
  'changes the home of the daemon’s user',
  'finds an abstract socket of another program',
  'reaches another program on the loopback',
  'writes into the repository that it lands in',
  'poisons what prepare steps have kept',
  'finds shared memory of another child',
  'puts a program on the search path',
  'finds what another child left',
  ...(hasGroups ? [] : [LEFT]),
];

describe('control: without a sandbox', () => {
  test.each(PLACES)('from a %s the control attacks succeed', (place) => {
    expect([...open.broke[place]]).toEqual(expect.arrayContaining(CONTROL));
  });
});
