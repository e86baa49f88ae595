// Lets the Temporal SDK download the CLI of one version into a folder. A process of its own: the SDK's runtime can be set
// up once in a process, and that belongs to the worker. Arguments: version, folder.
'use strict';
const { TestWorkflowEnvironment } = require('@temporalio/testing');

const [version, downloadDir] = process.argv.slice(2);
TestWorkflowEnvironment.createLocal({ server: { executable: { type: 'cached-download', version, downloadDir } } })
  .then((environment) => environment.teardown())
  .then(
    () => process.exit(0),
    (error) => {
      console.error(error.message);
      process.exit(1);
    },
  );
