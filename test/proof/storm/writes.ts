// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The objects of a storm, and the ways to write each of its changes: by every kind of patch, by replacing, by applying.
import type { Request } from './requests.ts';

const json = { merge: 'application/merge-patch+json', list: 'application/json-patch+json' } as const;
const strategic = 'application/strategic-merge-patch+json';
export const applyType = 'application/apply-patch+yaml';

/** Paused, so that nothing is rolled out: the storm is about the object. */
export const deployment = (image: string) => (name: string) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name },
  spec: {
    paused: true,
    replicas: 1,
    selector: { matchLabels: { app: 'storm' } },
    template: { metadata: { labels: { app: 'storm' } }, spec: { containers: [{ name: 'c', image }] } },
  },
});

export const service = (name: string) => ({
  ...{ apiVersion: 'v1', kind: 'Service', metadata: { name } },
  spec: { selector: { version: 'old' }, ports: [{ port: 80 }] },
});

export type Write = Omit<Request, 'by' | 'isIdentical' | 'path'> & { readonly subresource?: string };

export const containers = (image: string) => ({ spec: { template: { spec: { containers: [{ name: 'c', image }] } } } });

/** The ways to write an image; the same change by each. */
export const imageWrites = (image: string, name: string): readonly Write[] => [
  { method: 'PATCH', contentType: strategic, body: containers(image) },
  {
    method: 'PATCH',
    contentType: json.list,
    body: [{ op: 'replace', path: '/spec/template/spec/containers/0/image', value: image }],
  },
  { method: 'PATCH', contentType: json.merge, body: containers(image) },
  { method: 'PUT', body: deployment(image)(name) },
  {
    method: 'PATCH',
    contentType: applyType,
    body: { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name }, ...containers(image) },
  },
];

export const scaleWrites = (replicas: number, name: string, namespace: string): readonly Write[] => [
  { method: 'PATCH', contentType: json.merge, body: { spec: { replicas } }, subresource: 'scale' },
  {
    method: 'PUT',
    subresource: 'scale',
    body: { apiVersion: 'autoscaling/v1', kind: 'Scale', metadata: { name, namespace }, spec: { replicas } },
  },
  {
    method: 'PATCH',
    contentType: json.list,
    body: [{ op: 'replace', path: '/spec/replicas', value: replicas }],
    subresource: 'scale',
  },
];

export const serviceWrites = (version: string): readonly Write[] => [
  { method: 'PATCH', contentType: json.merge, body: { spec: { selector: { version } } } },
  { method: 'PATCH', contentType: strategic, body: { spec: { selector: { version } } } },
  {
    method: 'PATCH',
    contentType: json.list,
    body: [{ op: 'replace', path: '/spec/selector/version', value: version }],
  },
];

export const deletionWrites: readonly Write[] = [
  { method: 'DELETE' },
  { method: 'DELETE', body: { propagationPolicy: 'Background' } },
];
export const orphaning: readonly Write[] = [{ method: 'DELETE', body: { propagationPolicy: 'Orphan' } }];

export const creationWrites = (image: string, name: string): readonly Write[] => [
  { method: 'POST', body: deployment(image)(name) },
];
