// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Compiles a policy into the webhook configuration that has the API server call stepup, and lists its problems.
import { type CoverageRow, coverageOf, speaksOfObject } from '../../domain/coverage/coverage.ts';
import { probeLabel, probeLabelValue, probeName } from '../../domain/integrity/watchdog-probe.ts';
import { selectorKeys } from '../../domain/model/label-selector.ts';
import { isEnforced, type Policy } from '../../domain/model/policy.ts';
import { exemptionOf } from '../../domain/model/subject.ts';
import type { Discovery } from '../../kube/objects/discovery.ts';
import { celText } from '../admission/cel.ts';
import {
  configurationLabels,
  gatePrefix,
  kindUidLabel,
  type NewConfiguration,
  type Rule,
  type WebhookEntry,
  type WebhookService,
  watchdogPath,
} from '../admission/webhook-configuration.ts';
import { changeCondition, exemptCondition, gatedCondition, ownConditions } from './match-conditions.ts';
import { blockingProblems, type Problem, warnings } from './policy-problems.ts';

export interface CompileContext {
  readonly ownUsername: string;
  readonly service: WebhookService;
  /** PEM in base64, as the API server wants it. */
  readonly caBundle: string;
  /** The UID of the definition that the policy belongs to. */
  readonly kindUid: string;
  readonly discovery: Discovery;
  readonly policyExists: (name: string) => boolean;
  readonly engineExists: (name: string) => boolean;
  /** How many entries of other policies ask about a kind. */
  readonly entriesOn: (group: string, resource: string) => number;
}

export interface Compiled {
  /** Absent when the policy cannot work at all. */
  readonly configuration: NewConfiguration | undefined;
  readonly problems: readonly Problem[];
}

/** The API server's limit on matchConditions of one webhook. */
const mostConditions = 64;

export function compilePolicy(policy: Policy, context: CompileContext): Compiled {
  const blocking = blockingProblems(policy, context.engineExists);
  if (blocking.length > 0) return { configuration: undefined, problems: blocking };
  const problems: Problem[] = [...warnings(policy, context.ownUsername)];
  const entries = new Map<string, CompiledEntry>();
  let governs = false;
  for (const row of usefulRows(policy)) {
    const rules = rulesFor(row, policy, context.discovery, problems);
    if (rules.length === 0) continue;
    governs ||= row.shape === 'Action';
    addTo(entries, row, rules, { policy, ownNamespace: context.service.namespace });
  }
  const { namespaceShapes } = policy.spec;
  if (namespaceShapes !== undefined && !context.policyExists(namespaceShapes)) {
    const message = `spec.namespaceShapes names policy ${namespaceShapes}, which does not exist; until it does, this policy governs such requests itself`;
    problems.push({ reason: 'NamespaceShapesMissing', message });
  }
  if (!governs) return { configuration: undefined, problems };
  problems.push(...crowdedKinds([...entries.values()], context));
  return { configuration: configurationOf(policy, [...entries.values()], context), problems };
}

/** A hundred entries on one kind cost 5 ms per write (ADR 0002). */
const mostEntries = 25;

function crowdedKinds(entries: readonly CompiledEntry[], { entriesOn }: CompileContext): readonly Problem[] {
  const own = new Map<string, { group: string; resource: string; entries: number }>();
  for (const { rules } of entries) {
    const kinds = rules.flatMap(({ apiGroups: [group = ''], resources }) => resources.map((name) => ({ group, name })));
    const names = new Map(kinds.map((kind) => [`${kind.group}/${kind.name}`, kind]));
    for (const [key, { group, name }] of names) {
      own.set(key, { group, resource: name, entries: (own.get(key)?.entries ?? 0) + 1 });
    }
  }
  return [...own.values()].flatMap(({ group, resource, entries: ours }) => {
    const all = ours + entriesOn(group, resource);
    if (all < mostEntries) return [];
    const message = `${all} webhooks match ${resource} in ${group || 'core'}, which slows down every write of it; merge policies that govern it`;
    return [{ reason: 'TooManyEntries' as const, message }];
  });
}

