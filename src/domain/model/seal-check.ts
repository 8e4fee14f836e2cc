// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The result of checking a seal, and the interface that makes and checks seals.
/** What looking at a seal found. Only Sealed counts. */
export type SealCheck = 'Sealed' | 'Missing' | 'Broken' | 'UnknownKey';

/** Makes and checks seals. */
export interface Seals {
  sign(statement: string): string;
  check(statement: string, seal: string | undefined): SealCheck;
}

const sentences: Readonly<Record<Exclude<SealCheck, 'Sealed'>, string>> = {
  Missing: 'it has no seal of stepup',
  Broken: 'its seal does not match its content',
  UnknownKey: 'its seal was made with a key that stepup does not have',
};

/** Why an object with this result does not count; undefined when it does. */
export function objectionToSeal(check: SealCheck): string | undefined {
  return check === 'Sealed' ? undefined : sentences[check];
}
