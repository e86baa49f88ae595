// `cutover reap`: finds and removes what terminated migrations have left on the two databases of a plan. What belongs to a migration that
// runs is never touched; what Temporal does not know is removed only when it is named.
import { ApplicationFailure } from '@temporalio/common';
import { artifactStoreFor } from '../../activities/artifacts';
import { withOnlooker } from '../../activities/heartbeat';
import { PostgresConnections } from '../../activities/postgres/connection';
import { migrationKey } from '../../activities/postgres/stream/names';
import {
  createOrphanActivities,
  type OrphanActivities,
  type TwoDatabases,
} from '../../activities/postgres/stream/orphans';
import type { PostgresPlan } from '../../plan/postgres';
import { dismissSignal, guardianId } from '../../workflows/slot-guardian-messages';
import { withServer } from '../connection';
import { CommandFailed, wrongCall, type ExitCode, type Terminal } from '../context';
import { alignedRows, colorsOf, plainText, printJson, printLines } from '../output';
import { askTemporal, ownersOf, type Owner } from '../owners';
import { isClean, judge, type Case, type Judged } from '../verdicts';
import { readPlan } from '../plan-file';
import { action, examples, type AddCommand } from './command';

interface Options {
  dryRun?: boolean;
  json?: boolean;
  migration?: string[];
  lowerFences?: boolean;
}

export const addReap: AddCommand = (program, context) => {
  program
    .command('reap')
    .description('find and remove what terminated migrations have left on the two databases of a plan')
    .argument('<plan>', 'PostgreSQL plan in JSON or YAML: says where both databases are')
    .option('--dry-run', 'show what would be done, and change nothing')
    .option(
      '--migration <id...>',
      'only these, by workflow ID or by the ten digits in the names of their objects; also when Temporal does not know them',
    )
    .option('--lower-fences', 'also lower fences that they have left up: applications can write to that database again')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `${examples(
        'reap plan.json --dry-run',
        'reap plan.json',
        'reap plan.json --migration orders-to-18 --lower-fences',
      )}
Removed are subscriptions, slots, publications, event triggers, marker tables and the ledger; replica identities get what they were.
Rows and tables that were copied stay. What a running migration has is never touched.
Exit codes: 0 nothing is left, 1 something is, or a server cannot be reached, 2 the call was wrong.
`,
    )
    .action(action(context, (file: string, options: Options) => reap(context.terminal, file, options)));
};

async function reap(terminal: Terminal, file: string, options: Options): Promise<ExitCode> {
  const databases = databasesOf(file);
  const activities = createOrphanActivities({
    connections: new PostgresConnections(terminal.environment),
    artifacts: artifactStoreFor('file:///nowhere'),
    tools: {},
  });
  try {
    return await withOnlooker({ signal: terminal.interrupted, report: () => undefined }, () =>
      lookAndReap(terminal, { activities, databases }, options),
    );
  } catch (error) {
    if (error instanceof ApplicationFailure) throw new CommandFailed(`${error.type}: ${error.message}`, 1);
    if (terminal.interrupted.aborted) throw new CommandFailed('Interrupted. It can be run again.', 1);
    throw error;
  }
}

function databasesOf(file: string): TwoDatabases {
  const read = readPlan(file);
  if (read.kind !== 'postgres')
    throw wrongCall(`${file} is a Calico plan; "cutover reap" needs a PostgreSQL plan, whose source is a database.`);
  const { source, target, tables, cdc }: PostgresPlan = read.plan;
  const { sourceFromTarget, targetFromSource } = cdc;
  return { source, target, tables, links: { sourceFromTarget, targetFromSource } };
}

interface Reaper {
  activities: OrphanActivities;
  databases: TwoDatabases;
}

async function lookAndReap(terminal: Terminal, reaper: Reaper, options: Options): Promise<ExitCode> {
  const { activities, databases } = reaper;
  const look = async (askedInVain?: string): Promise<{ cases: Case[]; unasked?: string }> => {
    const owners = ownersOf(await activities.findOwned({ databases }));
    const unasked = askedInVain ?? (await ask(terminal, owners));
    return {
      cases: owners.map((owner) =>
        judge(owner, {
          named: options.migration ?? [],
          lowerFences: options.lowerFences ?? false,
          unasked: unasked !== undefined,
        }),
      ),
      ...(unasked && { unasked }),
    };
  };
  const { cases, unasked } = await look();
  for (const name of options.migration ?? [])
    if (!cases.some(({ key }) => key !== undefined && (key === name || key === migrationKey(name))))
      terminal.error(`Nothing on the two databases is of ${name}.\n`);
  if (unasked) terminal.error(`${unasked}\nWithout Temporal nothing is removed but what --migration names.\n`);
  if (options.dryRun) {
    if (options.json) printJson(terminal, { dryRun: true, migrations: cases });
    else printLines(terminal, [...caseLines(terminal, cases, true), ...guardianLines(cases)]);
    return isClean(cases) ? 0 : 1;
  }
  const { removed, left } = await removeAll(terminal, reaper, cases, options);
  const after = removed.length > 0 ? (await look(unasked)).cases : cases;
  if (options.json) printJson(terminal, { dryRun: false, removed, left, migrations: after });
  else
    printLines(terminal, [
      ...removed.map(doneText),
      ...left.map((words) => `left: ${words}`),
      ...caseLines(terminal, after, false),
    ]);
  return left.length === 0 && isClean(after) ? 0 : 1;
}

