// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Holds the details of a denial against docs/schemas/denial-details.schema.json, with as much of JSON Schema as it uses.
import { textOf } from '../repo/files.ts';

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
}

const annotations = ['$schema', '$id', '$defs', 'title', 'description'];
const understood = [
  ...annotations,
  ...['$ref', 'oneOf', 'type', 'const', 'enum', 'pattern', 'minimum', 'maximum', 'required', 'properties'],
  ...['additionalProperties', 'minItems', 'prefixItems'],
];

const root = JSON.parse(textOf('docs/schemas/denial-details.schema.json')) as Schema & {
  readonly $defs: Readonly<Record<string, Schema>>;
};

/** Reasons that the schema names, sorted. */
export const namedReasons: readonly string[] = [
  ...JSON.stringify(root).matchAll(/"Reason"\},"message":\{"enum":\[([^\]]*)\]/g),
]
  .flatMap(([, names = '']) => JSON.parse(`[${names}]`) as string[])
  .sort();

/** What is wrong with the details, each with its path; empty when they keep the contract. */
export function problemsOf(details: unknown): readonly string[] {
  return problems(root, details, 'details');
}

function problems(schema: Schema, value: unknown, path: string): readonly string[] {
  const unknown = Object.keys(schema).filter((key) => !understood.includes(key));
  if (unknown.length > 0) throw new Error(`this check does not understand ${unknown.join(', ')}`);
  const found: string[] = [];
  const wrong = (what: string) => found.push(`${path}: ${what}`);
  if (schema.$ref !== undefined) {
    const target = root.$defs[schema.$ref.slice('#/$defs/'.length)];
    if (target === undefined) throw new Error(`nothing is at ${schema.$ref}`);
    found.push(...problems(target, value, path));
  }
  if (schema.oneOf !== undefined) {
    const each = schema.oneOf.map((one) => problems(one, value, path));
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
    const items = schema.prefixItems ?? [];
    found.push(...items.slice(0, value.length).flatMap((item, at) => problems(item, value[at], `${path}[${at}]`)));
  } else if (typeof value === 'object' && value !== null) {
    const members = value as Readonly<Record<string, unknown>>;
    for (const name of schema.required ?? []) if (!(name in members)) wrong(`lacks ${name}`);
    for (const [name, member] of Object.entries(members)) {
      const property = schema.properties?.[name];
      if (property !== undefined) found.push(...problems(property, member, `${path}.${name}`));
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
