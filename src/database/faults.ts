import { SluiceError } from '../contract/errors.ts';

interface DriverError {
  code?: string;
  message?: string;
  detail?: string;
  constraint?: string;
  cause?: unknown;
  previous?: unknown;
}

const CONNECTION_CODES = ['ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'ETIMEDOUT', 'EPIPE', 'EAI_AGAIN', 'ENOENT'];

/** Returns the five-character SQLSTATE of a driver error, also from inside MikroORM's wrappers. */
export function sqlState(error: unknown): string | undefined {
  const { code, previous, cause } = (error ?? {}) as DriverError;
  if (typeof code === 'string' && /^(?=.*\d)[0-9A-Z]{5}$/.test(code)) return code;
  const inner = previous ?? cause;
  return inner === undefined || inner === error ? undefined : sqlState(inner);
}

/** True when the database was unreachable or the connection was lost, so that a retry may succeed. */
export function isConnectionFault(error: unknown): boolean {
  const state = sqlState(error);
  if (state !== undefined) return /^(08(?!P01)|57P|57014|53300)/.test(state);
  const { code, message, cause, previous } = (error ?? {}) as DriverError;
  if (code !== undefined && CONNECTION_CODES.includes(code)) return true;
  if (/Connection terminated|timeout (exceeded|expired)|Query read timeout|not queryable/.test(message ?? ''))
    return true;
  const inner = previous ?? cause;
  return inner !== undefined && inner !== error && isConnectionFault(inner);
}

/** Converts a driver error to a SluiceError; returns any other error unchanged. */
export function codedDatabaseError(error: unknown): unknown {
  if (error instanceof SluiceError) return error;
  if (sqlState(error) === '57014') {
    const said = 'PostgreSQL cancelled a statement that took too long';
    return new SluiceError('database.unreachable', said, { retryable: true, cause: error });
  }
  if (isConnectionFault(error)) {
    return new SluiceError('database.unreachable', 'PostgreSQL does not answer', { retryable: true, cause: error });
  }
  const { message, constraint } = error as DriverError;
  const facts = { constraint: constraint ?? /constraint "(\w+)"/.exec(message ?? '')?.[1] };
  const details = { facts, cause: error };
  switch (sqlState(error)) {
    case '23505':
      return new SluiceError('entity.exists', `a row with the same key already exists (${facts.constraint})`, details);
    case '23503':
      return new SluiceError('entity.not_found', `a referenced row does not exist (${facts.constraint})`, details);
    case '23514':
      return new SluiceError('entity.invalid', `a value is out of its range (${facts.constraint})`, details);
    case '23502':
    case '22P02':
    case '22021':
    case '08P01':
    case '22003':
      return new SluiceError('entity.invalid', message?.split('\n')[0] ?? 'a value is not valid', details);
    default:
      return error;
  }
}
