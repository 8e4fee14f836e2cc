// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Which authorities the API server should trust if somebody else issues the certificates, and for how long.
import type { X509Certificate } from 'node:crypto';
import { certificatesIn } from '../../lib/certificate-chain.ts';

export interface ExternalBundleState {
  /** The authorities that come with the certificate, as PEM. */
  readonly given: string;
  /** Those that were told so far, as PEM. */
  readonly known: string;
  /** For how long all webhook configurations carry those; undefined while they do not. */
  readonly publishedForMs: number | undefined;
  /** How long a bundle is given to reach every API server, and a leaf to reach every replica. */
  readonly spreadMs: number;
}

export interface ExternalBundleStep {
  /** As PEM, the given ones first; '' when there is none at all. */
  readonly authorities: string;
  /** Look again after so long, if nothing changes before. */
  readonly againInMs?: number;
}

const lookAgainMs = 1_000;
/** Whoever rotates over and over must not make a bundle that grows. */
const mostKept = 3;

/**
 * The new certificate comes with its authority, so there is no telling the API server beforehand. Replicas serve the one they
 * have until the new authority is registered and known; so the ones before stay for that time, and as long again.
 */
export function nextExternalBundle(
  { given, known, publishedForMs, spreadMs }: ExternalBundleState,
  now: Date,
): ExternalBundleStep {
  const first = certificatesIn(given);
  const others = certificatesIn(known).filter((one) => now < one.validToDate && !isAmong(first, one));
  const before = others.filter((one, index) => !isAmong(others.slice(0, index), one)).slice(0, mostKept);
  if (first.length === 0) return { authorities: bundleOf(before) };
  const isNew = first.some((one) => !isAmong(certificatesIn(known), one));
  const isOver = !isNew && publishedForMs !== undefined && publishedForMs >= 2 * spreadMs;
  if (before.length === 0 || isOver) return { authorities: bundleOf(first) };
  const restMs = isNew || publishedForMs === undefined ? lookAgainMs : 2 * spreadMs - publishedForMs;
  return { authorities: bundleOf([...first, ...before]), againInMs: restMs };
}

function isAmong(all: readonly X509Certificate[], one: X509Certificate): boolean {
  return all.some(({ raw }) => raw.equals(one.raw));
}

function bundleOf(certificates: readonly X509Certificate[]): string {
  return certificates.map((one) => `${one.toString().trim()}\n`).join('');
}
