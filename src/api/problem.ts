import type { FastifyError, FastifyReply } from 'fastify';
import type { Problem } from '../contract/answers.ts';
import { ERROR_PAGE_PATH } from '../contract/error-page.ts';
import { ERROR_CODES, SluiceError } from '../contract/errors.ts';
import { codedDatabaseError } from '../database/faults.ts';

export function toSluiceError(error: unknown): SluiceError {
  const coded = codedDatabaseError(error);
  if (coded instanceof SluiceError) return coded;
  const { statusCode, validation, message } = error as FastifyError;
  if (statusCode === 415) return new SluiceError('body.unsupported_type', message);
  if (statusCode === 413) return new SluiceError('body.too_large', message);
  if (statusCode === undefined && error instanceof RangeError) {
    return new SluiceError('body.invalid', 'the document is nested too deeply');
  }
  if (validation !== undefined || (statusCode !== undefined && statusCode < 500)) {
    const problems = (validation ?? []).map((issue) => ({
      path: issue.instancePath.replace(/^\//, '').replaceAll('/', '.'),
      message: issue.message ?? 'is not valid',
    }));
    return new SluiceError('body.invalid', message, { problems });
  }
  return new SluiceError('internal.error', 'unexpected error in the daemon; its log has the details', { cause: error });
}

export function toProblem(error: SluiceError): Problem {
  const [status, title] = ERROR_CODES[error.code];
  const { code, message: detail, retryable, problems, facts } = error;
  return {
    type: `${ERROR_PAGE_PATH}#${code}`,
    title,
    status,
    code,
    detail,
    retryable,
    ...(problems.length > 0 ? { errors: [...problems] } : {}),
    ...(Object.keys(facts).length > 0 ? { facts: { ...facts } } : {}),
  };
}

export function sendProblem(reply: FastifyReply, error: SluiceError): FastifyReply {
  return reply.code(error.httpStatus).type('application/problem+json').send(toProblem(error));
}
