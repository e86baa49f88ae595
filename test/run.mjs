// Runs every jest project and ends with the one line that counts. Three files at a time, since two cores are shared by servers and tests that
// mostly wait; what needs a rate of writes runs alone. Arguments go to one plain run of jest instead.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Where the servers keep their data: in memory where there is plenty of it, since a disk's file system costs them as much again as
 * all they do (each cluster and each database is hundreds of files, made and removed). Otherwise the usual folder for temporary files.
 */
function placeForServers() {
  const shared = '/dev/shm';
  const gigabyte = 2 ** 30;
  let place;
  try {
    const { bavail, bsize } = statfsSync(shared);
    if (bavail * bsize < 6 * gigabyte || freemem() < 8 * gigabyte) return tmpdir();
    place = mkdtempSync(join(shared, 'cutover-tests-'));
    // Other users run PostgreSQL for root; and a place from which nothing may be run will not do.
    chmodSync(place, 0o755);
    const program = join(place, 'program');
    writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 });
    if (spawnSync(program).status === 0) {
      rmSync(program);
      return place;
    }
  } catch {
    // Not there, not ours to write, or not known on this system.
  }
  if (place) rmSync(place, { recursive: true, force: true });
  return tmpdir();
}

const folder = mkdtempSync(join(tmpdir(), 'cutover-tests-'));
const place = placeForServers();
const jest = join('node_modules', 'jest', 'bin', 'jest.js');
const given = process.argv.slice(2);
const rounds =
  given.length > 0
    ? [['--runInBand', ...given]]
    : [
        ['--maxWorkers=3', '--selectProjects', 'faults', 'e2e', 'workflows', 'activities', 'local', 'unit'],
        ['--runInBand', '--selectProjects', 'load'],
      ];

const sums = { passed: 0, failed: 0, skipped: 0 };
let fine = true;
rounds.forEach((round, index) => {
  const output = join(folder, `results-${index}.json`);
  // Not in memory: what jest compiled is used again by the next run.
  const cache = `--cacheDirectory=${join(tmpdir(), 'cutover-jest')}`;
  const { status } = spawnSync(process.execPath, [jest, '--json', `--outputFile=${output}`, cache, ...round], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, TMPDIR: place },
  });
  const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites, numPendingTests } = JSON.parse(
    readFileSync(output, 'utf8'),
  );
  sums.passed += numPassedTests;
  sums.failed += numFailedTests + numRuntimeErrorTestSuites;
  sums.skipped += numPendingTests;
  fine &&= status === 0 && numPassedTests > 0;
});
if (place !== tmpdir()) rmSync(place, { recursive: true, force: true });
console.log(`${sums.passed} passed, ${sums.failed} failed${sums.skipped > 0 ? `, ${sums.skipped} skipped` : ''}`);
process.exitCode = fine && sums.failed === 0 ? 0 : 1;
