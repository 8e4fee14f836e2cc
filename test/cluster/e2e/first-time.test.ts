// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A hand-written approval works the first time: no sleep, two replicas, caches as stale as they come.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { handWritten } from '../../support/installation/hand-written.ts';
import { fileIn, type Installation, installStepup } from '../../support/installation/installation.ts';

const rounds = 200;
const lanes = 4;
let stepup: Installation;

beforeAll(async () => {
  stepup = await installStepup();
});
afterAll(() => stepup?.stop());

function approvalFor(secret: string): string {
  return JSON.stringify(handWritten({ name: `allow-${secret}` }, { name: secret }, { reason: 'rotated' }));
}

/** Approve, then delete at once; returns what went wrong, if anything. */
async function round(secret: string): Promise<string | undefined> {
  const file = fileIn(stepup.cluster, `${secret}.json`, approvalFor(secret));
  const approved = await stepup.kubectl('approver', ['apply', '-f', file]);
  if (approved.code !== 0) return approved.stderr;
  const deleted = await stepup.kubectl('deployer', ['-n', 'prod', 'delete', 'secret', secret]);
  return deleted.code === 0 ? undefined : deleted.stderr;
}

async function allRounds(prefix: string): Promise<readonly string[]> {
  const names = Array.from({ length: rounds }, (_, i) => `${prefix}-${i}`);
  const items = names.map((name) => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'prod' } }));
  const made = await stepup.kubectl('admin', ['create', '-f', '-'], {
    stdin: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }),
  });
  if (made.code !== 0) throw new Error(`create secrets: ${made.stderr}`);
  const failures: string[] = [];
  const queue = [...names];
  const lane = async () => {
    for (let secret = queue.shift(); secret !== undefined; secret = queue.shift()) {
      const failure = await round(secret);
      if (failure !== undefined) failures.push(`${secret}: ${failure}`);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return failures;
}

test(`${rounds} of ${rounds} approved deletions pass at the first try`, { timeout: 300_000 }, async () => {
  expect(await allRounds('plain')).toEqual([]);
});

test(`${rounds} of ${rounds} pass with every informer held back by a second`, { timeout: 400_000 }, async () => {
  await stepup.upgrade(['extraArgs[0]=--cache-delay-ms=1000']);
  expect(await allRounds('stale')).toEqual([]);
});

test('a deletion that nobody approved is denied', async () => {
  await stepup.kubectl('admin', ['-n', 'prod', 'create', 'secret', 'generic', 'kept']);
  const deleted = await stepup.kubectl('deployer', ['-n', 'prod', 'delete', 'secret', 'kept']);
  expect(deleted.stderr).toContain('secret-deletion requires approval to DELETE secrets prod/kept');
});
