// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The kinds of this tree take the place of those of the previous release; and what would not is caught.
import { execFileSync } from 'node:child_process';
import { loadAll } from 'js-yaml';
import { describe, expect, test } from 'vitest';
import { chartCrds } from '../../../scripts/sync-crds.ts';
import { type Definition, incompatibilities, type Schema } from './crd-compatibility.ts';
import { previousRelease } from './previous-release.ts';

const { chart, version } = await previousRelease();
const previous = definitionsIn(
  execFileSync('tar', ['-xzO', '--wildcards', 'stepup/files/crds/*.yaml'], { input: chart }).toString(),
);
const current = [...chartCrds().values()].flatMap(definitionsIn);

function definitionsIn(text: string): readonly Definition[] {
  return loadAll(text.replaceAll(/^# Copied from/gm, '---\n# Copied from')).filter(
    (value): value is Definition => typeof value === 'object' && value !== null && 'spec' in value,
  );
}

test(`the kinds of ${version} are all there, and each is compatible`, () => {
  const byName = new Map(current.map((one) => [one.metadata.name, one]));
  expect(previous).toHaveLength(3);
  const found = previous.flatMap((older) => {
    const newer = byName.get(older.metadata.name);
    return newer === undefined ? [`${older.metadata.name} is gone`] : incompatibilities(older, newer);
  });
  expect(found).toEqual([]);
});

const base = {
  type: 'object',
  required: ['spec'],
  properties: {
    spec: {
      type: 'object',
      properties: {
        mode: { type: 'string', enum: ['Enforce', 'Observe'], default: 'Enforce' },
        name: { type: 'string', minLength: 1, maxLength: 50, pattern: '^a' },
        count: { type: 'integer', minimum: 1, maximum: 10 },
        list: { type: 'array', maxItems: 5, items: { type: 'string', maxLength: 9 }, 'x-kubernetes-list-type': 'set' },
        labels: { type: 'object', additionalProperties: { type: 'string', maxLength: 63 } },
        raw: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        when: { type: 'string', nullable: true },
      },
    },
  },
} as const satisfies Schema;

type Edit = (definition: Thing, spec: MutableSchema) => void;
interface Thing {
  metadata: { name: string };
  spec: {
    group: string;
    scope: string;
    names: { kind: string; plural: string; shortNames?: string[] };
    versions: ThingVersion[];
  };
}
interface ThingVersion {
  name: string;
  served: boolean;
  storage: boolean;
  subresources?: Record<string, object>;
  selectableFields?: { jsonPath: string }[];
  schema: { openAPIV3Schema: Schema };
}
interface MutableSchema {
  required?: string[];
  properties: Record<string, Record<string, unknown>>;
}

function sample(edit: Edit = () => {}): Definition {
  const definition: Thing = {
    metadata: { name: 'things.example.test' },
    spec: {
      group: 'example.test',
      scope: 'Namespaced',
      names: { kind: 'Thing', plural: 'things', shortNames: ['th'] },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          subresources: { status: {} },
          selectableFields: [{ jsonPath: '.spec.name' }],
          schema: { openAPIV3Schema: structuredClone<Schema>(base) },
        },
      ],
    },
  };
  const [version] = definition.spec.versions;
  edit(definition, version?.schema.openAPIV3Schema.properties?.spec as unknown as MutableSchema);
  return definition;
}

const of = (spec: MutableSchema, name: string) => spec.properties[name] ?? {};

