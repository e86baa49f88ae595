// Ports for servers on loopback. They lie below every usual ephemeral range: a client that keeps knocking at a stopped
// server's port inside that range can end up connected to itself, and the server then cannot come back on it.
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

const lowest = 15_000;
const highest = 30_000;

/** True when nothing listens on 127.0.0.1:`port`; a probe, no reservation. */
export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** A port free at this moment, never one of `except`. Whoever starts a server on it tries another when it was lost meanwhile. */
export async function freePort(except: readonly number[] = []): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const port = randomInt(lowest, highest);
    if (!except.includes(port) && (await isPortFree(port))) return port;
  }
  throw new Error(`No free port found on 127.0.0.1 between ${lowest} and ${highest}. Stop servers that hold them.`);
}
