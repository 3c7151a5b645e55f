import type { RepositoryCheckObject } from '../contract/answers.ts';
import { hasCode } from '../contract/errors.ts';
import type { NamedRepositories } from '../domain/repository-book.ts';
import type { Mirrors } from '../git/mirrors.ts';

/** Asks a repository for its branches, with its credentials. Throws `repository.not_allowed` for an unknown one. */
export async function checkRepository(
  { repositories, mirrors }: { repositories: NamedRepositories; mirrors: Mirrors },
  id: string,
): Promise<RepositoryCheckObject> {
  const { url } = repositories.resolve(id);
  try {
    const { names, default: head } = await mirrors.of(url).branches();
    return { id, url, readable: true, problem: null, default_branch: head, branches: names.length };
  } catch (error) {
    if (!hasCode(error, 'repository.unreadable')) throw error;
    return { id, url, readable: false, problem: error.message, default_branch: null, branches: 0 };
  }
}
