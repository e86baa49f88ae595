// The kubeconfig of a plan, read as kubectl does: a file, a list of files, its text in a variable, or the pod's own service account.
// Tokens, certificates and commands that fetch them are the library's business; no text of any of them ever reaches a message.
import { accessSync } from 'node:fs';
import type { Agent, RequestOptions } from 'node:https';
import { delimiter } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { describeTarget, type CalicoTarget } from '../../../plan/calico';
import { failure } from '../../errors';
import { resolveSecret } from '../../secret';

/** Free connections are closed before the servers and balancers on the way do it. */
const idleMs = 30_000;
const mostFree = 64;
const longestPath = 300;

/** With what a request goes out. */
export interface Access {
  /** Of the apiserver; may have a path of its own. */
  url: URL;
  agent: Agent;
  headers: Record<string, string>;
}

/** @throws PreconditionFailed when there is no usable kubeconfig */
export async function loadKubeConfig(target: CalicoTarget, environment: NodeJS.ProcessEnv): Promise<KubeConfig> {
  const where = describeTarget(target);
  if ('inCluster' in target) return inCluster(environment);
  const { kubeconfig, context } = target;
  const config = read(where, 'env' in kubeconfig ? await resolveSecret(kubeconfig, environment) : kubeconfig.file);
  if (context !== undefined) config.setCurrentContext(context);
  const current: string | undefined = config.getCurrentContext();
  if (!config.getContextObject(current)) {
    const known = config.getContexts().map(({ name }) => name);
    throw unusable(where, `it has no context "${current}", but ${known.join(', ') || 'none at all'}`);
  }
  if (!config.getCurrentCluster()) throw unusable(where, 'its context names a cluster that is not in it');
  if (!config.getCurrentUser()) throw unusable(where, 'its context names a user that is not in it');
  return config;
}

/** Fetches what authenticates us now; to be called again every minute, as tokens are short-lived. */
export async function accessOf(config: KubeConfig, where: string): Promise<Access> {
  const cluster = config.getCurrentCluster();
  if (!cluster) throw unusable(where, 'its context names a cluster that is not in it');
  const url = urlOf(cluster.server, where);
  const options: RequestOptions = { timeout: idleMs };
  try {
    await config.applyToHTTPSOptions(options);
  } catch (error) {
    throw notAuthenticated(error, config, where);
  }
  const agent = options.agent as Agent;
  // The library's agents make a connection a request.
  Object.assign(agent, { keepAlive: true, maxFreeSockets: mostFree });
  const headers: Record<string, string> = { 'user-agent': 'cutover' };
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    if (typeof value === 'string') headers[name.toLowerCase()] = value.trim();
  }
  if (options.auth) headers.authorization = `Basic ${Buffer.from(options.auth).toString('base64')}`;
  return { url, agent, headers };
}

function inCluster(environment: NodeJS.ProcessEnv): KubeConfig {
  if (!environment.KUBERNETES_SERVICE_HOST || !environment.KUBERNETES_SERVICE_PORT) {
    throw failure(
      'PreconditionFailed',
      'The plan says that the worker runs inside of the cluster, but KUBERNETES_SERVICE_HOST is not set. Run the worker in a pod with a service account, or give the plan a kubeconfig.',
    );
  }
  const config = new KubeConfig();
  config.loadFromCluster();
  return config;
}

/** A text of several lines is a kubeconfig; anything else is what KUBECONFIG holds: paths. */
function read(where: string, content: string): KubeConfig {
  if (content.includes('\n') || content.startsWith('{'))
    return parsed(where, (config) => config.loadFromString(content));
  const paths = content.split(delimiter).filter((path) => path !== '');
  // What is no path may be a secret in another clothing, such as base64, and is not quoted.
  if (!paths.every((path) => path.length < longestPath && /[/\\]/.test(path))) {
    throw unusable(where, 'it is neither a kubeconfig nor a list of paths; base64 has to be decoded first');
  }
  // As for kubectl, files of the list may be missing, but not all.
  const readable = paths.filter(isReadable);
  if (readable.length === 0) throw unusable(where, `none of these files can be read: ${paths.join(', ')}`);
  const configs = readable.map((path) => parsed(`${where}, ${path}`, (config) => config.loadFromFile(path)));
  return merged(configs);
}

function isReadable(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}

function parsed(where: string, load: (config: KubeConfig) => void): KubeConfig {
  const config = new KubeConfig();
  try {
    load(config);
  } catch {
    // What the parser says quotes the text.
    throw unusable(where, 'it is no YAML of kind Config');
  }
  return config;
}

/** The first of a name wins, as for kubectl. */
function merged(configs: KubeConfig[]): KubeConfig {
  const [first, ...more] = configs;
  if (first && more.length === 0) return first;
  const config = new KubeConfig();
  const firstOfName = <Item extends { name: string }>(items: Item[]): Item[] => [
    ...new Map(items.toReversed().map((item) => [item.name, item])).values(),
  ];
  config.loadFromOptions({
    clusters: firstOfName(configs.flatMap((one) => one.getClusters())),
    users: firstOfName(configs.flatMap((one) => one.getUsers())),
    contexts: firstOfName(configs.flatMap((one) => one.getContexts())),
    currentContext: configs.map((one) => one.getCurrentContext()).find((name) => name),
  });
  return config;
}

function urlOf(server: string, where: string): URL {
  try {
    return new URL(server);
  } catch {
    throw unusable(where, `the server of its cluster is no URL: ${server}`);
  }
}

function unusable(where: string, why: string): Error {
  return failure(
    'PreconditionFailed',
    `The cluster cannot be reached with the kubeconfig of the plan (${where}): ${why}. Correct it on every worker and retry.`,
  );
}

function notAuthenticated(error: unknown, config: KubeConfig, where: string): Error {
  const user = config.getCurrentUser();
  const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : '';
  const command = commandOf(user?.exec);
  const what = command
    ? `the command "${command}" of user "${user?.name}" gave no credentials`
    : `the credentials of user "${user?.name}" cannot be read`;
  return failure(
    'PreconditionFailed',
    `There is no way to authenticate to the cluster (${where}): ${what}${code}. Try "kubectl get nodes" as the worker's user on the worker's machine, and retry.`,
  );
}

function commandOf(exec: unknown): string | undefined {
  const command = typeof exec === 'object' && exec !== null && 'command' in exec ? exec.command : undefined;
  return typeof command === 'string' ? command : undefined;
}
