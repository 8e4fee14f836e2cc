// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Equivalent requests that no pack has: connections, identities, condition labels, lists, records of kubectl. Each is
// refused, approved, and passes on its second try; its harmless neighbour passes at once.
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { approveDenied, phaseOf } from '../../support/installation/approvals.ts';
import { type Actor, apply, type Installation, installStepup } from '../../support/installation/installation.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';

let stepup: Installation;
const longKey = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}/${'e'.repeat(63)}`;
beforeAll(async () => {
  stepup = await installStepup();
  const configMaps = (operations: readonly string[], more: object = {}) => [
    { operations, apiGroups: [''], resources: ['configmaps'], ...more },
  ];
  await addPolicy(stepup, 'connections', [{ operations: ['CONNECT'], apiGroups: [''], resources: ['pods/exec'] }]);
  const identities = { operations: ['CREATE'], apiGroups: [''], resources: ['serviceaccounts'] };
  await addPolicy(stepup, 'identities', [identities]);
  const marked = "oldObject == null || (has(oldObject.metadata.labels) && 'guarded' in oldObject.metadata.labels)";
  await addPolicy(stepup, 'marked', configMaps(['DELETE']), { conditions: [{ name: 'mark', expression: marked }] });
  const services = [{ operations: ['UPDATE'], apiGroups: [''], resources: ['services'] }];
  await addPolicy(stepup, 'services', services);
  await apply(stepup.cluster, [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'long', labels: { [longKey]: 'x' } } },
  ]);
  await addPolicy(stepup, 'long', configMaps(['DELETE']), {
    namespaceSelector: { matchLabels: { [longKey]: 'x' } },
    namespaceShapes: undefined,
  });
}, 300_000);
afterAll(() => stepup?.stop());

const kubectl = (actor: Actor, args: readonly string[], stdin?: string) =>
  stepup.kubectl(actor, args, stdin === undefined ? {} : { stdin });

/** Refused with these words, approved, and passing with the very same command. */
async function passesOnSecondTry(
  args: readonly string[],
  words: string,
  { stdin, actor = 'deployer' }: { readonly stdin?: string; readonly actor?: Actor } = {},
) {
  const denied = await kubectl(actor, args, stdin);
  expect(denied.stderr).toContain(words);
  expect(denied.code).not.toBe(0);
  const key = await approveDenied(stepup, denied);
  const second = await kubectl(actor, args, stdin);
  expect(second, args.join(' ')).toMatchObject({ code: 0 });
  return key;
}

async function passes(args: readonly string[], actor: Actor = 'deployer') {
  expect(await kubectl(actor, args), args.join(' ')).toMatchObject({ code: 0 });
}

describe('a connection', () => {
  test('by exec, attach, port-forward and proxies is refused, approved, and then only fails for want of a kubelet', async () => {
    await kubectl('admin', ['-n', 'prod', 'run', 'shell', '--image=nginx:1']);
    const path = '/api/v1/namespaces/prod/pods/shell';
    const asked = [
      [`${path}/exec?command=ls&container=shell&stdout=true`, 'pods/exec prod/shell'],
      [`${path}/attach?container=shell&stdout=true`, 'pods/attach prod/shell'],
      [`${path}/proxy/metrics`, 'pods/proxy prod/shell'],
    ] as const;
    for (const [raw, words] of asked) {
      const denied = await kubectl('deployer', ['get', '--raw', raw]);
      expect(denied.stderr).toContain(`stepup: connections requires approval to CONNECT ${words}`);
      const key = await approveDenied(stepup, denied);
      const second = await kubectl('deployer', ['get', '--raw', raw]);
      expect(second.stderr).not.toContain('stepup:');
      const { status } = await phaseOf(stepup, key, 'Consumed');
      expect(status?.evidence).toBe('Admitted');
      const third = await kubectl('deployer', ['get', '--raw', raw]);
      expect(third.stderr, 'once').toContain('stepup: connections');
    }
    const forward = await kubectl('deployer', ['-n', 'prod', 'port-forward', 'pod/shell', '8080:80']);
    expect(forward.code).not.toBe(0);
    const node = await kubectl('root-bot', ['get', '--raw', '/api/v1/nodes/standin/proxy/pods']);
    expect(node.stderr).toContain('stepup: connections requires approval to CONNECT nodes/proxy standin');
  });
});

describe('an identity', () => {
  test('is not made in an exempt namespace either', async () => {
    const args = ['-n', 'kube-system', 'create', 'serviceaccount', 'robot'];
    await passesOnSecondTry(args, 'identities requires approval to CREATE serviceaccounts kube-system/robot', {
      actor: 'root-bot',
    });
    await passes(['-n', 'dev', 'create', 'serviceaccount', 'robot']);
  });

  test('is not taken by a Secret that Kubernetes fills with its token', async () => {
    await kubectl('admin', ['-n', 'prod', 'create', 'serviceaccount', 'taken']);
    await kubectl('admin', ['-n', 'prod', 'create', 'serviceaccount', 'taken-too']);
    const secret = (namespace: string, account: string, type = 'kubernetes.io/service-account-token') =>
      JSON.stringify({
        ...{ apiVersion: 'v1', kind: 'Secret', type },
        metadata: { name: account, namespace, annotations: { 'kubernetes.io/service-account.name': account } },
      });
    const create = ['create', '-f', '-'];
    const words = (target: string) => `identities requires approval to CREATE secrets ${target}`;
    await passesOnSecondTry(create, words('prod/taken'), { stdin: secret('prod', 'taken') });
    const elsewhere = await kubectl('root-bot', create, secret('kube-system', 'generic-garbage-collector'));
    expect(elsewhere.stderr).toContain('stepup guards system:serviceaccount:kube-system:generic-garbage-collector');
    expect(await kubectl('deployer', create, secret('prod', 'plain', 'Opaque'))).toMatchObject({ code: 0 });
    const annotate = ['-n', 'prod', 'annotate', '--overwrite', 'secret', 'taken'];
    const other = await kubectl('deployer', [...annotate, 'kubernetes.io/service-account.name=taken-too']);
    expect(other.stderr).toContain('identities requires approval to UPDATE secrets prod/taken');
    await passes([...annotate, 'example.com/a=b']);
  });

  test('is not made by a certificate, neither asked for nor approved', async () => {
    const request = await certificateRequest('somebody');
    const words = 'identities requires approval to CREATE certificatesigningrequests somebody';
    await passesOnSecondTry(['create', '-f', '-'], words, { actor: 'root-bot', stdin: request });
    const approval = ['certificate', 'approve', 'somebody'];
    await passesOnSecondTry(
      approval,
      'identities requires approval to UPDATE certificatesigningrequests/approval somebody',
      {
        actor: 'root-bot',
      },
    );
  });

  test('is not lent by a token', async () => {
    await kubectl('admin', ['-n', 'prod', 'create', 'serviceaccount', 'lent']);
    const token = ['-n', 'prod', 'create', 'token', 'lent', '--duration=1h'];
    await passesOnSecondTry(token, 'identities requires approval to CREATE serviceaccounts/token prod/lent');
  });
});

describe('a mark', () => {
  test('is not taken away without approval, another label is', async () => {
    await kubectl('admin', ['-n', 'prod', 'create', 'configmap', 'marked']);
    await kubectl('admin', ['-n', 'prod', 'label', 'configmap', 'marked', 'guarded=yes']);
    await passes(['-n', 'prod', 'label', 'configmap', 'marked', 'other=yes']);
    const remove = ['-n', 'prod', 'label', 'configmap', 'marked', 'guarded-'];
    await passesOnSecondTry(remove, 'marked requires approval to UPDATE configmaps prod/marked');
    await passes(['-n', 'prod', 'delete', 'configmap', 'marked']);
  });
});

describe('a selector by a long key', () => {
  test('is left with an approval that can be filed', async () => {
    const unlabel = ['label', 'namespace', 'long', `${longKey}-`];
    await passesOnSecondTry(unlabel, 'long requires approval to UPDATE namespaces long', { actor: 'root-bot' });
  });
});

describe("kubectl's record of what was applied", () => {
  test('is not written over with what the object does not say', async () => {
    const record = 'kubectl.kubernetes.io/last-applied-configuration';
    await kubectl('admin', ['-n', 'prod', 'create', 'service', 'clusterip', 'recorded', '--tcp=80']);
    const annotate = (value: string) => [
      '-n',
      'prod',
      'annotate',
      'service',
      'recorded',
      '--overwrite',
      `${record}=${value}`,
    ];
    await passes(annotate('{"spec":{"type":"ClusterIP"}}'));
    const words = 'services requires approval to UPDATE services prod/recorded';
    await passesOnSecondTry(annotate('{"spec":{"type":"NodePort"}}'), words);
  });
});

describe('a deletion of a collection', () => {
  test('takes what is approved and leaves the others', async () => {
    for (const name of ['x', 'y']) {
      await kubectl('admin', ['-n', 'prod', 'create', 'secret', 'generic', name]);
      await kubectl('admin', ['-n', 'prod', 'label', 'secret', name, 'set=one']);
    }
    const path = '/api/v1/namespaces/prod/secrets?labelSelector=set%3Done';
    const collection = () => kubectl('deployer', ['delete', '--raw', path]);
    const denied = await collection();
    expect(denied.stderr).toContain('secret-deletion requires approval to DELETE secrets prod/');
    await approveDenied(stepup, denied);
    expect((await collection()).stderr, 'the other one').toContain(
      'secret-deletion requires approval to DELETE secrets prod/',
    );
    await eventually('one of two to be gone', async () => {
      const left = await kubectl('admin', ['-n', 'prod', 'get', 'secrets', '-l', 'set=one', '-o', 'name']);
      return left.stdout.trim().split('\n').length === 1;
    });
    await approveDenied(stepup, await collection());
    expect(await collection()).toMatchObject({ code: 0 });
  });
});

async function certificateRequest(name: string): Promise<string> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: algorithm,
  });
  return JSON.stringify({
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'CertificateSigningRequest',
    metadata: { name },
    spec: {
      request: Buffer.from(request.toString('pem')).toString('base64'),
      signerName: 'kubernetes.io/kube-apiserver-client',
      usages: ['client auth'],
    },
  });
}
