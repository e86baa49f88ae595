// `cutover report ID`: the report so far, rendered from the workflow's own journal; of an ended migration too, while a worker is up.
import { writeFileSync } from 'node:fs';
import { WorkflowNotFoundError } from '@temporalio/client';
import { Option } from 'commander';
import { renderHtml } from '../../journal/html';
import { renderReport } from '../../journal/markdown';
import { journalQuery } from '../../workflows/messages';
import type { Journal } from '../../journal/types';
import { firstLine, withServer, type Server } from '../connection';
import { CommandFailed, wrongCall } from '../context';
import { notFound, resultOf, whyUnanswered } from '../migration';
import { action, examples, type AddCommand } from './command';

type Format = 'md' | 'html' | 'json';

const queryTimeoutMs = 10_000;

export const addReport: AddCommand = (program, context) => {
  const { terminal } = context;
  program
    .command('report')
    .description('the report of a migration, also in the middle of one')
    .argument('<id>', 'workflow ID of the migration')
    .addOption(new Option('--format <format>', 'md, html or json').choices(['md', 'html', 'json']).default('md'))
    .option('--json', 'the same as --format json')
    .option('--out <file>', 'write it there instead of printing it')
    .addHelpText('after', examples('report orders-to-18', 'report orders-to-18 --format html --out report.html'))
    .action(
      action(context, (id: string, { format, json, out }: { format: Format; json?: boolean; out?: string }) =>
        withServer(terminal, async (server) => {
          const text = render(await readJournal(server, id), json ? 'json' : format);
          if (out === undefined) terminal.out(text);
          else {
            write(out, text);
            terminal.error(`The report of ${id} is in ${out}.\n`);
          }
          return 0;
        }),
      ),
    );
};

function render(journal: Journal, format: Format): string {
  switch (format) {
    case 'md':
      return renderReport(journal);
    case 'html':
      return renderHtml(journal);
    case 'json':
      return `${JSON.stringify(journal, undefined, 2)}\n`;
  }
}

async function readJournal(server: Server, id: string): Promise<Journal> {
  try {
    return await server.connection.withDeadline(Date.now() + queryTimeoutMs, () =>
      server.client.workflow.getHandle(id).query(journalQuery),
    );
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) throw notFound(error, id);
    throw new CommandFailed(`${whyUnanswered(error)}${await whereWritten(server, id)}`, 1);
  }
}

/** An ended migration has written its report as a file, which needs no worker. */
async function whereWritten(server: Server, id: string): Promise<string> {
  const { closeTime } = await server.client.workflow.getHandle(id).describe();
  if (!closeTime) return '';
  const { result } = await resultOf(server, id);
  return result
    ? ` The migration has ended (${result.outcome}) and its report was written to ${result.reportArtifact}.`
    : '';
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw wrongCall(`${file} cannot be written: ${firstLine(error)}`);
  }
}
