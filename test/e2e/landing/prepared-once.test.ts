import { beforeAll, expect, test } from 'vitest';
import { LandingStory, startForStories } from '../../support/landing-story.ts';
import type { RunningSluice } from '../../support/run-sluice.ts';

let sluice: RunningSluice;
beforeAll(async () => {
  sluice = await startForStories({ workers: [{ taskSlots: 2, gateSlots: 1 }] });
});

/** Imitates `npm ci`: makes a folder from the lock file and logs each installation in `installed`. */
const install = (control: string) => ({
  name: 'deps',
  command: [
    'sh',
    '-c',
    `echo "$(cat package-lock.json)" >> ${control}/installed; mkdir -p node_modules/dep; cp package-lock.json node_modules/dep/version`,
  ],
  key_files: ['package-lock.json'],
  kept_paths: ['node_modules'],
});

test('a second gate of a Node project reuses the installed dependencies, and a candidate with another lock file installs its own', async () => {
  const story = await LandingStory.begin(sluice);
  await story.git.push({
    'package-lock.json': 'v1',
    '.gitignore': 'node_modules/\n',
    '.sluice.yaml': JSON.stringify({
      gates: [{ name: 'unit', command: ['sh', '-c', 'cmp package-lock.json node_modules/dep/version'] }],
      prepare: [install(story.control)],
    }),
  });
  await story.stage(['a', 'b']);
  await story.allUntil(['a', 'b'], 'VERIFIED');
  expect(await story.told('installed')).toEqual(['v1', '']);

  // The gate of this candidate runs with dependencies installed from its own lock file.
  await story.submit('upgrade', { files: { 'package-lock.json': 'v2', 'p/upgrade': 'x\n' } });
  await story.until('upgrade', 'VERIFIED');
  await story.stage(['c']);
  await story.until('c', 'VERIFIED');
  expect(new Set(await story.told('installed'))).toEqual(new Set(['v1', 'v2', '']));
  await story.end();
});

test('a gate that corrupts installed dependencies affects only its own run', async () => {
  const spoil =
    'cmp package-lock.json node_modules/dep/version && if [ -e p/spoils ]; then echo bad > node_modules/dep/version; fi';
  const story = await LandingStory.begin(sluice);
  await story.git.push({
    'package-lock.json': 'v1',
    '.gitignore': 'node_modules/\n',
    '.sluice.yaml': JSON.stringify({
      gates: [{ name: 'unit', command: ['sh', '-c', spoil] }],
      prepare: [install(story.control)],
    }),
  });
  await story.stage(['spoils', 'next']);
  await story.allUntil(['spoils', 'next'], 'VERIFIED');
  expect(await story.told('installed')).toEqual(['v1', '']);
  await story.end();
});

test('a Python venv is made once and works in later gates, because its path stays the same', async () => {
  const story = await LandingStory.begin(sluice);
  const gates = [
    { name: 'unit', command: ['.venv/bin/python', '-c', 'import sys, os; sys.exit(os.getcwd() not in sys.prefix)'] },
  ];
  const make = `echo made >> ${story.control}/installed; python3 -m venv --without-pip .venv`;
  const prepare = [
    { name: 'venv', command: ['sh', '-c', make], key_files: ['requirements.txt'], kept_paths: ['.venv'] },
  ];
  await story.git.push({
    'requirements.txt': '',
    '.gitignore': '.venv/\n',
    '.sluice.yaml': JSON.stringify({ gates, prepare }),
  });
  await story.stage(['a', 'b']);
  await story.allUntil(['a', 'b'], 'VERIFIED');
  expect(await story.told('installed')).toEqual(['made', '']);
  await story.end();
});
