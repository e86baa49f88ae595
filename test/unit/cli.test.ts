import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../client/cli';
import type { ExitCode } from '../../client/context';
import { freePort } from '../../local/ports';

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'cutover-cli-'))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function cutover(
  argv: string[],
  environment: NodeJS.ProcessEnv = {},
): Promise<{ code: ExitCode; out: string; error: string }> {
  let out = '';
  let error = '';
  const code = await run(argv, {
    out: (text) => void (out += text),
    error: (text) => void (error += text),
    environment: { TEMPORAL_CONFIG_FILE: '/nowhere/temporal.toml', ...environment },
    isTTY: false,
    columns: () => 80,
    rows: () => 24,
    interrupted: new AbortController().signal,
  });
  return { code, out, error };
}

function file(name: string, content: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

const plan = { name: 'orders-to-18', source: { env: 'SOURCE_DATABASE_URL' }, target: { env: 'TARGET_DATABASE_URL' } };

describe('plan check', () => {
  it('prints a good plan with every default', async () => {
    const { code, out, error } = await cutover(['plan', 'check', file('good.json', plan)]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      ...plan,
      strategy: 'big-bang',
      monitor: '24h',
      retainSource: '30d',
      copy: { lanes: 4 },
    });
    expect(error).toContain('is a valid plan');
  });

  it('reads YAML', async () => {
    const yaml =
      'name: orders-to-18\nsource: { env: SOURCE_DATABASE_URL }\ntarget: { env: TARGET_DATABASE_URL }\nmonitor: 1h\n';
    const { code, out } = await cutover(['plan', 'check', '--json', file('good.yaml', yaml)]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ monitor: '1h' });
  });

  it('names an unknown field, and every other mistake with it', async () => {
    const { code, out, error } = await cutover([
      'plan',
      'check',
      file('typo.json', { ...plan, name: 'Orders', tables: { inclued: ['public.*'] } }),
    ]);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(error).toContain('plan.tables.inclued: found a field that plans do not have');
    expect(error).toContain('plan.name: found "Orders"');
    expect(error).toContain('2 things are wrong');
  });

  it('refuses a password and does not repeat it', async () => {
    const secret = 'postgresql://app:hunter2@db/orders';
    const { code, error } = await cutover(['plan', 'check', file('password.json', { ...plan, source: secret })]);
    expect(code).toBe(2);
    expect(error).toContain('plan.source: found a password (not shown)');
    expect(error).not.toContain('hunter2');
  });

  it.each([
    ['broken.json', '{"name": "orders", "source": "postgresql://app:hunter2@db/orders" oops', 'no valid JSON'],
    ['broken.yaml', 'name: orders\n source: "postgresql://app:hunter2@db/orders\n', 'no valid YAML'],
  ])('says that %s cannot be parsed, without quoting it', async (name, content, expected) => {
    const { code, error } = await cutover(['plan', 'check', file(name, content)]);
    expect(code).toBe(2);
    expect(error).toContain(expected);
    expect(error).not.toContain('hunter2');
  });

  it('says that a file is missing', async () => {
    const { code, error } = await cutover(['plan', 'check', join(folder, 'nowhere.json')]);
    expect(code).toBe(2);
    expect(error).toMatch(/There is no file .*nowhere\.json\. Give the path of a plan/);
  });

  it('tells a Calico plan from a PostgreSQL one', async () => {
    const { code, error } = await cutover([
      'plan',
      'check',
      file('calico.json', { name: 'calico', source: { endpoints: ['https://10.0.0.1:2379'] } }),
    ]);
    expect(code).toBe(2);
    expect(error).toContain('plan.target: found nothing; expected where the cluster is');
  });
});

it('plan schema prints the JSON Schema', async () => {
  const { code, out } = await cutover(['plan', 'schema']);
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ type: 'object', required: ['name', 'source', 'target'] });
});

describe('a wrong call ends with exit code 2', () => {
  it.each([
    [['strat', 'x'], "unknown command 'strat'"],
    [['approve', 'orders', 'cutover'], "required option '--by <name>' not specified"],
    [['approve', 'orders', '--by', 'anna'], "missing required argument 'gate'"],
    [['report', 'orders', '--format', 'pdf'], 'Allowed choices are md, html, json'],
    [['tune', 'orders'], 'Give --lanes, --max-bytes-per-second, or both.'],
    [['tune', 'orders', '--lanes', 'many'], '--lanes is "many", expected a whole number from 1'],
    [['hold', 'orders', '--by', 'anna'], "required option '--reason <why>' not specified"],
    [['release', 'orders'], "required option '--by <name>' not specified"],
    [['note', 'orders', '--by', 'anna'], "missing required argument 'text'"],
    [['dev', '--port', 'x'], 'Expected a port from 1 to 65535.'],
  ])('%j', async (argv, message) => {
    const { code, error } = await cutover(argv);
    expect(error).toContain(message);
    expect(code).toBe(2);
  });

  it.each([
    [
      'CUTOVER_ARTIFACTS',
      's3://Backups',
      'CUTOVER_ARTIFACTS is "s3://Backups", expected s3://bucket or s3://bucket/prefix',
    ],
    [
      'CUTOVER_ARTIFACTS',
      'https://u:hunter2@host/x',
      'CUTOVER_ARTIFACTS is "https://host/x", expected the file:// URL',
    ],
    ['CUTOVER_MAX_ACTIVITIES', 'many', 'CUTOVER_MAX_ACTIVITIES is "many", expected a whole number from 1'],
  ])('so is a worker whose %s is %s', async (variable, value, message) => {
    const { code, error } = await cutover(['worker'], { [variable]: value });
    expect(error).toContain(message);
    expect(code).toBe(2);
  });

  it('and without any command help is shown', async () => {
    const { code, error } = await cutover([]);
    expect(code).toBe(2);
    expect(error).toContain('Usage: cutover');
  });
});

it.each([
  'dev',
  'worker',
  'start',
  'status',
  'watch',
  'approve',
  'reject',
  'rollback',
  'retry',
  'skip',
  'pause',
  'resume',
  'tune',
  'hold',
  'release',
  'note',
  'cancel',
  'report',
  'list',
])('%s --help has an example', async (command) => {
  const { code, out } = await cutover([command, '--help']);
  expect(code).toBe(0);
  expect(out).toContain(`$ cutover ${command}`);
});

describe('a server that does not answer', () => {
  it('is named, with what to do', async () => {
    const address = `127.0.0.1:${await freePort()}`;
    const { code, error } = await cutover(['status', 'orders'], { TEMPORAL_ADDRESS: address });
    expect(code).toBe(1);
    expect(error).toContain(`No Temporal server answers at ${address} (from TEMPORAL_ADDRESS)`);
    expect(error).toContain('cutover dev');
  });

  it('is not even asked with a plan that is wrong', async () => {
    const { code, error } = await cutover(['start', file('wrong.json', { ...plan, target: plan.source })], {
      TEMPORAL_ADDRESS: '127.0.0.1:1',
    });
    expect(code).toBe(2);
    expect(error).toContain('a database is not migrated onto itself');
  });
});
