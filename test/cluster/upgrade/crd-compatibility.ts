// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a newer definition of a kind takes away from those who rely on the older one: stored objects, clients, selectors.
//
// CEL rules are not judged here: whether an added one refuses what is stored is seen by writing it, on a real API server.

/** As much of an OpenAPI schema as definitions use. */
export interface Schema {
  readonly type?: string;
  readonly format?: string;
  readonly pattern?: string;
  readonly nullable?: boolean;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly [field: string]: unknown;
}

export interface Definition {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly group: string;
    readonly scope: string;
    readonly names: { readonly kind: string; readonly plural: string; readonly shortNames?: readonly string[] };
    readonly versions: readonly DefinedVersion[];
  };
}

interface DefinedVersion {
  readonly name: string;
  readonly served: boolean;
  readonly storage: boolean;
  readonly subresources?: Readonly<Record<string, unknown>>;
  readonly selectableFields?: readonly { readonly jsonPath: string }[];
  readonly schema: { readonly openAPIV3Schema: Schema };
}

/** Sentences about what no longer fits, empty when the newer definition can take the older one's place. */
export function incompatibilities(older: Definition, newer: Definition): readonly string[] {
  const { name } = older.metadata;
  const found: string[] = [];
  for (const field of ['group', 'scope'] as const) {
    if (older.spec[field] !== newer.spec[field]) found.push(`${name}: ${field} is another one`);
  }
  for (const field of ['kind', 'plural'] as const) {
    if (older.spec.names[field] !== newer.spec.names[field]) found.push(`${name}: ${field} is another one`);
  }
  const shortNames = newer.spec.names.shortNames ?? [];
  const lost = (older.spec.names.shortNames ?? []).filter((short) => !shortNames.includes(short));
  found.push(...lost.map((short) => `${name}: the short name ${short} is gone`));
  for (const version of older.spec.versions) {
    const at = `${name} ${version.name}`;
    const next = newer.spec.versions.find((candidate) => candidate.name === version.name);
    if (next === undefined || (version.served && !next.served)) found.push(`${at}: is served no longer`);
    if (next !== undefined) found.push(...ofVersion(at, version, next));
  }
  return found;
}

function ofVersion(at: string, older: DefinedVersion, newer: DefinedVersion): readonly string[] {
  const subresources = Object.keys(older.subresources ?? {}).filter((one) => !(one in (newer.subresources ?? {})));
  const selectable = new Set((newer.selectableFields ?? []).map(({ jsonPath }) => jsonPath));
  const unselectable = (older.selectableFields ?? []).filter(({ jsonPath }) => !selectable.has(jsonPath));
  return [
    ...subresources.map((one) => `${at}: the subresource ${one} is gone`),
    ...unselectable.map(({ jsonPath }) => `${at}: ${jsonPath} cannot be selected by any more`),
    ...ofSchema(`${at}: `, '', older.schema.openAPIV3Schema, newer.schema.openAPIV3Schema),
  ];
}

const lowest = ['minLength', 'minItems', 'minProperties', 'minimum'];
const highest = ['maxLength', 'maxItems', 'maxProperties', 'maximum'];
/** Another value of these refuses, or means, something else. */
const same = [
  'type',
  'format',
  'pattern',
  'default',
  'multipleOf',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'uniqueItems',
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-map-type',
  'x-kubernetes-int-or-string',
  'x-kubernetes-embedded-resource',
  'allOf',
  'anyOf',
  'oneOf',
  'not',
];
/** What may come, but not go. */
const openings = ['nullable', 'x-kubernetes-preserve-unknown-fields'];

function ofSchema(prefix: string, path: string, older: Schema, newer: Schema): readonly string[] {
  const found: string[] = [];
  const say = (what: string) => found.push(`${prefix}${path === '' ? '.' : path} ${what}`);
  for (const field of same) if (!equal(older[field], newer[field])) say(`has another ${field}`);
  for (const field of openings) if (older[field] === true && newer[field] !== true) say(`has lost ${field}`);
  for (const field of lowest) if (isStricter(older[field], newer[field], 1)) say(`has a stricter ${field}`);
  for (const field of highest) if (isStricter(older[field], newer[field], -1)) say(`has a stricter ${field}`);
  if (newer.enum !== undefined) {
    if (older.enum === undefined) say('has an enum now');
    const refused = (older.enum ?? []).filter((value) => !newer.enum?.some((other) => equal(value, other)));
    for (const value of refused) say(`may not be ${JSON.stringify(value)} any more`);
  }
  const properties = newer.properties ?? {};
  for (const name of newer.required ?? []) {
    // A default is there before anybody looks whether something is missing.
    const isNew = !(older.required ?? []).includes(name) && properties[name]?.default === undefined;
    if (isNew) say(`requires ${name} now`);
  }
  for (const [name, property] of Object.entries(older.properties ?? {})) {
    const next = properties[name];
    if (next === undefined) say(`has lost ${name}`);
    else found.push(...ofSchema(prefix, `${path}.${name}`, property, next));
  }
  if (older.items !== undefined && newer.items !== undefined) {
    found.push(...ofSchema(prefix, `${path}[]`, older.items, newer.items));
  }
  const [values, nextValues] = [older.additionalProperties, newer.additionalProperties];
  if (values !== undefined && values !== false && (nextValues === undefined || nextValues === false)) {
    say('takes no more keys of any name');
  } else if (typeof values === 'object' && typeof nextValues === 'object') {
    found.push(...ofSchema(prefix, `${path}{}`, values, nextValues));
  }
  return found;
}

/** Direction 1: a greater bound refuses more; -1: a smaller one does. */
function isStricter(older: unknown, newer: unknown, direction: 1 | -1): boolean {
  if (typeof newer !== 'number') return false;
  if (typeof older !== 'number') return direction === -1 || newer > 0;
  return (newer - older) * direction > 0;
}

function equal(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
