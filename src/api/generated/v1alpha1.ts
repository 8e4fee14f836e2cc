// Code generated from crds/ by scripts/generate-types.ts. DO NOT EDIT.
// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
import type { KubeObject } from '../../kube/objects/kube-object.ts';

/** StepUpApproval is one single-use grant for one requester, one action on one target and, with a digest, one content. */
export interface StepUpApproval extends KubeObject {
  readonly spec: {
    readonly policy: {
      readonly name: string;
      /** Filled in, for people. */
      readonly uid?: string;
      /** Filled in, for people. */
      readonly generation?: number;
    };
    readonly requester: {
      readonly username: string;
      /** Absent means any UID of that name. */
      readonly uid?: string;
      readonly pod?: {
        readonly name: string;
        readonly uid: string;
      };
      /** Filled in: where the pod ran, as the API server reports it. It binds nothing. */
      readonly node?: {
        readonly name: string;
        readonly uid?: string;
      };
      /** The credential's id as the API server reports it. */
      readonly credential?: string;
      /** Filled in: whom the account names by its annotation stepup.dev/owner. They may not approve. */
      readonly owners?: readonly string[];
    };
    readonly action: {
      readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
      readonly group?: string;
      readonly version: string;
      readonly resource: string;
      readonly subresource?: string;
      readonly namespace?: string;
      /** Name of the target; with generateName its prefix and *. */
      readonly name: string;
      readonly objectUID?: string;
    };
    readonly change?: {
      readonly digest?: string;
      readonly digestVersion?: string;
      readonly fields?: readonly string[];
      /** The state of the target when stepup filed the approval. Dropped from what others file. It binds nothing. */
      readonly askedOn?: {
        readonly uid: string;
        readonly generation?: number;
        /** Where the target has no generation. */
        readonly resourceVersion?: string;
      };
      /** The change as stepup saw it when it filed the approval. Dropped from what others file. */
      readonly preview?: {
        readonly diff?: string;
        readonly truncated?: boolean;
      };
    };
    /** May only shorten the policy's. */
    readonly ttlSeconds?: number;
    readonly reason?: string;
    readonly ticket?: string;
    /** Stamped: how the approval came to be. */
    readonly origin?: 'Denied' | 'Asked' | 'Applied' | 'Auto';
    /** The reservation that the policy itself made in creating the approval; only with origin Auto. */
    readonly use?: {
      readonly attemptKey: string;
      readonly digest: string;
      /** Of digest and attemptKey; absent means v1. */
      readonly digestVersion?: string;
      readonly reservedAt: string;
      readonly requestUID?: string;
      readonly objectUID?: string;
      readonly oldResourceVersion?: string;
      /** The voters counted. */
      readonly votes?: readonly string[];
      /** The state of the target on which the reserved write can succeed at most once. */
      readonly base: {
        readonly kind: 'Generation' | 'ResourceVersion' | 'Scale' | 'Deletion' | 'Creation' | 'Request';
        readonly uid?: string;
        readonly generation?: number;
        readonly resourceVersion?: string;
        readonly requestUID?: string;
      };
      /** How to recognise the effect in a later state of the target, complete in itself. */
      readonly effect?: {
        readonly content: {
          readonly kind: 'Object' | 'ObjectAndStatus' | 'Spec' | 'Fields' | 'Labels' | 'Replicas';
          readonly pointers?: readonly string[];
          readonly ignore?: readonly string[];
        };
        /** Hash of the old state's content, nothing ignored. */
        readonly before: string;
        /** Hash of the new state's content, without what the policy ignores. */
        readonly after: string;
      };
    };
    /** Stamped from the authenticated caller. */
    readonly createdBy?: {
      readonly username: string;
      readonly uid?: string;
      readonly groups?: readonly string[];
      /** What the requester could do to speak as this identity, when it spoke. */
      readonly requesterMay?: string;
      readonly extra?: Readonly<Record<string, readonly string[]>>;
      /** With nonce: tells the object that was stamped from copies of it. */
      readonly stampedAt?: string;
      readonly nonce?: string;
      /** Stamped: stepup's signature, <key id>:<Ed25519 in base64url>. */
      readonly seal?: string;
    };
  };
  readonly status?: {
    readonly observedGeneration?: number;
    /** For people and selectors, never authority. */
    readonly phase?: 'Pending' | 'Approved' | 'Reserved' | 'Consumed' | 'Denied' | 'TimedOut' | 'Expired' | 'Withdrawn' | 'Revoked' | 'Superseded';
    /** Received and required votes, as 1/2; unreviewed or reviewed besides, where somebody broke the glass. */
    readonly votes?: string;
    readonly required?: number;
    readonly received?: number;
    /** What is missing to be approved. */
    readonly missing?: string;
    readonly summary?: {
      readonly requester?: string;
      readonly action?: string;
    };
    readonly pendingUntil?: string;
    readonly usableUntil?: string;
    readonly approvedAt?: string;
    readonly endedAt?: string;
    /** How it is known that the approved effect happened. */
    readonly evidence?: 'Observed' | 'Unconfirmed' | 'Admitted';
    /** Whether a break glass has been reviewed by somebody else. */
    readonly review?: 'Required' | 'Done';
    /** The change as stepup saw it in the first request that named this content, for approvals that others filed. */
    readonly preview?: {
      readonly diff: string;
      readonly truncated: boolean;
      readonly verifiedAt: string;
      /** Stepup's signature, <key id>:<Ed25519 in base64url>. */
      readonly seal?: string;
    };
    /** Policy engines that were asked and have not decided. */
    readonly engines?: readonly {
      readonly name: string;
      /** Why the engine has not decided. */
      readonly abstained: string;
    }[];
    /** The complete decision as one line of JSON. */
    readonly approveWith?: string;
    /** Decisions seen so far, copied for people. */
    readonly decisions?: readonly ({
      readonly name: string;
      readonly uid: string;
      readonly verdict: 'Approve' | 'Deny' | 'Revoke' | 'Withdraw' | 'Review';
      readonly decidedBy: string;
      readonly decidedVia?: string;
      readonly decidedAt: string;
      readonly reason?: string;
      readonly bypass?: boolean;
      readonly counted: boolean;
      /** Why it does not count. */
      readonly why?: string;
    })[];
    /** Reservations, append-only. A use without a release is spent. */
    readonly uses?: readonly ({
      readonly attemptKey: string;
      readonly digest: string;
      /** Of digest and attemptKey; absent means v1. */
      readonly digestVersion?: string;
      readonly reservedAt: string;
      readonly requestUID?: string;
      readonly objectUID?: string;
      readonly oldResourceVersion?: string;
      /** The voters counted. */
      readonly votes?: readonly string[];
      /** The state of the target on which the reserved write can succeed at most once. */
      readonly base: {
        readonly kind: 'Generation' | 'ResourceVersion' | 'Scale' | 'Deletion' | 'Creation' | 'Request';
        readonly uid?: string;
        readonly generation?: number;
        readonly resourceVersion?: string;
        readonly requestUID?: string;
      };
      /** How to recognise the effect in a later state of the target, complete in itself. */
      readonly effect?: {
        readonly content: {
          readonly kind: 'Object' | 'ObjectAndStatus' | 'Spec' | 'Fields' | 'Labels' | 'Replicas';
          readonly pointers?: readonly string[];
          readonly ignore?: readonly string[];
        };
        /** Hash of the old state's content, nothing ignored. */
        readonly before: string;
        /** Hash of the new state's content, without what the policy ignores. */
        readonly after: string;
      };
    })[];
    /** Uses that provably did not happen and no longer can, append-only. */
    readonly releases?: readonly {
      /** Index in uses. */
      readonly use: number;
      readonly releasedAt: string;
      readonly why: string;
      /** Stepup's signature, <key id>:<Ed25519 in base64url>. */
      readonly seal?: string;
    }[];
    /** Ready, Approved, Denied, Consumed and Expired follow the phase. ContentVerified: stepup itself has seen the content that the approval is for. ReviewRequired: somebody broke the glass. Exposed: the requester could have voted itself. Tampered: what bears no seal of stepup was left out. */
    readonly conditions?: readonly ({
      readonly type: string;
      readonly status: 'True' | 'False' | 'Unknown';
      readonly observedGeneration?: number;
      readonly lastTransitionTime: string;
      readonly reason: string;
      readonly message: string;
    })[];
  };
}

