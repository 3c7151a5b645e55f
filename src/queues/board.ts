import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { FastifyAdapter } from '@bull-board/fastify';
import type { Queue } from 'bullmq';
import type { QueuePublisher } from './publisher.ts';
import type { Message } from './queue-backend.ts';
import { queueName } from './queue-names.ts';

export interface QueueBoard {
  plugin: ReturnType<FastifyAdapter['registerPlugin']>;
  /** Adds the queues of these pools to the board. */
  show(pools: readonly string[]): void;
}

/**
 * Creates a read-only Bull Board over the live queues: the ledger could not explain waits that a change there caused.
 */
export function createQueueBoard(publisher: QueuePublisher, basePath: string): QueueBoard {
  const server = new FastifyAdapter();
  server.setBasePath(basePath);
  const board = createBullBoard({ queues: [], serverAdapter: server, options: { uiConfig: { boardTitle: 'Sluice' } } });
  const shown = new Map<string, Queue<Message>>();
  return {
    plugin: server.registerPlugin(),
    show(pools) {
      for (const name of pools.flatMap((pool) => [queueName('tasks', pool), queueName('gates', pool)])) {
        const queue = publisher.queue(name);
        if (shown.get(name) === queue) continue;
        // The publisher has reopened this queue.
        if (shown.has(name)) board.removeQueue(name);
        shown.set(name, queue);
        board.addQueue(new BullMQAdapter(queue, { readOnlyMode: true }));
      }
    },
  };
}
