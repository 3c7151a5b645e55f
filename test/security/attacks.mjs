/**
 * Attacks that code under test, a prepare step or a tool may try. The script lies in the repository under attack and
 * runs there. Each attack that succeeds prints `BROKE name`. `facts.json` holds the daemon's paths, pids and addresses,
 * so that no attack fails only because it cannot find its target.
 */
import { spawn, spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { dirname, join, resolve } from 'node:path';

const place = process.argv[2];
const facts = JSON.parse(readFileSync(new URL('facts.json', import.meta.url), 'utf8'));
const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name));

const attempt = (work) => {
  try {
    return work();
  } catch {
    return undefined;
  }
};
const text = (path) => attempt(() => readFileSync(path, 'latin1')) ?? '';
const entries = (path) => attempt(() => readdirSync(path)) ?? [];
const succeeds = (work) =>
  attempt(() => {
    work();
    return true;
  }) === true;
const mayWrite = (path) => succeeds(() => accessSync(path, constants.W_OK));
const canMake = (folder) => succeeds(() => writeFileSync(join(folder, `made-by-${place}`), 'x'));
const of = (file) => processes.map((pid) => text(`/proc/${pid}/${file}`)).join('\n');
const runs = (program, ...args) => spawnSync(program, args, { encoding: 'utf8', timeout: 5_000 });
const reaches = (address) =>
  new Promise((done) => {
    const socket = connect(address, () => done(socket.destroy() && true));
    socket.on('error', () => done(false));
    setTimeout(() => done(false), 2_000).unref();
  });
const answer = (path, headers = {}) =>
  fetch(`${facts.url}${path}`, { headers, signal: AbortSignal.timeout(3_000) }).then(
    (response) => response.status,
    () => 0,
  );

const slot = dirname(process.cwd());
const slots = dirname(slot);
const mirrors = join(facts.dataDir, 'mirrors', 'worker');
const mirror = entries(mirrors).map((name) => join(mirrors, name));
/** Name of a file that one child leaves for another to find. */
const left = `sluice-attack-${facts.mark}`;
const nests = ['/tmp', '/var/tmp', '/dev/shm', process.env.TMPDIR, process.env.HOME];

