// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Whether two identities are the same person, by username, UID or credential.
import type { ApprovalSpec, Stamp } from '../model/approval.ts';
import { extraKeys } from '../model/stamp.ts';

/** Somebody as an authenticator told of them. Two usernames of one human, each with a credential of its own, look like two. */
export interface Person {
  readonly username: string;
  readonly uid?: string | undefined;
  readonly credential?: string | undefined;
}

export function personOf({ username, uid, extra }: Stamp): Person {
  return { username, uid, credential: extra?.[extraKeys.credential]?.[0] };
}

/** True when the two cannot be told apart. What is not known is never the same. */
export function isSamePerson(a: Person, b: Person): boolean {
  return a.username === b.username || isSame(a.uid, b.uid) || isSame(a.credential, b.credential);
}

function isSame(a: string | undefined, b: string | undefined): boolean {
  return a !== undefined && a !== '' && a === b;
}

/** Why a person may not decide what this requester does, whatever their rights; undefined when nothing of it bars them. */
export function objectionToPerson(who: Person, requester: ApprovalSpec['requester']): string | undefined {
  if (who.username === requester.username) return 'the requester cannot approve its own action';
  if (isSamePerson(who, requester)) return `${who.username} is the requester under another name`;
  if ((requester.owners ?? []).includes(who.username)) {
    return `${who.username} owns the requesting account and cannot approve its actions`;
  }
  return undefined;
}
