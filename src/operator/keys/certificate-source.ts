// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the operator has of whoever provides the certificates.

export interface CertificateSource {
  /** What the API server is to trust, in base64; undefined until there is a certificate to serve. */
  readonly caBundle: string | undefined;
  /** Looks again, because configurations may carry the bundle now. */
  check(): void;
  run(signal: AbortSignal): Promise<void>;
}
