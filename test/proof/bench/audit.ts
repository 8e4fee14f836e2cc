// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a user asked of the API server, from its audit log.
import { readFileSync } from 'node:fs';

export interface AuditEvent {
  readonly verb: string;
  readonly user: string;
  readonly userAgent: string;
  /** Plural name, with the subresource after a slash. */
  readonly resource: string;
  readonly atMs: number;
}

interface Logged {
  readonly verb: string;
  readonly userAgent?: string;
  readonly user: { readonly username: string };
  readonly objectRef?: { readonly resource?: string; readonly subresource?: string };
  readonly requestReceivedTimestamp: string;
}

/** Where the last whole line of the log ends: another one may be half written. */
export function endOfLog(path: string): number {
  return endOfLines(readFileSync(path));
}

/** The events written from an offset on, to the last whole line of the log. */
export function eventsSince(path: string, offset: number): readonly AuditEvent[] {
  const bytes = readFileSync(path);
  return eventsIn(bytes.subarray(offset, endOfLines(bytes)).toString('utf8'));
}

function endOfLines(bytes: Buffer): number {
  return bytes.lastIndexOf('\n') + 1;
}

export function eventsIn(text: string): readonly AuditEvent[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const { verb, user, userAgent = '', objectRef = {}, requestReceivedTimestamp } = JSON.parse(line) as Logged;
      const { resource = '', subresource } = objectRef;
      return {
        verb,
        user: user.username,
        userAgent,
        resource: subresource === undefined ? resource : `${resource}/${subresource}`,
        atMs: Date.parse(requestReceivedTimestamp),
      };
    });
}

/** The most of these instants that lie within any window of one second. */
export function mostInOneSecond(instantsMs: readonly number[]): number {
  const sorted = [...instantsMs].sort((a, b) => a - b);
  let from = 0;
  return sorted.reduce((most, at, index) => {
    while (at - (sorted[from] ?? at) >= 1000) from += 1;
    return Math.max(most, index - from + 1);
  }, 0);
}
