// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Which engines a ConfigMap names, and what it may not name.
import { beforeAll, describe, expect, test } from 'vitest';
import { readEngines } from '../../../../src/operator/engines/engine-settings.ts';
import { makeAuthority } from '../../../../src/operator/keys/issue.ts';

let caBundle: string;
beforeAll(async () => {
  caBundle = (await makeAuthority(new Date('2026-01-01T00:00:00Z'), 3_600_000)).cert;
});

const problem = (engine: object, name = 'opa') =>
  readEngines({ [`${name}.yaml`]: JSON.stringify(engine) }).problems[0]?.message;
const plain = { url: 'https://opa.opa.svc:8181/v1/data/stepup/decision', format: 'opa' };

describe('an engine', () => {
  test('is read with its defaults', () => {
    const { engines, problems } = readEngines({ 'opa.yaml': JSON.stringify(plain) });
    expect(problems).toEqual([]);
    expect(engines.get('opa')).toEqual({ name: 'opa', url: new URL(plain.url), format: 'opa', timeoutSeconds: 3 });
  });

  test('may bring an authority of its own and take its time', () => {
    expect(problem({ ...plain, caBundle, timeoutSeconds: 30 })).toBeUndefined();
    expect(problem({ ...plain, caBundle: '' })).toBeUndefined();
  });

  test.each(['http://127.0.0.1:8181/x', 'http://127.9.9.9/x', 'http://localhost:8181', 'http://[::1]:8181/x'])(
    'may be plain on loopback: %s',
    (url) => expect(problem({ ...plain, url })).toBeUndefined(),
  );

  test.each([
    ['plain http elsewhere', { url: 'http://opa.opa.svc/x' }, 'https'],
    ['a name that only begins like loopback', { url: 'http://127.0.0.1.evil.test/x' }, 'https'],
    ['a name that only ends like it', { url: 'http://notlocalhost/x' }, 'https'],
    ['a file', { url: 'file:///etc/passwd' }, 'https'],
    ['credentials', { url: 'https://a:b@opa/x' }, 'credentials'],
    ['a fragment', { url: 'https://opa/x#y' }, 'fragment'],
    ['no URL', { url: 'opa' }, 'not a URL'],
    ['nothing', { url: undefined }, 'not a URL'],
    ['another format', { format: 'rego' }, 'format: must be one of stepup, opa'],
    ['no time', { timeoutSeconds: 0 }, 'timeoutSeconds'],
    ['an hour', { timeoutSeconds: 3600 }, 'timeoutSeconds'],
    ['time as text', { timeoutSeconds: '3' }, 'timeoutSeconds'],
    ['a bundle that is none', { caBundle: 'trust me' }, 'caBundle'],
    [
      'a certificate that is none',
      { caBundle: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----' },
      'cannot be read',
    ],
    ['what nobody knows', { followRedirects: true }, 'followRedirects: is not a known field'],
  ])('with %s is not used', (_, over, want) => {
    expect(problem({ ...plain, ...over })).toContain(want);
  });

  test('under a name that cannot be one is not used', () => {
    expect(problem(plain, 'Opa/x')).toContain('not a DNS label');
  });

  test('that cannot be used takes no other one along', () => {
    const { engines, problems } = readEngines({ 'a.yaml': 'url: [', 'b.yaml': '7', 'c.yaml': JSON.stringify(plain) });
    expect([...engines.keys()]).toEqual(['c']);
    expect(problems.map(({ engine }) => engine)).toEqual(['a', 'b']);
  });
});
