// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The next step for the serving certificate, from what is stored and the time. own-certificates.ts performs it.
import { createPrivateKey, type X509Certificate } from 'node:crypto';
import { certificatesIn, hasIssued, serves } from '../../lib/certificate-chain.ts';

/** What the Secret holds, as PEM; absent or '' where it holds nothing. */
export interface StoredCertificates {
  /** The authorities that the API server is told to trust, the one that signs first. */
  readonly authorities: string;
  readonly authorityKey: string;
  readonly leaf: string;
  readonly leafKey: string;
}

export interface CertificateState {
  readonly stored: StoredCertificates;
  /** Every name the leaf must serve. */
  readonly names: readonly string[];
  /** For how long all webhook configurations of ours carry exactly the stored authorities; undefined while they do not. */
  readonly publishedForMs: number | undefined;
  /** How long a bundle is given to reach every API server, and a leaf to reach every replica. */
  readonly spreadMs: number;
}

export type CertificateStep =
  | { readonly kind: 'Keep'; readonly until: Date }
  /** A new authority in front of those that still vouch for a leaf in use, given here. */
  | { readonly kind: 'MakeAuthority'; readonly keep: readonly string[] }
  /** A leaf by the first authority. Nothing is served yet, or the API server trusts that authority already. */
  | { readonly kind: 'IssueLeaf' }
  /** The new authority must be in every configuration, and known to every API server, before its leaf may serve. */
  | { readonly kind: 'AwaitBundle'; readonly forMs: number }
  /** Only the first authority, now that every replica serves a leaf by it. */
  | { readonly kind: 'DropOldAuthorities'; readonly keep: readonly string[] };

/** Issued with a start in the past, for API servers whose clock is behind. */
export const backdateMs = 3_600_000;
/** Looked at again so often where nothing tells when it is time. */
const lookAgainMs = 1_000;
/** Keys that are lost over and over must not make a bundle that grows. */
const mostKept = 3;

/** The order is what matters: no replica ever serves a leaf whose authority the API server does not know yet. */
export function nextCertificateStep(state: CertificateState, now: Date): CertificateStep {
  const { stored, names, publishedForMs, spreadMs } = state;
  const authorities = certificatesIn(stored.authorities).filter((one) => one.ca && now < one.validToDate);
  const [newest] = authorities;
  const leaf = certificatesIn(stored.leaf)[0];
  const isLeafUsable =
    leaf !== undefined &&
    now < leaf.validToDate &&
    isKeyOf(stored.leafKey, leaf) &&
    names.every((name) => serves(leaf, name));
  const vouching = leaf === undefined || !isLeafUsable ? [] : authorities.filter((one) => hasIssued(one, leaf));

  if (newest === undefined || !isKeyOf(stored.authorityKey, newest) || now >= renewAt(newest)) {
    // A replica may still serve the leaf before, by one of the others.
    const keep = vouching.length === 0 ? [] : [...new Set([...vouching, ...authorities])].slice(0, mostKept);
    return { kind: 'MakeAuthority', keep: keep.map(pemOf) };
  }
  if (vouching.length === 0) return { kind: 'IssueLeaf' };
  if (leaf === undefined || !hasIssued(newest, leaf) || now >= renewAt(leaf)) {
    // One configuration that cannot be written must not take the others along.
    const isUrgent = leaf === undefined || now >= partBeforeEnd(leaf, 6);
    if (publishedForMs === undefined)
      return isUrgent ? { kind: 'IssueLeaf' } : { kind: 'AwaitBundle', forMs: lookAgainMs };
    if (publishedForMs >= spreadMs) return { kind: 'IssueLeaf' };
    return { kind: 'AwaitBundle', forMs: spreadMs - publishedForMs };
  }
  if (authorities.length > 1) {
    const spreadAt = new Date(issuedAt(leaf).getTime() + spreadMs);
    return now >= spreadAt ? { kind: 'DropOldAuthorities', keep: [pemOf(newest)] } : { kind: 'Keep', until: spreadAt };
  }
  return { kind: 'Keep', until: earlier(renewAt(newest), renewAt(leaf)) };
}

/** A third of its life before the end. */
function renewAt(certificate: X509Certificate): Date {
  return partBeforeEnd(certificate, 3);
}

/** So much of its life before the end: a third, a sixth. */
function partBeforeEnd(certificate: X509Certificate, part: 3 | 6): Date {
  const to = certificate.validToDate.getTime();
  return new Date(to - Math.max(to - issuedAt(certificate).getTime(), 0) / part);
}

function issuedAt({ validFromDate }: X509Certificate): Date {
  return new Date(validFromDate.getTime() + backdateMs);
}

function isKeyOf(pem: string, certificate: X509Certificate): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(pem));
  } catch {
    return false;
  }
}

function pemOf(certificate: X509Certificate): string {
  return certificate.toString();
}

function earlier(a: Date, b: Date): Date {
  return a < b ? a : b;
}
