// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What kubectl explain prints about the three kinds: every field has a description, in sentences and in the glossary's terms.
import { load } from 'js-yaml';
import { describe, expect, test } from 'vitest';
import { repositoryFiles, textOf } from '../support/repository-files.ts';

interface Schema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
}

interface Crd {
  readonly spec: {
    readonly names: { readonly kind: string };
    readonly versions: readonly { readonly schema: { readonly openAPIV3Schema: Schema } }[];
  };
}

interface Field {
  readonly path: string;
  readonly description: string;
}

const kinds = repositoryFiles()
  .filter((path) => /^crds\/[^/]+\.yaml$/.test(path))
  .map((path) => load(textOf(path)) as Crd);

const fields = kinds.flatMap(({ spec: { names, versions } }) =>
  versions.flatMap(({ schema }) => [
    { path: names.kind, description: schema.openAPIV3Schema.description ?? '' },
    ...fieldsOf(names.kind, schema.openAPIV3Schema),
  ]),
);

/** The API server refuses a description on the metadata of a kind, and publishes its own. */
const described = fields.filter(({ path }) => !/^\w+\.metadata$/.test(path));

describe('the definitions of the kinds', () => {
  test('are three, with all their fields', () => {
    expect(kinds.map(({ spec }) => spec.names.kind)).toEqual(['StepUpApproval', 'StepUpDecision', 'StepUpPolicy']);
    expect(fields.length).toBeGreaterThan(250);
    // Nested in objects, lists and both.
    expect(fields.map(({ path }) => path)).toEqual(
      expect.arrayContaining([
        'StepUpApproval.spec.requester.username',
        'StepUpApproval.status.uses[].effect.content.kind',
        'StepUpPolicy.spec.approval.require[].approvers.serviceAccounts[].name',
        'StepUpPolicy.status.conditions[].message',
      ]),
    );
  });

  test('describe every field', () => {
    expect(described.filter(({ description }) => description === '').map(({ path }) => path)).toEqual([]);
  });

  test('describe it in sentences', () => {
    expect(described.filter(({ description }) => !isSentence(description))).toEqual([]);
  });

  test('name things as the glossary does', () => {
    expect(described.filter(({ description }) => retiredIn(description).length > 0)).toEqual([]);
  });
});

describe('a description', () => {
  test.each([
    ['Why the voter decided this way.', true],
    ['`Deny` answers with code 403. `Retry` answers with 429.', true],
    ['"" is the core group.', true],
    ['why the voter decided this way.', false],
    ['Why the voter decided this way', false],
    ['The name.', false],
  ])('%j: a sentence is %s', (text, expected) => {
    expect(isSentence(text)).toBe(expected);
  });

  test.each([
    ['One word of one person, and other words.', ['word', 'words']],
    ['Break-glass, a glass, and broken glass.', ['glass', 'broken glass']],
    ['Doors, marks and a door.', ['Doors', 'marks', 'door']],
    ['A password, a marked wordless doorway, and a remark on break-glass.', []],
  ])('%j: %j are retired', (text, expected) => {
    expect(retiredIn(text)).toEqual(expected);
  });
});

function fieldsOf(path: string, { properties = {}, items, additionalProperties }: Schema): readonly Field[] {
  return [
    ...Object.entries(properties).flatMap(([name, field]) => [
      { path: `${path}.${name}`, description: field.description ?? '' },
      ...fieldsOf(`${path}.${name}`, field),
    ]),
    ...(items === undefined ? [] : fieldsOf(`${path}[]`, items)),
    ...(typeof additionalProperties === 'object' ? fieldsOf(`${path}{}`, additionalProperties) : []),
  ];
}

function isSentence(text: string): boolean {
  return /^[A-Z`"'].*\.$/s.test(text) && text.split(/\s+/).length >= 4;
}

function retiredIn(text: string): readonly string[] {
  const retired = /(?<!break-)\b(?:broken glass|glass(?:es)?|words?|doors?|marks?)\b/gi;
  return [...text.matchAll(retired)].map(([found]) => found);
}
