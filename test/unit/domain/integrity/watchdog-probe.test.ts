// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The watchdog's question and its answers, without an API server.
import { describe, expect, test } from 'vitest';
import { answeredIn, probesFor, probeWarnings } from '../../../../src/domain/integrity/watchdog-probe.ts';

const names = (count: number) => Array.from({ length: count }, (_, index) => `${'p'.repeat(46)}-${index}`);
const objectOf = (policies: readonly string[]) => JSON.parse(JSON.stringify(probesFor(policies, 'system')[0]));

describe('the probe', () => {
  test('is answered by the gates that it names, and by no others', () => {
    const object = objectOf(['deploys', 'secrets']);
    expect(probeWarnings('deploys', object)).toEqual(['stepup watchdog: deploys']);
    expect(probeWarnings('deploy', object)).toEqual([]);
    expect(probeWarnings('deploys', { metadata: {} })).toEqual([]);
    expect(probeWarnings('deploys', undefined)).toEqual([]);
    expect(answeredIn(['stepup watchdog: deploys', 'something else'])).toEqual(['deploys']);
  });

  test('takes several Leases for many policies, each with room for its answers', () => {
    const all = names(100);
    const probes = probesFor(all, 'system');
    const asked = probes.map((probe) =>
      all.filter((name) => probeWarnings(name, JSON.parse(JSON.stringify(probe)))[0]),
    );
    expect(asked.flat()).toEqual(all);
    const runes = asked.map((group) => group.flatMap((name) => probeWarnings(name, objectOf([name]))).join('').length);
    expect(Math.max(...runes)).toBeLessThan(4_000);
    expect(probesFor([], 'system')).toEqual([]);
  });

  test('bears a name that the guard leaves alone, whatever the release is called', () => {
    const [probe] = probesFor(['deploys'], 'system');
    expect(probe?.metadata.name).toMatch(/^stepup\.[a-z]+$/);
  });
});
