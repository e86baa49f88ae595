import { BuildQueue, type Build } from '../../activities/postgres/schema/build-queue';
import { parseEntry } from '../../activities/postgres/schema/archive';
import { orderPostData } from '../../activities/postgres/schema/post-data-order';
import { settingSql } from '../../activities/postgres/schema/settings';

function build(id: string, rest: Partial<Build<string>> = {}): Build<string> {
  return { id, needs: [], tables: [id], exclusive: false, weight: 0, work: id, ...rest };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function runAll(builds: Build<string>[], lanes: number, fails?: string) {
  const begun: string[] = [];
  const together: string[][] = [];
  const running = new Set<string>();
  const error: unknown = await new BuildQueue(builds)
    .run(lanes, async (works) => {
      for await (const work of works) {
        begun.push(work);
        running.add(work);
        together.push([...running].sort());
        await turn();
        running.delete(work);
        if (work === fails) throw new Error(`${work} failed`);
      }
    })
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
  return { begun, together, error };
}

describe('the queue of builds', () => {
  it('begins the biggest first and what others need before them', async () => {
    const { begun, error } = await runAll(
      [
        build('small', { weight: 1 }),
        build('big', { weight: 9, needs: ['key'] }),
        build('key'),
        build('middle', { weight: 5 }),
      ],
      1,
    );
    expect(error).toBeUndefined();
    expect(begun).toEqual(['middle', 'small', 'key', 'big']);
  });

  it('runs two readers of a table together, and nothing beside one that needs it alone', async () => {
    const { together } = await runAll(
      [
        build('index 1', { tables: ['t'], weight: 3 }),
        build('index 2', { tables: ['t'], weight: 2 }),
        build('key', { tables: ['t'], exclusive: true, weight: 1 }),
      ],
      3,
    );
    expect(together).toContainEqual(['index 1', 'index 2']);
    expect(together.filter((names) => names.includes('key'))).toEqual([['key']]);
  });

  it('begins nothing after a failure, and throws that failure though others wait for what failed', async () => {
    const { begun, error } = await runAll(
      [
        build('fails', { weight: 9 }),
        build('beside', { weight: 8 }),
        build('waits', { needs: ['fails'] }),
        build('later'),
      ],
      2,
      'fails',
    );
    expect(error).toEqual(new Error('fails failed'));
    expect(begun).not.toContain('waits');
  });
});

it('reads the lines of pg_restore --list', () => {
  expect(parseEntry('3663; 3456 25099 COLLATION types german phonebook postgres')).toEqual({
    id: '3663',
    kind: 'COLLATION',
    oid: '25099',
    label: 'types german phonebook postgres',
  });
  expect(parseEntry('12; 2606 7 FK CONSTRAINT public a b')).toMatchObject({
    kind: 'FK CONSTRAINT',
    label: 'public a b',
  });
  expect(parseEntry('9; 0 8 MATERIALIZED VIEW DATA public v owner')).toMatchObject({ kind: 'MATERIALIZED VIEW DATA' });
  expect(parseEntry(';\tdepends on: 10')).toBeUndefined();
});

it('orders post-data: keys with what they need, attachments, foreign keys, the rest, event triggers last', () => {
  const entry = (id: string, kind: string) => ({ id, kind, oid: '1', label: id });
  const entries = [
    entry('e', 'EVENT TRIGGER'),
    entry('ce', 'COMMENT'),
    entry('f', 'FK CONSTRAINT'),
    entry('left out', 'FK CONSTRAINT'),
    entry('t', 'TRIGGER'),
    entry('v', 'MATERIALIZED VIEW DATA'),
    entry('m', 'MATERIALIZED VIEW'),
    entry('i', 'INDEX'),
    entry('k', 'CONSTRAINT'),
    entry('a', 'INDEX ATTACH'),
    entry('p', 'PUBLICATION'),
  ];
  const order = orderPostData(
    entries,
    new Map([
      ['ce', ['e']],
      ['i', ['m', '99']],
      ['m', ['k']],
    ]),
    new Set(['left out']),
  );
  const ids = (list: { id: string }[]): string => list.map(({ id }) => id).join(' ');
  expect(ids(order.keys)).toBe('m i k');
  expect(ids(order.attachments)).toBe('a');
  expect(ids(order.foreignKeys)).toBe('f');
  expect(order.rest.map(ids)).toEqual(['t', 'v', 'p', 'e ce']);
});

it('writes settings so that lists of names stay lists', () => {
  expect(settingSql('d', undefined, 'search_path="$user", public, "Odd ""x"".v1"')).toBe(
    `alter database "d" set "search_path" = '$user', 'public', 'Odd "x".v1'`,
  );
  expect(settingSql('d', 'r', "my.custom=it's, one")).toBe(
    `alter role "r" in database "d" set "my"."custom" = 'it''s, one'`,
  );
});
