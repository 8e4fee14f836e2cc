// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Finds problems of a policy in its spec. Each message says how to fix it.

import { conditionLabelsOf } from '../../domain/coverage/condition-labels.ts';
import { selects } from '../../domain/model/label-selector.ts';
import { enginesOf, type Policy, type Requirement } from '../../domain/model/policy.ts';
import { isGated, isPartOfKubernetes, type Subject, serviceAccountPrefix } from '../../domain/model/subject.ts';
import { unguardedIn } from './unguarded-reads.ts';

export interface Problem {
  readonly reason:
    | 'NoRequirement'
    | 'ImpossibleRequirement'
    | 'EngineNotConfigured'
    | 'KindNotServed'
    | 'Aggregated'
    | 'NeverGated'
    | 'NeverMatched'
    | 'UnguardedCEL'
    | 'ConditionLabelOnNewObject'
    | 'NobodyReviews'
    | 'TooManyEntries'
    | 'NamespaceShapesMissing';
  /** What is wrong, and what to do. */
  readonly message: string;
}

/** Why the policy cannot work at all. engineExists: is an engine of that name configured? */
export function blockingProblems({ spec }: Policy, engineExists: (name: string) => boolean): readonly Problem[] {
  const problems: Problem[] = [];
  const { require = [], auto } = spec.approval;
  if (require.length === 0 && auto === undefined) {
    const message = 'spec.approval.require is empty, so nobody can approve; add at least one requirement';
    problems.push({ reason: 'NoRequirement', message });
  }
  return [...problems, ...impossibleRequirements(spec), ...engineProblems(spec, engineExists), ...contradictions(spec)];
}

/** An engine has one vote, which fills one seat. */
function engineProblems(spec: Policy['spec'], engineExists: (name: string) => boolean): readonly Problem[] {
  const { require = [] } = spec.approval;
  return enginesOf(spec).flatMap((engine): Problem[] => {
    if (!engineExists(engine)) {
      const message = `spec.approval.require names engine ${engine}, which is not configured; add it to the chart value engines, or correct the name`;
      return [{ reason: 'EngineNotConfigured', message }];
    }
    const seats = votesNeededBy(require.filter((requirement) => requirement.engine === engine));
    if (seats === 1) return [];
    const message = `spec.approval.require requires ${seats} approvals by engine ${engine}, which has one vote; name it once, without a count`;
    return [{ reason: 'ImpossibleRequirement', message }];
  });
}

/** One vote fills one seat: several requirements need as many people as they have seats together. */
function impossibleRequirements({ approval, subjects }: Policy['spec']): readonly Problem[] {
  const named = (approval.require ?? []).filter(
    ({ approvers, engine }) => engine === undefined && (approvers?.groups ?? []).length === 0,
  );
  const alone = named.filter((one) => votesNeededBy([one]) > votersOf([one], subjects).size);
  const sets = alone.length > 0 ? alone.map((one) => [one]) : [named];
  return sets
    .filter((set) => votesNeededBy(set) > votersOf(set, subjects).size)
    .map((set) => {
      const names = set.map(({ name }) => name).join(' and ');
      const voters = votersOf(set, subjects).size;
      const votes = votesNeededBy(set);
      const who =
        voters === 0
          ? 'none of the named approvers can vote (subjects of the policy cannot)'
          : `only ${voters} of the named approvers can vote (each has one vote, and subjects of the policy have none)`;
      const message = `${set.length === 1 ? 'requirement' : 'requirements'} ${names} can never be met: that takes ${votes} ${votes === 1 ? 'vote' : 'votes'}, and ${who}; name more users, or a group`;
      return { reason: 'ImpossibleRequirement', message };
    });
}

function votesNeededBy(requirements: readonly Requirement[]): number {
  return requirements.reduce((sum, { count = 1 }) => sum + count, 0);
}

