import { type Logger, pino } from 'pino';
import pretty from 'pino-pretty';

export type Log = Logger;

/** Writes JSON lines to standard error, or readable lines when that is a terminal. */
export function createLog({ level, terminal }: { level: string; terminal: boolean }): Log {
  const base = { level, timestamp: pino.stdTimeFunctions.isoTime, base: null };
  if (!terminal) return pino(base, pino.destination({ dest: 2, sync: true }));
  return pino(base, pretty({ destination: 2, sync: true, ignore: 'pid,hostname', translateTime: 'HH:MM:ss.l' }));
}

export function silentLog(): Log {
  return pino({ level: 'silent' });
}
