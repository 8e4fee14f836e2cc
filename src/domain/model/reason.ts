// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The closed list of reasons for allowing and denying a request. Only a reason of allowedReasons allows.

/** Why a request passes. Nothing outside this list allows anything. */
export const allowedReasons = {
  NoChange: 'the request changes nothing that the policy governs',
  OutsideFields: 'the request changes only fields outside the policy',
  AlreadyDeleting: 'the object is already being deleted the same way',
  DryRun: 'a dry run changes nothing; the real request will need an approval',
  Reserved: 'an approval covers the request and is reserved for it',
  AutoApproved: 'the policy approves the request by itself; an approval records the use',
  Readmitted: 'the same change was already admitted on this state of the target',
} as const;

/** Why a request is denied. */
export const deniedReasons = {
  ApprovalRequired: 'no approval covers the request yet',
  AlreadyUsed: 'the approval for this change is reserved or consumed',
  WaitingForOthers: 'another policy governs the same request and is not satisfied yet',
  RateExceeded: "the policy's automatic approvals for this hour are used up",
  TargetUnknown: 'the target object could not be read',
  SeveralEffects: 'the request makes two governed changes at once; split it in two',
  TokenTooLong: 'the token would live longer than the policy allows',
  TooManyPending: 'the requester has too many approvals pending',
  ReasonRequired: 'the policy requires a reason in the annotation stepup.dev/reason',
  TicketRequired: 'the policy requires a ticket in the annotation stepup.dev/ticket',
  Contended: 'the approval changed three times while it was being reserved',
  NotReady: 'stepup is not ready to decide',
  UnknownPolicy: 'stepup does not know the policy',
  InvalidRequest: 'the review cannot be read',
  Failed: 'the decision failed',
} as const;

export type AllowedReason = keyof typeof allowedReasons;
export type DeniedReason = keyof typeof deniedReasons;
