// Rows from one server to the other: COPY TO STDOUT and COPY FROM STDIN use the same frames (one byte 'd', four bytes length),
// so what the source's socket gives is written to the target's socket as it is. No row is parsed, joined or copied; only the
// frame headers are read, to know where the rows end. Any failure leaves both sessions unusable: end them.
import type { Socket } from 'node:net';
import type { Client, Connection, Submittable } from 'pg';
import type { Side } from '../errors';

const copyData = 0x64; // 'd'
const copyDone = 0x63; // 'c'
const errorResponse = 0x45; // 'E'
const headerBytes = 5;
/** More than this waiting for the target, and the source is not read from. */
const waitingLimit = 1 << 20;

export interface RowStream {
  source: Client;
  target: Client;
  /** `copy … to stdout` */
  out: string;
  /** `copy … from stdin`, of the same format and columns */
  into: string;
  /** Called with the length of each buffer; a promise holds the source back until it settles. */
  onBytes?: (bytes: number) => Promise<void> | undefined;
}

export interface Streamed {
  /** As each server counted them. */
  rowsOut: number;
  rowsIn: number;
  /** COPY data with its frame headers. */
  bytes: number;
}

/** Which of the two servers failed, with what its driver threw. */
export class StreamError extends Error {
  override readonly name = 'StreamError';
  constructor(
    readonly side: Side,
    readonly error: Error,
  ) {
    super(error.message, { cause: error });
  }
}

/** Streams all rows and waits until both servers have confirmed. The target's transaction is the caller's. @throws StreamError */
export async function streamRows({ source, target, out, into, onBytes }: RowStream): Promise<Streamed> {
  const writer = new CopyIn(into);
  const reader = new CopyOut(out, (frames) => writer.write(frames), onBytes);
  const failed = (side: Side) => (error: Error) => {
    throw new StreamError(side, error);
  };
  try {
    target.query(writer);
    await writer.ready.catch(failed('target'));
    source.query(reader);
    const reading = reader.done.catch(failed('source')).then(() => writer.end());
    const writing = writer.done.catch(failed('target'));
    await Promise.all([reading, writing]);
  } catch (error) {
    for (const client of [source, target]) socketOf(client).destroy();
    throw error;
  }
  return { rowsOut: reader.rows, rowsIn: writer.rows, bytes: reader.bytes };
}

/** Cuts the connection at once, from our end; whatever runs in it fails. */
export function cut(client: Client): void {
  socketOf(client).destroy();
}

function socketOf(client: Client): Socket {
  return (client as unknown as { connection: { stream: Socket } }).connection.stream;
}

/** A promise with its ends in hand; nobody need await it for its rejection to be harmless. */
class Settled {
  resolve: () => void = () => undefined;
  reject: (error: unknown) => void = () => undefined;
  readonly promise = new Promise<void>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });

  constructor() {
    this.promise.catch(() => undefined);
  }
}

function rowsOf(message: unknown): number {
  const text = message !== null && typeof message === 'object' && 'text' in message ? String(message.text) : '';
  return Number(/^COPY (\d+)$/.exec(text)?.[1] ?? Number.NaN);
}

/** Takes the socket from the driver while rows come, and gives it back, with what it does not understand, at their end. */
class CopyOut implements Submittable {
  rows = Number.NaN;
  bytes = 0;
  private readonly finished = new Settled();
  private socket?: Socket;
  private driver?: (data: Buffer) => void;
  /** Of the frame being passed on: bytes still to come. */
  private left = 0;
  /** The first bytes of a header that a buffer ended in. */
  private begun: Buffer = Buffer.alloc(0);

  constructor(
    private readonly text: string,
    private readonly pass: (frames: Buffer) => Promise<void> | undefined,
    private readonly onBytes?: (bytes: number) => Promise<void> | undefined,
  ) {}

  get done(): Promise<void> {
    return this.finished.promise;
  }

