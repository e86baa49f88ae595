// The demo application: an orders shop that never stops writing to whichever database is active, or to both, keeps a ledger of what was
// acknowledged, and offers the admin endpoints of the runbook. Needs the schema of `examples/sample-data` on the source.
import { createServer } from 'node:http';
import { Faults } from './faults';
import { Ledger } from './ledger';
import { Repeats } from './repeats';
import { answer, statusOf, type ApplicationStatus, type Shop } from './routes';
import { Sides } from './sides';
import { Turn } from './turn';
import type { Written } from './write-order';
import { Writers, type Destination } from './writers';

export interface ApplicationOptions {
  /** Connection strings of an ordinary role. */
  sourceUrl: string;
  targetUrl: string;
  /** JSON lines; appended to when it exists. The active side, the mode and the dual write are remembered in `<ledgerPath>.state`. */
  ledgerPath: string;
  /** 0 takes a free port. */
  port?: number;
  /** 127.0.0.1 unless told; in a container 0.0.0.0. */
  host?: string;
  /** Sessions that write; as many as the rate needs unless told. */
  writers?: number;
  /** Writes a second over all writers; 0 is as fast as they can. */
  rate?: number;
  adminToken?: string;
  names?: { source: string; target: string };
  log?: (line: string) => void;
}

export interface RunningApplication {
  /** `http://127.0.0.1:43121`: what the plan calls `application.adminUrl`. */
  url: string;
  ledgerPath: string;
  status(): ApplicationStatus;
  /** Ends the writers after their writes in flight, then the server and the sessions. */
  stop(): Promise<void>;
}

/** Starts writing at once, and answers when it listens. @throws when the port is taken or the ledger cannot be written */
export async function startApplication(options: ApplicationOptions): Promise<RunningApplication> {
  const { sourceUrl, targetUrl, ledgerPath, port = 0, host = '127.0.0.1', rate = 50 } = options;
  const count = options.writers ?? writersFor(rate);
  const ledger = new Ledger(ledgerPath);
  const sides = new Sides({ source: sourceUrl, target: targetUrl }, count + 2, `${ledgerPath}.state`);
  const repeats = new Repeats(sides.failedRepeats, (failedRepeats) => sides.become({ failedRepeats }), new Faults());
  if (sides.killedBetween)
    repeats.fail(new Error('killed while writing to both sides: what was under way may not have been repeated'));
  const active = (): Destination => {
    const other = sides.pool(sides.other);
    const repeat = sides.dualWrite ? (written: Written) => repeats.repeat(other, written) : undefined;
    return { side: sides.active, pool: sides.pool(), repeat };
  };
  const server = createServer();
  const shop: Shop = {
    sides,
    writers: new Writers({ writers: count, rate, ledger, active }, sides.mode === 'maintenance'),
    repeats,
    turn: new Turn(),
    adminToken: options.adminToken,
    names: options.names ?? { source: 'source-database', target: 'new-database' },
    staleAfterMs: Math.max(5_000, rate > 0 ? 3_000 / rate : 0),
    resumedAt: Date.now(),
    log: options.log ?? (() => undefined),
  };
  server.on('request', (request, response) => {
    void answer(shop, request).then(({ status, body }) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
    });
  });
  const stop = once(async () => {
    await shop.writers.stop();
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
    await sides.end();
    ledger.close();
  });
  try {
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve));
  } catch (error) {
    await stop();
    throw error;
  }
  const address = server.address();
  const bound = address !== null && typeof address === 'object' ? address.port : port;
  return {
    url: `http://${host === '0.0.0.0' ? '127.0.0.1' : host}:${bound}`,
    ledgerPath,
    status: () => statusOf(shop),
    stop,
  };
}

/** One writer does some two hundred writes a second beside a migration. */
function writersFor(rate: number): number {
  return Math.min(24, Math.max(4, Math.ceil(rate / 200)));
}

function once(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => (running ??= work());
}
