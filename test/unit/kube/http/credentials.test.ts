// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Credentials out of files: what is read, when it is read again, what is refused.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadCredentials } from '../../../../src/kube/http/credentials.ts';
import { fakeClock } from '../../../support/fakes/fake-clock.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stepup-credentials-'));
});

afterEach(() => rm(folder, { recursive: true }));

async function kubeconfig(name: string, user: object, cluster: object = {}): Promise<string> {
  const path = join(folder, name);
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    contexts: [{ name, context: { cluster: name, user: name, namespace: `ns-${name}` } }],
    clusters: [{ name, cluster: { server: 'https://api.example:6443/base', ...cluster } }],
    users: [{ name, user }],
  };
  await writeFile(path, JSON.stringify(config));
  return path;
}

describe('credentials in a cluster', () => {
  async function load(clock = fakeClock(), host = '10.0.0.1') {
    await writeFile(join(folder, 'ca.crt'), 'CA');
    await writeFile(join(folder, 'token'), 'first\n');
    return loadCredentials({ kind: 'inCluster', host, port: '443', folder }, clock);
  }

  test('a token is read again after 10 s, at once when told to, and not before', async () => {
    const clock = fakeClock();
    const credentials = await load(clock);
    await writeFile(join(folder, 'token'), 'second');
    await clock.advance(9_999);
    expect(await credentials.headers()).toEqual({ Authorization: 'Bearer first' });
    await clock.advance(1);
    expect(await credentials.headers()).toEqual({ Authorization: 'Bearer second' });
    await writeFile(join(folder, 'token'), 'third');
    expect(await credentials.headers({ reload: true })).toEqual({ Authorization: 'Bearer third' });
  });

  test('a token file that vanishes leaves the last token', async () => {
    const credentials = await load();
    await rm(join(folder, 'token'));
    expect(await credentials.headers({ reload: true })).toEqual({ Authorization: 'Bearer first' });
  });

  test('an IPv6 host is put in brackets, and the namespace may be missing', async () => {
    const { server, namespace, tls } = await load(fakeClock(), 'fd00::1');
    expect([server.href, namespace, tls.ca]).toEqual(['https://[fd00::1]/', undefined, Buffer.from('CA')]);
  });

  test('a missing folder is named', async () => {
    const source = { kind: 'inCluster', host: 'h', port: 1, folder: join(folder, 'none') } as const;
    await expect(loadCredentials(source)).rejects.toThrow(/none/);
  });
});

describe('credentials of a kubeconfig', () => {
  test('carry the token, the impersonated user and the context', async () => {
    const credentials = await loadCredentials({
      kind: 'kubeconfig',
      paths: [await kubeconfig('a', { token: 't', as: 'bob' })],
    });
    expect(await credentials.headers()).toEqual({ Authorization: 'Bearer t', 'Impersonate-User': 'bob' });
    expect([credentials.server.href, credentials.namespace]).toEqual(['https://api.example:6443/base', 'ns-a']);
  });

  test('carry name and password', async () => {
    const paths = [await kubeconfig('a', { username: 'u', password: 'p' })];
    const { headers } = await loadCredentials({ kind: 'kubeconfig', paths });
    expect(await headers()).toEqual({ Authorization: 'Basic dTpw' });
  });

  test('carry the token of a credential plugin', async () => {
    const credential = {
      apiVersion: 'client.authentication.k8s.io/v1',
      kind: 'ExecCredential',
      status: { token: 'x' },
    };
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: process.execPath,
      args: ['-p', `'${JSON.stringify(credential)}'`],
    };
    const { headers } = await loadCredentials({ kind: 'kubeconfig', paths: [await kubeconfig('a', { exec })] });
    expect(await headers()).toEqual({ Authorization: 'Bearer x' });
  });

  test('of several files the first current-context counts, unless another is asked for', async () => {
    const paths = [await kubeconfig('a', { token: 'ta' }), await kubeconfig('b', { token: 'tb' })];
    const first = await loadCredentials({ kind: 'kubeconfig', paths });
    const asked = await loadCredentials({ kind: 'kubeconfig', paths, context: 'b' });
    expect([await first.headers(), await asked.headers()]).toEqual([
      { Authorization: 'Bearer ta' },
      { Authorization: 'Bearer tb' },
    ]);
  });

  test.each([
    ['plain http', { server: 'http://api.example' }, /not https/],
    ['a proxy', { 'proxy-url': 'http://proxy.example' }, /proxy-url/],
  ])('with %s are refused', async (_name, cluster, message) => {
    const paths = [await kubeconfig('a', {}, cluster)];
    await expect(loadCredentials({ kind: 'kubeconfig', paths })).rejects.toThrow(message);
  });

  test('with an unknown context are refused', async () => {
    const paths = [await kubeconfig('a', {})];
    await expect(loadCredentials({ kind: 'kubeconfig', paths, context: 'x' })).rejects.toThrow(/context x/);
  });
});
