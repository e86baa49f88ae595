// The workflow code as one file: made at build time for production, on the fly from sources for tests.
import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { bundleWorkflowCode, DefaultLogger, type WorkflowBundleOption } from '@temporalio/worker';

const builtBundle = join(__dirname, 'workflow-bundle.js');
const workflowsPath = join(dirname(__dirname), 'workflows');

/** The bundle of the build where there is one, otherwise one made now (a second or two). */
export async function workflowBundle(): Promise<WorkflowBundleOption> {
  if (existsSync(builtBundle)) return { codePath: builtBundle };
  return bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('WARN') });
}

async function build(): Promise<void> {
  const { code } = await bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('WARN') });
  writeFileSync(builtBundle, code);
}

if (require.main === module) void build();
