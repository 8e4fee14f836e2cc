// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What stepup has seen of a target.
import type { JsonObject } from '../../lib/json.ts';

/** What stepup has seen of the target of a reservation. */
export type Seen =
  /** stepup is not allowed to read its kind, or has not read it yet. */
  | { readonly kind: 'Nothing' }
  | { readonly kind: 'Absent' }
  /** isNext: there is no state between the one that was reserved on and this one. */
  | { readonly kind: 'State'; readonly object: JsonObject; readonly isNext: boolean };
