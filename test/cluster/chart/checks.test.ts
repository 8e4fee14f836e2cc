// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Values that are well-formed and cannot work, by themselves or together: refused with a sentence that says what to set.
import { describe, expect, test } from 'vitest';
import { template } from '../../support/chart/chart.ts';

const engine = (url: string) => ({ name: 'opa', url, format: 'opa' });
const shutIn = { networkPolicy: { enabled: true } };

describe('values', () => {
  test.each<[string, object, string, string?]>([
    [
      'two engines of one name',
      { engines: [engine('https://a/'), engine('https://b/')] },
      'engines: two engines have the name opa; give each its own name',
    ],
    [
      'an engine that the network policy shuts out',
      { engines: [engine('https://opa/')], networkPolicy: { enabled: true } },
      'engines: opa is at https://opa/, but the NetworkPolicy allows egress to the API server only; add a rule for the engine to networkPolicy.extraEgress',
    ],
    [
      'both servers of a pod on one port',
      { webhook: { port: 9000 }, statusPort: 9000 },
      'webhook.port and statusPort are both 9000; choose two different ports',
    ],
    [
      "the kubelet's port on the host network",
      { hostNetwork: true, webhook: { port: 10250 } },
      'webhook.port is 10250, which the kubelet or kube-proxy uses on every node, and hostNetwork is true; choose another port, such as 10260',
    ],
    [
      'a budget that lets no pod go',
      { podDisruptionBudget: { minAvailable: 2 } },
      'podDisruptionBudget.minAvailable is 2 of 2 replicas, so no pod could be evicted and no node drained; set it to at most 1, or increase replicas',
    ],
    [
      'a percentage that rounds up to all pods',
      { replicas: 3, podDisruptionBudget: { minAvailable: '67%' } },
      'podDisruptionBudget.minAvailable is 67% of 3 replicas, so no pod could be evicted and no node drained; set it to at most 2, or increase replicas',
    ],
    [
      'an unknown pack',
      { packs: { everything: { enabled: true } } },
      'packs: there is no pack "everything"; the packs are: ',
    ],
    [
      'a label that the chart sets itself',
      { commonLabels: { 'app.kubernetes.io/name': 'x' } },
      'commonLabels: the chart sets app.kubernetes.io/name itself, and selectors use it; choose another label',
    ],
    [
      'a label that the Service selects by',
      { podLabels: { 'app.kubernetes.io/component': 'x' } },
      'podLabels: the chart sets app.kubernetes.io/component itself, and selectors use it; choose another label',
    ],
    [
      "a label that makes stepup's rights part of everybody's",
      { commonLabels: { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' } },
      "commonLabels: rbac.authorization.k8s.io/aggregate-to-view is a label that stepup reads, or that adds its roles to Kubernetes' own; choose another label",
    ],
    [
      'no account at all',
      { serviceAccount: { create: false } },
      'serviceAccount.create is false: set serviceAccount.name to a service account that exists, other than default, which stepup would share with every pod in the namespace that names no account',
    ],
    [
      'an account that everybody has',
      { serviceAccount: { create: false, name: 'default' } },
      'serviceAccount.create is false: set serviceAccount.name',
    ],
    [
      'a release that begins with a digit',
      {},
      'the name "1gate-stepup", made from the release name, is not valid for a Service: set fullnameOverride to a name of a-z, 0-9 and - that begins with a letter',
      '1gate',
    ],
  ])('%s: refused with what to set', async (_, values, said, release = 'stepup') => {
    const { code, stderr } = await template(values, release);
    expect(code).not.toBe(0);
    expect(stderr).toContain(said);
  });

  test.each<[string, object, string?]>([
    ['an engine on a loopback address behind a network policy', { engines: [engine('http://[::1]/')], ...shutIn }],
    ['10250 on the network of pods', { webhook: { port: 10250 } }],
    ['10260 on the host network', { hostNetwork: true, webhook: { port: 10260 } }],
    ['a budget that lets one of three pods go', { replicas: 3, podDisruptionBudget: { minAvailable: '66%' } }],
    ['a budget of nothing, for one replica', { replicas: 1, podDisruptionBudget: { minAvailable: 5 } }],
    ['a pack taken away', { packs: { 'secret-deletion': null } }],
    ["an account of one's own", { serviceAccount: { create: false, name: 'gate' } }],
    ['a release that begins with a digit and a name that does not', { fullnameOverride: 'gate' }, '1gate'],
  ])('%s: taken', async (_, values, release) => {
    expect(await template(values, release)).toMatchObject({ code: 0 });
  });
});
