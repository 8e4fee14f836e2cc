// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What stepup observed prints for people.
import { expect, test } from 'vitest';
import type { StepUpPolicy } from '../../../src/api/kinds.ts';
import { observedText, tableOf } from '../../../src/cmd/observed.ts';

const now = new Date('2026-01-02T12:00:00Z');
const since = '2026-01-01T12:00:00Z';
const exec = { policy: 'production-exec', requests: 7, wouldHaveBlocked: 5, unlisted: 0, since };
const row = {
  policy: 'production-exec',
  requester: 'ci/deployer',
  action: 'CONNECT pods/exec',
  target: 'prod/web-1',
  reason: 'ApprovalRequired',
  count: 5,
  lastAt: '2026-01-02T09:59:00Z',
};
const text = (...[policies, rows, isWide = false]: [(typeof exec)[], (typeof row)[], boolean?]) =>
  observedText(policies, rows, { isWide, now });

test('a row for each policy, requester, action and target', () => {
  expect(text([exec], [row])).toBe(
    'POLICY            REQUESTER     ACTION              TARGET       COUNT   LAST SEEN   REASON\n' +
      'production-exec   ci/deployer   CONNECT pods/exec   prod/web-1   5       2h ago      ApprovalRequired\n',
  );
});

test('wide: the instant, and the reason in words', () => {
  const lines = text([exec], [row], true).split('\n');
  expect(lines[0]).toMatch(/REASON +WHY$/);
  expect(lines[1]).toMatch(/5 +2026-01-02T09:59:00Z +ApprovalRequired +no approval covers the request yet$/);
  expect(text([exec], [{ ...row, reason: 'toString' }], true)).toMatch(/toString\n$/);
});

test.each([
  [
    'nobody observes',
    [],
    'No policy is in mode Observe. Set spec.mode to Observe in a policy, or packs.<name>.spec.mode=Observe in the chart.',
  ],
  [
    'nothing would have been blocked',
    [{ ...exec, wouldHaveBlocked: 0 }],
    'production-exec would have blocked none of 7 requests since 2026-01-01T12:00:00Z.',
  ],
  [
    'more was blocked than there are rows',
    [{ ...exec, unlisted: 3 }],
    'production-exec would have blocked 3 more requests that its status has no room for.',
  ],
])('where %s it says so', (_, policies, sentence) => {
  expect(text(policies, [])).toBe(`${sentence}\n`);
});

test('a policy that was never asked is told from one that let all pass', () => {
  const { since: _, ...unasked } = exec;
  expect(observedText([unasked], [], { isWide: false, now })).toBe('production-exec has governed no request yet.\n');
});

test('the name in a connection, which a client makes up, neither ends its column nor writes on the terminal', () => {
  const name = 'a\u001b[31m\nfake row b\u202e';
  const blocked = { requester: 'ci/deployer', reason: 'ApprovalRequired', count: 5, lastAt: row.lastAt };
  const policy = {
    metadata: { name: 'production-exec', generation: 1 },
    status: { observed: { generation: 1, blocked: [{ ...blocked, action: `CONNECT pods/exec prod/${name}` }] } },
  };
  const rows = tableOf(policy as unknown as StepUpPolicy);
  expect(rows).toEqual([{ ...row, target: `prod/${name}` }]);
  const lines = text([exec], [...rows]).split('\n');
  expect(lines).toHaveLength(3);
  expect(lines[1]).toContain('prod/a\\u001b[31m\\u000afake row b\\u202e   5 ');
});
