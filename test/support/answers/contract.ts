// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Holds what stepup tells machines against the schemas in docs/schemas, with as much of JSON Schema as these use.
import { textOf } from '../repository-files.ts';

interface Schema {
  readonly $ref?: string;
  readonly oneOf?: readonly Schema[];
  readonly type?: 'object' | 'array' | 'string' | 'integer';
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: false;
  readonly minItems?: number;
  readonly prefixItems?: readonly Schema[];
  readonly items?: Schema;
}

type Root = Schema & { readonly $defs?: Readonly<Record<string, Schema>> };

const annotations = ['$schema', '$id', '$defs', 'title', 'description'];
const understood = [
  ...annotations,
  ...['$ref', 'oneOf', 'type', 'const', 'enum', 'pattern', 'minimum', 'maximum', 'required', 'properties'],
  ...['additionalProperties', 'minItems', 'prefixItems', 'items'],
];

const schemaOf = (name: string) => JSON.parse(textOf(`docs/schemas/${name}.schema.json`)) as Root;
const denial = schemaOf('denial-details');
const record = schemaOf('audit-record');

/** Reasons that the schema names, sorted. */
export const namedReasons: readonly string[] = [
  ...JSON.stringify(denial).matchAll(/"Reason"\},"message":\{"enum":\[([^\]]*)\]/g),
]
  .flatMap(([, names = '']) => JSON.parse(`[${names}]`) as string[])
  .sort();

/** What is wrong with the details, each with its path; empty when they keep the contract. */
export function problemsOf(details: unknown): readonly string[] {
  return problems(denial, denial, details, 'details');
}

/** What is wrong with an audit record. */
export function recordProblems(line: unknown): readonly string[] {
  return problems(record, record, line, 'record');
}

function problems(root: Root, schema: Schema, value: unknown, path: string): readonly string[] {
  const unknown = Object.keys(schema).filter((key) => !understood.includes(key));
  if (unknown.length > 0) throw new Error(`this check does not understand ${unknown.join(', ')}`);
  const found: string[] = [];
  const wrong = (what: string) => found.push(`${path}: ${what}`);
  if (schema.$ref !== undefined) {
    const target = root.$defs?.[schema.$ref.slice('#/$defs/'.length)];
    if (target === undefined) throw new Error(`nothing is at ${schema.$ref}`);
    found.push(...problems(root, target, value, path));
  }
  if (schema.oneOf !== undefined) {
    const each = schema.oneOf.map((one) => problems(root, one, value, path));
    const fits = each.filter((one) => one.length === 0).length;
    if (fits !== 1) wrong(`fits ${fits} forms: ${each.map((one) => one.join('; ')).join(' | ')}`);
  }
  if (schema.type !== undefined && typeOf(value) !== schema.type) wrong(`is no ${schema.type}`);
  if ('const' in schema && value !== schema.const) wrong(`is not ${String(schema.const)}`);
  if (schema.enum !== undefined && !schema.enum.includes(value)) wrong(`is ${String(value)}, which is not listed`);
  if (typeof value === 'string' && schema.pattern !== undefined && !new RegExp(schema.pattern, 'u').test(value)) {
    wrong(`"${value}" is not like ${schema.pattern}`);
  }
  if (typeof value === 'number' && (value < (schema.minimum ?? value) || value > (schema.maximum ?? value))) {
    wrong(`${value} is out of bounds`);
  }
  if (Array.isArray(value)) {
    if (value.length < (schema.minItems ?? 0)) wrong('has too few items');
    const { prefixItems = [], items } = schema;
    const schemas = value.map((_, at) => prefixItems[at] ?? items);
    found.push(
      ...schemas.flatMap((item, at) => (item === undefined ? [] : problems(root, item, value[at], `${path}[${at}]`))),
    );
  } else if (typeof value === 'object' && value !== null) {
    const members = value as Readonly<Record<string, unknown>>;
    for (const name of schema.required ?? []) if (!(name in members)) wrong(`lacks ${name}`);
    for (const [name, member] of Object.entries(members)) {
      const property = schema.properties?.[name];
      if (property !== undefined) found.push(...problems(root, property, member, `${path}.${name}`));
      else if (schema.additionalProperties === false) wrong(`has ${name}, which is not named`);
    }
  }
  return found;
}

function typeOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  if (Number.isInteger(value)) return 'integer';
  return typeof value;
}
