// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the server makes different on every try of the same CREATE: the closed, versioned list (digest version v1).
// Each entry has its test on a real API server (test/e2e/digest.controlplane.test.ts).
import { partOf } from './content.ts';
import { isObject, type Json, type JsonObject, textAt, valueAt, without } from './json.ts';
import type { AdmissionRequest } from './request.ts';

/** A new object without noise, and without what the server itself makes different on every try of the same request. */
export function normalisedCreation(request: AdmissionRequest): Json {
  const object = partOf(request.object ?? {}, { kind: 'ObjectAndStatus' });
  return withoutGenerated(object, request) ?? null;
}

function withoutGenerated(object: Json | undefined, request: AdmissionRequest): Json | undefined {
  if (!isObject(object)) return object;
  const named = withPrefixForName(object);
  switch (`${request.group}/${request.kind}`) {
    case '/Pod':
      return withPlainTokenVolume(named);
    case 'batch/Job':
      return withoutGeneratedSelector(named);
    case '/Service':
      return withoutAllocations(named);
    default:
      return named;
  }
}

/** The name under which a request is known: its own, or with generateName the prefix and *. */
export function nameOf(request: AdmissionRequest): string {
  const prefix = textAt(request.object, '/metadata/generateName');
  if (request.operation === 'CREATE' && prefix !== '' && request.subresource === '') return `${prefix}*`;
  if (request.name !== '') return request.name;
  return textAt(request.oldObject, '/metadata/name') || textAt(request.object, '/metadata/name');
}

function withPrefixForName(object: JsonObject): JsonObject {
  const prefix = textAt(object, '/metadata/generateName');
  if (prefix === '' || !isObject(object.metadata)) return object;
  return { ...object, metadata: { ...object.metadata, name: `${prefix}*` } };
}

/** The token volume that ServiceAccount admission adds has a random name (plugin/pkg/admission/serviceaccount). */
function withPlainTokenVolume(pod: JsonObject): JsonObject {
  const names = listOf(pod, '/spec/volumes').map((volume) => textAt(volume, '/name'));
  const generated = names.filter((name) => /^kube-api-access-[a-z0-9]{5}$/.test(name));
  const [name] = generated;
  if (name === undefined || generated.length > 1) return pod;
  const plain = renamed(pod, name, 'kube-api-access-*');
  return isObject(plain) ? plain : pod;
}

function renamed(value: Json | undefined, from: string, to: string): Json | undefined {
  if (Array.isArray(value)) return value.map((item) => renamed(item, from, to) ?? null);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [
      key,
      key === 'name' && member === from ? to : renamed(member, from, to),
    ]),
  );
}

/** Job strategy generates selector and labels from the UID it has just made (pkg/registry/batch/job/strategy.go). */
function withoutGeneratedSelector(job: JsonObject): Json | undefined {
  if (valueAt(job, '/spec/manualSelector') === true) return job;
  const name = textAt(job, '/metadata/name');
  const labels = '/spec/template/metadata/labels';
  const jobName = ['job-name', 'batch.kubernetes.io~1job-name'].filter((key) => {
    const label = textAt(job, `${labels}/${key}`);
    return label !== '' && (label === name || name.endsWith('*'));
  });
  return without(job, [
    '/spec/selector',
    `${labels}/controller-uid`,
    `${labels}/batch.kubernetes.io~1controller-uid`,
    ...jobName.map((key) => `${labels}/${key}`),
  ]);
}

/** Addresses and ports are allocated before validation (pkg/registry/core/service/storage). None is a choice. */
function withoutAllocations(service: JsonObject): Json | undefined {
  const isHeadless = textAt(service, '/spec/clusterIP') === 'None';
  const addresses = isHeadless ? [] : ['/spec/clusterIP', '/spec/clusterIPs'];
  const plain = without(service, [...addresses, '/spec/healthCheckNodePort']);
  if (!isObject(plain) || !isObject(plain.spec)) return plain;
  const ports = listOf(service, '/spec/ports').map((port) => without(port, ['/nodePort']) ?? null);
  return { ...plain, spec: { ...plain.spec, ports } };
}

function listOf(object: JsonObject, pointer: string): readonly Json[] {
  const list = valueAt(object, pointer);
  return Array.isArray(list) ? list : [];
}
