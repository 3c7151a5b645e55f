import { access, constants } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';
import type { Settings } from '../../../config.ts';
import type { SluiceError } from '../../../contract/errors.ts';
import type { Deps } from '../../../deps.ts';
import { type Finding, fault, ok, warning } from './finding.ts';

/** Looks at what the configuration names: programs and variables of tools, repositories and their credentials. */
export async function lookAtConfiguration(
  settings: Settings,
  deps: Pick<Deps, 'repositories' | 'mirrorsOf'>,
): Promise<Finding[]> {
  const { file, configFile } = settings;
  const read = ok('configuration', configFile ?? 'no file: every setting has its default');
  const tools = Object.entries(file.tools).map(([name, tool]) => ofTool(name, tool, settings));
  const keys = Object.entries(file.repositories).map(([name, { credentials }]) => ofKeys(name, credentials));
  return [read, ...(await Promise.all([...tools, ...keys])).flat(), ...(await ofRemotes(deps))];
}

async function ofTool(
  name: string,
  { argv, env }: { argv: readonly string[]; env: readonly string[] },
  { environment }: Settings,
): Promise<Finding[]> {
  const [program = ''] = argv;
  const check = `tool ${name}`;
  const unset = env.filter((variable) => environment[variable] === undefined);
  const variables = unset.map((variable) =>
    warning(check, `${variable} is not set here`, 'set it for the workers that run the tool'),
  );
  // A placeholder is known only with the input.
  const isFound = program.includes('{') || (await isOnPath(program, environment.PATH ?? ''));
  if (isFound) return variables.length > 0 ? variables : [ok(check, program)];
  const cure = 'install it on the workers, or correct argv; a worker elsewhere may have it';
  return [warning(check, `${program} is not on PATH here`, cure), ...variables];
}

/** A path with a slash starts in the worktree, which holds it or not. */
async function isOnPath(program: string, searchPath: string): Promise<boolean> {
  if (program.includes('/') && !isAbsolute(program)) return true;
  const places = isAbsolute(program) ? [program] : searchPath.split(delimiter).map((folder) => join(folder, program));
  const found = await Promise.all(places.map((place) => canAccess(place, constants.X_OK)));
  return found.includes(true);
}

/** A missing variable is found when the repository is asked; an unreadable key would show as a refused login. */
async function ofKeys(
  name: string,
  credentials: Settings['file']['repositories'][string]['credentials'],
): Promise<Finding[]> {
  if (credentials === undefined || !('ssh_key_file' in credentials)) return [];
  const files = [credentials.ssh_key_file, credentials.known_hosts_file];
  const rights = await Promise.all(files.map((path) => canAccess(path, constants.R_OK)));
  return files
    .filter((_path, index) => !rights[index])
    .map((path) =>
      fault(`repository ${name}`, `${path} cannot be read by this user`, 'correct the path or the rights of the file'),
    );
}

async function ofRemotes({ repositories, mirrorsOf }: Pick<Deps, 'repositories' | 'mirrorsOf'>): Promise<Finding[]> {
  const mirrors = mirrorsOf('api');
  const asked = repositories.all().map(async ({ name, url }): Promise<Finding> => {
    const check = `repository ${name}`;
    try {
      const { names } = await mirrors.of(url).branches();
      return ok(check, `readable from here, ${names.length} branches`);
    } catch (error) {
      const cure = 'check the address, the network and `credentials`; the token needs read and write access';
      return fault(check, (error as SluiceError).message, cure);
    }
  });
  const findings = await Promise.all(asked);
  mirrors.close();
  return findings;
}

async function canAccess(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}
