// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reading the audit log, and counting by the second.
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { endOfLog, eventsIn, eventsSince, mostInOneSecond } from './audit.ts';

test('an event is its verb, user, agent, resource and instant', () => {
  const line = JSON.stringify({
    verb: 'update',
    userAgent: 'stepup',
    user: { username: 'ada' },
    objectRef: { resource: 'stepupapprovals', subresource: 'status' },
    requestReceivedTimestamp: '2026-01-01T00:00:00.250000Z',
  });
  expect(eventsIn(`${line}\n`)).toEqual([
    {
      verb: 'update',
      user: 'ada',
      userAgent: 'stepup',
      resource: 'stepupapprovals/status',
      atMs: Date.UTC(2026, 0, 1, 0, 0, 0, 250),
    },
  ]);
});

test('a line that is being written belongs to what comes next', () => {
  const folder = mkdtempSync(join(tmpdir(), 'audit-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const log = join(folder, 'audit.log');
  const line = (verb: string) =>
    `${JSON.stringify({ verb, user: { username: 'ada' }, requestReceivedTimestamp: '2026-01-01T00:00:00Z' })}\n`;
  writeFileSync(log, `${line('get')}${line('list').slice(0, 20)}`);
  const offset = endOfLog(log);
  appendFileSync(log, `${line('list').slice(20)}${line('create').slice(0, 20)}`);
  expect(eventsSince(log, offset).map(({ verb }) => verb)).toEqual(['list']);
  expect(eventsSince(log, 0).map(({ verb }) => verb)).toEqual(['get', 'list']);
});

test('the busiest second need not begin with a whole one', () => {
  expect(mostInOneSecond([0, 900, 950, 1000, 1899, 1900, 5000])).toBe(4);
  expect(mostInOneSecond([])).toBe(0);
});
