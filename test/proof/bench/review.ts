// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reviews to send straight to a webhook, made from one that the API server sent, and one probe of what a webhook says.
import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import type { ControlPlane } from '../../support/control-plane/controlplane.ts';

/** The parts of a review that are changed here; the rest is passed on. */
export interface Review {
  readonly request: {
    readonly uid: string;
    readonly dryRun?: boolean;
    readonly object: Workload;
    readonly oldObject: Workload;
  };
}

interface Workload {
  readonly spec: {
    readonly template: { readonly spec: { readonly containers: readonly { readonly image: string }[] } };
  };
}

/** A Deployment of the usual size: applied by the server, so with managed fields. */
function deploymentWith(image: string): object {
  const container = {
    name: 'web',
    image,
    args: ['--listen=:8080'],
    ports: [{ name: 'http', containerPort: 8080 }],
    env: [{ name: 'MODE', value: 'production' }],
    resources: { requests: { cpu: '100m', memory: '128Mi' } },
  };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', labels: { app: 'web', owner: 'bench' }, annotations: { 'example.org/team': 'shop' } },
    spec: {
      replicas: 0,
      selector: { matchLabels: { app: 'web' } },
      template: { metadata: { labels: { app: 'web' } }, spec: { containers: [container] } },
    },
  };
}

/** The review of an update of a Deployment, as the API server sent it to the baseline in Node. */
export async function recordReview(
  cluster: ControlPlane,
  { namespace, port, token }: { readonly namespace: string; readonly port: number; readonly token: string },
): Promise<Review> {
  const path = `/apis/apps/v1/namespaces/${namespace}/deployments/web?fieldManager=bench`;
  for (const image of ['registry.example/web:1', 'registry.example/web:2']) {
    const sent = { body: deploymentWith(image), contentType: 'application/apply-patch+yaml' };
    const answer = await cluster.admin.send('PATCH', path, { ...sent, headers: { authorization: `Bearer ${token}` } });
    if (answer.code > 201) throw new Error(`apply the Deployment: ${JSON.stringify(answer.body)}`);
  }
  const text = await send('GET', `https://127.0.0.1:${port}/`);
  return JSON.parse(text) as Review;
}

export const dryRun = (review: Review): Review => ({ ...review, request: { ...review.request, dryRun: true } });

export const unchanged = ({ request: asked, ...rest }: Review): Review => ({
  ...rest,
  request: { ...asked, object: asked.oldObject },
});

/** The same update to another image: a change that nobody has asked about yet. */
export function withImage({ request: asked, ...rest }: Review, image: string): Review {
  const { spec } = asked.object;
  const containers = spec.template.spec.containers.map((container) => ({ ...container, image }));
  const template = { ...spec.template, spec: { ...spec.template.spec, containers } };
  return { ...rest, request: { ...asked, object: { ...asked.object, spec: { ...spec, template } } } };
}

/** Writes a body to a file of the run; returns its path. */
export function bodyFile(cluster: Pick<ControlPlane, 'dir'>, name: string, body: object): string {
  const path = join(cluster.dir, `${name}.json`);
  writeFileSync(path, JSON.stringify(body));
  return path;
}

export type Said = 'allowed' | 'denied: approval required' | 'refused' | 'nothing';

/** What a webhook says to a review, over a connection of its own where no agent is given. Nothing: it does not listen, or its answer is none. */
export async function ask(url: string, review: object, agent?: Agent): Promise<Said> {
  try {
    const text = await send('POST', url, JSON.stringify(review), agent);
    const { response } = JSON.parse(text) as { response?: { allowed: boolean; status?: { reason?: string } } };
    if (response === undefined) return 'nothing';
    if (response.allowed) return 'allowed';
    return response.status?.reason === 'StepUpRequired' ? 'denied: approval required' : 'refused';
  } catch {
    return 'nothing';
  }
}

/** Loopback, and certificates of authorities that are as old as the run. */
export const agentOf = (maxSockets: number) =>
  new Agent({ keepAlive: maxSockets > 0, rejectUnauthorized: false, ...(maxSockets > 0 ? { maxSockets } : {}) });

function send(method: string, url: string, body?: string, agent = agentOf(0)): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const sent = request(url, { method, agent, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}
