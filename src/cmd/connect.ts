// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Connects to the API server with a command's options, and finds out stepup's own username.
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { ServeOptions } from '../config/options.ts';
import { loadCredentials } from '../kube/http/credentials.ts';
import { RestClient } from '../kube/http/rest.ts';
import type { KubeObject } from '../kube/objects/objects.ts';
import { ResourceClient } from '../kube/objects/resource-client.ts';
import { selfSubjectReviews } from '../kube/objects/resources.ts';

export async function connect(options: Pick<ServeOptions, 'kubeconfig' | 'serviceAccountDir'>): Promise<RestClient> {
  const { kubeconfig, serviceAccountDir: folder } = options;
  if (kubeconfig !== undefined) {
    return new RestClient({ credentials: await loadCredentials({ kind: 'kubeconfig', paths: [kubeconfig] }) });
  }
  const host = process.env.KUBERNETES_SERVICE_HOST;
  if (host === undefined) {
    throw new Error('find the API server: KUBERNETES_SERVICE_HOST is not set; run in a pod, or set --kubeconfig');
  }
  const port = process.env.KUBERNETES_SERVICE_PORT ?? 443;
  return new RestClient({ credentials: await loadCredentials({ kind: 'inCluster', host, port, folder }) });
}

/** As kubectl connects: by the file given, else by those that KUBECONFIG lists, else by the one in the home folder. */
export async function connectAsUser(given: {
  readonly kubeconfig?: string;
  readonly context?: string;
}): Promise<RestClient> {
  const listed = (process.env.KUBECONFIG ?? '').split(delimiter).filter((path) => path !== '');
  const usual = listed.length > 0 ? listed : [join(homedir(), '.kube', 'config')];
  const paths = given.kubeconfig === undefined ? usual : [given.kubeconfig];
  const context = given.context === undefined ? {} : { context: given.context };
  return new RestClient({ credentials: await loadCredentials({ kind: 'kubeconfig', paths, ...context }) });
}

interface SelfSubjectReview extends KubeObject {
  readonly status?: { readonly userInfo?: { readonly username?: string } };
}

/** Our own username, asked of the API server rather than configured: a name in a file may be somebody else's. */
export async function ownUsername(rest: RestClient, signal: AbortSignal): Promise<string> {
  const reviews = new ResourceClient<SelfSubjectReview>(rest, selfSubjectReviews);
  const { status } = await reviews.create({ metadata: {} }, { signal });
  const username = status?.userInfo?.username;
  if (username === undefined || username === '')
    throw new Error("read stepup's own username: the API server returned none");
  return username;
}
