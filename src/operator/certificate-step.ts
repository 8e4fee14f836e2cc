// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the serving certificate needs next, from what is stored and an instant; the effects are certificate-keeper's.
import { createPrivateKey, X509Certificate } from 'node:crypto';

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
  /** True when all webhook configurations of ours carry exactly the stored authorities. */
  readonly isBundlePublished: boolean;
}

export type CertificateStep =
  | { readonly kind: 'Keep'; readonly until: Date }
  /** A new authority in front of those that still vouch for the leaf in use, given here. */
  | { readonly kind: 'MakeAuthority'; readonly keep: readonly string[] }
  /** A leaf by the first authority. Nothing is served yet, or the API server trusts that authority already. */
  | { readonly kind: 'IssueLeaf' }
  /** The new authority must be in every configuration before its leaf may serve. */
  | { readonly kind: 'AwaitBundle' }
  /** Only the first authority, now that every replica serves a leaf by it. */
  | { readonly kind: 'DropOldAuthorities'; readonly keep: readonly string[] };

/** Mounted Secrets reach every replica within about two minutes; until then the old leaf may still be served. */
const spreadMs = 10 * 60_000;
/** Issued with a start in the past, for API servers whose clock is behind. */
export const backdateMs = 3_600_000;

/** The order is what matters: no replica ever serves a leaf whose authority the API server does not know yet. */
export function nextCertificateStep(
  { stored, names, isBundlePublished }: CertificateState,
  now: Date,
): CertificateStep {
  const authorities = certificatesIn(stored.authorities).filter((one) => one.ca && now < one.validToDate);
  const [newest] = authorities;
  const leaf = certificatesIn(stored.leaf)[0];
  const isLeafUsable =
    leaf !== undefined &&
    now < leaf.validToDate &&
    isKeyOf(stored.leafKey, leaf) &&
    names.every((name) => leaf.checkHost(name) !== undefined);
  const vouching = leaf === undefined || !isLeafUsable ? [] : authorities.filter((one) => vouchesFor(one, leaf));

  if (newest === undefined || !isKeyOf(stored.authorityKey, newest) || now >= renewAt(newest)) {
    return { kind: 'MakeAuthority', keep: vouching.map(pemOf) };
  }
  if (vouching.length === 0) return { kind: 'IssueLeaf' };
  if (leaf === undefined || !vouchesFor(newest, leaf) || now >= renewAt(leaf)) {
    return isBundlePublished ? { kind: 'IssueLeaf' } : { kind: 'AwaitBundle' };
  }
  if (authorities.length > 1) {
    const spreadAt = new Date(leaf.validFromDate.getTime() + backdateMs + spreadMs);
    return now >= spreadAt ? { kind: 'DropOldAuthorities', keep: [pemOf(newest)] } : { kind: 'Keep', until: spreadAt };
  }
  return { kind: 'Keep', until: earlier(renewAt(newest), renewAt(leaf)) };
}

/** A third of its life before the end. */
function renewAt(certificate: X509Certificate): Date {
  const from = certificate.validFromDate.getTime();
  const to = certificate.validToDate.getTime();
  return new Date(to - (to - from) / 3);
}

function vouchesFor(authority: X509Certificate, leaf: X509Certificate): boolean {
  return leaf.checkIssued(authority) && leaf.verify(authority.publicKey);
}

function isKeyOf(pem: string, certificate: X509Certificate): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(pem));
  } catch {
    return false;
  }
}

/** The certificates of a PEM text; what cannot be read is left out. */
export function certificatesIn(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.flatMap((block) => {
    try {
      return [new X509Certificate(block)];
    } catch {
      return [];
    }
  });
}

function pemOf(certificate: X509Certificate): string {
  return certificate.toString();
}

function earlier(a: Date, b: Date): Date {
  return a < b ? a : b;
}
