import { spawn } from 'node:child_process';
import { chmod, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { freePort } from '../../src/lib/free-port.ts';
import { removeTree } from '../../src/lib/remove-tree.ts';
import { SLUICE } from '../support/command-line.ts';

const page = async (name: string) => readFile(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
const blocksIn = (markdown: string): string[] =>
  [...markdown.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, code]) => code!);

/** Runs commands of the documentation in one shell, as a person who copies them would; `sluice up` in the background. */
async function follow(folder: string, blocks: readonly string[]): Promise<{ exitCode: number | null; output: string }> {
  const port = await freePort();
  const bin = join(folder, 'sluice');
  await writeFile(bin, `#!/bin/sh\nexec ${process.execPath} ${SLUICE} "$@"\n`);
  await chmod(bin, 0o755);
  const daemon = `sluice up --workers=1 > ../up.log 2>&1 &
up=$!
trap 'kill -TERM $up; wait $up' EXIT
until grep -q "Sluice is up" ../up.log; do kill -0 $up || { cat ../up.log; exit 9; }; sleep 0.2; done
`;
  const script = ['set -e', ...blocks.map((block) => (block.trim() === 'sluice up' ? daemon : block))].join('\n');
  const environment = {
    PATH: `${folder}:${process.env.PATH}`,
    HOME: folder,
    SLUICE_PORT: String(port),
    SLUICE_URL: `http://127.0.0.1:${port}`,
    GIT_AUTHOR_NAME: 'A',
    GIT_AUTHOR_EMAIL: 'a@example.com',
    GIT_COMMITTER_NAME: 'A',
    GIT_COMMITTER_EMAIL: 'a@example.com',
  };
  const child = spawn('bash', ['-c', script], { cwd: folder, env: environment, timeout: 300_000 });
  const [output, words] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise((resolve) => child.once('close', resolve)),
  ]);
  return { exitCode: child.exitCode, output: `${output}${words}` };
}

test('the quick start works word for word, and so do the pages on schedules, pull requests and backups after it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-test-quick-start-'));
  try {
    const [start, schedules, forges, operations] = await Promise.all(
      ['quick-start.md', 'schedules.md', 'forges.md', 'operations.md'].map(page),
    );
    const further = [
      'cp first.yaml nightly.yaml',
      ...blocksIn(schedules!),
      ...blocksIn(schedules!),
      'sluice run list -o json | grep -c \'"id": "run_\' > ../runs',
      "git checkout --quiet -b change && echo changed > NOTES && git add NOTES && git commit --quiet --message 'Say it'",
      ...blocksIn(forges!),
      'sluice run watch "$(sluice run list -o json | node -pe \'JSON.parse(fs.readFileSync(0)).items[0].id\')"',
      ...blocksIn(operations!).map((block) => block.replace('/backups/today', '../backup')),
      'git fetch --quiet && git show origin/main:sum.js origin/main:NOTES > ../landed.js',
    ];
    const { exitCode, output } = await follow(folder, [...blocksIn(start!), ...further]);
    expect(output).toContain('one task failed, as it should');
    expect(exitCode, output).toBe(0);
    expect(output).toContain('gate_red');
    expect(await readFile(join(folder, 'landed.js'), 'utf8')).toMatch(/adds two numbers[\s\S]*changed/);
    // The second submission under one key made no run.
    expect((await readFile(join(folder, 'runs'), 'utf8')).trim()).toBe('2');
  } finally {
    await removeTree(folder);
  }
});
