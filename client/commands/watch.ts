// `cutover watch ID`: a live view of a migration until it ends. Where the output is no terminal, plain lines.
import { setTimeout as sleep } from 'node:timers/promises';
import type { MigrationStatus } from '../../workflows/messages';
import { withServer, type Server } from '../connection';
import type { ExitCode, Terminal } from '../context';
import { describe, queryStatus, resultOf, type ServerView } from '../migration';
import { clip, statusLines } from '../status-view';
import { colorsOf, printLines } from '../output';
import { Screen } from '../screen';
import { renderLines } from '../watch-lines';
import { action, examples, type AddCommand } from './command';
import { serverLines } from './status';

const pollMs = 1_000;

export const addWatch: AddCommand = (program, context) => {
  const { terminal } = context;
  program
    .command('watch')
    .description('follow a migration until it ends; exit code 0 when it completed, 1 otherwise')
    .argument('<id>', 'workflow ID of the migration')
    .option('--plain', 'append lines instead of drawing, as where there is no terminal')
    .option('--json', 'one JSON status a line, whenever it changes')
    .addHelpText('after', examples('watch orders-to-18', 'watch orders-to-18 --plain | tee migration.log'))
    .action(
      action(context, (id: string, { plain, json }: { plain?: boolean; json?: boolean }) =>
        withServer(terminal, async (server) => {
          await describe(server, id);
          const show = json
            ? new JsonLines(terminal)
            : plain || !terminal.isTTY
              ? new PlainLines(terminal)
              : new Picture(terminal);
          try {
            return await follow(server, id, show, terminal);
          } finally {
            show.close();
          }
        }),
      ),
    );
};

/** One way of showing what was seen at a moment. */
interface Show {
  seen(view: ServerView, status: MigrationStatus | undefined, why: string | undefined): void;
  close(): void;
}

async function follow(server: Server, id: string, show: Show, terminal: Terminal): Promise<ExitCode> {
  const { interrupted } = terminal;
  const left = (): boolean => interrupted.aborted;
  while (!left()) {
    // Described first: what the status tells is then at least as new, and an end is not missed.
    const view = await describe(server, id);
    const { status, why } = await queryStatus(server, id);
    if (left()) break;
    show.seen(view, status, why);
    if (view.workflowStatus !== 'RUNNING') {
      show.close();
      return ending(server, view, terminal);
    }
    await sleep(pollMs, undefined, { signal: interrupted }).catch(() => undefined);
  }
  show.close();
  terminal.error(
    `\nYou have left the view; migration ${id} goes on. "cutover watch ${id}" shows it again, "cutover cancel ${id}" ends it.\n`,
  );
  return 0;
}

async function ending(server: Server, view: ServerView, terminal: Terminal): Promise<ExitCode> {
  const { result, failure } = await resultOf(server, view.id);
  if (result) {
    terminal.error(`Migration ${view.id} has ended: ${result.outcome}. Report: ${result.reportArtifact}\n`);
    return result.outcome === 'completed' ? 0 : 1;
  }
  terminal.error(
    `Migration ${view.id} has ended without success (${view.workflowStatus.toLowerCase()})${failure ? `: ${failure}` : ''}\n`,
  );
  return 1;
}

class PlainLines implements Show {
  private previous?: MigrationStatus;
  private lastWhy?: string;

  constructor(private readonly terminal: Terminal) {}

  seen(view: ServerView, status: MigrationStatus | undefined, why: string | undefined): void {
    if (!status) {
      if (why !== this.lastWhy) printLines(this.terminal, [why ?? '', ...serverLines(view)]);
      this.lastWhy = why;
      return;
    }
    this.lastWhy = undefined;
    printLines(this.terminal, renderLines(this.previous, status));
    this.previous = status;
  }

  close(): void {
    // Lines stay where they are.
  }
}

class JsonLines implements Show {
  private last = '';

  constructor(private readonly terminal: Terminal) {}

  seen(view: ServerView, status: MigrationStatus | undefined): void {
    const line = JSON.stringify(status ?? view);
    if (line !== this.last) this.terminal.out(`${line}\n`);
    this.last = line;
  }

  close(): void {
    // Lines stay where they are.
  }
}

class Picture implements Show {
  private readonly screen: Screen;
  private closed = false;

  constructor(private readonly terminal: Terminal) {
    this.screen = new Screen((text) => terminal.out(text));
  }

  seen(view: ServerView, status: MigrationStatus | undefined, why: string | undefined): void {
    const colors = colorsOf(this.terminal);
    const columns = this.terminal.columns();
    const rows = this.terminal.rows() - 2;
    if (!status) {
      this.screen.draw(
        [colors.yellow(why ?? ''), ...serverLines(view)].slice(0, rows).map((line) => clip(line, columns)),
      );
      return;
    }
    const picture = (steps: number): string[] =>
      statusLines(status, view.activities, { colors, columns, nowMs: Date.now(), steps });
    // As many steps as there is room for, once the rest has its place.
    const rest = picture(1).length - 1;
    const lines = picture(Math.max(1, rows - rest - 2));
    this.screen.draw([
      ...lines.slice(0, rows - 1),
      colors.dim(clip('Ctrl-C leaves this view; the migration goes on.', columns)),
    ]);
  }

  close(): void {
    if (!this.closed) this.screen.close();
    this.closed = true;
  }
}
