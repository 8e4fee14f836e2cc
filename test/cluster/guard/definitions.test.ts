// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What becomes of the gate when somebody edits or deletes the definitions of our kinds, on a real API server with
// Kubernetes' controllers: objects that go with their kind must not take gates along.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kindsDigest } from '../../../src/api/generated/definitions.ts';
import { loadCredentials } from '../../../src/kube/http/credentials.ts';
import { RestClient } from '../../../src/kube/http/rest.ts';
import { sleep, systemClock } from '../../../src/kube/time/clock.ts';
import { kindsAnnotation } from '../../../src/operator/integrity/definition-reconciler.ts';
import { type ControlPlane, startControlPlane } from '../../support/control-plane/controlplane.ts';
import { eventually } from '../../support/eventually.ts';
import { type RunningOperator, startOperator } from '../../support/running-operator.ts';

interface Stored {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: { readonly versions: readonly Version[] } & Readonly<Record<string, unknown>>;
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message: string }[];
  };
}

interface Version {
  readonly schema: { readonly openAPIV3Schema: Readonly<Record<string, unknown>> };
}

let plane: ControlPlane;
let rest: RestClient;
let operator: RunningOperator;

const crds = join(import.meta.dirname, '../../../crds');
const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const ofPolicies = `${definitions}/stepuppolicies.stepup.dev`;
const ofDecisions = `${definitions}/stepupdecisions.stepup.dev`;
const policies = '/apis/stepup.dev/v1alpha1/stepuppolicies';
const gates = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';
const configMap = '/api/v1/namespaces/stepup-system/configmaps/stepup-packs';
const release = {
  labels: { 'app.kubernetes.io/managed-by': 'Helm' },
  annotations: { 'helm.sh/resource-policy': 'keep' },
};
const start = () => startOperator(rest, { guard: { isOn: false, exempt: [] } });
/** What the chart says it brings. */
const chartBrings = (digest: string) =>
  plane.admin.patch(configMap, { metadata: { annotations: { [kindsAnnotation]: digest } } });

beforeAll(async () => {
  plane = await startControlPlane();
  rest = new RestClient({ credentials: await loadCredentials({ kind: 'kubeconfig', paths: [plane.adminKubeconfig] }) });
  await plane.admin.post('/api/v1/namespaces', { metadata: { name: 'stepup-system' } });
  await plane.admin.post('/api/v1/namespaces/stepup-system/configmaps', { metadata: { name: 'stepup-packs' } });
  await chartBrings(kindsDigest);
  expect(await plane.kubectl(['apply', '-f', crds])).toMatchObject({ code: 0 });
  for (const path of [ofPolicies, ofDecisions]) await plane.admin.patch(path, { metadata: release });
  operator = start();
  await createPolicy('kept');
  await eventually('the gate', () => gateOf('kept'));
}, 600_000);

afterAll(async () => {
  await operator?.stop();
  rest?.close();
  await plane?.stop();
}, 30_000);

const createPolicy = (name: string) =>
  eventually('the kind', () =>
    plane.admin.post(policies, {
      apiVersion: 'stepup.dev/v1alpha1',
      kind: 'StepUpPolicy',
      metadata: { name },
      spec: {
        actions: [{ operations: ['DELETE'], apiGroups: [''], resources: ['configmaps'] }],
        approval: { require: [{ name: 'one', approvers: { groups: ['approvers'] } }] },
      },
    }),
  );
const gateOf = (policy: string) => plane.admin.get<Stored>(`${gates}/stepup-${policy}`);
const isGone = async (path: string) => (await plane.admin.send('GET', path)).code === 404;
const tampered = async () => {
  const { status } = await plane.admin.get<Stored>(`${policies}/kept`);
  return status?.conditions?.find(({ type }) => type === 'Tampered');
};
const eventsOf = async (name: string, reason: string) => {
  const { items } = await plane.admin.list('/apis/events.k8s.io/v1/namespaces/default/events');
  return items.filter((event) => event.reason === reason && String(event.note).includes(`Definition ${name} was`));
};

