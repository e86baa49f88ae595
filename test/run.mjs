// Runs every jest project and ends with the one line that counts. What mostly waits runs four files at a time, what watches whole
// migrations three, and what needs a rate of writes alone: two cores are shared by servers and tests. Arguments go to one plain run of jest instead.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folder = mkdtempSync(join(tmpdir(), 'cutover-tests-'));
const jest = join('node_modules', 'jest', 'bin', 'jest.js');
const given = process.argv.slice(2);
const rounds =
  given.length > 0
    ? [['--runInBand', ...given]]
    : [
        ['--maxWorkers=4', '--selectProjects', 'unit', 'workflows', 'activities', 'local'],
        ['--maxWorkers=3', '--selectProjects', 'e2e', 'faults'],
        ['--runInBand', '--selectProjects', 'load'],
      ];

const sums = { passed: 0, failed: 0, skipped: 0 };
let fine = true;
rounds.forEach((round, index) => {
  const output = join(folder, `results-${index}.json`);
  const { status } = spawnSync(process.execPath, [jest, '--json', `--outputFile=${output}`, ...round], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites, numPendingTests } = JSON.parse(
    readFileSync(output, 'utf8'),
  );
  sums.passed += numPassedTests;
  sums.failed += numFailedTests + numRuntimeErrorTestSuites;
  sums.skipped += numPendingTests;
  fine &&= status === 0 && numPassedTests > 0;
});
console.log(`${sums.passed} passed, ${sums.failed} failed${sums.skipped > 0 ? `, ${sums.skipped} skipped` : ''}`);
process.exitCode = fine && sums.failed === 0 ? 0 : 1;
