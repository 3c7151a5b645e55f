import { Socket } from 'node:net';

/**
 * Returns sockets for pg's `stream` that close after `silentMs` without traffic. When a network drops packets silently,
 * a dead connection looks alive, and a query timeout alone would return it to the pool for the next query to hang on.
 * Closing it fails every query that waits on it, and the pool replaces it.
 */
export function answeringSocket(silentMs: number): () => Socket {
  return () => {
    const socket = new Socket();
    socket.setTimeout(silentMs, () => socket.destroy(new Error(`Connection terminated: no answer in ${silentMs} ms`)));
    return socket;
  };
}
