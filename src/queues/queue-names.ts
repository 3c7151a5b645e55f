/** Two families of queues; a pool is what a worker must be able to do. */
export type QueueFamily = 'tasks' | 'gates';

export function queueName(family: QueueFamily, pool: string): string {
  return `${family}.${pool}`;
}
