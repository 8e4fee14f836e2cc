// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Holds the reference page of each kind against its definition in crds/: every field, value and default, and no other.
import { load, loadAll } from 'js-yaml';
import { describe, expect, test } from 'vitest';
import { plan } from '../../src/domain/lifecycle/plan.ts';
import { approval, situation } from '../support/builders/domain.ts';
import { textOf } from '../support/repository-files.ts';

interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema;
  readonly items?: Schema;
  readonly required?: readonly string[];
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly default?: unknown;
  readonly maximum?: number;
}

interface Definition {
  readonly spec: {
    readonly names: { readonly kind: string; readonly shortNames: readonly string[] };
    readonly versions: readonly [{ readonly schema: { readonly openAPIV3Schema: Schema } }];
  };
}

interface Field {
  readonly path: string;
  readonly schema: Schema;
}

const parts = ['Example', 'Writing a spec', 'Working with it', 'Status'] as const;
type Part = (typeof parts)[number];

const definitions = ['stepuppolicies', 'stepupapprovals', 'stepupdecisions'].map(
  (plural) => load(textOf(`crds/${plural}.yaml`)) as Definition,
);

const pages = definitions.map((definition) => {
  const { names, versions } = definition.spec;
  const root = versions[0].schema.openAPIV3Schema;
  return { ...names, root, text: textOf(`docs/reference/${names.kind.toLowerCase()}.md`) };
});

describe.each(pages)('the reference page of $kind', ({ kind, shortNames, root, text }) => {
  const spec = root.properties?.spec ?? {};
  const status = root.properties?.status ?? {};

  test('has the four parts, and the short name', () => {
    expect([...text.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading)).toEqual(parts);
    expect(shortNames.filter((name) => !text.includes(`\x60${name}\x60`))).toEqual([]);
  });

  test('names every field of the spec, and no other', () => {
    const wanted = fieldsOf(spec).map(({ path }) => path);
    const named = rowsOf(partOf(text, 'Writing a spec')).flatMap(({ fields }) => fields);
    expect([...new Set(named)].sort()).toEqual(wanted.sort());
  });

  test('says which values a field of the spec can have, its default and its largest value', () => {
    const rows = rowsOf(partOf(text, 'Writing a spec'));
    const unsaid = fieldsOf(spec).flatMap(({ path, schema }) => {
      const about = rows.filter(({ fields }) => fields.includes(path)).map(({ line }) => line);
      const { items, maximum = items?.maximum } = schema;
      const values = [...(schema.enum ?? items?.enum ?? []), ...defaultOf(schema)].map((value) => `\x60${value}\x60`);
      const numbers = maximum === undefined ? [] : [String(maximum)];
      const elsewhere = path === 'verdict' || path.startsWith('use.');
      return [...values, ...numbers]
        .filter((said) => !(elsewhere ? text : about.join('\n')).includes(said))
        .map((said) => `${path}: ${said}`);
    });
    expect(unsaid).toEqual([]);
  });

  test('names the fields of the status', () => {
    const wanted = fieldsOf(status, 2).filter(({ path }) => !path.startsWith('conditions[].'));
    const page = partOf(text, 'Status');
    const nameOf = (path: string) => path.split('.').at(-1) ?? path;
    const rows = rowsOf(page);
    const unnamed = wanted.filter(({ path }) => {
      const [parent = ''] = path.split('.');
      const about = rows.filter(({ fields }) => fields.includes(path) || fields.includes(parent));
      const isNamed = (line: string) => line.includes(`\x60${path}\x60`) || line.includes(`\x60${nameOf(path)}\x60`);
      return !about.some(({ line }) => isNamed(line));
    });
    expect(unnamed.map(({ path }) => path)).toEqual([]);
    const known = new Set(fieldsOf(status).map(({ path }) => path));
    const others = rows.flatMap(({ fields }) => fields).filter((field) => /[.[a-z]/.test(field[0] ?? ''));
    expect(others.filter((field) => !known.has(field))).toEqual([]);
  });

  test('names every phase and condition in the part about the status', () => {
    const page = partOf(text, 'Status');
    const phases = status.properties?.phase?.enum ?? [];
    const unnamed = [...phases, ...conditionsOf(kind)].filter((name) => !page.includes(`\x60${name}\x60`));
    expect(unnamed).toEqual([]);
  });

  test('has examples that fit the definition', () => {
    const blocks = [...text.matchAll(/^\x60{3}yaml\n([\s\S]*?)^\x60{3}$/gm)].map(([, yaml = '']) => yaml);
    const objects = blocks.flatMap((yaml) => loadAll(yaml)) as readonly Readonly<Record<string, unknown>>[];
    expect(objects.length).toBeGreaterThan(0);
    for (const object of objects) {
      expect(object).toMatchObject({ apiVersion: 'stepup.dev/v1alpha1', kind });
      expect(misfits(object.spec, spec, 'spec')).toEqual([]);
    }
  });
});

/** All fields below an object, with dotted paths; a list's items are those of name[]. */
function fieldsOf(schema: Schema, depth = Number.POSITIVE_INFINITY): Field[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, member]) => {
    const path = member.items === undefined ? name : `${name}[]`;
    const inside = depth > 1 ? fieldsOf(member.items ?? member, depth - 1) : [];
    return [{ path, schema: member }, ...inside.map((one) => ({ ...one, path: `${path}.${one.path}` }))];
  });
}