/** StepUpDecision is one word of one person, engine or delegate about one approval. It is made once and never changed. */
export interface StepUpDecision extends KubeObject {
  readonly spec: {
    /** What the voter was shown. */
    readonly approval: {
      readonly name: string;
      readonly uid: string;
      readonly digest?: string;
    };
    readonly verdict: 'Approve' | 'Deny' | 'Revoke' | 'Withdraw' | 'Review';
    readonly reason?: string;
    /** Break glass: approves in place of all requirements, and is to be reviewed by somebody else. */
    readonly bypass?: boolean;
    /** The person that a delegate speaks for. */
    readonly onBehalfOf?: string;
    /** Stamped: the authenticated caller or, with decidedVia, the person that it names. */
    readonly decidedBy?: {
      readonly username: string;
      readonly uid?: string;
      readonly groups?: readonly string[];
      /** What the requester could do to speak as this identity, when it spoke. */
      readonly requesterMay?: string;
      readonly extra?: Readonly<Record<string, readonly string[]>>;
    };
    /** Stamped: the authenticated delegate that spoke on behalf of decidedBy. */
    readonly decidedVia?: {
      readonly username: string;
      readonly uid?: string;
      readonly groups?: readonly string[];
      /** What the requester could do to speak as this identity, when it spoke. */
      readonly requesterMay?: string;
      readonly extra?: Readonly<Record<string, readonly string[]>>;
    };
    /** Stamped. */
    readonly kind?: 'Human' | 'Delegate' | 'Engine';
    /** Which policy engine said so, and by which of its rules. Written by stepup only. */
    readonly engine?: {
      readonly name: string;
      readonly rule: string;
    };
    /** Stamped. */
    readonly decidedAt?: string;
    /** Stamped: stepup's signature, <key id>:<Ed25519 in base64url>. */
    readonly seal?: string;
  };
}

