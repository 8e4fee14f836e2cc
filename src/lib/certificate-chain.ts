// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Whether a client with a bundle of authorities trusts a serving certificate, judged as the API server does.
import { X509Certificate } from 'node:crypto';

/** Longer chains than leaf, two intermediates and an authority are not seen; a loop of them must end. */
const mostIntermediates = 5;

/** The certificates of a PEM text in their order; what cannot be read is left out. */
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

/**
 * The authority of the bundle that a leaf, the first of `chain`, leads to by way of the intermediates behind it; undefined
 * when there is none. A certificate that is in the bundle itself needs no other.
 */
export function authorityOf(
  chain: readonly X509Certificate[],
  bundle: readonly X509Certificate[],
  now: Date,
): X509Certificate | undefined {
  let [current] = chain;
  for (let step = 0; current !== undefined && isValidAt(current, now) && step <= mostIntermediates; step++) {
    const { raw } = current;
    const subject: X509Certificate = current;
    const found = bundle.find((one) => isValidAt(one, now) && (one.raw.equals(raw) || hasIssued(one, subject)));
    if (found !== undefined) return found;
    current = chain.find((one) => one !== subject && hasIssued(one, subject));
  }
  return undefined;
}

/** True when the authority has signed the certificate. */
export function hasIssued(authority: X509Certificate, certificate: X509Certificate): boolean {
  return authority.ca && certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
}

/** True when a client that calls the name, and looks at alternative names only, finds it on the certificate. */
export function serves(certificate: X509Certificate, name: string): boolean {
  return certificate.checkHost(name, { subject: 'never' }) !== undefined;
}

export function isValidAt({ validFromDate, validToDate }: X509Certificate, now: Date): boolean {
  return validFromDate <= now && now < validToDate;
}
