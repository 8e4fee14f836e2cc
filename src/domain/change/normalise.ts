// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the API server generates anew on every attempt of the same CREATE: the closed list of digest versions v1 and v2.
// Each entry has its test on a real API server (test/cluster/e2e/digest.test.ts).

import { isObject, type Json, type JsonObject, textAt, valueAt, without } from '../../lib/json.ts';
import type { AdmissionRequest } from '../model/request.ts';
import { partOf } from './content.ts';

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
      return withoutGeneratedSelector(named, request.object ?? {});
    case '/Service':
      return withoutAllocations(named);
    case 'apps/Deployment':
    case 'apps/ReplicaSet':
      return without(named, ofControllers(request));
    case 'certificates.k8s.io/CertificateSigningRequest':
      // Who asks, as the API server writes it; of it extra names the credential, which is another one tomorrow.
      return without(named, ['/spec/extra']);
    default:
      return named;
  }
}

/** The name under which a request is known: its own, or with generateName the prefix and *. */
export function nameOf(request: AdmissionRequest): string {
  const isCreation = request.operation === 'CREATE' && request.subresource === '';
  const prefix = isCreation ? prefixOfGenerated(request.object) : '';
  if (prefix !== '') return `${prefix}*`;
  if (request.name !== '') return request.name;
  return textAt(request.oldObject, '/metadata/name') || textAt(request.object, '/metadata/name');
}

/**
 * The generateName that the server has made the object's name of; '' where it has not. A client may send both: then its
 * own name stands, and an approval for the prefix must not cover any name it likes (apiserver, storage/names/generate.go).
 */
function prefixOfGenerated(object: JsonObject | undefined): string {
  const prefix = textAt(object, '/metadata/generateName');
  const name = textAt(object, '/metadata/name');
  const kept = prefix.slice(0, 58);
  const isGenerated = name.startsWith(kept) && /^[bcdfghjklmnpqrstvwxz2456789]{5}$/.test(name.slice(kept.length));
  return prefix !== '' && (name === '' || isGenerated) ? prefix : '';
}

function withPrefixForName(object: JsonObject): JsonObject {
  const prefix = prefixOfGenerated(object);
  if (prefix === '' || !isObject(object.metadata)) return object;
  return { ...object, metadata: { ...object.metadata, name: `${prefix}*` } };
}

/** The token volume that ServiceAccount admission adds has a random name (plugin/pkg/admission/serviceaccount). */
function withPlainTokenVolume(pod: JsonObject): JsonObject {
  const names = listOf(pod, '/spec/volumes').map((volume) => textAt(volume, '/name'));
  const generated = names.filter((name) => /^kube-api-access-[a-z0-9]{5}$/.test(name));
  const [name] = generated;
  if (name === undefined || generated.length > 1) return pod;
  const rename = (item: Json): Json =>
    isObject(item) && item.name === name ? { ...item, name: 'kube-api-access-*' } : item;
  const mounting = (container: Json): Json =>
    isObject(container) && Array.isArray(container.volumeMounts)
      ? { ...container, volumeMounts: container.volumeMounts.map(rename) }
      : container;
  return withLists(pod, { volumes: rename, containers: mounting, initContainers: mounting });
}

/** Nowhere else is that name the server's: a Secret or an environment may bear it by choice. */
function withLists(pod: JsonObject, change: Readonly<Record<string, (item: Json) => Json>>): JsonObject {
  const lists = Object.entries(change).flatMap(([list, changed]) => {
    const items = valueAt(pod, `/spec/${list}`);
    return Array.isArray(items) ? [[list, items.map(changed)] as const] : [];
  });
  return isObject(pod.spec) ? { ...pod, spec: { ...pod.spec, ...Object.fromEntries(lists) } } : pod;
}

/** Job strategy generates selector and labels from the UID it has just made (pkg/registry/batch/job/strategy.go). */
function withoutGeneratedSelector(job: JsonObject, asSent: JsonObject): Json | undefined {
  if (valueAt(job, '/spec/manualSelector') === true) return job;
  const generated: readonly (readonly [string, string])[] = [
    ['controller-uid', textAt(asSent, '/metadata/uid')],
    ['batch.kubernetes.io~1controller-uid', textAt(asSent, '/metadata/uid')],
    ['job-name', textAt(asSent, '/metadata/name')],
    ['batch.kubernetes.io~1job-name', textAt(asSent, '/metadata/name')],
  ];
  // A Job without labels of its own is given the template's by defaulting, and shares the very map.
  const labels = ['/metadata/labels', '/spec/template/metadata/labels'].flatMap((place) =>
    generated.map(([key, value]) => [`${place}/${key}`, value] as const),
  );
  const equal = labels.filter(([place, value]) => value !== '' && textAt(job, place) === value);
  return without(job, ['/spec/selector', ...equal.map(([place]) => place)]);
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

/** What the deployment controller writes back to Deployments and ReplicaSets, never who deploys. On other kinds these
 *  annotations are content like any other. */
const writtenBack: readonly string[] = ['revision', 'desired-replicas', 'max-replicas', 'revision-history'].map(
  (name) => `/metadata/annotations/deployment.kubernetes.io~1${name}`,
);

export function ofControllers({ group, resource }: Pick<AdmissionRequest, 'group' | 'resource'>): readonly string[] {
  return group === 'apps' && ['deployments', 'replicasets'].includes(resource) ? writtenBack : [];
}

/** kubectl certificate approve writes the instant of each try into the condition (kubectl, pkg/cmd/certificates). */
export function approvalPlain(content: Json, request: AdmissionRequest): Json {
  const conditions = valueAt(content, '/status/conditions');
  if (
    !isApprovalOfCertificate(request) ||
    !isObject(content) ||
    !isObject(content.status) ||
    !Array.isArray(conditions)
  )
    return content;
  const plain = conditions.map((one: Json) => without(one, ['/lastUpdateTime', '/lastTransitionTime']) ?? null);
  return { ...content, status: { ...content.status, conditions: plain } };
}

export function isApprovalOfCertificate({ group, resource, subresource }: AdmissionRequest): boolean {
  return `${group}/${resource}/${subresource}` === 'certificates.k8s.io/certificatesigningrequests/approval';
}
