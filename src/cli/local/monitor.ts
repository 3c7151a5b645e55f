import type { Settings } from '../../config.ts';
import type { CheckObject } from '../../contract/answers.ts';
import { SluiceError } from '../../contract/errors.ts';
import type { Deps } from '../../deps.ts';
import type { Log } from '../../lib/log.ts';
import { measurements, mergedText, processRegistry } from '../../lib/meters.ts';
import { MonitorServer } from '../../monitor/monitor-server.ts';
import { probe } from '../../monitor/probe.ts';
import type { WorkerSupervisor } from '../../workers/supervisor.ts';

interface Watched {
  checks: () => Promise<Readonly<Record<string, CheckObject>>>;
  metrics: () => Promise<string>;
}

/** Returns the monitor of a role when SLUICE_MONITOR_PORT asks for one. */
export function monitorOf({ monitor }: Settings, log: Log, watched: Watched): MonitorServer | undefined {
  return monitor === undefined ? undefined : new MonitorServer({ ...monitor, ...watched, log });
}

/** A role of this process is ready while it reaches the database and the queue. */
export function watchedRole({ database, queueBackend }: Deps): Watched {
  return {
    checks: async () => ({
      database: await probe(() => database.ping()),
      queue: await probe(() => queueBackend.ping()),
    }),
    metrics: () => processRegistry.metrics(),
  };
}

/**
 * A supervisor is ready while one of its workers works. Its metrics are those of all its processes, with a label for each
 * worker.
 */
export function watchedWorkers(supervisor: WorkerSupervisor): Watched {
  return {
    checks: async () => ({
      workers: await probe(async () => {
        const { ready, wanted } = supervisor.staffing;
        if (ready === 0) throw new SluiceError('queue.not_consumed', `none of ${wanted} worker processes is ready`);
      }),
    }),
    metrics: async () => mergedText([await measurements(), ...(await supervisor.measure())]),
  };
}