const ATTACKS = {
  // Processes of the daemon.
  'reads a secret of the daemon from its environment': () => of('environ').includes(facts.secret),
  'reads the database’s address from an environment': () => /DATABASE_URL=post/.test(of('environ')),
  'reads arguments of the daemon': () => of('cmdline').includes('sluice.cjs'),
  'opens the memory of the daemon': () =>
    processes.some(
      (pid) =>
        /sluice\.cjs|workers.main/.test(text(`/proc/${pid}/cmdline`)) &&
        succeeds(() => accessSync(`/proc/${pid}/mem`, constants.R_OK)),
    ),
  'writes the memory of the daemon': () => facts.pids.some((pid) => mayWrite(`/proc/${pid}/mem`)),
  'sees processes of the machine': () => facts.pids.some((pid) => existsSync(`/proc/${pid}`)),
  'sees open files of the daemon': () => facts.pids.some((pid) => entries(`/proc/${pid}/fd`).length > 0),
  'may signal the daemon': () => facts.pids.some((pid) => succeeds(() => process.kill(pid, 0))),
  'enters the root folder of the daemon': () =>
    facts.pids.some((pid) => entries(join('/proc', String(pid), 'root', 'etc')).includes('shadow')),
  'has a file of the daemon open': () =>
    entries('/proc/self/fd').some(
      (fd) =>
        (attempt(() => readlinkSync(`/proc/self/fd/${fd}`)) ?? '').startsWith(facts.dataDir) &&
        !(attempt(() => readlinkSync(`/proc/self/fd/${fd}`)) ?? '').startsWith(slots),
    ),
  // Files of the daemon.
  'lists the data folder': () => entries(facts.dataDir).some((name) => !['slots', 'mirrors'].includes(name)),
  'reads the key of verdicts': () => text(join(facts.dataDir, 'verdict.key')) !== '',
  'reads the local token': () => text(join(facts.dataDir, 'local.token')) !== '',
  'reads the database’s password': () => text(join(facts.dataDir, 'postgres', 'password')) !== '',
  'reads files of the database': () => entries(join(facts.dataDir, 'postgres', 'data')).length > 0,
  'changes files of the database': () => canMake(join(facts.dataDir, 'postgres')),
  'changes the local token': () => mayWrite(join(facts.dataDir, 'local.token')),
  'changes the key of verdicts': () => mayWrite(join(facts.dataDir, 'verdict.key')),
  'changes the configuration': () => mayWrite(facts.config),
  'reads the configuration': () => text(facts.config).includes('repositories'),
  'reads a key that credentials name': () => text(facts.key).includes('KEY'),
  'reads the home of the daemon’s user': () => text(join(facts.home, '.netrc')).includes('password'),
  'changes the home of the daemon’s user': () => canMake(facts.home),
  'reads password hashes of the system': () => text('/etc/shadow') !== '',
  // Network and sockets.
  'reaches the database': async () => {
    const folder = join(facts.dataDir, 'postgres', 'socket');
    const sockets = [...entries(folder), ...entries('/tmp').filter((name) => name.startsWith('sluice-pg-'))];
    for (const name of sockets)
      if (!name.endsWith('.lock') && (await reaches({ path: join(folder, name) }))) return true;
    return false;
  },
  'reaches the API': async () => (await answer('/healthz')) === 200,
  'is let in by the API': async () =>
    [200, 201].includes(await answer('/v1/runs')) ||
    [200, 201].includes(
      await answer('/v1/runs', { authorization: `Bearer ${text(join(facts.dataDir, 'local.token')).trim()}` }),
    ),
  'finds a socket of another program': async () => {
    for (const name of entries(facts.sockets)) if (await reaches({ path: join(facts.sockets, name) })) return true;
    return false;
  },
  'finds an abstract socket of another program': () => reaches({ path: `\0${left}` }),
  'reaches another program on the loopback': () => reaches({ port: facts.port, host: '127.0.0.1' }),
  // Repositories, mirrors and programs that landing uses.
  'writes into the repository that it lands in': () => canMake(facts.remote),
  'poisons what prepare steps have kept': () =>
    entries(join(facts.dataDir, 'prepared')).some((key) => canMake(join(facts.dataDir, 'prepared', key))),
  'changes the settings of a mirror': () =>
    mirror.some((dir) => existsSync(join(dir, 'config')) && mayWrite(join(dir, 'config'))),
  'writes objects into a mirror': () => mirror.some((dir) => canMake(join(dir, 'objects'))),
  'reads references of a mirror': () =>
    mirror.some((dir) => entries(join(dir, 'refs')).length > 0 || text(join(dir, 'packed-refs')) !== ''),
  'reads what has not landed': () =>
    entries(resolve(text('.git/objects/info/alternates').trim(), '..', 'unlanded')).length > 0 ||
    runs('git', 'fsck', '--unreachable', '--no-reflogs').stdout?.includes('unreachable'),
  'puts a program on the search path': () => canMake(facts.bin),
  'changes programs of the system': () => mayWrite('/usr/local/bin') || mayWrite('/usr/bin'),
  'changes settings of the system': () =>
    ['/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/etc', '/sys'].some(mayWrite),
  // Other children and the machine.
  'sees other slots': () =>
    entries(slots).some((name) => name !== resolve(slot).split('/').at(-1) && /^\d+$/.test(name)),
  'writes into another slot’s folder': () =>
    entries(slots)
      .filter((name) => /^\d+$/.test(name))
      .some((name) => {
        const made = join(slots, name, `made-by-${place}`);
        return join(slots, name) !== slot && succeeds(() => writeFileSync(made, 'x'));
      }),
  'finds what another child left': () => nests.some((nest) => existsSync(join(nest, left))),
  'finds shared memory of another child': () =>
    new RegExp(`\\b${facts.sharedBytes}\\b`).test(text('/proc/sysvipc/shm')),
  'mounts a folder over another': () => {
    // Folders of its own, because without a sandbox the mount happens on the real machine.
    const [from, to] = ['from', 'to'].map((name) => join(process.env.TMPDIR, `${name}-${place}`));
    for (const folder of [from, to]) mkdirSync(folder, { recursive: true });
    const mounted = runs('mount', '--bind', from, to).status === 0;
    if (mounted) runs('umount', to);
    return mounted;
  },
  'leaves its namespaces': () =>
    runs('nsenter', '--target', '1', '--mount', 'cat', join(facts.home, '.netrc')).stdout?.includes('password'),
  'makes a device': () => runs('mknod', join(process.env.TMPDIR, `disk-${place}`), 'b', '8', '0').status === 0,
};

for (const [name, attack] of Object.entries(ATTACKS)) {
  const broke = await (async () => attack())().catch(() => false);
  if (broke) console.log(`BROKE ${name}`);
}
for (const nest of nests) attempt(() => writeFileSync(join(nest, left), place));
attempt(() => mkdirSync(join(process.env.HOME, '.config')));
attempt(() => mkdirSync('made', { recursive: true }));
attempt(() => writeFileSync(join('made', 'x'), place));
runs('ipcmk', '--shmem', String(facts.sharedBytes));
// A detached process without Sluice's variables and with `/` as its working directory.
spawn('setsid', ['env', '-i', `ATTACK=${facts.mark}-${place}`, 'sleep', '300'], {
  detached: true,
  stdio: 'ignore',
  cwd: '/',
}).unref();
console.log(`TRIED ${Object.keys(ATTACKS).length} ${lstatSync('.').isDirectory()}`);
