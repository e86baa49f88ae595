import { readFileSync } from 'node:fs';
import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { failureType } from '../../activities/errors';
import { runTool } from '../../activities/postgres/client-tools';
import { until } from '../fixtures/until';

const shell = (script: string, signal?: AbortSignal) => runTool('/bin/sh', ['-c', script], { signal });

async function pidFile(): Promise<string> {
  return join(await mkdtemp(join(tmpdir(), 'cutover-tool-')), 'pid');
}

/** A zombie that nobody has reaped yet runs no more. */
function runs(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

describe('a tool that is run', () => {
  it('is ended together with what it has started', async () => {
    const file = await pidFile();
    const abort = new AbortController();
    const began = Date.now();
    const running = shell(`sleep 60 & echo $! > ${file}; wait; true`, abort.signal);
    running.catch(() => undefined);
    const written = () => readFile(file, 'utf8').catch(() => '');
    await until('the tool has started another', async () => (await written()) !== '');
    abort.abort(new Error('cancelled'));
    await expect(running).rejects.toThrow('cancelled');
    expect(Date.now() - began).toBeLessThan(15_000);
    const pid = Number(await written());
    await until('the other one has ended', () => !runs(pid));
  });

  it('does not keep anybody waiting for what it left behind with its output open', async () => {
    const began = Date.now();
    const { stdout, exitCode } = await shell('sleep 20 & echo done; exit 3');
    expect({ stdout, exitCode }).toEqual({ stdout: 'done\n', exitCode: 3 });
    expect(Date.now() - began).toBeLessThan(15_000);
  });

  it('is refused when it prints more than can be held', async () => {
    const flooding = shell('head -c 70000000 /dev/zero; sleep 60');
    const error = await flooding.catch((reason: unknown) => reason);
    expect(failureType(error)).toBe('PreconditionFailed');
    expect(String(error)).toContain('more than 64 MiB');
  });
});
