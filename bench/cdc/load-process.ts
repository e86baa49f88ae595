// The load as the benchmark sees it: started, asked how many writes were acknowledged, asked at the end whether all of them are there.
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { loadRole } from './data';

const side = z.enum(['source', 'target']);
export type Side = z.infer<typeof side>;

const change = z.object({ from: side, to: side, freezeMs: z.number() });
export type Switch = z.infer<typeof change>;

const statusSchema = z.object({
  mode: z.enum(['normal', 'maintenance']),
  active: side,
  /** Milliseconds since the epoch. */
  at: z.number(),
  acknowledged: z.number(),
  failed: z.number(),
  unknown: z.number(),
  switches: z.array(change),
  lastSwitch: change.nullable(),
  lastFailure: z.string().nullable(),
});
export type LoadStatus = z.infer<typeof statusSchema>;

export interface LoadOptions {
  sourceUrl: string;
  targetUrl: string;
  /** Writes a second over all writers. */
  rate: number;
  writers: number;
  orders: number;
}

export class LoadProcess {
  private constructor(
    private readonly child: ChildProcess,
    readonly url: string,
  ) {}

  /** It writes to the source at once. */
  static async start({ sourceUrl, targetUrl, rate, writers, orders }: LoadOptions): Promise<LoadProcess> {
    const child = spawn(process.execPath, [join(__dirname, 'load.js')], {
      env: {
        ...process.env,
        BENCH_SOURCE: asLoadRole(sourceUrl),
        BENCH_TARGET: asLoadRole(targetUrl),
        BENCH_RATE: String(rate),
        BENCH_WRITERS: String(writers),
        BENCH_ORDERS: String(orders),
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const endWithUs = (): void => void child.kill('SIGKILL');
    process.once('exit', endWithUs);
    child.once('close', () => process.removeListener('exit', endWithUs));
    const lines = createInterface({ input: child.stdout });
    const line = await new Promise<string>((resolve, reject) => {
      lines.once('line', resolve);
      child.once('close', (code) => reject(new Error(`the load ended with code ${code} before it wrote`)));
    });
    return new LoadProcess(child, z.object({ url: z.string() }).parse(JSON.parse(line)).url);
  }

  async status(): Promise<LoadStatus> {
    return statusSchema.parse(await this.ask('GET', '/admin/status'));
  }

  /** What a migration asks of an application. */
  async command(endpoint: 'maintenance-mode' | 'switch-datastore' | 'normal-mode', body: object): Promise<void> {
    await this.ask('POST', `/admin/${endpoint}`, body);
  }

  /** Acknowledged writes a second over so long. */
  async measureRate(durationMs: number): Promise<number> {
    const before = await this.status();
    await sleep(durationMs);
    const after = await this.status();
    return ((after.acknowledged - before.acknowledged) * 1_000) / (after.at - before.at);
  }

  /** Stops the writers and looks every acknowledged write up. @throws when one is missing or doubled */
  async requireComplete(where: Side): Promise<number> {
    await this.command('maintenance-mode', {});
    const { wrong } = z
      .object({ wrong: z.array(z.string()) })
      .parse(await this.ask('POST', '/verify', { side: where }));
    if (wrong.length > 0) throw new Error(`writes are not as acknowledged on the ${where}: ${wrong.join('; ')}`);
    return (await this.status()).acknowledged;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('close', resolve));
    this.child.kill('SIGTERM');
    await ended;
  }

  private async ask(method: string, path: string, body?: object): Promise<unknown> {
    const response = await fetch(`${this.url}${path}`, { method, ...(body ? { body: JSON.stringify(body) } : {}) });
    const answer: unknown = await response.json();
    if (!response.ok) throw new Error(`the load answered ${response.status} to ${path}: ${JSON.stringify(answer)}`);
    return answer;
  }
}

function asLoadRole(url: string): string {
  const changed = new URL(url);
  changed.username = loadRole.name;
  changed.password = loadRole.password;
  return changed.href;
}
