// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What requesters of these tests do, and the objects they do it to.

import type { Answer, KubeObject, PatchType } from '../../support/control-plane/admin-client.ts';
import { eventually } from '../../support/eventually.ts';
import { apply } from '../../support/installation/installation.ts';
import { matchesObject, type SideReview } from '../../support/side-webhook.ts';
import { deployment, deployments, fieldOf, imagePatch, textAt } from '../../support/traffic.ts';
import { byDeployer, codeAndMessage, type Lab } from './facts-lab.ts';

export const deploymentPath = (name: string, namespace = 'prod') => `${deployments(namespace)}/${name}`;
export const core = (plural: string, name = '', namespace = 'prod') =>
  `/api/v1/namespaces/${namespace}/${plural}${name === '' ? '' : `/${name}`}`;

export const pod = (name: string, namespace = 'prod', labels: Record<string, string> = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace, name, labels },
  spec: { automountServiceAccountToken: false, containers: [{ name: 'c', image: 'nginx:1' }] },
});

export const configMap = (name: string, data: Record<string, string> = {}, namespace = 'prod') => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { namespace, name },
  data,
});

export const secret = (name: string, more: object = {}, namespace = 'prod') => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { namespace, name, ...more },
});

const patchTypes: Readonly<Record<PatchType, string>> = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
};

export function patch(lab: Lab, path: string, body: unknown, type: PatchType = 'merge'): Promise<Answer> {
  return lab.deployer.send('PATCH', path, { body, contentType: patchTypes[type] });
}

export function setImage(lab: Lab, name: string, image = 'nginx:2'): Promise<Answer> {
  return patch(lab, deploymentPath(name), imagePatch(image));
}

/**
 * A request that the API server gives up after so many seconds: what it says then, which may be nothing at all. The
 * connection is one of its own, since it is not good for another request.
 */
export async function sendWithTimeout(
  lab: Lab,
  seconds: number,
  method: string,
  path: string,
  body: object,
): Promise<string> {
  const client = await lab.client('ci/deployer');
  const contentType = method === 'PATCH' ? patchTypes.merge : 'application/json';
  try {
    return codeAndMessage(await client.send(method, `${path}?timeout=${seconds}s`, { body, contentType }));
  } catch (failure) {
    return `no answer: ${failure}`;
  }
}

/** What `givenUp` returns when time was up, and not when anything else happened. */
export const timeoutAnswer = /^(50[04] .*(timeout|deadline)|no answer: .*socket hang up)/i;

export function createDeployment(lab: Lab, name: string): Promise<Answer> {
  return lab.deployer.send('POST', deployments('prod'), { body: deployment('prod', name) });
}

export function deletePod(lab: Lab, name: string): Promise<Answer> {
  return lab.deployer.send('DELETE', core('pods', name));
}

/** Server-side apply, as `kubectl apply --server-side` sends it. */
export function applyDeployment(lab: Lab, name: string): Promise<Answer> {
  return patch(lab, `${deploymentPath(name)}?fieldManager=deployer&force=true`, deployment('prod', name), 'apply');
}

/** A Deployment that its controller has done with: nobody writes to it but the test. */
export async function deploymentAtRest(lab: Lab, name: string): Promise<void> {
  await apply(lab.cluster, [deployment('prod', name)]);
  await eventually(`${name} to be seen by its controller`, async () => {
    const { status } = await lab.admin.get<KubeObject & { status?: { observedGeneration?: number } }>(
      deploymentPath(name),
    );
    return status?.observedGeneration === 1;
  });
}

/** What the side webhook is asked about the deployer's requests on an object from now on. */
export function reviewsFromNow(lab: Lab, name: string, operation?: string): () => readonly SideReview[] {
  const matches = byDeployer(matchesObject(name, operation));
  const before = lab.side.reviews(matches).length;
  return () => lab.side.reviews(matches).slice(before);
}

/** The image of the first container of a pod or of a workload's template. */
export function imageOf(object: KubeObject | null): string {
  const template = fieldOf(fieldOf(object, 'spec'), 'template');
  const containers = fieldOf(fieldOf(template ?? object, 'spec'), 'containers');
  return Array.isArray(containers) ? textAt(containers[0], 'image') : '';
}

export const hasImage = (image: string) => (object: KubeObject) => imageOf(object) === image;
