// Beyond the runbook's seven sections: who decided what, which messages changed nothing, which files exist, and what the migration left behind.
import { code, heading, list, paragraph, table, type Block, type Inline, type Section, type Text } from '../document';
import { betweenMs, formatBytes, formatMaybeMs, formatTime } from '../quantities';
import { done, failed, open, quiet, warning } from '../reading';
import type { CreatedObject, GateRecord, Journal } from '../types';

export function gates(journal: Journal): Section {
  const evidence = journal.gates.flatMap<Block>((gate) =>
    gate.evidence.length > 0 ? [paragraph('Evidence shown at gate ', code(gate.name), ':'), list(gate.evidence)] : [],
  );
  const rows = journal.gates.flatMap(gateRows);
  return {
    id: 'gates',
    number: '8',
    title: 'Gates: who decided, when and why',
    blocks:
      rows.length > 0
        ? [table(['Gate', 'State', 'Opened', 'Closed', '>Waited', 'Decision', 'By', 'When', 'Why'], rows), ...evidence]
        : [paragraph(quiet('No gate has opened yet.'))],
  };
}

function gateRows(gate: GateRecord): Text[][] {
  const head: Text[] = [
    code(gate.name),
    gateState(gate),
    formatTime(gate.openedAt),
    formatTime(gate.closedAt),
    formatMaybeMs(betweenMs(gate.openedAt, gate.closedAt)),
  ];
  if (gate.decisions.length === 0) return [[...head, quiet('none'), '–', '–', '–']];
  return gate.decisions.map(({ decision, by, at, reason }) => [
    ...head,
    decision === 'approve' ? done('approved') : failed('rejected'),
    by,
    formatTime(at),
    reason || quiet('no reason given'),
  ]);
}

function gateState(gate: GateRecord): Inline {
  switch (gate.state) {
    case 'approved':
      return done(`approved, ${gate.decisions.length} of ${gate.approversNeeded}`);
    case 'rejected':
      return failed('rejected');
    case 'timed-out':
      return failed('timed out');
    case 'open':
      return open('open');
    case 'auto':
      return quiet('passed by itself, as the plan says');
    case 'withdrawn':
      return quiet('withdrawn');
  }
}

export function messages(journal: Journal): Section {
  const rows = journal.refused.map<Text[]>(({ at, name, by, why }) => [formatTime(at), code(name), by ?? '–', why]);
  return {
    id: 'messages',
    number: '9',
    title: 'Messages that changed nothing',
    blocks:
      rows.length > 0
        ? [table(['When', 'Message', 'By', 'Why it was refused'], rows)]
        : [paragraph(done('none'), ': every message that arrived was taken.')],
  };
}

export function artifacts(journal: Journal): Section {
  const rows = journal.artifacts.map<Text[]>(({ name, url, sha256, bytes }) => [
    name,
    formatBytes(bytes),
    code(sha256),
    code(url),
  ]);
  return {
    id: 'artifacts',
    number: '10',
    title: 'Artifacts',
    blocks:
      rows.length > 0
        ? [table(['Artifact', '>Size', 'sha256', 'Where'], rows), ...restoring(journal)]
        : [paragraph(quiet('No file has been made yet.')), ...restoring(journal)],
  };
}

/** What to type when the backup is needed: then nobody has the time to look it up. */
function restoring({ backup }: Journal): Block[] {
  if (!backup) return [];
  return [
    heading('How the backup is restored'),
    paragraph(
      `The final backup of the source is the ${backup.kind} `,
      code(backup.name),
      '. These commands restore it beside the source, never over it:',
    ),
    list(backup.restore.map((command) => [code(command)])),
  ];
}

export function leftBehind(journal: Journal): Section {
  const there = journal.left.filter(({ state }) => state !== 'gone');
  const gone = journal.left.length - there.length;
  const summary: Inline[] =
    there.length === 0
      ? [
          done('Nothing'),
          journal.left.length > 0
            ? `: ${gone} objects were made, and looking found each of them gone.`
            : ': the migration has made nothing that is recorded here.',
        ]
      : there.some(({ state }) => state === 'present')
        ? [
            failed(`${there.filter(({ state }) => state === 'present').length} still there`),
            journal.endedAt
              ? '. Remove them by hand, or find out why they stayed.'
              : '. The migration still runs; its last step takes them away.',
          ]
        : [warning(`${there.length} kept on purpose`), `, ${gone} gone.`];
  const rows = [...there, ...journal.left.filter(({ state }) => state === 'gone')].map<Text[]>((object) => [
    object.kind,
    object.where,
    code(object.name),
    leftState(object, journal),
    object.why ?? '–',
  ]);
  return {
    id: 'left-behind',
    number: '11',
    title: 'What was left behind',
    blocks: [
      paragraph(...summary),
      ...(rows.length > 0 ? [table(['Kind', 'Where', 'Name', 'State', 'Why'], rows)] : []),
    ],
  };
}

function leftState(object: CreatedObject, journal: Journal): Inline {
  switch (object.state) {
    case 'gone':
      return done('gone');
    case 'kept':
      return warning('kept on purpose');
    case 'present':
      return journal.endedAt ? failed('still there') : open('in use');
  }
}
