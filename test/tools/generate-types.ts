// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Makes src/api/v1alpha1/generated.ts from crds/. With --check it only says whether the file is up to date.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { load } from 'js-yaml';

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
  readonly spec: {
    readonly names: { readonly kind: string };
    readonly versions: readonly { readonly name: string; readonly schema: { readonly openAPIV3Schema: Schema } }[];
  };
}

const crds = new URL('../../crds/', import.meta.url);
const target = new URL('../../src/api/v1alpha1/generated.ts', import.meta.url);

/** The whole generated file. */
export function generatedTypes(): string {
  const kinds = readdirSync(crds)
    .sort()
    .map((file) => load(readFileSync(new URL(file, crds), 'utf8')) as Crd);
  const header = [
    '// Code generated from crds/ by test/tools/generate-types.ts. DO NOT EDIT.',
    '// SPDX-FileCopyrightText: The stepup authors',
    '// SPDX-License-Identifier: Apache-2.0',
    "import type { KubeObject } from '../kube-object.ts';",
  ];
  return `${[...header, ...kinds.map(kindOf)].join('\n')}\n`;
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

if (import.meta.main) {
  const isCurrent = (() => {
    try {
      return readFileSync(target, 'utf8') === generatedTypes();
    } catch {
      return false;
    }
  })();
  if (process.argv.includes('--check')) {
    process.stdout.write(
      isCurrent ? 'generated types are up to date\n' : 'generated types differ from crds/: run make generate\n',
    );
    process.exitCode = isCurrent ? 0 : 1;
  } else if (!isCurrent) {
    writeFileSync(target, generatedTypes());
  }
}
