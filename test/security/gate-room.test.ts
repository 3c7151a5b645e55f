import { expect, test } from 'vitest';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { cloneTemplate } from '../support/database.ts';
import { shell, specOf, startSluice } from '../support/run-sluice.ts';

test('a verdict counts only for the values of the gate’s variables, and its gate records the versions of programs', async () => {
  const gate = {
    name: 'flavour',
    command: ['sh', '-c', '[ "$FLAVOUR" = sweet ] || [ ! -e tree.txt ]'],
    env: ['FLAVOUR'],
  };
  const git = await GitSandbox.create({}, { gates: [gate] });
  const databaseUrl = await cloneTemplate();
  const judged = async (flavour: string) => {
    const sluice = await startSluice({
      databaseUrl,
      config: { repositories: { app: { url: git.remote, gate_env: ['FLAVOUR'] } } },
      environment: { FLAVOUR: flavour, SLUICE_VERDICT_KEY: 'a key that is thirty-two letters long' },
    });
    const { run, patch } = await sluice.finish(specOf('app', [shell('t', 'echo same > tree.txt')], { land: false }));
    const gates = await sluice.deps.daos.gates.findByRun(run.id);
    await sluice.stop();
    return { state: run.state, reason: patch('t')?.reason, gates };
  };

  const sweet = await judged('sweet');
  expect(sweet).toMatchObject({ state: 'COMPLETED', gates: [{ state: 'PASSED' }] });
  expect(sweet.gates[0]!.test_results).toMatchObject({ programs: { git: expect.stringMatching(/^git version/) } });
  // The verdict is reused.
  expect(await judged('sweet')).toMatchObject({ state: 'COMPLETED', gates: [] });
  expect(await judged('sour')).toMatchObject({ state: 'FAILED', reason: 'gate_red' });
  await git.remove();
});