describe('is caught', () => {
  const rows: readonly (readonly [string, Edit, string])[] = [
    ['a property that goes', (_, spec) => delete spec.properties.when, '.spec has lost when'],
    ['another type', (_, spec) => Object.assign(of(spec, 'count'), { type: 'string' }), '.spec.count has another type'],
    [
      'an enum value that goes',
      (_, spec) => Object.assign(of(spec, 'mode'), { enum: ['Enforce'] }),
      '.spec.mode may not be "Observe" any more',
    ],
    ['an enum that comes', (_, spec) => Object.assign(of(spec, 'name'), { enum: ['a'] }), '.spec.name has an enum now'],
    ['another default', (_, spec) => Object.assign(of(spec, 'mode'), { default: 'Observe' }), 'has another default'],
    [
      'a required field that comes',
      (_, spec) => Object.assign(spec, { required: ['name'] }),
      '.spec requires name now',
    ],
    ['a shorter maximum', (_, spec) => Object.assign(of(spec, 'name'), { maxLength: 49 }), 'a stricter maxLength'],
    ['a maximum that comes', (_, spec) => Object.assign(of(spec, 'labels'), { maxProperties: 9 }), 'maxProperties'],
    ['a higher minimum', (_, spec) => Object.assign(of(spec, 'count'), { minimum: 2 }), 'a stricter minimum'],
    ['another pattern', (_, spec) => Object.assign(of(spec, 'name'), { pattern: '^b' }), 'another pattern'],
    ['a stricter item', (_, spec) => Object.assign(of(spec, 'list').items as object, { maxLength: 8 }), '.spec.list[]'],
    [
      'a stricter value',
      (_, spec) => Object.assign(of(spec, 'labels').additionalProperties as object, { maxLength: 8 }),
      '.spec.labels{}',
    ],
    ['keys that are closed', (_, spec) => delete of(spec, 'labels').additionalProperties, 'no more keys'],
    ['another kind of list', (_, spec) => delete of(spec, 'list')['x-kubernetes-list-type'], 'x-kubernetes-list-type'],
    ['null that is refused', (_, spec) => delete of(spec, 'when').nullable, 'has lost nullable'],
    [
      'fields that are pruned',
      (_, spec) => delete of(spec, 'raw')['x-kubernetes-preserve-unknown-fields'],
      'has lost x-kubernetes-preserve-unknown-fields',
    ],
    ['a version that goes', (one) => one.spec.versions.pop(), 'v1: is served no longer'],
    [
      'a version that is not served',
      (one) => Object.assign(one.spec.versions[0] ?? {}, { served: false }),
      'v1: is served no longer',
    ],
    [
      'a selectable field that goes',
      (one) => delete one.spec.versions[0]?.selectableFields,
      '.spec.name cannot be selected',
    ],
    ['a subresource that goes', (one) => delete one.spec.versions[0]?.subresources, 'the subresource status is gone'],
    ['another scope', (one) => Object.assign(one.spec, { scope: 'Cluster' }), 'scope is another one'],
    ['a short name that goes', (one) => delete one.spec.names.shortNames, 'the short name th is gone'],
  ];
  test.each(rows)('%s', (_, edit, told) => {
    expect(incompatibilities(sample(), sample(edit))).toEqual([expect.stringContaining(told)]);
  });
});

describe('does no harm', () => {
  const rows: readonly (readonly [string, Edit])[] = [
    ['nothing at all', () => {}],
    ['an optional property', (_, spec) => Object.assign(spec.properties, { more: { type: 'string', maxLength: 1 } })],
    ['a further enum value', (_, spec) => (of(spec, 'mode').enum as string[]).push('Off')],
    ['a required field with a default', (_, spec) => Object.assign(spec, { required: ['mode'] })],
    ['a longer maximum', (_, spec) => Object.assign(of(spec, 'name'), { maxLength: 51 })],
    ['a lower minimum', (_, spec) => Object.assign(of(spec, 'count'), { minimum: 0 })],
    ['an enum that goes', (_, spec) => delete of(spec, 'mode').enum],
    ['another description', (_, spec) => Object.assign(of(spec, 'name'), { description: 'new' })],
    [
      'a further version',
      (one) => one.spec.versions.push(...structuredClone(one.spec.versions).map((other) => ({ ...other, name: 'v2' }))),
    ],
  ];
  test.each(rows)('%s', (_, edit) => {
    expect(incompatibilities(sample(), sample(edit))).toEqual([]);
  });
});
