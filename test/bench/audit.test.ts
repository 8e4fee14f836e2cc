// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reading the audit log, and counting by the second.
import { expect, test } from 'vitest';
import { eventsIn, mostInOneSecond } from './audit.ts';

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

test('the busiest second need not begin with a whole one', () => {
  expect(mostInOneSecond([0, 900, 950, 1000, 1899, 1900, 5000])).toBe(4);
  expect(mostInOneSecond([])).toBe(0);
});
