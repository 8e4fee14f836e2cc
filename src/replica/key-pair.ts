// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reads a serving certificate and its key from a Secret of type kubernetes.io/tls.
import { createPrivateKey, type X509Certificate } from 'node:crypto';
import type { Secret } from '../kube/objects/objects.ts';
import { decodeBase64 } from '../lib/base64.ts';
import { certificatesIn } from '../lib/certificate-chain.ts';

export interface LoadedPair {
  readonly pair: KeyPair;
  readonly leaf: X509Certificate;
  /** The leaf and its intermediates. */
  readonly chain: readonly X509Certificate[];
  /** Those that the Secret names. */
  readonly authorities: readonly X509Certificate[];
}

/** Certificate and key of a Secret, or what is wrong with it; never quotes a value. */
export function loadPair(secret: Secret | undefined): LoadedPair | string {
  if (secret === undefined) return 'it does not exist';
  const text = (key: string) => decodeBase64(secret.data?.[key]);
  const [cert, key] = [text('tls.crt'), text('tls.key')];
  if (cert === '') return 'tls.crt is missing';
  if (key === '') return 'tls.key is missing';
  const chain = certificatesIn(cert);
  const [leaf] = chain;
  if (leaf === undefined) return 'tls.crt or tls.key is not PEM';
  try {
    if (!leaf.checkPrivateKey(createPrivateKey(key))) return 'tls.key does not belong to tls.crt';
    return { pair: { cert, key }, leaf, chain, authorities: certificatesIn(text('ca.crt')) };
  } catch {
    return 'tls.crt or tls.key is not PEM';
  }
}

export interface KeyPair {
  /** PEM, with intermediates. */
  readonly cert: string;
  readonly key: string;
}
