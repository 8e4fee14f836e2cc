// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What stepup uninstall removes before the pods stop: a webhook configuration without its webhook denies everything
// that it governs.

import type { StepUpPolicy } from '../api/kinds.ts';
import { stepUpPolicies } from '../api/own-resources.ts';
import { isConflict, isNotFound, unlessNotFound } from '../kube/http/api-error.ts';
import type { RestClient } from '../kube/http/rest.ts';
import type { Lease } from '../kube/objects/lease.ts';
import { formatMicroTime } from '../kube/objects/microtime.ts';
import type { KubeObject } from '../kube/objects/objects.ts';
import type { ObjectKey } from '../kube/objects/resource.ts';
import { ResourceClient } from '../kube/objects/resource-client.ts';
import * as resources from '../kube/objects/resources.ts';
import { type Clock, sleep } from '../kube/time/clock.ts';
import { defined } from '../lib/json.ts';
import type { Log } from '../observe/log.ts';
import { isManaged, stampName, type WebhookConfiguration } from './admission/webhook-configuration.ts';
import { guardNames } from './guard/guard.ts';
import { packLabel } from './packs/pack.ts';

export interface UninstallDependencies {
  readonly rest: RestClient;
  /** The operator's Lease, taken so that no leader restores what is removed. */
  readonly lease: ObjectKey;
  /** The Service that the API server calls: the webhook configurations must go before the pods. */
  readonly service: ObjectKey;
  /** The Secrets with the keys of the certificates and of the seals, which no release owns. */
  readonly keptSecrets: readonly ObjectKey[];
  readonly log: Log;
  readonly clock: Clock;
}

/** Long enough for Helm to end the pods, short enough for a new installation to wait for. */
const holdSeconds = 30;
const quietMs = 3_000;
const mostRounds = 10;

/**
 * Removes every gate, the stamp and the guard, then the packs' policies, then the keys. The Lease stays, held: without it a
 * pod that still runs would lead, and put all back. It goes with the right to have one. Rejects when something comes back
 * again and again.
 */
export async function uninstall(
  { rest, lease, service, keptSecrets, log, clock }: UninstallDependencies,
  signal: AbortSignal,
): Promise<void> {
  const gates = new ResourceClient<WebhookConfiguration>(rest, resources.validatingWebhookConfigurations);
  const stamps = new ResourceClient<WebhookConfiguration>(rest, resources.mutatingWebhookConfigurations);
  // Also those whose label somebody removed: a webhook configuration without its webhook denies all that it governs.
  const isOurs = (object: WebhookConfiguration) =>
    isManaged(object) || object.metadata.name === stampName || calls(object, service);
  const isGuard = ({ metadata }: KubeObject) => guardNames.includes(metadata.name);
  const guardBindings = new ResourceClient<KubeObject>(rest, resources.validatingAdmissionPolicyBindings);
  const guardPolicies = new ResourceClient<KubeObject>(rest, resources.validatingAdmissionPolicies);
  const owners = await leaseOwners(lease, rest, signal);
  const leases = new ResourceClient<Lease>(rest, resources.leases);
  const wasLed = await takeLease(leases, lease, { owners, log, clock, signal });
  // A leader that still runs notices the Lease within two seconds; until then it restores, and reports tampering.
  if (wasLed) await sleep(clock, quietMs, signal);
  for (let round = 1; round <= mostRounds; round++) {
    const removed =
      (await removeAll(gates, isOurs, log, signal)) +
      (await removeAll(stamps, isOurs, log, signal)) +
      (await removeAll(guardBindings, isGuard, log, signal)) +
      (await removeAll(guardPolicies, isGuard, log, signal));
    if (removed === 0 && (round > 1 || !wasLed)) {
      await removePacks(rest, log, signal);
      // Last: the API server no longer calls the webhook. The key of its authority must not outlive what trusts it.
      const secrets = new ResourceClient<KubeObject>(rest, resources.secrets);
      for (const secret of keptSecrets) await unlessNotFound(secrets.delete(secret, { signal }));
      // No replica has led, and without the binding none can: then the Lease is not needed.
      if (owners.length === 0 && !wasLed) await unlessNotFound(leases.delete(lease, { signal }));
      log.info({}, 'stepup no longer governs anything');
      return;
    }
    if (wasLed) await sleep(clock, quietMs, signal);
  }
  throw new Error(
    'remove webhook configurations: something creates them again and again; stop it, then uninstall again',
  );
}

/**
 * The RoleBinding by which pods may have the Lease, named like it. Helm deletes it after the pods' Deployment, and the garbage
 * collector then the Lease: when that is gone no pod may make another. Empty where a release has no such binding.
 */
async function leaseOwners({ namespace, name }: ObjectKey, rest: RestClient, signal: AbortSignal) {
  const bindings = new ResourceClient<KubeObject>(rest, resources.roleBindings);
  const key = { ...defined({ namespace }), name };
  const binding = await unlessNotFound(bindings.get(key, { signal }));
  if (binding === undefined) return [];
  return [{ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', name, uid: binding.metadata.uid }];
}

interface Taking {
  readonly owners: NonNullable<KubeObject['metadata']['ownerReferences']>;
  readonly log: Log;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Returns whether a replica may have been leading. */
async function takeLease(
  leases: ResourceClient<Lease>,
  key: ObjectKey,
  { owners, log, clock, signal }: Taking,
): Promise<boolean> {
  for (;;) {
    try {
      const held = await leases.get(key, { signal });
      const now = formatMicroTime(clock.now());
      const { holderIdentity: before = '' } = held.spec ?? {};
      const spec = { ...held.spec, holderIdentity: 'uninstall', leaseDurationSeconds: holdSeconds, renewTime: now };
      await leases.replace({ ...held, metadata: { ...held.metadata, ownerReferences: owners }, spec }, { signal });
      log.info({ lease: key.name, holder: before }, 'took the lease');
      return before !== '' && before !== 'uninstall';
    } catch (error) {
      if (isNotFound(error)) return false;
      if (!isConflict(error)) throw error;
    }
  }
}

/** True when any entry of the configuration is sent to the Service. */
function calls({ webhooks = [] }: WebhookConfiguration, { namespace, name }: ObjectKey): boolean {
  return webhooks.some(({ clientConfig: { service } }) => service?.namespace === namespace && service?.name === name);
}

async function removeAll<T extends KubeObject>(
  client: ResourceClient<T>,
  isOurs: (object: T) => boolean,
  log: Log,
  signal: AbortSignal,
): Promise<number> {
  const { items } = await client.list({ signal });
  const found = items.filter(isOurs);
  for (const { kind, metadata } of found) {
    await unlessNotFound(client.delete({ name: metadata.name }, { signal }));
    log.info({ kind, name: metadata.name }, 'removed');
  }
  return found.length;
}

async function removePacks(rest: RestClient, log: Log, signal: AbortSignal): Promise<void> {
  const policies = new ResourceClient<StepUpPolicy>(rest, stepUpPolicies);
  // The kinds themselves may be gone already.
  const listed = await unlessNotFound(policies.list({ labelSelector: packLabel, signal }));
  for (const { kind, metadata } of listed?.items ?? []) {
    await unlessNotFound(policies.delete({ name: metadata.name }, { signal }));
    log.info({ kind, name: metadata.name }, 'removed');
  }
}
