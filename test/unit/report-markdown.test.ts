import { renderReport } from '../../journal/markdown';
import type { Journal } from '../../journal/types';
import { completedJournal, rejectedJournal, rolledBackJournal, runningJournal } from '../fixtures/journal';

/** The cells of the table whose header row begins so, in the section of that title. */
function tableRows(report: string, header: string): string[][] {
  const lines = report.split('\n');
  const start = lines.findIndex((line) => line.startsWith(header));
  if (start < 0) throw new Error(`no table begins with ${header}`);
  const end = lines.findIndex((line, index) => index > start && !line.startsWith('|'));
  return lines.slice(start + 2, end).map((line) =>
    line
      .slice(2, -2)
      .split(/(?<!\\) \| /)
      .map((cell) => cell.trim()),
  );
}

const firstCells = (rows: string[][]): (string | undefined)[] => rows.map(([cell]) => cell);

describe('the report of a completed migration', () => {
  const report = renderReport(completedJournal());

  it('has the sections of the runbook in its order and numbering', () => {
    const titles = report.split('\n').filter((line) => line.startsWith('## '));
    expect(titles.slice(0, 7)).toEqual([
      '## 1. Pre-Migration Checklist',
      '## 2. Migration Strategy Selection',
      '## 3. Dry Run Execution',
      '## 4. Production Migration Execution',
      '## 5. Post-Migration Validation',
      '## 6. Rollback Procedure',
      '## 7. Post-Migration Actions',
    ]);
  });

  it('has the feature flag of a dual write from the step that set it', () => {
    const journal = completedJournal();
    const [step] = journal.steps;
    if (!step) throw new Error('no step');
    const dual = renderReport({
      ...journal,
      plan: { ...journal.plan, strategy: 'dual-write' },
      steps: [{ ...step, id: 'dual-write-on', state: 'done', result: 'the application writes to both' }],
    });
    const flag = (of: string) => tableRows(of, '| Item | Status |').find(([item]) => item?.startsWith('Feature flags'));
    expect(flag(dual)?.slice(1)).toEqual(['✔ done', 'the application writes to both']);
    expect(flag(report)?.[1]).toBe('not needed');
  });

  it('begins with outcome, downtime, rows, bytes and duration', () => {
    expect(report).toContain('**Completed.**');
    const [values] = tableRows(report, '| Outcome | Downtime | Rows | Bytes | Duration');
    expect(values).toEqual(
      expect.arrayContaining(['**completed**', '**41 s** (accepted: 5 min)', '**1 204 113**', '**512 MB**']),
    );
  });

  it('fills every row of the baseline metrics', () => {
    const rows = tableRows(report, '| Metric | Value | Notes |');
    expect(rows.map((row) => row.slice(0, 2))).toEqual([
      ['Database size', '512 MB'],
      ['Table row counts', '1 204 113'],
      ['Latest update timestamp', '2026-11-20 14:00:15.918+00'],
      ['Active connections', '14'],
      ['Replication lag', '2.00 kB'],
    ]);
  });

  it('shows checks that need a look first, and each that passed at the end', () => {
    const notable = tableRows(report, '| Check | Where | Outcome | Found |');
    expect(notable.map((row) => row[2])).toEqual(['! waived', '! warning']);
    expect(notable[1]?.[4]).toContain('Fix: `alter table public.audit_log add primary key (id)`');
    expect(tableRows(report, '| Check | Where | Found |')).toHaveLength(4);
  });

  it('fills every row of the dry run', () => {
    expect(tableRows(report, '| Dry Run Result | Status |')).toEqual([
      ['Duration', '1 min 20 s, there and back'],
      ['Rows migrated', '1 198 002'],
      ['Errors encountered', '✔ none'],
      ['Validation passed', '✔ passed, 14 of 14'],
      ['Rollback rehearsed', '✔ undone before the switch, in 9.0 s'],
      ['Size', '500 MB; production has 1.02 times the rows'],
    ]);
    expect(tableRows(report, '| Step | Time | Writes stopped |')).toEqual([['Copy the rows', '40 s', 'yes']]);
  });

  it('compares what was predicted with what happened, in percent', () => {
    expect(tableRows(report, '| Step | Predicted | Actual | Error |')).toEqual([
      ['Copy the rows', '41 s', expect.any(String), expect.stringMatching(/%$/)],
      ['A step that never ran', '1.0 s', 'not known', '–'],
      ['The 1 of these that ran', '41 s', expect.any(String), expect.stringMatching(/%$/)],
      ['Writes stopped', '1 min 30 s', expect.any(String), expect.stringMatching(/%$/)],
    ]);
  });

  it('records the decision and what was recommended', () => {
    const rows = tableRows(report, '| Question | Answer |');
    expect(rows.slice(0, 3)).toEqual([
      ['Selected strategy', 'big-bang'],
      ['Recommended from the facts', 'big-bang'],
      ['Justification', 'Small enough for the maintenance window on Friday afternoon.'],
    ]);
  });

  it('fills the six rows of the validation table, and shows every further check', () => {
    const rows = tableRows(report, '| Validation Check | Source | Target | Match |');
    expect(rows).toEqual([
      ['Total row count', '1204113 rows', '1204113 rows', '✔ match', '2.1 s'],
      ['Table-level counts', '3 tables', 'each count equal', '✔ match', 'with the total'],
      ['Checksum of every row', '3 tables, 5d41402abc4b2a76', '3 tables, 5d41402abc4b2a76', '✔ match', '3.9 s'],
      ['NULL constraint checks', 'N/A', '0 NULLs', '✔ match', '40 ms'],
      ['Smoke tests pass', 'N/A', '2 of 2 passed', '✔ match', '75 ms'],
      ['Performance within 10%', '12 ms', '11 ms', '✔ match', '61 ms'],
      ['sequences', '4', '4', '✔ match', '8 ms'],
      ['large objects', '0', '0', '✔ match', '5 ms'],
    ]);
  });

  it('gives rows, bytes, rate and digest of each table', () => {
    expect(tableRows(report, '| Table | Rows | Bytes |')[0]).toEqual([
      '`public.orders`',
      '1 000 000',
      '400 MB',
      '14 s',
      '28.4 MB/s',
      '`9f86d081884c7d65`',
      '✔ equal',
    ]);
  });

  it('gives start, end, duration and result of each step', () => {
    const rows = tableRows(report, '| # | Phase | Step |').concat([]);
    const copy = rows.find((row) => row[2]?.startsWith('Copy the rows'));
    expect(copy).toEqual([
      '14',
      'copy',
      'Copy the rows (in the downtime)',
      '✔ done',
      '2026-11-20 14:21:04 UTC',
      '2026-11-20 14:21:19 UTC',
      '15 s',
      '1 204 113 rows, 512 MB',
    ]);
  });

  it('names each trigger of a rollback and what was seen of it', () => {
    const rows = tableRows(report, '| Trigger | What was seen | Verdict |');
    expect(rows).toHaveLength(4);
    expect(rows.every((row) => row[2] === '✔ within')).toBe(true);
    expect(report).toContain('No rollback was needed.');
  });

  it('says of each action after the migration what was done', () => {
    const rows = tableRows(report, '| Action | Status | What was done |');
    expect(rows).toHaveLength(7);
    expect(rows.find(([action]) => action === 'Monitor target system for 24 hours minimum')).toEqual([
      'Monitor target system for 24 hours minimum',
      '✔ done',
      '24 h, 2 880 samples',
    ]);
  });

  it('compares the estimate with what it took, in percent', () => {
    const rows = tableRows(report, '| Quantity | Estimated | Actual | Error |');
    expect(rows.find(([quantity]) => quantity?.startsWith('Downtime'))).toEqual([
      'Downtime (accepted at most)',
      '5 min',
      '41 s',
      '-86%',
    ]);
  });

  it('says who decided at each gate, when and why', () => {
    const rows = tableRows(report, '| Gate | State | Opened |');
    expect(firstCells(rows)).toEqual(['`start`', '`cutover`', '`cutover`', '`accept`', '`retire-source`']);
    expect(rows[1]?.slice(5)).toEqual(['✔ approved', 'anna', '2026-11-20 14:18:11 UTC', 'checks are green']);
  });

  it('lists refused messages, artifacts with their digest, and what was left behind', () => {
    expect(tableRows(report, '| When | Message | By |')).toHaveLength(2);
    expect(report).toContain('3f9a1c5d'.repeat(8));
    expect(tableRows(report, '| Kind | Where | Name | State |')).toEqual([
      [
        'fence',
        'source',
        '`connection limit 0 on database orders`',
        '! kept on purpose',
        'the plan keeps the source fenced so that nobody writes to the old side by mistake',
      ],
      ['schema', 'target', '`cutover`', '✔ gone', '–'],
    ]);
  });

  it('has the commands that restore a backup which is no file', () => {
    const restore = ['aws rds restore-db-instance-from-db-snapshot --db-instance-identifier source-db-restored'];
    const journal = { ...completedJournal(), backup: { kind: 'RDS snapshot', name: 'cutover-orders', restore } };
    expect(renderReport(journal)).toContain(`- \`${restore[0]}\``);
    expect(report).not.toContain('How the backup is restored');
  });

  it('is the same text each time', () => {
    expect(renderReport(completedJournal())).toBe(report);
  });
});

