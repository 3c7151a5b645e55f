import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { createProgram } from '../../src/cli/main.ts';

const ROOT = join(import.meta.dirname, '../..');
const DEPLOY = join(ROOT, 'deploy');
/** `scripts/setup.sh` unpacks programs here that are not installed. */
const PATH = [process.env.PATH, join(ROOT, '.sluice/tools/usr/bin')].join(delimiter);

const run = (program: string, ...args: string[]) =>
  promisify(execFile)(program, args, { cwd: join(DEPLOY, 'prometheus'), env: { PATH } });

test('each alert fires when it should, and not before', async () => {
  expect((await run('promtool', 'test', 'rules', 'alerts.test.yaml')).stdout).toContain('SUCCESS');
  const { groups } = parse(await readFile(join(DEPLOY, 'prometheus/alerts.yaml'), 'utf8')) as {
    groups: { rules: { annotations: { action: string } }[] }[];
  };
  for (const { annotations } of groups.flatMap(({ rules }) => rules)) expect(annotations.action).not.toBe('');
});

test('units of systemd and services of compose start commands that exist, with options that they have', async () => {
  const program = createProgram({ environment: {}, stdout: process.stdout, stderr: process.stderr, version: '0' });
  const units = (await readdir(join(DEPLOY, 'systemd'))).map((name) => readFile(join(DEPLOY, 'systemd', name), 'utf8'));
  const started = (await Promise.all(units)).map((text) => /^ExecStart=\/usr\/bin\/env sluice (.+)$/m.exec(text)![1]!);
  const compose = parse(await readFile(join(ROOT, 'docker-compose.yml'), 'utf8'), { merge: true }) as {
    services: Record<string, { image?: string; command: string[] }>;
  };
  const services = Object.values(compose.services).filter(({ image }) => image === 'sluice');
  const all = [...started.map((words) => words.split(' ')), ...services.map(({ command }) => command)];
  expect(all.length).toBeGreaterThan(6);
  for (const words of all) {
    const [name, ...rest] = words;
    const command = program.commands.find((each) => each.name() === name)!;
    const known = [...command.options.map(({ long }) => long), ...command.commands.map((each) => each.name())];
    for (const word of rest.filter((each) => !/^\d+$/.test(each))) expect(known, words.join(' ')).toContain(word);
  }
});
