import { defineConfig } from 'vitest/config';

/** `unit` needs no service and no set-up; `service` starts a PostgreSQL once and gives every file a database of its own. */
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
          include: ['test/integration/**/*.test.ts', 'test/e2e/**/*.test.ts'],
          globalSetup: ['test/support/global-setup.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: 3,
        },
      },
    ],
  },
});
