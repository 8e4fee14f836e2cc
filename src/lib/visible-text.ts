// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Makes text of a gated account safe for an approver to read: nothing hides, reorders or forges lines.

/** Controls, and what makes text invisible or read in another order than it is written. */
const deceptive = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** One line, with what deceives spelled as its code point, cut to so many characters. */
export function visibleLine(text: string, mostCharacters: number): string {
  const line = text.slice(0, mostCharacters).replace(deceptive, spelled);
  return text.length > mostCharacters ? `${line}…` : line;
}

/** Lines as they are, with what deceives within them spelled as its code point. */
export function visibleLines(text: string): string {
  return text.replace(deceptive, (found) => (found === '\n' || found === '\t' ? found : spelled(found)));
}

function spelled(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return `\\u${code.toString(16).padStart(4, '0')}`;
}