  submit(connection: Connection): void {
    const socket = (connection as unknown as { stream: Socket }).stream;
    const [driver, ...others] = socket.listeners('data') as ((data: Buffer) => void)[];
    if (!driver || others.length > 0) throw new Error('the connection is not in a state to copy');
    this.socket = socket;
    this.driver = driver;
    socket.removeListener('data', driver);
    socket.on('data', this.onData);
    (connection as unknown as { query(text: string): void }).query(this.text);
  }

  private readonly onData = (data: Buffer): void => {
    let from = 0;
    let buffer = data;
    if (this.begun.length > 0) {
      buffer = Buffer.concat([this.begun, data]);
      this.begun = Buffer.alloc(0);
    }
    let at = Math.min(this.left, buffer.length);
    this.left -= at;
    while (at < buffer.length) {
      if (buffer.length - at < headerBytes) {
        this.begun = Buffer.from(buffer.subarray(at));
        break;
      }
      const code = buffer[at];
      const length = buffer.readUInt32BE(at + 1) + 1;
      if (code === copyDone || code === errorResponse) {
        this.forward(buffer.subarray(from, at));
        this.giveBack(buffer.subarray(at));
        return;
      }
      const end = at + length;
      if (code !== copyData) {
        // Its own answer to COPY, notices, parameters: rare and small, the driver's business.
        if (end > buffer.length) {
          this.forward(buffer.subarray(from, at));
          this.begun = Buffer.from(buffer.subarray(at));
          return;
        }
        this.forward(buffer.subarray(from, at));
        this.driver?.(buffer.subarray(at, end));
        from = end;
      }
      if (end > buffer.length) {
        this.left = end - buffer.length;
        at = buffer.length;
      } else at = end;
    }
    this.forward(buffer.subarray(from, at));
  };

  private forward(frames: Buffer): void {
    if (frames.length === 0) return;
    this.bytes += frames.length;
    const waits = [this.pass(frames), this.onBytes?.(frames.length)].filter((wait) => wait !== undefined);
    if (waits.length === 0) return;
    this.socket?.pause();
    Promise.all(waits).then(
      () => this.socket?.resume(),
      (error: unknown) => this.finished.reject(error),
    );
  }

  private giveBack(rest: Buffer): void {
    const { socket, driver } = this;
    if (!socket || !driver) return;
    socket.removeListener('data', this.onData);
    socket.on('data', driver);
    driver(rest);
  }

  handleError(error: Error): void {
    this.finished.reject(error);
  }

  handleCommandComplete(message: unknown): void {
    this.rows = rowsOf(message);
  }

  handleReadyForQuery(): void {
    this.finished.resolve();
  }
}

class CopyIn implements Submittable {
  rows = Number.NaN;
  private readonly started = new Settled();
  private readonly finished = new Settled();
  private socket?: Socket;
  private drained?: Promise<void>;

  constructor(private readonly text: string) {}

  get ready(): Promise<void> {
    return this.started.promise;
  }

  get done(): Promise<void> {
    return this.finished.promise;
  }

  submit(connection: Connection): void {
    this.socket = (connection as unknown as { stream: Socket }).stream;
    (connection as unknown as { query(text: string): void }).query(this.text);
  }

  /** A promise when the target is behind: wait for it before the next. */
  write(frames: Buffer): Promise<void> | undefined {
    const { socket } = this;
    if (!socket || socket.destroyed) return undefined;
    const room = socket.write(frames);
    if (room || socket.writableLength < waitingLimit) return this.drained;
    this.drained ??= new Promise<void>((resolve) => {
      const go = (): void => {
        this.drained = undefined;
        socket.removeListener('drain', go);
        socket.removeListener('close', go);
        resolve();
      };
      socket.on('drain', go);
      socket.on('close', go);
    });
    return this.drained;
  }

  end(): void {
    this.socket?.write(Buffer.from([copyDone, 0, 0, 0, 4]));
  }

  handleCopyInResponse(): void {
    this.started.resolve();
  }

  handleError(error: Error): void {
    this.started.reject(error);
    this.finished.reject(error);
  }

  handleCommandComplete(message: unknown): void {
    this.rows = rowsOf(message);
  }

  handleReadyForQuery(): void {
    this.started.resolve();
    this.finished.resolve();
  }
}