type Edit = (spec: Stored['spec']) => object;
const inSchema =
  (change: (schema: Readonly<Record<string, unknown>>) => object): Edit =>
  ({ versions }) => ({
    versions: versions.map((version) => ({
      ...version,
      schema: { openAPIV3Schema: change(version.schema.openAPIV3Schema) },
    })),
  });
const conversion = {
  strategy: 'Webhook',
  webhook: { conversionReviewVersions: ['v1'], clientConfig: { url: 'https://127.0.0.1:1/' } },
};

const edits: readonly [what: string, edit: Edit][] = [
  ['its rules taken away', inSchema(({ 'x-kubernetes-validations': _, ...schema }) => schema)],
  [
    'fields kept that it does not know',
    inSchema((schema) => ({ ...schema, 'x-kubernetes-preserve-unknown-fields': true })),
  ],
  ['a webhook that converts its objects', () => ({ conversion })],
  ['its kind served no more', ({ versions }) => ({ versions: versions.map((one) => ({ ...one, served: false })) })],
];

describe('a definition that is edited', () => {
  test.each(edits)('comes back, with %s', async (_, edit) => {
    const before = await plane.admin.get<Stored>(ofPolicies);
    const began = performance.now();
    await plane.admin.patch(ofPolicies, { spec: edit(before.spec) });
    const after = await eventually('it to be back', async () => {
      const found = await plane.admin.get<Stored>(ofPolicies);
      expect(found.spec).toEqual(before.spec);
      return found;
    });
    process.stdout.write(`definition back after ${Math.round(performance.now() - began)} ms\n`);
    expect(after.metadata).toMatchObject({ uid: before.metadata.uid, ...release });
    await eventually('the condition', async () =>
      (await tampered())?.message.startsWith(
        'CustomResourceDefinition stepuppolicies.stepup.dev was edited by someone else and has been restored at',
      ),
    );
    await eventually('the event', async () => (await eventsOf('stepuppolicies.stepup.dev', 'Restored')).length > 0);
    expect(await operator.registry.metrics()).toMatch(/stepup_restores_total\{kind="CustomResourceDefinition"\} [1-9]/);
  });

  test('is left alone in what the release does not say: labels and annotations', async () => {
    await plane.admin.patch(ofDecisions, { metadata: { labels: { team: 'a' }, annotations: { note: 'b' } } });
    await settled();
    expect((await plane.admin.get<Stored>(ofDecisions)).metadata).toMatchObject({
      labels: { ...release.labels, team: 'a' },
      annotations: { ...release.annotations, note: 'b' },
    });
  });

  test('is left alone once the chart brings those of another release', async () => {
    await chartBrings('of another release');
    const { spec } = await plane.admin.get<Stored>(ofDecisions);
    const theirs = inSchema((schema) => ({ ...schema, description: 'A vote.' }))(spec);
    await plane.admin.patch(ofDecisions, { spec: theirs });
    await settled();
    expect((await plane.admin.get<Stored>(ofDecisions)).spec).toMatchObject(theirs);
    // Nor by a leader that finds it so.
    await operator.stop();
    operator = start();
    await eventually('the operator', () => operator.logs.some((line) => line.includes('operator started')));
    await settled();
    expect((await plane.admin.get<Stored>(ofDecisions)).spec).toMatchObject(theirs);

    await chartBrings(kindsDigest);
    await plane.admin.patch(ofDecisions, { metadata: { labels: { team: 'b' } } });
    await eventually('ours', async () => {
      expect((await plane.admin.get<Stored>(ofDecisions)).spec).toEqual(spec);
      return true;
    });
  });

  test('into what cannot be taken back is reported once', async () => {
    const { spec } = await plane.admin.get<Stored>(ofDecisions);
    const [first] = spec.versions;
    const versions = [
      { ...first, storage: false },
      { ...first, name: 'v1beta1', storage: true },
    ];
    await plane.admin.patch(ofDecisions, { spec: { versions } });
    const reports = await eventually('the event', async () => {
      const found = await eventsOf('stepupdecisions.stepup.dev', 'Tampered');
      return found.length > 0 ? found : undefined;
    });
    expect(reports).toHaveLength(1);
    expect((await plane.admin.get<Stored>(ofDecisions)).spec.versions).toHaveLength(2);
    await plane.admin.patch(`${ofDecisions}/status`, { status: { storedVersions: ['v1alpha1'] } });
    await eventually('it to be back', async () => {
      expect((await plane.admin.get<Stored>(ofDecisions)).spec).toEqual(spec);
      return true;
    });
  });
});