describe('the report of another ending', () => {
  it('says at the top that the migration still runs, and how far it is', () => {
    const report = renderReport(runningJournal());
    expect(report.split('\n')[4]).toContain('**Still running.**');
    expect(report).toContain('as of 2026-11-20 14:21:09 UTC; phase `copy`');
    expect(report).toContain('The copy is at 171 MB of 512 MB');
    expect(tableRows(report, '| Moment | When | What |').find(([moment]) => moment === 'Downtime')?.[1]).toBe(
      'still counting',
    );
  });

  it('fills the rollback table when a rollback has run', () => {
    const report = renderReport(rolledBackJournal());
    expect(report).toContain('**Rolled back.** rollback asked for by ben');
    const rows = tableRows(report, '| Rollback Step | Status | Time |');
    expect(firstCells(rows)).toEqual([
      'Maintenance mode activated',
      'Source restored as primary',
      'Application switched',
      'Smoke tests passed on source',
      'Target data preserved',
    ]);
    expect(rows[1]).toEqual(['Source restored as primary', '✔ done: the source takes writes again', '1.0 s']);
    expect(report).toContain('- public.payments id=17');
  });

  it('takes the rollback table from the rollback itself after the point of no return', () => {
    const report = renderReport({
      ...completedJournal(),
      outcome: 'rolled-back',
      rollback: {
        startedAt: '2026-11-20T16:00:00.000Z',
        endedAt: '2026-11-20T16:00:09.000Z',
        durationMs: 9_000,
        by: 'ben',
        reason: 'checkout is failing',
        steps: [
          { name: 'maintenance-mode', state: 'done', durationMs: 1_000 },
          { name: 'smoke-on-source', state: 'failed', durationMs: 2_000, detail: '1 of 2 passed' },
          { name: 'target-preserved', state: 'not-needed', at: '2026-11-20T16:00:09.000Z' },
        ],
      },
    });
    const rows = tableRows(report, '| Rollback Step | Status | Time |');
    expect(rows).toEqual([
      ['Maintenance mode activated', '✔ done', '1.0 s'],
      ['Source restored as primary', 'not recorded', '–'],
      ['Application switched', 'not recorded', '–'],
      ['Smoke tests passed on source', '✖ failed: 1 of 2 passed', '2.0 s'],
      ['Target data preserved', 'not needed', '2026-11-20 16:00:09 UTC'],
    ]);
  });

  it('admits that no dry run was planned', () => {
    const report = renderReport(rejectedJournal());
    expect(tableRows(report, '| Dry Run Result | Status |').every((row) => row[1] === 'not planned')).toBe(true);
    const journal = rejectedJournal();
    const facts = { ...journal.plan.facts, rehearsalSkipped: 'rehearsed by hand last week' };
    const explained = renderReport({ ...journal, plan: { ...journal.plan, facts } });
    expect(explained).toContain('The plan says why: rehearsed by hand last week.');
    expect(report).toContain('**Rejected.** gate start was rejected by anna: month-end run is still going');
    expect(report).toContain('✔ Nothing: the migration has made nothing');
  });

  it('says of a migration that failed that it is neither finished nor undone', () => {
    const report = renderReport({
      ...runningJournal(),
      endedAt: '2026-11-20T15:00:00.000Z',
      reason: 'given up: fence',
    });
    expect(report).toContain('**Failed: neither finished nor undone.** given up: fence');
    expect(report).toContain('✖ still there');
  });
});

