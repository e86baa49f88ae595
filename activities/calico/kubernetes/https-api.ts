// KubernetesApi over HTTPS: kept connections, credentials renewed, "slow down" obeyed by everybody, outages of some seconds waited for.
// A write whose answer was lost is sent again: a create then finds the object there, a replace meets a conflict; both are for the caller to look at.
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { failure } from '../../errors';
import { isObject, parseJson, printJson, type Json, type JsonObject } from '../json';
import { alreadyExists, describePath, outage, refusal, saysNotServed, untrusted, type Asked } from './answers';
import type { ApiCounters, ApplyOptions, KubernetesApi, ListOptions, PatchType, RemoveOptions } from './api';
import type { Access } from './credentials';
import { send, type HttpAnswer, type HttpRequest } from './http';
import { WritePace } from './write-pace';

const outageMs = 20_000;
/** "Too many requests" is an answer of a server that lives. */
const throttledMs = 120_000;
/** An apiserver that has just started says "forbidden" to everybody until it has read its roles. */
const startingMs = 10_000;
/** A connection that is new cannot know whether it has just started. */
const newMs = 3_000;
const renewMs = 60_000;
const itemsAPage = 500;

const patchTypes: Record<PatchType, string> = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
};
const onlyMetadata = (kind: string): Record<string, string> => ({
  accept: `application/json;as=${kind};g=meta.k8s.io;v=v1`,
});

/** Waits until an attempt may be made, and makes it: each one anew, as others may be more urgent by then. */
type Turn = (attempt: () => Promise<HttpAnswer | string>) => Promise<HttpAnswer | string>;

/** Errors of the network are read by shape: they may come out of another realm. */
const networkErrorSchema = z.object({ code: z.string().optional(), message: z.string().optional() });

export class HttpsKubernetesApi implements KubernetesApi {
  readonly counters: ApiCounters = { requests: 0, throttled: 0, retried: 0 };
  private readonly pace = new WritePace();
  private access: Promise<Access>;
  private renewedAt = Date.now();
  private lastOutageAt = Date.now() - startingMs + newMs;

  /** @param renew fetches the credentials as they are now; `anew`: from the plan's reference, as the former were refused */
  constructor(
    readonly server: string,
    first: Access,
    private readonly renew: (anew: boolean) => Promise<Access>,
  ) {
    this.access = Promise.resolve(first);
  }

  limitWrites(perSecond: number): void {
    this.pace.limit(perSecond);
  }

  async get(path: string): Promise<JsonObject | undefined> {
    const answer = await this.read({ method: 'GET', path }, this.asked('get', path));
    if (answer.status === 404) return undefined;
    return this.object(answer, this.asked('get', path));
  }

  async *list(path: string, options: ListOptions = {}): AsyncGenerator<JsonObject> {
    const { limit = itemsAPage, labelSelector, notServed = 'fail', metadataOnly = false } = options;
    const asked = this.asked('list', path);
    const headers = metadataOnly ? onlyMetadata('PartialObjectMetadataList') : undefined;
    let next: string | undefined;
    do {
      const query = new URLSearchParams({ limit: String(limit) });
      if (labelSelector) query.set('labelSelector', labelSelector);
      if (next) query.set('continue', next);
      const answer = await this.read({ method: 'GET', path: `${path}?${query.toString()}`, headers }, asked);
      if (notServed === 'empty' && !next && saysNotServed(answer)) return;
      // The page after this one was of a state that etcd has compacted.
      if (answer.status === 410) throw outage(asked, 'reading the list took so long that its state is gone');
      const { items, metadata } = this.object(answer, asked);
      for (const item of Array.isArray(items) ? items : []) if (isObject(item)) yield item;
      next = isObject(metadata) && typeof metadata.continue === 'string' ? metadata.continue : undefined;
    } while (next);
  }

  async create(path: string, body: JsonObject): Promise<'created' | 'exists'> {
    const name = isObject(body.metadata) && typeof body.metadata.name === 'string' ? body.metadata.name : undefined;
    const asked = this.asked('create', path, name);
    const answer = await this.write(
      { method: 'POST', path, body: printJson(body), headers: onlyMetadata('PartialObjectMetadata') },
      asked,
    );
    if (alreadyExists(answer)) return 'exists';
    if (answer.status >= 300) throw refusal(answer, asked);
    return 'created';
  }

  async ask(path: string, body: JsonObject): Promise<JsonObject> {
    const asked = this.asked('create', path);
    const headers = { 'content-type': 'application/json' };
    return this.object(await this.read({ method: 'POST', path, body: printJson(body), headers }, asked), asked);
  }

  async replace(path: string, body: JsonObject): Promise<JsonObject> {
    const asked = this.asked('update', path);
    return this.object(await this.write({ method: 'PUT', path, body: printJson(body) }, asked), asked);
  }

  async patch(path: string, type: PatchType, body: Json): Promise<JsonObject> {
    const asked = this.asked('patch', path);
    const headers = { 'content-type': patchTypes[type] };
    return this.object(await this.write({ method: 'PATCH', path, body: printJson(body), headers }, asked), asked);
  }

  async apply(path: string, body: JsonObject, options: ApplyOptions): Promise<JsonObject> {
    const { fieldManager, force = false, dryRun = false } = options;
    const asked = this.asked('patch', path);
    const query = new URLSearchParams({ fieldManager, force: String(force), ...(dryRun && { dryRun: 'All' }) });
    // Every JSON is YAML.
    const headers = { 'content-type': 'application/apply-patch+yaml' };
    const request = { method: 'PATCH', path: `${path}?${query.toString()}`, body: printJson(body), headers } as const;
    return this.object(await this.write(request, asked), asked);
  }

