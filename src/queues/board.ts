import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { FastifyAdapter } from '@bull-board/fastify';
import type { QueuePublisher } from './publisher.ts';
import { queueName } from './queue-names.ts';

export interface QueueBoard {
  /** A Fastify plugin. */
  plugin: ReturnType<FastifyAdapter['registerPlugin']>;
  /** Shows the queues of these pools as well. */
  show(pools: readonly string[]): void;
}

/** Bull Board over the live queues, read-only: a second steering wheel would make waits that nobody can explain. */
export function createQueueBoard(publisher: QueuePublisher, basePath: string): QueueBoard {
  const server = new FastifyAdapter();
  server.setBasePath(basePath);
  const board = createBullBoard({ queues: [], serverAdapter: server, options: { uiConfig: { boardTitle: 'Sluice' } } });
  const shown = new Set<string>();
  return {
    plugin: server.registerPlugin(),
    show(pools) {
      for (const name of pools.flatMap((pool) => [queueName('tasks', pool), queueName('gates', pool)])) {
        if (shown.has(name)) continue;
        shown.add(name);
        board.addQueue(new BullMQAdapter(publisher.queue(name), { readOnlyMode: true }));
      }
    },
  };
}
