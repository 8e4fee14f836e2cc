// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Counts, in the history of the targets of a round, what each approval has brought about and what no approval covers.

/** One revision of a target, reduced to what can be approved. */
export interface State {
  readonly key: string;
  readonly at: number;
  readonly kind: 'Written' | 'Deleted';
  readonly isCreation: boolean;
  readonly uid: string;
  readonly content: string;
  /** Who has written any part of it, by the names that they give the API server. */
  readonly managers: readonly string[];
}

/** What one approval covers, once. */
export interface Claim {
  readonly approval: string;
  readonly key: string;
  readonly effect: 'Content' | 'AnyContent' | 'Creation' | 'Deletion';
  /** With effect Content: the content that is approved. */
  readonly content?: string;
}

export interface Rules {
  readonly claims: readonly Claim[];
  /** Contents that an ungated admin writes, and nobody asks to have approved. */
  readonly ofAdmin: readonly string[];
  /** Names under which only requests are sent that nothing approves. */
  readonly strangers: readonly string[];
  /** The round's objects are removed after that revision. */
  readonly closedAt?: number;
}

export interface Judgement {
  /** By claim, in the order given: the revisions in which its effect was persisted. */
  readonly effects: readonly (readonly number[])[];
  /** What was persisted though no approval covers it. */
  readonly uncovered: readonly string[];
}

/** An ungated admin's name: only he creates and removes what the round is about, beside those whom it is about. */
export const adminName = 'storm-admin';

type Happening = 'Creation' | 'Deletion' | 'Content';

export function judge(states: readonly State[], rules: Rules): Judgement {
  const effects: number[][] = rules.claims.map(() => []);
  const uncovered: string[] = [];
  const last = new Map<string, State>();
  for (const state of [...states].sort((a, b) => a.at - b.at)) {
    const before = last.get(state.key);
    last.set(state.key, state);
    const happening = happeningOf(state, before, rules);
    const stranger = strangerIn(state, before, rules);
    if (stranger !== undefined) uncovered.push(`${state.key} at ${state.at}: written by ${stranger}`);
    if (happening === undefined) continue;
    const index = rules.claims.findIndex((claim) => isClaimed(claim, state, happening));
    if (index >= 0) effects[index]?.push(state.at);
    else uncovered.push(`${state.key} at ${state.at}: ${happening} ${state.content}`);
  }
  return { effects, uncovered };
}

/** What the revision changes that must be approved; undefined when it is an admin's or nothing of that kind. */
function happeningOf(state: State, before: State | undefined, rules: Rules): Happening | undefined {
  if (state.kind === 'Deleted') {
    const isClosing = rules.closedAt !== undefined && state.at > rules.closedAt;
    const isAdmins = rules.claims.some(({ key, effect }) => key === state.key && effect === 'Creation');
    return isClosing || isAdmins ? undefined : 'Deletion';
  }
  if (state.isCreation) return state.managers.includes(adminName) ? undefined : 'Creation';
  if (state.content === before?.content || rules.ofAdmin.includes(state.content)) return undefined;
  return 'Content';
}

function strangerIn(state: State, before: State | undefined, { strangers }: Rules): string | undefined {
  const had = before?.kind === 'Written' && before.uid === state.uid ? before.managers : [];
  return state.managers.find((name) => strangers.includes(name) && !had.includes(name));
}

function isClaimed({ key, effect, content }: Claim, state: State, happening: Happening): boolean {
  if (key !== state.key) return false;
  if (effect === 'AnyContent') return happening === 'Content';
  return effect === happening && (effect === 'Deletion' || content === state.content);
}