  async remove(path: string, { uid, resourceVersion }: RemoveOptions = {}): Promise<'removed' | 'absent'> {
    const asked = this.asked('delete', path);
    const body = printJson({
      kind: 'DeleteOptions',
      apiVersion: 'v1',
      propagationPolicy: 'Background',
      preconditions: { uid, resourceVersion },
    });
    const answer = await this.write({ method: 'DELETE', path, body }, asked);
    if (answer.status === 404) return 'absent';
    if (answer.status >= 300) throw refusal(answer, asked);
    return 'removed';
  }

  private asked(verb: string, path: string, name?: string): Asked {
    return { server: this.server, verb, object: describePath(path, name) };
  }

  private object(answer: HttpAnswer, asked: Asked): JsonObject {
    if (answer.status >= 300) throw refusal(answer, asked);
    const body = parsed(answer);
    if (body) return body;
    throw failure(
      'PreconditionFailed',
      `What answers at ${asked.server} is no apiserver: it gave no JSON object when asked to ${asked.verb} ${asked.object}. Correct the server in the kubeconfig of the plan.`,
    );
  }

  private read(request: HttpRequest, asked: Asked): Promise<HttpAnswer> {
    return this.answered(request, asked, async (attempt) => {
      await this.pace.untilCalm();
      return attempt();
    });
  }

  private write(request: HttpRequest, asked: Asked): Promise<HttpAnswer> {
    const headers = { 'content-type': 'application/json', ...request.headers };
    return this.answered({ ...request, headers }, asked, (attempt) => this.pace.run(attempt));
  }

  /** Ends with an answer that is not about the state of the server. */
  private async answered(request: HttpRequest, asked: Asked, inTurn: Turn): Promise<HttpAnswer> {
    let failingSince: number | undefined;
    let anew = false;
    for (let attempt = 1; ; attempt += 1) {
      const access = await this.currentAccess();
      const answer = await inTurn(() => this.once(access, request, asked));
      const now = Date.now();
      const spentMs = now - (failingSince ?? now);
      failingSince ??= now;
      if (typeof answer === 'string' || answer.status >= 500) this.lastOutageAt = now;
      if (typeof answer === 'string') {
        if (spentMs >= outageMs) throw outage(asked, answer);
        this.counters.retried += 1;
        await sleep(backoffMs(attempt));
      } else if (answer.status === 429) {
        this.counters.throttled += 1;
        this.pace.slowDown(retryAfterMs(answer) ?? 1_000);
        if (spentMs >= throttledMs) throw outage(asked, 'it has been asking to slow down for two minutes');
      } else if (answer.status >= 500) {
        if (spentMs >= outageMs) throw outage(asked, saidOf(answer));
        this.counters.retried += 1;
        await sleep(retryAfterMs(answer) ?? backoffMs(attempt));
      } else if (answer.status === 403 && now - this.lastOutageAt < startingMs) {
        this.counters.retried += 1;
        await sleep(backoffMs(attempt));
      } else if (answer.status === 401 && !anew) {
        anew = true;
        this.renewAccess(true);
      } else return answer;
    }
  }

  /** An answer, or why there is none. @throws PreconditionFailed for certificates that do not fit */
  private async once(access: Access, request: HttpRequest, asked: Asked): Promise<HttpAnswer | string> {
    this.counters.requests += 1;
    try {
      return await send(access, request);
    } catch (error) {
      const { code = '', message: said = '' } = networkErrorSchema.safeParse(error).data ?? {};
      if (isAboutTrust(code)) throw untrusted(asked, said);
      return said || code || String(error);
    }
  }

  private currentAccess(): Promise<Access> {
    if (Date.now() - this.renewedAt >= renewMs) this.renewAccess(false);
    return this.access;
  }

  private renewAccess(anew: boolean): void {
    this.renewedAt = Date.now();
    this.access = this.renew(anew);
    // Whoever asks next gets the error; without this, nobody asking would end the process.
    this.access.catch(() => {
      this.renewedAt = 0;
    });
  }
}

function isAboutTrust(code: string): boolean {
  return /^(CERT_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_|ERR_TLS_CERT|ERR_SSL_.*(CERT|UNKNOWN_CA|VERSION|WRONG_VERSION)|EPROTO)/.test(
    code,
  );
}

function backoffMs(attempt: number): number {
  return Math.min(100 * 2 ** attempt, 2_000) * (0.5 + Math.random() / 2);
}

function retryAfterMs({ headers }: HttpAnswer): number | undefined {
  const seconds = Number(headers['retry-after']);
  if (!Number.isFinite(seconds) || headers['retry-after'] === undefined) return undefined;
  // "At once" is what nobody who asks for a pause can mean.
  return Math.min(Math.max(seconds, 0.2), 60) * 1_000;
}

function saidOf(answer: HttpAnswer): string {
  const message = parsed(answer)?.message;
  return `HTTP ${answer.status}${typeof message === 'string' ? `, ${message.slice(0, 300).replace(/\.$/, '')}` : ''}`;
}

function parsed(answer: HttpAnswer): JsonObject | undefined {
  try {
    const body = parseJson(answer.text());
    return isObject(body) ? body : undefined;
  } catch {
    return undefined;
  }
}