/** Gated accounts vote only where they are named as service accounts: as delegates. */
function votersOf(requirements: readonly Requirement[], subjects: Policy['spec']['subjects']): ReadonlySet<string> {
  return new Set(
    requirements.flatMap(({ approvers: { users = [], serviceAccounts = [] } = {} }) => [
      ...users.filter((username) => !isGated(subjects, { username, groups: [] })),
      ...serviceAccounts.map(({ namespace, name }) => `${serviceAccountPrefix}${namespace}:${name}`),
    ]),
  );
}

function contradictions({ namespaceSelector, subjects }: Policy['spec']): readonly Problem[] {
  const { matchLabels = {}, matchExpressions = [] } = namespaceSelector ?? {};
  const problems: Problem[] = Object.entries(matchLabels)
    .filter(([key, value]) => {
      const same = matchExpressions.filter((expression) => expression.key === key);
      return !selects({ matchExpressions: same }, { [key]: value });
    })
    .map(([key, value]) => ({
      reason: 'NeverMatched',
      message: `spec.namespaceSelector requires label ${key}=${value} and also excludes it, so no namespace matches; remove one of the two`,
    }));
  const { include = [], exclude = [] } = subjects ?? {};
  const isExcluded = (subject: Subject) => exclude.some((other) => subjectKeyOf(other) === subjectKeyOf(subject));
  if (include.length > 0 && include.every(isExcluded)) {
    const message =
      'spec.subjects.exclude has every subject of include, so the policy gates nobody; remove some from exclude';
    problems.push({ reason: 'NeverGated', message });
  }
  return problems;
}

function subjectKeyOf({ kind, namespace = '*', name }: Subject): string {
  return JSON.stringify([kind, kind === 'ServiceAccount' ? namespace : '', name]);
}

/** What works, but perhaps not as its author expects. */
export function warnings(policy: Policy, ownUsername: string): readonly Problem[] {
  return [...subjectProblems(policy, ownUsername), ...conditionProblems(policy), ...reviewProblems(policy)];
}

/** Only approvers can review: neither an engine nor the policy itself does. */
function reviewProblems({ spec }: Policy): readonly Problem[] {
  const isReviewed = (spec.approval.require ?? []).some(({ engine }) => engine === undefined);
  if (spec.bypass?.enabled !== true || isReviewed) return [];
  const message =
    'spec.bypass is enabled and spec.approval.require names no people, so nobody can review a break-glass approval; name approvers, or disable bypass';
  return [{ reason: 'NobodyReviews', message }];
}

function subjectProblems(policy: Policy, ownUsername: string): readonly Problem[] {
  return (policy.spec.subjects?.include ?? [])
    .map(usernameOf)
    .filter((name) => name === ownUsername || isPartOfKubernetes(name))
    .map((name) => ({
      reason: 'NeverGated',
      message: `spec.subjects.include names ${name}, which is never gated; remove it`,
    }));
}

function usernameOf({ kind, namespace, name }: Subject): string {
  if (kind === 'ServiceAccount') return `${serviceAccountPrefix}${namespace ?? '*'}:${name}`;
  return kind === 'User' ? name : '';
}

function conditionProblems({ spec }: Policy): readonly Problem[] {
  const operations = [...new Set(spec.actions.flatMap((action) => action.operations))];
  const unguarded = (spec.conditions ?? []).flatMap(({ name, expression }) => {
    const sentences = unguardedIn(expression, operations)?.map(
      (what) => `condition ${name} ${what}; until you fix it, such requests of gated accounts are denied with an error`,
    );
    const unread = `condition ${name} is CEL that stepup cannot parse: what it reads without a guard is not reported, and each change of a label or annotation needs approval; write it in another way`;
    return (sentences ?? [unread]).map((message): Problem => ({ reason: 'UnguardedCEL', message }));
  });
  // Where only creation is governed there is no old object to read.
  const changes = operations.some((operation) => operation === 'UPDATE' || operation === 'DELETE');
  const blind = (changes ? conditionLabelsOf(spec).onNewOnly : []).map((name): Problem => {
    const message = `condition ${name} reads labels or annotations of object only, so a request that removes them is not governed; read those of (oldObject == null ? object : oldObject)`;
    return { reason: 'ConditionLabelOnNewObject', message };
  });
  return [...unguarded, ...blind];
}
