/** The two families of queues. Each has one queue per pool; a pool names a capability that its workers have. */
export type QueueFamily = 'tasks' | 'gates';

export function queueName(family: QueueFamily, pool: string): string {
  return `${family}.${pool}`;
}
