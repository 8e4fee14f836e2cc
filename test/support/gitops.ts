// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The calls that Argo CD and Flux make for one sync, replayed: server-side apply, first as a dry run, as field managers
// of theirs. Read from argoproj/gitops-engine pkg/sync/sync_context.go and fluxcd/pkg ssa/manager_apply.go.
import { readFileSync } from 'node:fs';
import { type AdminClient, type Answer, createAdminClient } from './control-plane/admin-client.ts';
import type { Installation } from './installation/installation.ts';

interface Applied {
  readonly object: string;
  readonly isDryRun: boolean;
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  /** What of the answer GitOps engines hold against what is there. */
  readonly content: string;
  /** Text of the warnings that the answer carried. */
  readonly warnings: string;
}

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string };
}

export interface Sync {
  readonly calls: readonly Applied[];
  readonly hasSucceeded: boolean;
}

const plurals: Readonly<Record<string, string>> = {
  ConfigMap: 'api/v1/namespaces/prod/configmaps',
  Service: 'api/v1/namespaces/prod/services',
  Deployment: 'apis/apps/v1/namespaces/prod/deployments',
  StepUpDecision: 'apis/stepup.dev/v1alpha1/namespaces/prod/stepupdecisions',
};

/** A client with the gated account's own token. */
export function gatedClient({ kubeconfigs }: Pick<Installation, 'kubeconfigs'>): AdminClient {
  return clientOf(kubeconfigs.deployer);
}

/** A client with the token in that kubeconfig. */
export function clientOf(kubeconfig: string): AdminClient {
  const config = JSON.parse(readFileSync(kubeconfig, 'utf8')) as {
    clusters: { cluster: { server: string; 'certificate-authority-data': string } }[];
    users: { user: { token: string } }[];
  };
  const { server = '', 'certificate-authority-data': ca = '' } = config.clusters[0]?.cluster ?? {};
  return createAdminClient({
    server,
    ca: Buffer.from(ca, 'base64').toString('utf8'),
    token: config.users[0]?.user.token ?? '',
  });
}

/**
 * Argo CD with ServerSideDiff and ServerSideApply: the difference by a dry run of all; what is to be pruned; then each
 * kind in turn, the objects of one kind at once. Of one wave all are tried, whatever fails; a refused pruning ends it.
 */
export async function argoSync(
  client: AdminClient,
  manifests: readonly Manifest[],
  pruned: readonly Manifest[] = [],
): Promise<Sync> {
  const dry = await Promise.all(manifests.map((one) => apply(client, one, 'argocd-controller', { isDryRun: true })));
  const calls = [...dry];
  for (const one of pruned) calls.push(await prune(client, one));
  if (calls.some(isRefused)) return { calls, hasSucceeded: false };
  const kinds = [...new Set(manifests.map(({ kind }) => kind))];
  for (const kind of kinds) {
    const ofKind = manifests.filter((one) => one.kind === kind);
    calls.push(...(await Promise.all(ofKind.map((one) => apply(client, one, 'argocd-controller')))));
  }
  return { calls, hasSucceeded: !calls.some(isRefused) };
}

/** Flux: a dry run of every object; those that would change are applied one by one, and the first failure ends it. */
export async function fluxSync(client: AdminClient, manifests: readonly Manifest[]): Promise<Sync> {
  const calls: Applied[] = [];
  const drifted: Manifest[] = [];
  for (const manifest of manifests) {
    const before = await contentOf(client, manifest);
    const dry = await apply(client, manifest, 'kustomize-controller', { isDryRun: true });
    calls.push(dry);
    if (isRefused(dry)) return { calls, hasSucceeded: false };
    if (dry.content !== before) drifted.push(manifest);
  }
  for (const manifest of drifted) {
    const applied = await apply(client, manifest, 'kustomize-controller');
    calls.push(applied);
    if (isRefused(applied)) return { calls, hasSucceeded: false };
  }
  return { calls, hasSucceeded: true };
}

async function prune(client: AdminClient, manifest: Manifest): Promise<Applied> {
  const { code, body } = await client.send('DELETE', pathOf(manifest), { body: { propagationPolicy: 'Foreground' } });
  return applied(`prune ${manifest.kind}/${manifest.metadata.name}`, { isDryRun: false }, { code, headers: {}, body });
}

const isRefused = ({ code }: Applied) => code >= 300;

function pathOf({ kind, metadata }: Manifest): string {
  return `/${plurals[kind]}/${metadata.name}`;
}

async function contentOf(client: AdminClient, manifest: Manifest): Promise<string> {
  const { code, body } = await client.send('GET', pathOf(manifest));
  return code === 200 ? comparable(body) : '';
}

function comparable(body: unknown): string {
  const { metadata, status: _, ...rest } = body as { metadata?: Record<string, unknown>; status?: unknown };
  return JSON.stringify([rest, metadata?.labels, metadata?.annotations]);
}

async function apply(
  client: AdminClient,
  manifest: Manifest,
  fieldManager: string,
  { isDryRun } = { isDryRun: false },
): Promise<Applied> {
  const query = `?fieldManager=${fieldManager}&force=true${isDryRun ? '&dryRun=All' : ''}`;
  const sent = { body: manifest, contentType: 'application/apply-patch+yaml' };
  const answer = await client.send('PATCH', pathOf(manifest) + query, sent);
  return applied(`${manifest.kind}/${manifest.metadata.name}`, { isDryRun }, answer);
}

function applied(object: string, { isDryRun }: { readonly isDryRun: boolean }, answer: Answer): Applied {
  const { code, headers, body } = answer;
  const { reason = '', message = '' } = code >= 300 ? (body as { reason?: string; message?: string }) : {};
  const warnings = [headers.warning ?? []].flat().join(' ');
  return { object, isDryRun, code, reason, message, warnings, content: comparable(body) };
}
