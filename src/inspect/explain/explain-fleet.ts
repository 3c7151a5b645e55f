import { explained } from '../../contract/reasons.ts';
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
      `it has sent no heartbeat since ${heard} (${explained(worker.reason)}); its work went back to the queue`,
      facts,
    );
  if (worker.state === 'STOPPED') return stands('stopped', `it stopped cleanly (${worker.reason})`, facts);
  if (worker.state === 'UNHEALTHY')
    return silentWorker(worker, null) ?? stands('unhealthy', 'it sends no heartbeat', facts);
  if (worker.draining)
    return stands(
      'draining',
      'it is draining: it takes no more work, hands back what has not ended in time, and stops',
      facts,
      'when its work has ended, or at the latest when its time to drain is over',
    );
  if (worker.over_disk_since) {
    const since = worker.over_disk_since.toISOString();
    return wait('disk_budget', `it takes nothing since ${since}: its data folder is over \`disk.max_bytes\``, {
      facts,
      when: 'within a minute after space was freed there',
    });
  }
  if (worker.starving_since) {
    const sentence = `it has taken nothing since ${worker.starving_since.toISOString()} though work waits; it has reconnected to the queue`;
    return wait('not_consuming', sentence, {
      facts,
      when: 'within seconds: it takes work again, or ends and is replaced',
    });
  }
  if (worker.state === 'BUSY') return stands('busy', 'it is running work', facts, 'when that work has ended');
  return stands('idle', 'it has no work', facts, 'when work of its pools is dispatched');
}

/** Explains that work of a silent worker waits for its lease to expire. Undefined while the worker sends heartbeats. */
export function silentWorker(worker: WorkerRow | undefined, leaseExpiresAt: Date | null): Explanation | undefined {
  if (worker === undefined || (worker.state !== 'UNHEALTHY' && worker.state !== 'DEAD')) return undefined;
  const heard = worker.last_heartbeat.toISOString();
  const facts = { worker_id: worker.worker_id, last_heartbeat: heard };
  return wait('worker_silent', `the worker ${worker.worker_id} has sent no heartbeat since ${heard}`, {
    facts,
    again_at: leaseExpiresAt?.toISOString() ?? null,
    when: 'when it sends a heartbeat again, or its lease expires and its work goes back to the queue',
  });
}

export async function explainTool({ admission, daos }: ExplainScene, name: string): Promise<Explained> {
  const tool = (await admission()).tools.find(({ tool }) => tool === name)!;
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
