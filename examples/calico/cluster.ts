// The few requests that the example makes to a cluster as the people and programs around a migration make them: not by the code that is
// shown, so that what it finds is found independently.
import { Agent, request } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import { isObject, parseJson, printJson, type Json, type JsonObject } from '../../activities/calico/json';

export interface ClusterAnswer {
  status: number;
  body: JsonObject;
}

export class Cluster {
  private readonly agent: Agent;
  private readonly server: string;
  private readonly authorization: Record<string, string>;

  /** @param kubeconfig its text, with a token in it, as the local kube-apiserver gives it */
  constructor(kubeconfig: string, sockets = 8) {
    const config = new KubeConfig();
    config.loadFromString(kubeconfig);
    const { server = '', caData = '' } = config.getCurrentCluster() ?? {};
    this.server = server;
    this.authorization = { authorization: `Bearer ${config.getCurrentUser()?.token ?? ''}` };
    this.agent = new Agent({ keepAlive: true, maxSockets: sockets, ca: Buffer.from(caData, 'base64') });
  }

  /** Whatever the status is; throws only when there is no answer. */
  async ask(method: string, path: string, body?: Json, contentType = 'application/json'): Promise<ClusterAnswer> {
    const headers = { ...this.authorization, 'content-type': contentType, accept: 'application/json' };
    const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
      const asked = request(new URL(path, this.server), { method, headers, agent: this.agent }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.once('error', reject);
        answer.once('end', () =>
          resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
        );
      });
      asked.once('error', reject);
      asked.end(body === undefined ? undefined : printJson(body));
    });
    const parsed = text.startsWith('{') ? parseJson(text) : {};
    return { status, body: isObject(parsed) ? parsed : {} };
  }

  /** @throws Error for any status from 400 on, with what the server said; undefined for 404 */
  async get(path: string): Promise<JsonObject | undefined> {
    const answer = await this.ask('GET', path);
    return answer.status === 404 ? undefined : expectFine(answer, `GET ${path}`);
  }

  /** All items; undefined where the kind is not served. */
  async list(path: string): Promise<JsonObject[] | undefined> {
    const items: JsonObject[] = [];
    for (let next = `${path}?limit=500`; ;) {
      const page = await this.get(next);
      if (!page) return undefined;
      items.push(...(Array.isArray(page.items) ? page.items.filter(isObject) : []));
      const token = isObject(page.metadata) ? page.metadata.continue : undefined;
      if (typeof token !== 'string' || token === '') return items;
      next = `${path}?limit=500&continue=${encodeURIComponent(token)}`;
    }
  }

  /** @throws Error for any status from 400 on */
  async change(method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: Json, contentType?: string) {
    return expectFine(await this.ask(method, path, body, contentType), `${method} ${path}`);
  }

  close(): void {
    this.agent.destroy();
  }
}

function expectFine({ status, body }: ClusterAnswer, what: string): JsonObject {
  if (status < 400) return body;
  throw new Error(`${what} was answered with ${status}: ${typeof body.message === 'string' ? body.message : ''}`);
}
