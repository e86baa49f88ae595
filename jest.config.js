/** Each project is one layer of the pyramid; `npm test` runs them all, `test:faults` only the last. */
const shared = {
  testEnvironment: 'node',
  transform: { '^.+\\.[jt]s$': ['@swc/jest', { jsc: { target: 'es2022', parser: { syntax: 'typescript' } } }] },
  // Published as ES modules only, which jest cannot require on Node 20.
  transformIgnorePatterns: ['/node_modules/(?!(@kubernetes/client-node|openid-client|oauth4webapi|jose)/)'],
  testPathIgnorePatterns: ['/node_modules/', '/dist/'],
  modulePathIgnorePatterns: ['<rootDir>/dist'],
};
/** Tests that need a rate of writes which two cores reach only when nothing else runs. */
const underLoad = ['/test/e2e/cdc.test.ts'];
const project = (displayName, folders) => ({
  ...shared,
  displayName,
  testMatch: folders.map((folder) => `<rootDir>/test/${folder}/**/*.test.ts`),
});

module.exports = {
  testTimeout: 300_000,
  projects: [
    project('unit', ['unit']),
    project('local', ['local']),
    project('activities', ['activities']),
    { ...project('workflows', ['workflows', 'replay']), globalSetup: '<rootDir>/test/fixtures/bundled-workflows.ts' },
    { ...project('e2e', ['e2e']), testPathIgnorePatterns: [...shared.testPathIgnorePatterns, ...underLoad] },
    { ...project('load', ['e2e']), testMatch: underLoad.map((file) => `<rootDir>${file}`) },
    project('faults', ['faults']),
  ],
};
