import { appendFile, lstat, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parsePolicy } from '../../candidates/read-policy.ts';
import type { Environment } from '../../config.ts';
import { configSchema } from '../../contract/config-schema.ts';
import { SluiceError } from '../../contract/errors.ts';
import { POLICY_PATH } from '../../contract/policy.ts';
import { parseYaml } from '../../contract/yaml.ts';
import { Git } from '../../git/run-git.ts';
import { removeTree } from '../../lib/remove-tree.ts';
import { type DetectedGate, type DetectedProject, detectProject, pinnedFor } from './detect-project.ts';
import { configText, policyText } from './project-files.ts';
import { originOf, questionsAt } from './repository-here.ts';

const CONFIG_PATH = 'sluice.config.yaml';
const DATA_FOLDER = '.sluice/';

/** Files that `sluice init` would write, and why. */
export interface ProjectPlan {
  top: string;
  found: string[];
  gates: DetectedGate[];
  files: { path: string; text: string; exists: boolean }[];
  hasRemote: boolean;
  /** True when the data folder of a daemon here is not ignored by git yet. */
  ignores: boolean;
}

/**
 * Recognises the project that holds `here`. `gates` replace those that are recognised. Throws `usage.invalid` outside of
 * a repository, or when there is no test to be found.
 */
export async function planProject(
  environment: Environment,
  { here, gates }: { here: string; gates: readonly DetectedGate[] },
): Promise<ProjectPlan> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-init-'));
  try {
    const git = new Git({ home: folder, searchPath: environment.PATH ?? '/usr/local/bin:/usr/bin:/bin' });
    const ask = questionsAt(git, here);
    const top = await ask('rev-parse', '--show-toplevel');
    const listed = await ask('ls-files', '-z', '--cached', '--others', '--exclude-standard', '--full-name', ':/');
    const paths = listed.split('\0').filter((path) => path !== '');
    const origin = await originOf(git, here);
    const { url, hadSecret } = origin ?? { url: top, hadSecret: false };
    // A file may be in the index and gone.
    const read = (path: string) => readFile(join(top, path), 'utf8').catch(() => '');
    const detected = await detectProject({ paths, read });
    const project = withGates(detected, { gates, paths });
    const config = configText({ name: nameFor(url), url, hadSecret });
    const policy = policyText(project);
    parsePolicy(policy);
    configSchema.parse(parseYaml(config));
    const files = [
      { path: POLICY_PATH, text: policy, exists: await isThere(join(top, POLICY_PATH)) },
      { path: CONFIG_PATH, text: config, exists: await isThere(join(top, CONFIG_PATH)) },
    ];
    const ignored = await git.ask({ args: ['-C', top, 'check-ignore', '--quiet', '--no-index', DATA_FOLDER] });
    const hasRemote = origin !== undefined;
    const isIgnored = ignored.exitCode === 0 || (await isLink(join(top, '.gitignore')));
    return { top, found: project.found, gates: project.gates, files, hasRemote, ignores: !isIgnored };
  } finally {
    await removeTree(folder);
  }
}

/** Writes the files of a plan that are not there; with `force`, the others too. Returns the paths written. */
export async function writeProject(
  { top, files, ignores }: ProjectPlan,
  { force }: { force: boolean },
): Promise<string[]> {
  const written = files.filter(({ exists }) => force || !exists);
  for (const { path, text, exists } of written) {
    if (exists) await rm(join(top, path));
    // Never through a link, which may lead out of the repository.
    await writeFile(join(top, path), text, { flag: 'wx' });
  }
  if (!ignores) return written.map(({ path }) => path);
  await appendFile(join(top, '.gitignore'), `${await newlineNeeded(join(top, '.gitignore'))}${DATA_FOLDER}\n`);
  return [...written.map(({ path }) => path), '.gitignore'];
}

function withGates(
  detected: DetectedProject,
  { gates, paths }: { gates: readonly DetectedGate[]; paths: readonly string[] },
): DetectedProject {
  if (gates.length > 0) {
    const own = { ...detected, gates: [...gates] };
    return { ...own, pinned: pinnedFor({ paths }, own) };
  }
  if (detected.gates.length > 0) return detected;
  const found = detected.found.length === 0 ? 'nothing known' : detected.found.join(', ');
  throw new SluiceError('usage.invalid', `found ${found}, and no test in it: name one, as in --gate "test=make check"`);
}

async function isThere(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}

async function isLink(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined))?.isSymbolicLink() ?? false;
}

function nameFor(url: string): string {
  const name = basename(url.replace(/[/:]+$/, '').replaceAll(':', '/'), '.git').replaceAll(/[^a-zA-Z0-9._-]/g, '-');
  return /^[a-zA-Z0-9]/.test(name) ? name : 'app';
}

async function newlineNeeded(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text === '' || text.endsWith('\n') ? '' : '\n';
}
