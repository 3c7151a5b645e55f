import { stringify } from 'yaml';
import { editorLine } from '../../contract/documents.ts';
import { policySchema } from '../../contract/policy.ts';
import type { DetectedProject } from './detect-project.ts';

/** Returns `.sluice.yaml` with comments, for the gates that were found. */
export function policyText({ gates, prepare, pinned, hasWorkflows }: DetectedProject): string {
  const list = (items: readonly object[]): string => items.map((item) => `  - ${flow(item)}`).join('\n');
  return `${editorLine('policy')}
# Rules for what lands on this branch. Sluice reads them at the tip of the branch: commit and push this file.
# \`sluice check\` runs the gates here as a worker would.

# Every gate must pass on exactly the tree that lands.
gates:
${list(gates)}
${
  prepare.length === 0
    ? '# prepare: runs before the gates and tools in each fresh check-out, for example to install dependencies.'
    : `# Runs before gates and tools in each fresh check-out. \`kept_paths\` are cached by the content of \`key_files\`.
prepare:
${list(prepare)}`
}
# A patch that changes one of these must also pass with the files of the branch, so that it cannot weaken its own test.
pinned: ${flow(pinned)}
# A patch that touches one of these waits for the approval of an operator. This file always does.
${hasWorkflows ? '' : '# '}protected: ${flow(['.github/**'])}
# limits: ${flow(policySchema.parse({}).limits)}
`;
}

/** Returns `sluice.config.yaml` with comments: one repository, and a tool to copy from. */
export function configText({ name, url, hadSecret }: { name: string; url: string; hadSecret: boolean }): string {
  const credentials = hadSecret
    ? '    credentials: { token_env: APP_TOKEN }        # git here has a token in its URL: put it into this variable'
    : '    # credentials: { token_env: APP_TOKEN }      # for https; or ssh_key_file and known_hosts_file';
  return `${editorLine('config')}
# Configuration of the daemon on this machine: repositories, tools, limits.

repositories:
  ${flow(name)}:
    url: ${flow(url)}
${credentials}
    # gate_env: [NPM_TOKEN]                      # variables that gates of this repository may ask for

# Run specs may bring commands of their own. Declare tools instead where others may submit.
allow_commands: true

# Tools that tasks name. Placeholders fill arguments or standard input, never a shell.
# tools:
#   codemod:
#     argv: [npx, jscodeshift, -t, '{input.transform}', src]
#     timeout_seconds: 900
`;
}

function flow(value: unknown): string {
  return stringify(value, { collectionStyle: 'flow', flowCollectionPadding: false, lineWidth: 0 }).trimEnd();
}
