import type { RepositoryCheckObject } from '../contract/answers.ts';
import { hasCode, SluiceError } from '../contract/errors.ts';
import { guess } from '../contract/parse.ts';
import type { NamedRepositories } from '../domain/repository-book.ts';
import type { Mirrors } from '../git/mirrors.ts';

/**
 * Asks a configured repository for its branches, with its credentials. Throws `repository.not_allowed` for any other,
 * even where run specs may bring URLs: a reader must not make the daemon call addresses.
 */
export async function checkRepository(
  { repositories, mirrors }: { repositories: NamedRepositories; mirrors: Mirrors },
  id: string,
): Promise<RepositoryCheckObject> {
  const known = repositories.all();
  const url = known.find(({ name }) => name === id)?.url;
  if (url === undefined) {
    const names = known.map(({ name }) => name);
    throw new SluiceError('repository.not_allowed', `no repository of that name is configured${guess(id, names)}`);
  }
  try {
    const { names, default: head } = await mirrors.of(url).branches();
    return { id, url, readable: true, problem: null, default_branch: head, branches: names.length };
  } catch (error) {
    if (!hasCode(error, 'repository.unreadable')) throw error;
    return { id, url, readable: false, problem: error.message, default_branch: null, branches: 0 };
  }
}
