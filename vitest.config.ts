import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Stories of more than a minute, most of it waiting. They start first, so that the suite does not end with them. */
const LONG = ['chaos', 'survives-outages', 'proves-that-it-consumes', 'patch-corpus', 'gates-that-decide'];

/** The bound of every test: what hangs for so long does not end by itself. */
const PATIENCE_MS = 1_200_000;
const WORKERS = 3;

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const found = LONG.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
      return found === -1 ? LONG.length : found;
    };
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b));
  }
}

/** `unit` needs no service and no set-up; `service` starts a PostgreSQL once and gives every file a database of its own; `chaos` kills servers of its own. */
export default defineConfig({
  cacheDir: '.sluice/vitest',
  test: {
    reporters: ['default'],
    sequence: { sequencer: LongFirst },
    projects: [
      {
        cacheDir: '.sluice/vitest-unit',
        // Beside the chaos, whose processes wait half of the time.
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts', 'test/*.test.ts'],
          testTimeout: PATIENCE_MS,
          maxWorkers: WORKERS,
          sequence: { groupOrder: 1 },
        },
      },
      {
        cacheDir: '.sluice/vitest-service',
        test: {
          name: 'service',
          include: ['test/integration/**/*.test.ts', 'test/e2e/**/*.test.ts', 'test/security/**/*.test.ts'],
          exclude: ['test/e2e/chaos.test.ts'],
          globalSetup: ['test/support/global-setup.ts'],
          setupFiles: ['test/support/small-spawner.ts'],
          testTimeout: PATIENCE_MS,
          hookTimeout: PATIENCE_MS,
          maxWorkers: WORKERS,
        },
      },
      {
        cacheDir: '.sluice/vitest-chaos',
        // After the services: it kills and stalls its own on purpose.
        test: {
          name: 'chaos',
          include: ['test/e2e/chaos.test.ts'],
          testTimeout: 3_600_000,
          maxWorkers: WORKERS,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
