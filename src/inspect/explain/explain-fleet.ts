import { type Explanation, stands, wait, whyToolHolds } from '../../domain/wait.ts';
import type { WorkerRow } from '../../entities/worker.ts';
import type { Explained, ExplainScene } from './explain-context.ts';

export async function explainWorker({ daos }: ExplainScene, id: string): Promise<Explained> {
  const worker = await daos.workers.get(id);
  const held = await daos.tasks.findByWorker(id);
  const facts = {
    hostname: worker.hostname,
    pid: worker.pid,
    pools: worker.pools,
    tasks: held.map(({ task_id }) => task_id),
    refused_writes: worker.refused_writes,
    last_heartbeat: worker.last_heartbeat.toISOString(),
  };
  return { id, kind: 'worker', state: worker.state, ...whyWorker(worker, facts) };
}

function whyWorker(worker: WorkerRow, facts: Explanation['facts']): Explanation {
  const heard = worker.last_heartbeat.toISOString();
  if (worker.state === 'DEAD')
    return stands(
      'dead',
      `it was not heard of since ${heard} (${worker.reason}); its work went back to the queue`,
      facts,
    );
  if (worker.state === 'STOPPED') return stands('stopped', `it stopped cleanly (${worker.reason})`, facts);
  if (worker.state === 'UNHEALTHY') return silentWorker(worker, null) ?? stands('unhealthy', 'it is silent', facts);
  if (worker.draining)
    return stands(
      'draining',
      'it takes no more; what it holds may end in time, the rest is handed back, and it ends',
      facts,
      'when its time to drain is over, or sooner if it is empty',
    );
  if (worker.starving_since) {
    const sentence = `work waits that it does not take since ${worker.starving_since.toISOString()}: it mends its connections`;
    return wait('not_consuming', sentence, {
      facts,
      when: 'within seconds: it takes work again, or another takes its place',
    });
  }
  if (worker.state === 'BUSY') return stands('busy', 'it works', facts, 'when what it holds has ended');
  return stands('idle', 'it has nothing to do', facts, 'when work of its pools is dispatched');
}

/** What a silent worker holds waits for its lease to run out. Undefined while it is heard of. */
export function silentWorker(worker: WorkerRow | undefined, leaseExpiresAt: Date | null): Explanation | undefined {
  if (worker === undefined || (worker.state !== 'UNHEALTHY' && worker.state !== 'DEAD')) return undefined;
  const heard = worker.last_heartbeat.toISOString();
  const facts = { worker_id: worker.worker_id, last_heartbeat: heard };
  return wait('worker_silent', `the worker ${worker.worker_id} was not heard of since ${heard}`, {
    facts,
    again_at: leaseExpiresAt?.toISOString() ?? null,
    when: 'when it is heard of again, or its lease is over and its work goes back to the queue',
  });
}

export async function explainTool({ standing, daos }: ExplainScene, name: string): Promise<Explained> {
  const tool = (await standing()).tools.find(({ tool }) => tool === name)!;
  const waiting = await daos.tasks.count({ tool: name, state: 'QUEUED', dispatched_at: null });
  const { in_flight, concurrency, rate_max, rate_per_seconds, usd_per_day, usd_today } = tool;
  const use = { in_flight, waiting, concurrency, rate_max, rate_per_seconds, usd_per_day, usd_today };
  const known = { id: name, kind: 'tool', state: tool.state } as const;
  const held = whyToolHolds(tool);
  if (held !== undefined) return { ...known, ...held, facts: { ...use, ...held.facts } };
  if (tool.admits === 'probe') {
    return {
      ...known,
      ...wait('tool_probe', 'the cooldown is over: its next task is the probe', {
        facts: use,
        when: 'with the next dispatch of one of its tasks',
      }),
    };
  }
  return {
    ...known,
    ...stands('tool_ready', `it takes work: ${in_flight} in flight, ${waiting} waiting`, use, 'with the next dispatch'),
  };
}
