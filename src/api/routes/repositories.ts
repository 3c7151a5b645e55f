import { pageOf, repositoryCheck, repositoryObject } from '../../contract/answers.ts';
import { checkRepository } from '../../inspect/check-repository.ts';
import type { Api, ApiDeps } from '../api-deps.ts';
import { idParam } from '../schemas.ts';

/** Routes of the repositories that the configuration names. */
export function repositoryRoutes(api: Api, { daos, mirrors, repositories }: ApiDeps): void {
  api.get(
    '/v1/repositories',
    {
      schema: {
        operationId: 'listRepositories',
        description: 'Configured repositories, with the targets on them that runs have named.',
        tags: ['fleet'],
        response: { 200: pageOf(repositoryObject) },
      },
    },
    async () => {
      const [limits, targets] = await Promise.all([daos.repositories.listAll(10_000), daos.targets.listAll(10_000)]);
      const items = repositories.all().map(({ name, url }) => ({
        id: name,
        url,
        concurrency: limits.find(({ repository }) => repository === name)?.concurrency ?? null,
        targets: targets.filter(({ repository }) => repository === name).map(({ target_id }) => target_id),
      }));
      return { items, next_cursor: null };
    },
  );

  api.get(
    '/v1/repositories/:id/check',
    {
      config: { problems: ['repository.not_allowed', 'git.failed', 'machine.fault'] },
      schema: {
        operationId: 'checkRepository',
        description: 'Whether the API can read the repository now: asks it for its branches, with its credentials.',
        tags: ['fleet'],
        params: idParam,
        response: { 200: repositoryCheck },
      },
    },
    async ({ params }) => checkRepository({ repositories, mirrors }, params.id),
  );
}
