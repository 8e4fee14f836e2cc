// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What stepup has seen of a target.
import type { JsonObject } from '../../lib/json.ts';

/** What was seen of a reservation's target. */
export type Seen =
  /** Its kind may not be read, or it has not been looked at yet. */
  | { readonly kind: 'Nothing' }
  | { readonly kind: 'Absent' }
  /** isNext: nothing lies between the state that was reserved on and this one. */
  | { readonly kind: 'State'; readonly object: JsonObject; readonly isNext: boolean };
