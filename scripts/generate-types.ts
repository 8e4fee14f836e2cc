// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Makes src/api/generated/v1alpha1.ts and src/api/generated/definitions.ts from crds/. With --check it only says whether they
// are up to date.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { load } from 'js-yaml';
import { kindsDigest } from './sync-crds.ts';

interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly enum?: readonly string[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema;
  readonly required?: readonly string[];
}

interface Crd {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly names: { readonly kind: string };
    readonly versions: readonly { readonly name: string; readonly schema: { readonly openAPIV3Schema: Schema } }[];
  };
}

const crds = new URL('../crds/', import.meta.url);
const targets = [
  { file: new URL('../src/api/generated/v1alpha1.ts', import.meta.url), make: generatedTypes },
  { file: new URL('../src/api/generated/definitions.ts', import.meta.url), make: generatedDefinitions },
];
const header = [
  '// Code generated from crds/ by scripts/generate-types.ts. DO NOT EDIT.',
  '// SPDX-FileCopyrightText: The stepup authors',
  '// SPDX-License-Identifier: Apache-2.0',
];

/** The kinds as types. */
function generatedTypes(): string {
  return `${[...header, "import type { KubeObject } from '../../kube/objects/kube-object.ts';", ...read().map(kindOf)].join('\n')}\n`;
}

/** The definitions as the release brings them, and the digest by which its chart names them. */
function generatedDefinitions(): string {
  const definitions = read().map(({ metadata: { name }, spec }) => `  ${JSON.stringify({ name, spec })},`);
  const lines = [
    ...header,
    `export const kindsDigest = '${kindsDigest()}';`,
    'export const definitions: readonly { readonly name: string; readonly spec: object }[] = [',
    ...definitions,
    '];',
  ];
  return `${lines.join('\n')}\n`;
}

function read(): readonly Crd[] {
  return readdirSync(crds)
    .sort()
    .map((file) => load(readFileSync(new URL(file, crds), 'utf8')) as Crd);
}

function kindOf(crd: Crd): string {
  const { kind } = crd.spec.names;
  const schema = crd.spec.versions[0]?.schema.openAPIV3Schema;
  const { spec, status } = schema?.properties ?? {};
  const members = [
    spec && `readonly spec: ${typeOf(spec, '  ')};`,
    status && `readonly status?: ${typeOf(status, '  ')};`,
  ];
  return `\n/** ${schema?.description ?? kind} */\nexport interface ${kind} extends KubeObject {\n  ${members.filter(Boolean).join('\n  ')}\n}`;
}

function typeOf(schema: Schema, indent: string): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `'${value}'`).join(' | ');
  switch (schema.type) {
    case 'string':
      return 'string';
    case 'integer':
      return 'number';
    case 'boolean':
      return 'boolean';
    case 'array': {
      const items = typeOf(schema.items ?? {}, indent);
      return `readonly ${items.includes(' | ') ? `(${items})` : items}[]`;
    }
    case 'object':
      return schema.properties === undefined ? mapOf(schema, indent) : membersOf(schema, schema.properties, indent);
    default:
      return 'unknown';
  }
}

function mapOf(schema: Schema, indent: string): string {
  return `Readonly<Record<string, ${typeOf(schema.additionalProperties ?? {}, indent)}>>`;
}

function membersOf(schema: Schema, properties: Readonly<Record<string, Schema>>, indent: string): string {
  const lines = Object.entries(properties).map(([name, member]) => {
    const comment = member.description === undefined ? '' : `${indent}  /** ${member.description} */\n`;
    const optional = schema.required?.includes(name) ? '' : '?';
    return `${comment}${indent}  readonly ${name}${optional}: ${typeOf(member, `${indent}  `)};`;
  });
  return `{\n${lines.join('\n')}\n${indent}}`;
}

function isCurrent({ file, make }: (typeof targets)[number]): boolean {
  try {
    return readFileSync(file, 'utf8') === make();
  } catch {
    return false;
  }
}

if (import.meta.main) {
  const stale = targets.filter((target) => !isCurrent(target));
  if (process.argv.includes('--check')) {
    process.stdout.write(
      stale.length === 0
        ? 'generated types are up to date\n'
        : 'generated types differ from crds/: run make generate\n',
    );
    process.exitCode = stale.length === 0 ? 0 : 1;
  } else {
    for (const { file, make } of stale) {
      mkdirSync(new URL('.', file), { recursive: true });
      writeFileSync(file, make());
    }
  }
}