/** StepUpPolicy says which actions of which subjects need an approval, who may give it, and for how long it lasts. */
export interface StepUpPolicy extends KubeObject {
  readonly spec: {
    /** Enforce denies what has no approval. Observe never blocks; it warns, annotates the audit log and counts. */
    readonly mode?: 'Enforce' | 'Observe';
    /** How serious the governed actions are, for people, routing and metrics. No logic hangs on it. */
    readonly risk?: {
      readonly level?: 'Low' | 'Medium' | 'High' | 'Critical';
      /** True where the effect cannot be undone. */
      readonly irreversible?: boolean;
      /** One sentence that approvers read. */
      readonly why?: string;
    };
    /** Whom the policy gates. Absent means every service account. Requests without credentials are gated always unless excluded, Kubernetes' own controllers never. */
    readonly subjects?: {
      readonly include?: readonly ({
        readonly kind: 'ServiceAccount' | 'Group' | 'User';
        /** Namespace of the service account; * stands for any run of characters. Absent means every namespace. */
        readonly namespace?: string;
        /** Name; * stands for any run of characters. */
        readonly name: string;
      })[];
      readonly exclude?: readonly ({
        readonly kind: 'ServiceAccount' | 'Group' | 'User';
        /** Namespace of the service account; * stands for any run of characters. Absent means every namespace. */
        readonly namespace?: string;
        /** Name; * stands for any run of characters. */
        readonly name: string;
      })[];
    };
    /** What is privileged. */
    readonly actions: readonly ({
      readonly operations: readonly ('CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT')[];
      /** API groups by name; "" is the core group. No wildcards. */
      readonly apiGroups: readonly string[];
      /** Plural names, with a subresource after a slash where one is meant. No wildcards. */
      readonly resources: readonly string[];
      /** JSON pointers; an UPDATE is privileged only when one of these subtrees changes. Absent means any change is. */
      readonly fields?: readonly string[];
      /** JSON pointers left out of the digest. A change there is still privileged, its value just does not bind. */
      readonly digestIgnore?: readonly string[];
      /** Requests for tokens that live longer are refused. */
      readonly maxTokenSeconds?: number;
    })[];
    /** Which namespaces are governed, by their labels. Absent means all. Cluster-scoped kinds need a policy without one, except namespaces themselves. */
    readonly namespaceSelector?: {
      readonly matchLabels?: Readonly<Record<string, string>>;
      readonly matchExpressions?: readonly ({
        readonly key: string;
        readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
        readonly values?: readonly string[];
      })[];
    };
    /** Name of the policy under which the deletion of a governed namespace, or taking away the labels that select it, asks. Default is this one. */
    readonly namespaceShapes?: string;
    /** CEL expressions for the API server; all must be true for a request to be governed. Guard optional fields with has(). */
    readonly conditions?: readonly {
      readonly name: string;
      readonly expression: string;
    }[];
    /** Who approves. */
    readonly approval: {
      /** Requirements; all must be met. */
      readonly require?: readonly {
        readonly name: string;
        /** How many distinct approvers. */
        readonly count?: number;
        readonly approvers?: {
          readonly users?: readonly string[];
          readonly groups?: readonly string[];
          readonly serviceAccounts?: readonly {
            readonly namespace: string;
            readonly name: string;
          }[];
        };
        /** Name of a configured policy engine. */
        readonly engine?: string;
      }[];
      /** Approved by the policy itself up to this rate, each use recorded; above it require is asked. */
      readonly auto?: {
        readonly ratePerHour: number;
      };
      /** What becomes of votes that the requester could have given itself, say because it may impersonate the voter. */
      readonly requesterTooPowerful?: 'Warn' | 'Refuse';
      /** The request must state a reason in the annotation stepup.dev/reason. */
      readonly reasonRequired?: boolean;
      /** The request must name a ticket in the annotation stepup.dev/ticket. */
      readonly ticketRequired?: boolean;
    };
    /** What an approval gives. */
    readonly grant?: {
      /** Use window once approved. */
      readonly ttlSeconds?: number;
      /** Content binds to the exact change. Target binds to requester, operation and target. */
      readonly binding?: 'Content' | 'Target';
      readonly bindIdentity?: 'ServiceAccount' | 'Pod' | 'Credential';
    };
    /** How a request that has no approval is answered and kept. */
    readonly request?: {
      readonly pendingTTLSeconds?: number;
      /** Retry makes plain clients wait and try again by themselves. */
      readonly whenPending?: 'Deny' | 'Retry';
      readonly retryAfterSeconds?: number;
      readonly maxPendingPerRequester?: number;
    };
    /** Break glass, by those with the RBAC verb bypass on this policy. */
    readonly bypass?: {
      readonly enabled?: boolean;
    };
    /** What the API server does with governed requests when the webhook cannot be reached. */
    readonly failurePolicy?: 'Fail' | 'Ignore';
  };
  readonly status?: {
    readonly observedGeneration?: number;
    /** What a policy in mode Observe was asked about since its spec last changed, and what it would have refused. */
    readonly observed?: {
      /** Generation of the policy that the counts are about. */
      readonly generation: number;
      /** Requests that the API server asked about, dry runs and unchanged ones included, and those that it tried again. */
      readonly requests: number;
      readonly wouldHaveBlocked: number;
      readonly since: string;
      readonly lastAt: string;
      /** The newest requests that would have been refused, newest first. */
      readonly recent?: readonly {
        readonly at: string;
        readonly requester: string;
        readonly action: string;
      }[];
      /** What would have been refused, by requester, action and reason, the newest first. What finds no room is counted in wouldHaveBlocked only. */
      readonly blocked?: readonly {
        readonly requester: string;
        readonly action: string;
        /** The code that the refusal would have had. */
        readonly reason: string;
        readonly count: number;
        readonly lastAt: string;
      }[];
    };
    readonly conditions?: readonly ({
      readonly type: string;
      readonly status: 'True' | 'False' | 'Unknown';
      readonly observedGeneration?: number;
      readonly lastTransitionTime: string;
      readonly reason: string;
      readonly message: string;
    })[];
  };
}