/** Rows without those that never match and without kinds another row asks about for every UPDATE anyway. */
function usefulRows(policy: Policy): readonly CoverageRow[] {
  const rows = coverageOf(policy);
  const asksAlways = (reach: string, group: string, resource: string) =>
    rows.some(
      (row) =>
        row.shape === 'Action' &&
        row.reach === reach &&
        row.action?.fields === undefined &&
        row.operations.includes('UPDATE') &&
        row.apiGroups.includes(group) &&
        row.resources.includes(resource),
    );
  const isAskedOnce = firstOnly();
  return rows.flatMap((whole) => {
    const row = { ...whole, resources: whole.resources.filter((resource) => isAskedOnce(whole, resource)) };
    if (row.resources.length === 0) return [];
    if (row.shape === 'NamespaceLeaves') {
      // A selector without terms cannot be left.
      return selectorKeys(policy.spec.namespaceSelector ?? {}).length === 0 ? [] : [row];
    }
    if (row.shape !== 'DeletionByUpdate' && row.shape !== 'ConditionLabelRemoved') return [row];
    const resources = row.resources.filter(
      (resource) => !row.apiGroups.every((group) => asksAlways(row.reach, group, resource)),
    );
    return resources.length === 0 ? [] : [{ ...row, resources }];
  });
}

/** Of rows about the same request that persists nothing only the first: each entry's call would spend an approval. */
function firstOnly(): (row: CoverageRow, resource: string) => boolean {
  const seen = new Set<string>();
  return ({ operations, apiGroups, reach }, resource) => {
    const isVirtual = operations.every((one) => one === 'CONNECT' || one === 'CREATE');
    if (!isVirtual || !(resource.includes('/') || resource === 'bindings')) return true;
    const keys = apiGroups.map((group) => `${group}/${resource} ${reach}`);
    const isNew = keys.some((key) => !seen.has(key));
    for (const key of keys) seen.add(key);
    return isNew;
  };
}

interface CompiledEntry {
  readonly name: string;
  readonly reach: CoverageRow['reach'];
  readonly change: string | undefined;
  readonly isAboutObject: boolean;
  readonly rules: Rule[];
}

const nameOfShape: Record<CoverageRow['shape'], string> = {
  Action: 'action',
  EphemeralContainers: 'action',
  Resize: 'action',
  DeletionByUpdate: 'deletion-by-update',
  Scale: 'equivalent',
  Eviction: 'equivalent',
  Binding: 'equivalent',
  NamespaceDeletion: 'namespace-deletion',
  NamespaceLeaves: 'namespace-leaves',
  ConditionLabelRemoved: 'condition-label-removed',
  Connect: 'equivalent',
  Identity: 'identity',
  IdentityElsewhere: 'identity-elsewhere',
  TokenSecret: 'token-secret',
};

/** Rows that share reach and conditions share an entry. The policy's own CEL speaks of the governed object only. */
function addTo(
  entries: Map<string, CompiledEntry>,
  row: CoverageRow,
  rules: readonly Rule[],
  { policy, ownNamespace }: { readonly policy: Policy; readonly ownNamespace: string },
): void {
  const exempt = () => exemptCondition(exemptionOf(policy.spec.subjects, ownNamespace));
  const where = row.reach === 'ExemptNamespaces' ? exempt() : row.isOutsideExempt ? `!(${exempt()})` : undefined;
  const what = changeCondition(row, policy.spec.namespaceSelector);
  const change = where === undefined || what === undefined ? (where ?? what) : `(${where}) && ${what}`;
  const name = nameOfShape[row.shape];
  const isAboutObject = speaksOfObject(row.shape);
  const key = JSON.stringify([name, row.reach, change ?? null]);
  const entry = entries.get(key) ?? { name, reach: row.reach, change, isAboutObject, rules: [] };
  entry.rules.push(...rules);
  entries.set(key, entry);
}

