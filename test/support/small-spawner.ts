import { afterAll, beforeAll } from 'vitest';
import { spawner } from '../../src/lib/spawner.ts';

// A test process is large, and most stories start hundreds of git processes.
beforeAll(() => spawner.start());
afterAll(() => spawner.stop());
