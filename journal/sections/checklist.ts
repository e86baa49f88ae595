// Runbook section 1: the pre-migration checklist with its baseline metrics, every finding of preflight, and how each item of the document is known.
import { code, heading, joined, paragraph, table, type Block, type Inline, type Section, type Text } from '../document';
import { formatBytes, formatCount, formatMaybeMs, formatTime, plural } from '../quantities';
import { checkText, checksNamed, done, failed, open, pending, quiet, stepOf, warning } from '../reading';
import type { Check, Journal } from '../types';

export function checklist(journal: Journal): Section {
  return {
    id: 'checklist',
    number: '1',
    title: 'Pre-Migration Checklist',
    blocks: [
      heading('Source system'),
      baseline(journal),
      heading('Target system and application'),
      table(['Item', 'Status', 'How it is known'], items(journal)),
      heading('Checks before the start'),
      ...findings(journal.preflight),
    ],
  };
}

function baseline(journal: Journal): Block {
  const metrics = journal.baseline;
  const missing = quiet('not measured yet');
  const note = metrics ? `measured ${formatTime(metrics.measuredAt)}` : '';
  const latest = metrics?.latestUpdate;
  const lag = metrics?.replicationLagBytes;
  return table(
    ['Metric', 'Value', 'Notes'],
    [
      ['Database size', metrics ? formatBytes(metrics.databaseBytes) : missing, note],
      [
        'Table row counts',
        metrics ? formatCount(metrics.rows) : missing,
        metrics ? `exact, over ${plural(metrics.tables, 'table')}; each table in section 5` : '',
      ],
      [
        'Latest update timestamp',
        latest?.value ?? (metrics ? quiet('none') : missing),
        latest ? joined('greatest of ', code(latest.column)) : metrics ? 'no column of the last update was found' : '',
      ],
      [
        'Active connections',
        metrics ? formatCount(metrics.connections) : missing,
        metrics ? 'on the source, at that moment' : '',
      ],
      [
        'Replication lag',
        lag === undefined ? (metrics ? quiet('none') : missing) : formatBytes(lag),
        lag === undefined ? (metrics ? 'the source has no standby' : '') : "of the source's own standbys",
      ],
    ],
  );
}

function items(journal: Journal): Text[][] {
  const backup = stepOf(journal, 'verify-snapshot', 'snapshot');
  const structure = journal.fidelity;
  const indexes = [stepOf(journal, 'indexes'), stepOf(journal, 'post-data')].filter((step) => step !== undefined);
  const built = indexes.find(({ state }) => state !== 'done') ?? indexes[0];
  const performance = journal.validation?.find(({ name }) => name.startsWith('performance'));
  return [
    [
      'Backup of the source taken and verified',
      backup ? stepMark(backup.state) : pending(journal),
      backup?.result ?? 'the snapshot is taken in step 4a',
    ],
    [
      'Target schema created and matches source structure',
      structure ? (structure.differences.length === 0 ? done('matches') : failed('differs')) : pending(journal),
      structure
        ? `${plural(structure.compared, 'object')} compared after the copy, see section 5`
        : 'created and compared by the migration itself',
    ],
    [
      'Target indexes built and validated',
      built ? stepMark(built.state) : pending(journal),
      indexes.flatMap(({ result }) => result ?? []).join('; ') || 'built by the migration after the load',
    ],
    [
      'Target storage capacity > 2x expected data size',
      ...fromChecks(checksNamed(journal, 'disk-space'), 'not found out: nothing reports free space to a client'),
    ],
    [
      'Network connectivity verified between source and target',
      ...fromChecks(checksNamed(journal, 'source-reachable', 'target-reachable'), 'no check of it has run'),
    ],
    [
      'Target performance baseline established',
      performance ? (performance.outcome === 'skipped' ? quiet('not asked for') : done('measured')) : pending(journal),
      performance
        ? `${performance.name}: ${performance.target ?? '–'} on the target`
        : 'named queries are timed on both sides in section 5',
    ],
    [
      'Feature flags configured for dual-write or read-after-write',
      quiet('not needed'),
      `the ${journal.plan.strategy ?? 'chosen'} strategy writes to one side at a time`,
    ],
    ['Application code deployed that supports both old and new systems', ...application(journal)],
    ['Monitoring dashboards updated with target system metrics', open('for people'), 'cutover cannot see dashboards'],
  ];
}

function application(journal: Journal): [Text, Text] {
  const found = (journal.preflight ?? []).filter(({ side }) => side === 'application');
  if (found.length > 0) return fromChecks(found, '');
  const { application: planned } = journal.plan.facts ?? {};
  if (planned === true) return [pending(journal), 'its admin endpoints are asked'];
  return [open('for people'), 'the plan names no application; gates ask a person to stop it and to switch it'];
}

function fromChecks(found: Check[], otherwise: string): [Text, Text] {
  if (found.length === 0) return [open('not known'), otherwise];
  const worst =
    found.find(({ outcome }) => outcome === 'fail') ?? found.find(({ outcome }) => outcome === 'warn') ?? found[0];
  if (!worst) return [open('not known'), otherwise];
  return [checkText(worst), worst.found];
}

function stepMark(state: string): Inline {
  if (state === 'done') return done('done');
  if (state === 'skipped') return warning('skipped');
  return state === 'running' ? open('running') : failed(state);
}

/** The findings of preflight: how many, and each that did not pass. */
export function findings(found: Check[] | undefined): Block[] {
  if (!found || found.length === 0) return [paragraph('No check has run yet.')];
  const count = (outcome: Check['outcome']): number => found.filter((check) => check.outcome === outcome).length;
  const waived = found.filter((check) => check.waived !== undefined).length;
  const counts = `${count('pass')} passed (section 12), ${plural(count('warn'), 'warning')}, ${count('fail')} failed${waived > 0 ? `, ${waived} accepted by the plan` : ''}`;
  const order = { fail: 0, warn: 1, pass: 2 } as const;
  const notable = found
    .filter(({ outcome }) => outcome !== 'pass')
    .sort((left, right) => order[left.outcome] - order[right.outcome]);
  return [
    paragraph(`${plural(found.length, 'check')}: ${counts}.`),
    ...(notable.length > 0
      ? [table(['Check', 'Where', 'Outcome', 'Found', 'Expected, and what mends it', '>Time'], notable.map(checkRow))]
      : []),
  ];
}

/** The long list at the end of the report: what was looked at and found in order. */
export function passedChecks(journal: Journal): Section {
  const passed = (journal.preflight ?? []).filter(({ outcome }) => outcome === 'pass');
  const rows = passed.map<Text[]>(({ title, name, side, found, durationMs }) => [
    joined(title, ' (', code(name), ')'),
    side,
    found,
    formatMaybeMs(durationMs),
  ]);
  return {
    id: 'passed-checks',
    number: '12',
    title: 'Checks that passed',
    blocks: rows.length > 0 ? [table(['Check', 'Where', 'Found', '>Time'], rows)] : [paragraph(quiet('None yet.'))],
  };
}

function checkRow(check: Check): Text[] {
  const remedy: Inline[] = check.expected === undefined ? [] : [check.expected];
  if (check.outcome !== 'pass' && check.fix !== undefined)
    remedy.push(remedy.length > 0 ? '. Fix: ' : 'Fix: ', code(check.fix));
  if (check.waived !== undefined) remedy.push(`${remedy.length > 0 ? '. ' : ''}Accepted: ${check.waived}`);
  return [
    joined(check.title, ' (', code(check.name), ')'),
    check.side,
    checkText(check),
    check.found,
    remedy,
    formatMaybeMs(check.durationMs),
  ];
}