/** One rule for each group, in exactly one version, so that the digest sees one shape. */
function rulesFor(row: CoverageRow, policy: Policy, discovery: Discovery, problems: Problem[]): readonly Rule[] {
  const isNamed = row.shape === 'Action';
  const scope = scopeOf(row, policy);
  const byVersion = new Map<string, { group: string; version: string; resources: string[] }>();
  const report = (reason: Problem['reason'], message: string) => {
    if (isNamed && !problems.some((one) => one.message === message)) problems.push({ reason, message });
  };
  for (const resource of row.resources) {
    const [main = '', subresource] = resource.split('/');
    const served = row.apiGroups.flatMap((group) => {
      const kind = discovery.find(group, main);
      const has = kind !== undefined && (subresource === undefined || kind.subresources.includes(subresource));
      return has ? [{ group, kind }] : [];
    });
    if (served.length === 0) {
      const groups = row.apiGroups.map((group) => group || 'core').join(', ');
      report('KindNotServed', `${resource} is not served in ${groups}; correct its name or group, or install its API`);
    }
    for (const { group, kind } of served) {
      if (kind.aggregatedBy !== undefined) {
        const message = `${resource} is served by ${kind.aggregatedBy}, which may not call admission webhooks; test that it does`;
        report('Aggregated', message);
      }
      if (scope === 'Namespaced' && !kind.namespaced) {
        const message = `${resource} is cluster-scoped, so no namespaceSelector selects it; move it to a policy without one`;
        report('NeverMatched', message);
        continue;
      }
      const key = `${group}/${kind.version}`;
      const rule = byVersion.get(key) ?? { group, version: kind.version, resources: [] };
      rule.resources.push(resource);
      byVersion.set(key, rule);
    }
  }
  return [...byVersion.values()].map(({ group, version, resources }) => ({
    apiGroups: [group],
    apiVersions: [version],
    operations: row.operations,
    resources,
    scope,
  }));
}

function scopeOf(row: CoverageRow, policy: Policy): Rule['scope'] {
  if (row.reach === 'ExemptNamespaces') return 'Namespaced';
  if (row.reach !== 'Selected') return 'Cluster';
  return policy.spec.namespaceSelector === undefined ? '*' : 'Namespaced';
}

function isSelective(reach: CoverageRow['reach']): boolean {
  return reach === 'Selected' || reach === 'SelectedNamespaces';
}

function configurationOf(policy: Policy, entries: readonly CompiledEntry[], context: CompileContext): NewConfiguration {
  const { name } = policy.metadata;
  const { service, caBundle } = context;
  const own = ownConditions(policy);
  const counts = new Map<string, number>();
  const webhooks = entries.map((entry): WebhookEntry => {
    const count = (counts.get(entry.name) ?? 0) + 1;
    counts.set(entry.name, count);
    const gated = gatedCondition(policy, context.ownUsername, entry.change);
    const matchConditions = [gated, ...(entry.isAboutObject ? own : [])];
    if (matchConditions.length > mostConditions) throw new RangeError(`policy ${name}: too many matchConditions`);
    return {
      name: `${entry.name}${count === 1 ? '' : `-${count}`}.${name}.gate.stepup.dev`,
      admissionReviewVersions: ['v1'],
      clientConfig: { service: { ...service, path: `/${isEnforced(policy) ? 'gate' : 'observe'}/${name}` }, caBundle },
      // A policy in mode Observe must not block either.
      failurePolicy: isEnforced(policy) ? (policy.spec.failurePolicy ?? 'Fail') : 'Ignore',
      matchConditions,
      matchPolicy: 'Equivalent',
      namespaceSelector: isSelective(entry.reach) ? (policy.spec.namespaceSelector ?? {}) : {},
      objectSelector: {},
      rules: entry.rules,
      sideEffects: 'NoneOnDryRun',
      timeoutSeconds: 5,
    };
  });
  return {
    metadata: {
      name: `${gatePrefix}${name}`,
      labels: { ...configurationLabels, [kindUidLabel]: context.kindUid },
    },
    webhooks: [...webhooks, watchdogEntry(name, context)],
  };
}

/**
 * Asks about the watchdog's own question and nothing else (ADR 0014). Not about who sends it: ours comes from ourselves. Where
 * nobody answers it passes.
 */
function watchdogEntry(policy: string, { service, caBundle }: CompileContext): WebhookEntry {
  return {
    name: `watchdog.${policy}.gate.stepup.dev`,
    admissionReviewVersions: ['v1'],
    clientConfig: { service: { ...service, path: `${watchdogPath}${policy}` }, caBundle },
    failurePolicy: 'Ignore',
    // An empty list would not be stored, and look like a foreign change ever after.
    matchConditions: [{ name: 'probe', expression: `object.metadata.name == ${celText(probeName)}` }],
    matchPolicy: 'Equivalent',
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': service.namespace } },
    objectSelector: { matchLabels: { [probeLabel]: probeLabelValue } },
    rules: [
      {
        apiGroups: ['coordination.k8s.io'],
        apiVersions: ['v1'],
        operations: ['CREATE'],
        resources: ['leases'],
        scope: 'Namespaced',
      },
    ],
    sideEffects: 'None',
    timeoutSeconds: 3,
  };
}
