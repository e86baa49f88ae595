// What an answer of the apiserver means: HTTP status and the reason in its Status object -> the closed set of failures.
// The server's own words are shown; they name the object and the field, and never who we are.
import { ApplicationFailure } from '@temporalio/common';
import { z } from 'zod';
import { failure } from '../../errors';
import type { HttpAnswer } from './http';
import { parseJson } from '../json';

/** What was asked, for messages. */
export interface Asked {
  server: string;
  /** As RBAC calls it: "create". */
  verb: string;
  /** "networkpolicies shop/web" */
  object: string;
}

const statusSchema = z.object({
  kind: z.literal('Status'),
  message: z.string().default(''),
  reason: z.string().default(''),
  details: z
    .object({
      name: z.string().optional(),
      kind: z.string().optional(),
      retryAfterSeconds: z.number().optional(),
      causes: z.array(z.object({ reason: z.string().optional() })).default([]),
    })
    .default({ causes: [] }),
});
type Status = z.output<typeof statusSchema>;

const longest = 1_000;

/** "/apis/…/namespaces/shop/networkpolicies/web" -> "networkpolicies shop/web"; "/api/v1/nodes/a/status" -> "nodes/status a" */
export function describePath(path: string, newName?: string): string {
  const [plain = ''] = path.split('?');
  const parts = plain
    .split('/')
    .filter((part) => part !== '')
    .map(decodeURIComponent);
  const rest = parts.slice(parts[0] === 'api' ? 2 : 3);
  if (rest.length === 0) return plain;
  const namespaced = rest[0] === 'namespaces' && rest.length > 2;
  const [plural = '', name = newName, subresource] = namespaced ? rest.slice(2) : rest;
  const kind = subresource === undefined ? plural : `${plural}/${subresource}`;
  if (name === undefined) return namespaced ? `${kind} of namespace ${rest[1]}` : kind;
  return namespaced ? `${kind} ${rest[1]}/${name}` : `${kind} ${name}`;
}

/** The Status object of an answer; undefined where it is something else, such as "404 page not found". */
export function statusOf(answer: HttpAnswer): Status | undefined {
  try {
    return statusSchema.safeParse(parseJson(answer.text())).data;
  } catch {
    return undefined;
  }
}

/** Whether a 404 speaks of the kind, not of the object: its Status, if there is one, names nothing. */
export function saysNotServed(answer: HttpAnswer): boolean {
  return answer.status === 404 && statusOf(answer)?.details.name === undefined;
}

export function alreadyExists(answer: HttpAnswer): boolean {
  return answer.status === 409 && statusOf(answer)?.reason === 'AlreadyExists';
}

/** For an answer that says why the request is not done and will not be. */
export function refusal(answer: HttpAnswer, asked: Asked): Error {
  const { status } = answer;
  const said = statusOf(answer);
  const { verb, object } = asked;
  const details = { status, reason: said?.reason };
  const words = (said?.message || answer.text().trim() || `HTTP ${status}`).slice(0, longest).replace(/\.$/, '');
  const what = `Kubernetes refused to ${verb} ${object}`;
  if (said?.details.causes.some(({ reason }) => reason === 'NamespaceTerminating')) {
    return failure(
      'PreconditionFailed',
      `${what}: its namespace is being deleted. Wait until the namespace is gone, then make it anew or remove what belongs to it from the source.`,
      details,
    );
  }
  switch (status) {
    case 401:
      return failure(
        'AuthDenied',
        `${what}: the apiserver at ${asked.server} does not know our user, or its token has expired. Renew the credentials in the kubeconfig of the plan and retry.`,
        details,
      );
    case 403:
      return failure(
        'AuthDenied',
        `${what}: ${words}. Allow our user to ${verb} ${object.split(' ')[0]} by a ClusterRole and retry.`,
        details,
      );
    case 404:
      return failure('PreconditionFailed', `${what}: ${absence(answer, said)}`, details);
    case 409:
      return failure(
        'TargetConflict',
        `${what}: ${words}. Look at the object, decide which content is right, and retry.`,
        details,
      );
    default:
      return failure(
        'PreconditionFailed',
        `${what}: ${words}. Correct the object in the source, or the CRD on the cluster, and retry.`,
        details,
      );
  }
}

function absence(answer: HttpAnswer, said: Status | undefined): string {
  if (said?.details.kind === 'namespaces')
    return `the namespace ${said.details.name} is not there. Create it and retry.`;
  if (saysNotServed(answer))
    return 'the cluster does not serve this kind. Install its CRD, wait until it is established, and retry.';
  return 'it is not there. Look who has removed it, and retry.';
}

/** Kubernetes could not be asked, or gave no useful answer, for as long as we wait inside. */
export function outage(asked: Asked, last: string): Error {
  return failure(
    'TargetUnavailable',
    `The apiserver at ${asked.server} could not be asked to ${asked.verb} ${asked.object}: ${last}. It is tried again by itself; check that the apiserver and its etcd run and can be reached from the worker.`,
  );
}

/** No retry helps: the certificates do not fit. */
export function untrusted(asked: Asked, said: string): Error {
  return failure(
    'PreconditionFailed',
    `No trusted connection to the apiserver at ${asked.server}: ${said}. Correct certificate-authority and the client certificate in the kubeconfig of the plan, and retry.`,
  );
}

/** Whether a write came too late: the object is another one by now, so it has to be read again. */
export function isConflict(error: unknown): boolean {
  return hasStatus(error, 409);
}

/** Whether what was to be changed is not there any more. */
export function isAbsent(error: unknown): boolean {
  return hasStatus(error, 404);
}

/** Whether the server read the object and would not have it: nothing is wrong with others. */
export function isRefusedContent(error: unknown): boolean {
  return hasStatus(error, 422) || hasStatus(error, 400);
}

const detailsSchema = z.tuple([z.object({ status: z.number() })]).rest(z.unknown());

function hasStatus(error: unknown, status: number): boolean {
  if (!(error instanceof ApplicationFailure)) return false;
  const details = detailsSchema.safeParse(error.details);
  return details.success && details.data[0].status === status;
}
