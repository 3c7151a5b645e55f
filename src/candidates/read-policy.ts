import { hasCode, SluiceError } from '../contract/errors.ts';
import { parseDocument } from '../contract/parse.ts';
import { POLICY_PATH, type Policy, policySchema } from '../contract/policy.ts';
import { parseYaml } from '../contract/yaml.ts';
import type { Mirror } from '../git/mirror.ts';

const MAX_POLICY_LENGTH = 64 * 1024;

export type ReadPolicy = { policy: Policy; error: null } | { policy: null; error: string };

/** Returns the policy at a commit. A missing or broken policy is an answer, not an error: nothing lands under it. */
export async function readPolicy(mirror: Mirror, commit: string): Promise<ReadPolicy> {
  const content = await mirror.readFile(commit, POLICY_PATH);
  if (content === undefined) return { policy: null, error: `there is no ${POLICY_PATH} at the tip of the branch` };
  try {
    return { policy: parsePolicy(content.toString('utf8')), error: null };
  } catch (error) {
    if (hasCode(error, 'policy.invalid')) return { policy: null, error: error.message };
    throw error;
  }
}

/** Throws `feature.unsupported` when a commit holds a submodule: a slot would have an empty folder in its place. */
export async function assertSupported(mirror: Mirror, commit: string): Promise<void> {
  const submodule = await mirror.submoduleIn(commit);
  if (submodule === undefined) return;
  throw new SluiceError(
    'feature.unsupported',
    `the branch holds a submodule at ${submodule}: submodules are not supported`,
    {
      facts: { path: submodule },
    },
  );
}

/** Throws `policy.invalid` with every problem. */
export function parsePolicy(text: string): Policy {
  if (text.length > MAX_POLICY_LENGTH) {
    throw new SluiceError('policy.invalid', `${POLICY_PATH}: more than ${MAX_POLICY_LENGTH} characters`);
  }
  let document: unknown;
  try {
    document = parseYaml(text) ?? {};
  } catch (cause) {
    throw new SluiceError('policy.invalid', `${POLICY_PATH}: ${(cause as Error).message.split('\n')[0]}`, { cause });
  }
  return parseDocument(policySchema, document, { code: 'policy.invalid', what: POLICY_PATH });
}
