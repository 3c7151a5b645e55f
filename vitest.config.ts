import { defineConfig } from 'vitest/config';

/** `unit` needs no service and no set-up; `service` starts a PostgreSQL once and gives every file a database of its own; `chaos` kills servers of its own. */
export default defineConfig({
  cacheDir: '.sluice/vitest',
  test: {
    reporters: ['default'],
    projects: [
      {
        cacheDir: '.sluice/vitest-unit',
        test: { name: 'unit', include: ['test/unit/**/*.test.ts', 'test/*.test.ts'] },
      },
      {
        cacheDir: '.sluice/vitest-service',
        test: {
          name: 'service',
          include: ['test/integration/**/*.test.ts', 'test/e2e/**/*.test.ts', 'test/security/**/*.test.ts'],
          exclude: ['test/e2e/chaos.test.ts'],
          globalSetup: ['test/support/global-setup.ts'],
          testTimeout: 400_000,
          hookTimeout: 400_000,
          maxWorkers: 3,
        },
      },
      {
        cacheDir: '.sluice/vitest-chaos',
        // By itself, after the others: it takes the whole machine.
        test: { name: 'chaos', include: ['test/e2e/chaos.test.ts'], sequence: { groupOrder: 1 } },
      },
    ],
  },
});