/** The default that is worth saying: that of an object stands in its members. */
function defaultOf({ default: value }: Schema): readonly string[] {
  if (value === undefined || (typeof value === 'object' && value !== null)) return [];
  return [value === '' ? '""' : String(value)];
}

function partOf(text: string, part: Part): string {
  return text.split(/^## /m).find((section) => section.startsWith(`${part}\n`)) ?? '';
}

/** The rows of tables whose heading says that they are about fields, each with the fields that its first cell names. */
function rowsOf(section: string) {
  return [...section.matchAll(/^\| field \|.*\n\|[-| ]+\n((?:\|.*\n?)+)/gm)].flatMap(([, table = '']) =>
    table
      .trimEnd()
      .split('\n')
      .map((line) => ({
        line,
        fields: [...(line.split(' | ')[0] ?? '').matchAll(/\x60([^\x60]+)\x60/g)].map(([, field = '']) => field),
      })),
  );
}

/** What the operator writes, and the types that only come with a reason for them. */
function conditionsOf(kind: string): readonly string[] {
  if (kind === 'StepUpPolicy') return ['Ready', 'Tampered'];
  if (kind === 'StepUpDecision') return [];
  const written = (plan(situation(approval())).status?.conditions ?? []).map(({ type }) => type);
  expect(written.length).toBeGreaterThan(0);
  return [...written, 'ReviewRequired', 'Exposed', 'Tampered'];
}

/** Where a value does not fit its schema, as far as examples need to. */
function misfits(value: unknown, schema: Schema, path: string): readonly string[] {
  if (Array.isArray(value)) return value.flatMap((item, at) => misfits(item, schema.items ?? {}, `${path}[${at}]`));
  if (typeof value === 'object' && value !== null) {
    const { properties = {}, additionalProperties, required = [] } = schema;
    const missing = required.filter((name) => !Object.hasOwn(value, name)).map((name) => `${path}.${name}: missing`);
    const members = Object.entries(value).flatMap(([name, member]) => {
      const inner = properties[name] ?? additionalProperties;
      return inner === undefined ? [`${path}.${name}: no such field`] : misfits(member, inner, `${path}.${name}`);
    });
    return [...missing, ...members];
  }
  const isType = schema.type === 'integer' ? typeof value === 'number' : typeof value === schema.type;
  if (!isType) return [`${path}: ${typeof value}, not ${schema.type}`];
  if (schema.enum !== undefined && !schema.enum.includes(value)) return [`${path}: not one of its values`];
  const isMatch = schema.pattern === undefined || new RegExp(schema.pattern).test(String(value));
  return isMatch ? [] : [`${path}: does not match ${schema.pattern}`];
}