describe('the kind of policies', () => {
  test('comes back when it is deleted, and no gate goes with its policies', async () => {
    await createPolicy('other');
    const gate = await eventually('the gate', () => gateOf('other'));
    const before = await plane.admin.get<Stored>(ofPolicies);
    const began = performance.now();
    await plane.admin.delete(ofPolicies);
    const after = await eventually('another of that name', async () => {
      const found = await plane.admin.get<Stored>(ofPolicies);
      return found.metadata.uid === before.metadata.uid ? undefined : found;
    });
    process.stdout.write(`definition made again after ${Math.round(performance.now() - began)} ms\n`);
    expect(after.spec).toEqual(before.spec);
    expect(after.metadata).toMatchObject(release);
    const notes = await eventually('both events', async () => {
      const [told] = await eventsOf('stepuppolicies.stepup.dev', 'Tampered');
      const restored = (await eventsOf('stepuppolicies.stepup.dev', 'Restored')).map(({ note }) => String(note));
      return told && restored.some((note) => note.includes('was deleted')) ? told.note : undefined;
    });
    expect(notes).toContain('was deleted by someone else');
    await eventually('policies to be served', () => plane.admin.list(policies));
    expect((await plane.admin.list(policies)).items).toEqual([]);
    // Kubernetes' garbage collector looks as well.
    await settled();
    expect((await gateOf('other')).metadata.uid).toBe(gate.metadata.uid);
    expect((await gateOf('kept')).metadata.name).toBe('stepup-kept');
  });

  test('has its gates back when they are deleted, while the policies are not', async () => {
    const before = await gateOf('other');
    await plane.admin.delete(`${gates}/stepup-other`);
    const after = await eventually('the gate', () => gateOf('other'));
    expect(after.metadata.uid).not.toBe(before.metadata.uid);
    expect(after).toMatchObject({ webhooks: (before as unknown as { webhooks: object }).webhooks });
  });

  test('has its gates kept by a leader that never saw the policies, which defends none that may be made up', async () => {
    await operator.stop();
    operator = start();
    await eventually('the operator', () => operator.logs.some((line) => line.includes('operator started')));
    await plane.admin.post(gates, {
      metadata: { name: 'stepup-false', labels: { 'stepup.dev/managed': 'true', 'stepup.dev/kind-uid': 'none' } },
      webhooks: [],
    });
    await settled();
    for (const name of ['kept', 'other', 'false']) expect((await gateOf(name)).metadata.name).toBe(`stepup-${name}`);
    await plane.admin.delete(`${gates}/stepup-false`);
    await settled();
    expect(await isGone(`${gates}/stepup-false`)).toBe(true);
  });

  test('has a gate go with a policy that is deleted while its kind is there', async () => {
    await createPolicy('other');
    const { metadata } = await plane.admin.get<Stored>(ofPolicies);
    await eventually(
      'the gate to be of this kind',
      async () => (await gateOf('other')).metadata.labels?.['stepup.dev/kind-uid'] === metadata.uid,
    );
    await plane.admin.delete(`${policies}/other`);
    await eventually('the gate to go', () => isGone(`${gates}/stepup-other`));
    // That of a policy that nobody has made again stays.
    expect((await gateOf('kept')).metadata.name).toBe('stepup-kept');
  });

  test('stays away once the chart brings another; its gates stay', async () => {
    await chartBrings('of another release');
    await plane.admin.delete(ofPolicies);
    await eventually('it to be gone', () => isGone(ofPolicies));
    await settled();
    expect(await isGone(ofPolicies)).toBe(true);
    expect((await gateOf('kept')).metadata.name).toBe('stepup-kept');
  });
});

/** Long enough for everything that is restored to have been: that takes some ten milliseconds. */
async function settled(): Promise<void> {
  await sleep(systemClock, 3_000, new AbortController().signal);
}