describe('text of people and databases in the report', () => {
  it('cannot break a table or become markup', () => {
    const journal = completedJournal();
    const nasty = 'a|b `c` <script>alert(1)</script>\n# heading\n| x | *bold* [link](http://x) _y_';
    const report = renderReport({
      ...journal,
      gates: journal.gates.map((gate) => ({
        ...gate,
        evidence: [nasty],
        decisions: gate.decisions.map((decision) => ({ ...decision, by: nasty, reason: nasty })),
      })),
      notes: [{ at: '2026-11-20T14:00:00.000Z', text: nasty, by: nasty }],
      tables: [{ table: 'public.a|b`c', rows: '1', bytes: 1, copyMs: 1 }],
    });
    expect(report).not.toMatch(/(?<!\\)<script/);
    expect(report).not.toMatch(/^# heading/m);
    const rows = tableRows(report, '| Gate | State | Opened |');
    expect(rows.every((row) => row.length === 9)).toBe(true);
    expect(rows[0]?.[6]).toBe(
      'a\\|b \\`c\\` \\<script>alert(1)\\</script> / # heading / \\| x \\| \\*bold\\* \\[link\\](http://x) \\_y\\_',
    );
    expect(tableRows(report, '| Table | Rows | Bytes |')[0]?.[0]).toBe('``public.a\\|b`c``');
  });
});

describe('what came after the switch', () => {
  const journal = completedJournal();
  journal.baseline = {
    ...(journal.baseline ?? { measuredAt: journal.startedAt, databaseBytes: 0, tables: 0, rows: '0', connections: 0 }),
    probes: { samples: 20, errors: 1, errorRatePercent: 5 },
    prometheusValue: 0.5,
  };
  journal.plan.facts = {
    ...journal.plan.facts,
    triggers: {
      errorRatePercent: 1,
      slowdownPercent: 50,
      probes: 1,
      intervalMs: 1_000,
      windowMs: 10_000,
      breachesNeeded: 2,
      prometheusMaxValue: 2,
      integrity: 3,
      smoke: 1,
    },
  };
  journal.monitoring = {
    samples: 100,
    errors: 1,
    errorRatePercent: 1,
    breaches: [],
    triggers: [
      { name: 'prometheus', looks: 50, bad: 0, unknown: 1, last: '0.7, at most 2 is allowed', breached: false },
      { name: 'integrity', looks: 2, bad: 0, unknown: 2, last: 'could not be looked at', breached: false },
    ],
  };
  journal.holds = [{ by: 'anna', reason: 'incident 4711', at: journal.startedAt, releasedAt: journal.startedAt }];
  journal.lessons = [{ at: journal.startedAt, by: 'ben', text: 'build the index first' }];
  const report = renderReport(journal);
  const row = (header: string, title: string): string[] | undefined =>
    tableRows(report, header).find(([cell]) => cell?.startsWith(title));

  it('shows each trigger with what it saw; one that never could look is not called fine', () => {
    const trigger = (title: string) => row('| Trigger |', title);
    expect(trigger('Prometheus query')).toEqual([
      'Prometheus query > 2, 2 times in a row',
      '0 of 50 looks, 1 could not be made; last: 0.7, at most 2 is allowed',
      '✔ within',
    ]);
    expect(trigger('Data integrity check fails while')?.[2]).toBe('! never known');
    expect(trigger('Smoke test fails')?.[2]).toBe('○ not looked at');
  });

  it('compares with Prometheus alone where the plan names no probes', () => {
    const without = renderReport({ ...journal, baseline: { ...journal.baseline!, probes: undefined } });
    const compared = tableRows(without, '| Action |').find(([cell]) => cell?.startsWith('Compare error rates'));
    expect(compared?.[2]).toContain('Prometheus: 0.5 before, after: 0.7');
  });

  it('takes one slow look for no breach, and a breach in a window for one, however small the rate of the day', () => {
    const slow = { name: 'slowdown', looks: 2, bad: 1, unknown: 0, last: 'slow', breached: false } as const;
    const windowed = '12.5 % errors (1 of 8 looks in the last 5m), more than 1 %; last: probe home: status 503';
    const told = (monitoring: Partial<NonNullable<Journal['monitoring']>>) => {
      const { samples, errors } = { samples: 10_000, errors: 1 };
      const seen = { samples, errors, errorRatePercent: 0.01, breaches: [], slowdownPercent: 70, ...monitoring };
      const rows = tableRows(renderReport({ ...journal, monitoring: seen }), '| Trigger |');
      return ['Error rate', 'Performance', 'Customer-facing'].map(
        (title) => rows.find(([cell]) => cell?.startsWith(title))?.[2],
      );
    };
    expect(told({ triggers: [slow] })).toEqual(['✔ within', '✔ within', '✔ within']);
    expect(told({ triggers: [{ ...slow, bad: 2, breached: true }], breaches: ['query a is 70 % slower'] })).toEqual([
      '✔ within',
      '✖ breached',
      '✔ within',
    ]);
    expect(told({ triggers: [slow], breaches: [windowed] })).toEqual(['✖ breached', '✔ within', '✖ breached']);
  });

  it('compares the error rates before and after, and prints holds and lessons', () => {
    const action = (title: string) => row('| Action |', title);
    expect(action('Compare error rates')?.slice(1)).toEqual([
      '✔ no more than before',
      '5.00% of 20 probes before the migration, 1.00% of 100 samples after the switch; Prometheus: 0.5 before, after: 0.7, at most 2 is allowed',
    ]);
    expect(action('Document lessons learned')).toEqual(['Document lessons learned', '✔ done', '1 below']);
    expect(action('Close incident channel')?.[2]).toContain('holds, all released: anna: incident 4711');
    expect(report).toMatch(/### Lessons learned\s+- .*, ben: build the index first/);
  });
});

describe('the report of a migration that was brought up in passes', () => {
  const journal = completedJournal();
  const [orders, ...others] = journal.tables ?? [];
  const post = journal.steps.find(({ id }) => id === 'post-data')!;
  const report = renderReport({
    ...journal,
    tables: [{ ...orders!, copiedBytes: 209_715_200 }, ...others],
    validation: journal.validation?.map((record) =>
      record.name === 'row counts' ? { ...record, source: '1300000 rows', target: '1300000 rows' } : record,
    ),
    steps: [...journal.steps, { ...post, id: 'indexes', result: '9 indexes, 4 constraints' }],
    passes: [
      {
        pass: 1,
        why: 'while the gate is open',
        startedAt: journal.startedAt,
        stopped: true,
        tables: 3,
        tablesChanged: 1,
        rows: '1200',
        deleted: '2',
        bytes: 2_048,
      },
    ],
  });

  it('tells rows that were copied from those that there are in the end, and the rate by what was copied', () => {
    expect(tableRows(report, '| Outcome | Downtime | Rows |')[0]).toContain(
      '**1 204 113** (copied; 1 300 000 in the end)',
    );
    expect(tableRows(report, '| Table | Rows | Bytes |')[0]?.slice(2, 5)).toEqual(['400 MB', '14 s', '14.2 MB/s']);
  });

  it('counts the indexes that were built before the last steps', () => {
    const built = tableRows(report, '| Item | Status |').find(
      ([item]) => item === 'Target indexes built and validated',
    );
    expect(built?.[2]).toBe(`9 indexes, 4 constraints; ${post.result}`);
  });

  it('says of a pass that was stopped that it was', () => {
    expect(tableRows(report, '| Pass | Why |')[0]?.[3]).toContain('stopped before its end');
  });
});
