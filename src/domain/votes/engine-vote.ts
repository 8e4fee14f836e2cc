// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The vote of a policy engine: what it counts for, and how a missing one is reported.
import type { Abstention, Decision, Verdict } from '../model/approval.ts';
import { enginesOf, type Policy, type PolicySpec } from '../model/policy.ts';
import type { Identity } from '../model/subject.ts';
import type { Tally, Voter } from './vote.ts';

/** Who speaks in a decision. Of kind Engine are only those that stepup makes: what others send is stamped with another. */
export function voterOf({ kind, engine }: Decision['spec'], decidedBy: Identity): Voter {
  if (kind !== 'Engine') return decidedBy;
  const { name = '' } = engine ?? {};
  return { username: `engine ${name}`, groups: [], engine: name };
}

/** Why the vote of an engine does not count; undefined when it does. */
export function objectionToEngine(engine: string, verdict: Verdict, policy: Policy): string | undefined {
  if (!enginesOf(policy.spec).includes(engine))
    return `policy ${policy.metadata.name} does not require engine ${engine}`;
  return verdict === 'Approve' || verdict === 'Deny' ? undefined : 'an engine can only approve or deny';
}

/** The engines of a policy that are not among those who approved. */
export function missingEnginesOf(spec: PolicySpec, votes: readonly { readonly voter: Voter }[]): readonly string[] {
  return enginesOf(spec).filter((engine) => !votes.some(({ voter }) => voter.engine === engine));
}

/** True when nothing but answers of engines is missing, and none of these has abstained: they come within moments. */
export function waitsForEngines(
  { required, received, missingEngines }: Pick<Tally, 'required' | 'received' | 'missingEngines'>,
  abstentions: readonly Abstention[],
): boolean {
  const isOnlyEngines = missingEngines.length > 0 && required - received === missingEngines.length;
  return isOnlyEngines && !abstentions.some(({ name }) => missingEngines.includes(name));
}

/** "the approval of engine opa", and why there is none where that is known. */
export function missingEngine(engine: string, abstentions: readonly Abstention[]): string {
  const why = abstentions.find(({ name }) => name === engine)?.abstained;
  return `the approval of engine ${engine}${why === undefined ? '' : ` (engine ${engine}: abstained: ${why})`}`;
}

/** Those said before, with what is known now in their place. */
export function withAbstentions(before: readonly Abstention[], now: readonly Abstention[]): readonly Abstention[] {
  return [...before.filter(({ name }) => !now.some((one) => one.name === name)), ...now];
}
