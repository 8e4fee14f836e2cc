// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Which REST resource an object belongs to, and the paths it lives at.

/** One REST resource of the API, in exactly one version. */
export interface Resource {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

/** Names one object; every `metadata` is one. */
export interface ObjectKey {
  readonly namespace?: string;
  readonly name: string;
}

/** `apiVersion` as objects of the resource carry it: `v1`, `stepup.dev/v1alpha1`. */
export function apiVersionOf(resource: Resource): string {
  return resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;
}

/** Path of all objects of a resource: in one namespace, or everywhere when `namespace` is left out. */
export function collectionPath(resource: Resource, namespace?: string): string {
  const root = resource.group === '' ? '/api' : `/apis/${resource.group}`;
  const scope = resource.namespaced && namespace !== undefined ? `/namespaces/${segment(namespace)}` : '';
  return `${root}/${resource.version}${scope}/${resource.plural}`;
}

/** Path to create an object at. A namespaced resource needs the namespace: without it the path is that of a list. */
export function creationPath(resource: Resource, namespace: string | undefined): string {
  if (resource.namespaced && namespace === undefined) {
    throw new RangeError(`${resource.plural}: the namespace is missing`);
  }
  return collectionPath(resource, namespace);
}

/** Path of one object or of one of its subresources. A namespaced resource needs the key's namespace. */
export function objectPath(resource: Resource, key: ObjectKey, subresource?: string): string {
  const path = `${creationPath(resource, key.namespace)}/${segment(key.name)}`;
  return subresource === undefined ? path : `${path}/${subresource}`;
}

/** A name is one path segment: a name such as `..` would ask for another path than the one meant. */
function segment(name: string): string {
  if (name === '' || name === '.' || name === '..')
    throw new RangeError(`${JSON.stringify(name)} is not an object name`);
  return encodeURIComponent(name);
}