function doneText(words: string): string {
  const verb = /^(replica identity|fence|slot guardian) /.exec(words)?.[1];
  if (verb === 'replica identity') return `put back: ${words}`;
  if (verb === 'fence') return `lowered: ${words}`;
  return verb ? `dismissed: ${words}` : `removed: ${words}`;
}

/** @returns why Temporal could not be asked; undefined when it was */
async function ask(terminal: Terminal, owners: Owner[]): Promise<string | undefined> {
  try {
    await withServer(terminal, async ({ client }) => {
      await askTemporal(client, owners);
      return 0;
    });
    return undefined;
  } catch (error) {
    if (error instanceof CommandFailed && error.exitCode === 2) throw error;
    for (const owner of owners) {
      if (owner.key === undefined) continue;
      owner.workflow = 'unknown';
      owner.guardianRuns = false;
    }
    return error instanceof Error ? error.message : String(error);
  }
}

async function removeAll(
  terminal: Terminal,
  { activities, databases }: Reaper,
  cases: Case[],
  { lowerFences = false, migration: named = [] }: Options,
): Promise<{ removed: string[]; left: string[] }> {
  const removed: string[] = [];
  const left: string[] = [];
  const keysInUse = cases.flatMap(({ key, workflow }) => (workflow === 'running' && key !== undefined ? [key] : []));
  for (const owner of cases) {
    const { key, things } = owner;
    if (!things.some(({ verdict }) => verdict === 'remove')) continue;
    if (key !== undefined) {
      const migration = owner.migration ?? named.find((name) => migrationKey(name) === key);
      const done = await activities.removeOwned({
        databases,
        key,
        lowerFences,
        keysInUse,
        ...(migration === undefined ? {} : { migration }),
      });
      removed.push(...done.removed);
      left.push(...done.left);
      if (owner.guardianRuns && migration !== undefined) removed.push(await dismiss(terminal, migration));
    }
    removed.push(...(await activities.removeEmptySchemas({ databases })).removed);
  }
  return { removed, left };
}

async function dismiss(terminal: Terminal, migration: string): Promise<string> {
  await withServer(terminal, async ({ client }) => {
    await client.workflow.getHandle(guardianId(migration)).signal(dismissSignal);
    return 0;
  });
  return `slot guardian ${guardianId(migration)}`;
}

function caseLines(terminal: Terminal, cases: Case[], dryRun: boolean): string[] {
  if (cases.length === 0) return ['Nothing of ours is on the two databases.'];
  const rows = cases.flatMap(({ key, migration, workflow, things }) =>
    things.map((thing) => [
      migration ?? key ?? '–',
      workflow,
      thing.where,
      thing.kind,
      plainText(thing.name),
      verdictText(thing, dryRun),
    ]),
  );
  const colors = colorsOf(terminal);
  return alignedRows([['MIGRATION', 'WORKFLOW', 'WHERE', 'WHAT', 'NAME', 'THEN'], ...rows], (cell, _column, row) =>
    row === 0 ? colors.bold(cell) : cell,
  );
}

function verdictText({ kind, verdict, why }: Judged, dryRun: boolean): string {
  switch (verdict) {
    case 'remove':
      if (!dryRun) return 'is still there';
      return kind === 'replica identity' ? 'would be put back' : kind === 'fence' ? 'would be lowered' : 'would go';
    case 'keep':
      return `stays: ${why}`;
    case 'leave':
      return `is left: ${why}`;
  }
}

function guardianLines(cases: Case[]): string[] {
  return cases.flatMap(({ migration, guardianRuns, things }) =>
    guardianRuns && migration !== undefined && things.some(({ verdict }) => verdict === 'remove')
      ? [`The slot guardian ${guardianId(migration)} still runs and would be dismissed.`]
      : [],
  );
}
