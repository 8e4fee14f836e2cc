// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The types of a privileged change, and why a governed request may not be one.
import type { JsonObject } from '../../lib/json.ts';
import type { Base, Effect } from '../model/approval.ts';
import type { Operation } from '../model/request.ts';
import type { ChangeDigests } from './change-digest.ts';

/** A privileged change, described so that another try of the same change describes itself the same. */
export interface Change extends ChangeDigests {
  /** What the change amounts to: an eviction is the DELETE of its pod. */
  readonly operation: Operation;
  readonly subresource: string;
  readonly fields?: readonly string[];
  readonly deletion?: Deletion;
  readonly objectUID?: string;
  readonly oldResourceVersion?: string;
  readonly base: Base;
  readonly effect?: Effect | undefined;
}

/** Why a governed request is let through unspent. */
export type Harmless = 'NoChange' | 'OutsideFields' | 'AlreadyDeleting';

export interface ChangeContext {
  /** Read live where the review does not carry it: the pod of an eviction, the parent of a scale. */
  readonly live?: JsonObject;
  /** Label keys by which the policies that share a namespace's approval select it. */
  readonly selectorKeys: readonly string[];
}

/** How an object is ended. */
export interface Deletion {
  /** What becomes of the dependents. */
  readonly propagation: string;
  /** Without the grace period. */
  readonly immediate: boolean;
}
