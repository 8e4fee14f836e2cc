// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What values.schema.json says of each value, by its path.
import { readFileSync } from 'node:fs';

interface Schema {
  readonly $ref?: string;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly definitions?: Readonly<Record<string, Schema>>;
}

const schema = JSON.parse(
  readFileSync(new URL('../../../charts/stepup/values.schema.json', import.meta.url), 'utf8'),
) as Schema;

export interface SchemaValue {
  readonly path: readonly string[];
  /** Helm takes a value away that is given as null: then the schema refuses, unless the value may be absent. */
  readonly mayBeNull: boolean;
}

/** Every value that the schema names, sections before what is in them; what is in lists is not named. */
export function schemaValues(): readonly SchemaValue[] {
  return below(schema, []);
}

function below(parent: Schema, path: readonly string[]): readonly SchemaValue[] {
  const { properties = {}, required = [] } = resolved(parent);
  return Object.entries(properties).flatMap(([name, child]) => [
    { path: [...path, name], mayBeNull: !required.includes(name) },
    ...below(child, [...path, name]),
  ]);
}

function resolved(given: Schema): Schema {
  const name = given.$ref?.replace('#/definitions/', '');
  return name === undefined ? given : (schema.definitions?.[name] ?? {});
}
