// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Mutating webhooks and admission policies that could change a vote before stepup sees it. An admission policy runs
// before every webhook, so a Deny could arrive as an Approve by the same person: stepup does not seal such a vote.

/** One entry of a mutating webhook configuration, or a mutating admission policy. */
export interface Mutator {
  readonly kind: 'MutatingWebhookConfiguration' | 'MutatingAdmissionPolicy';
  /** Of the configuration or policy. */
  readonly name: string;
  /** If absent, it matches everything. */
  readonly rules?: readonly MutatorRule[];
  /** It calls stepup's own stamp endpoint, whatever its name. */
  readonly isOurs: boolean;
}

export interface MutatorRule {
  readonly apiGroups?: readonly string[];
  readonly operations?: readonly string[];
  readonly resources?: readonly string[];
}

const kinds = ['stepupdecisions', 'stepupapprovals'];

/**
 * The first that can change new approvals or votes, is not stepup's own and not trusted by name. Selectors and conditions
 * are ignored: they can match tomorrow what they do not match today.
 */
export function foreignMutator(mutators: readonly Mutator[], trusted: readonly string[]): Mutator | undefined {
  return mutators.find(
    ({ isOurs, name, rules }) => !isOurs && !trusted.includes(name) && (rules?.some(reachesUs) ?? true),
  );
}

function reachesUs({ apiGroups, operations, resources }: MutatorRule): boolean {
  return (
    has(apiGroups, ['*', 'stepup.dev']) &&
    has(operations, ['*', 'CREATE']) &&
    has(resources, ['*', '*/*', ...kinds, ...kinds.map((kind) => `${kind}/*`)])
  );
}

function has(listed: readonly string[] | undefined, wanted: readonly string[]): boolean {
  return listed?.some((one) => wanted.includes(one)) ?? true;
}

/** The message for the voter. */
export function mutatorSentence({ kind, name }: Mutator): string {
  return (
    `${kind} ${name} can change this object before stepup sees it, so stepup does not seal it; ` +
    'have an admin delete it, narrow its rules, or list it in the chart value trustedMutators'
  );
}
