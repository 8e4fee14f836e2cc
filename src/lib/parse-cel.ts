// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// CEL as a tree (ADR 0016). Whether an expression is valid, the API server says: this only reads what it has accepted.
import { type ASTNode, Environment } from '@marcbachmann/cel-js';
import { lazy } from './lazy.ts';

export type CelNode = ASTNode;

/** What the API server takes, by its measure; the parser's own bounds on lists are lower. */
const limits = { maxListElements: 4096, maxMapEntries: 4096, maxCallArguments: 4096 };
const environment = lazy(() => new Environment({ unlistedVariablesAreDyn: true, enableOptionalTypes: true, limits }));

/** A backslash is itself in a raw string, also in front of the quote that ends it; the parser does not end it there. */
const ambiguous = /(?<!\w)[rR](?:'''[\s\S]*?\\'''|"""[\s\S]*?\\"""|'[^']*\\'|"[^"]*\\")/;

/** Undefined where the parser does not know what the API server may know: then nothing is known of the expression. */
export function parsedCel(expression: string): CelNode | undefined {
  if (ambiguous.test(expression)) return undefined;
  try {
    return environment().parse(expression).ast;
  } catch {
    return undefined;
  }
}
