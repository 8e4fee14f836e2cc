// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Text in base64, as Secrets and bundles of authorities hold it.

export function encodeBase64(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** '' where there is nothing. */
export function decodeBase64(base64 = ''): string {
  return Buffer.from(base64, 'base64').toString('utf8');
}
