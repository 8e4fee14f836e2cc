// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// MicroTime: the format of instants in Leases and Events.

/**
 * Formats an instant as MicroTime: RFC 3339 in UTC with exactly six fraction digits. `Date#toISOString()` gives three,
 * which the API server refuses for Lease and Event
 * (https://github.com/kubernetes-client/javascript/issues/828).
 */
export function formatMicroTime(instant: Date): string {
  return `${instant.toISOString().slice(0, -1)}000Z`;
}
