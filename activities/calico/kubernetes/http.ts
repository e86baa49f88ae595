// One HTTP request over a kept connection. An answer of any status is a result; only the lack of one is an error.
import http, { type IncomingHttpHeaders } from 'node:http';
import https from 'node:https';
import type { Access } from './credentials';

/** Without a byte for so long, the server is taken for gone. */
const silenceMs = 15_000;

export interface HttpRequest {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With query. */
  path: string;
  headers?: Record<string, string>;
  body?: string;
}

export interface HttpAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  /** Decoded when asked for: most answers to writes are not looked at. */
  text: () => string;
}

export class SilentServer extends Error {
  readonly code = 'ETIMEDOUT';
}

export function send({ url, agent, headers }: Access, request: HttpRequest): Promise<HttpAnswer> {
  const { method, path, body } = request;
  const { request: open } = url.protocol === 'http:' ? http : https;
  const content = body === undefined ? undefined : Buffer.from(body);
  return new Promise((resolve, reject) => {
    const asked = open({
      protocol: url.protocol,
      hostname: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port || undefined,
      path: `${url.pathname.replace(/\/$/, '')}${path}`,
      method,
      agent,
      timeout: silenceMs,
      headers: {
        accept: 'application/json',
        ...headers,
        ...(content && { 'content-length': String(content.length) }),
        ...request.headers,
      },
    });
    asked.once('response', (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.once('error', reject);
      answer.once('aborted', () => reject(new SilentServer('the answer was cut off')));
      answer.once('end', () =>
        resolve({
          status: answer.statusCode ?? 0,
          headers: answer.headers,
          text: () => Buffer.concat(chunks).toString('utf8'),
        }),
      );
    });
    asked.once('timeout', () => asked.destroy(new SilentServer(`no answer within ${silenceMs / 1000} s`)));
    asked.once('error', reject);
    asked.end(content);
  });
}
