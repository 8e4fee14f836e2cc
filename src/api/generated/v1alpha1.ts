// Code generated from crds/ by scripts/generate-types.ts. DO NOT EDIT.
// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
import type { KubeObject } from '../../kube/objects/kube-object.ts';

/** StepUpApproval is a single-use grant for one requester, one action on one target and, with a digest, one content. stepup files it when it denies a request; a requester can ask for one ahead, and an approver can create one by hand. */
export interface StepUpApproval extends KubeObject {
  readonly spec: {
    /** Policy that the approval counts under. */
    readonly policy: {
      /** Name of the StepUpPolicy. Approvals that name a policy which does not exist are rejected. */
      readonly name: string;
      /** UID of the policy when the approval was created, for information. Set by stepup; ignored when set by others. */
      readonly uid?: string;
      /** Generation of the policy when the approval was created, for information: requests are judged by the policy as it is now. Set by stepup; ignored when set by others. */
      readonly generation?: number;
    };
    /** Identity whose request the approval covers. Set by stepup as authenticated, except on approvals that approvers create by hand. */
    readonly requester: {
      /** Username of the requester as the API server authenticates it, such as `system:serviceaccount:ci:deployer`. */
      readonly username: string;
      /** UID of the requester. If it is set, requests of that username with another UID are not covered. Defaults to any UID. */
      readonly uid?: string;
      /** Pod that the requester's token is bound to. Under a policy with `bindIdentity: Pod`, only requests from this pod are covered. */
      readonly pod?: {
        /** Name of the pod, for information. */
        readonly name: string;
        /** UID of the pod, by which it is compared. */
        readonly uid: string;
      };
      /** Node that the pod ran on, as the API server reports it, for information. Set by stepup; dropped when set by others. */
      readonly node?: {
        /** Name of the node that the pod ran on. */
        readonly name: string;
        /** UID of the node that the pod ran on. */
        readonly uid?: string;
      };
      /** ID of the requester's credential as the API server reports it. Under a policy with `bindIdentity: Credential`, only requests with this credential are covered. */
      readonly credential?: string;
      /** Usernames that the annotation `stepup.dev/owner` of the requesting account listed when the approval was created. Their votes do not count. Set by stepup; ignored when set by others. */
      readonly owners?: readonly string[];
    };
    /** Action that the approval covers: one operation on one target. */
    readonly action: {
      /** Operation that the request amounts to: CREATE, UPDATE (patches included), DELETE (evictions included) or CONNECT. */
      readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
      /** API group of the resource; `""`, the default, is the core group. */
      readonly group?: string;
      /** API version of the resource, as the webhook configuration of the policy has it. Requests in another version are not covered. */
      readonly version: string;
      /** Plural name of the resource, without a subresource. */
      readonly resource: string;
      /** Subresource of the request, such as `scale` or `exec`. Empty, the default, means the object itself. */
      readonly subresource?: string;
      /** Namespace of the target, in which the approval must be created. Empty, the default, means a cluster-scoped target, such as a Namespace; its approval must be created in stepup's own namespace. */
      readonly namespace?: string;
      /** Name of the target. For a CREATE with generateName, the prefix and `*`. */
      readonly name: string;
      /** UID of the target. If it is set, no other object of that name is covered. Otherwise the first use decides which object is covered. */
      readonly objectUID?: string;
    };
    /** Change that the approval covers. */
    readonly change?: {
      /** SHA-256 of the change, `sha256:` and 64 hex digits, as a server-side dry run prints it. Approvals without one are rejected unless the policy has `binding: Target`. */
      readonly digest?: string;
      /** How the digest was made. Defaults to the current version; only that and the previous one are accepted. */
      readonly digestVersion?: string;
      /** JSON pointers to what changes, for information. On approvals that stepup did not file, this is what their creator claims. */
      readonly fields?: readonly string[];
      /** State of the target when stepup filed the approval. Voters are warned if the target has changed since; the approval counts all the same. Dropped when set by others. */
      readonly askedOn?: {
        /** UID of the target at that time. */
        readonly uid: string;
        /** Generation of the target at that time. */
        readonly generation?: number;
        /** The resourceVersion of the target at that time, if its generation is not known. */
        readonly resourceVersion?: string;
      };
      /** The change as stepup saw it when it filed the approval. Dropped when set by others; `status.preview` shows it then. */
      readonly preview?: {
        /** Lines about requester, reason and risk, and the diff of the change. Values of Secrets are shown as keyed hashes. */
        readonly diff?: string;
        /** True if the diff was too long and has been cut. */
        readonly truncated?: boolean;
      };
    };
    /** Seconds for which the approval can be used, from the last vote that it needed. It can only shorten the policy's `grant.ttlSeconds`, which is the default. */
    readonly ttlSeconds?: number;
    /** Why the action is needed, for approvers. On filed approvals, the annotation `stepup.dev/reason` of the requested object. */
    readonly reason?: string;
    /** Ticket that the action belongs to, for approvers. On filed approvals, the annotation `stepup.dev/ticket` of the requested object. */
    readonly ticket?: string;
    /** How the approval came to be: filed for a denied request (`Denied`), asked for ahead by its requester (`Asked`), created by an approver, whose vote that is (`Applied`), or given by the policy itself (`Auto`). Set by stepup; any other value is rejected. */
    readonly origin?: 'Denied' | 'Asked' | 'Applied' | 'Auto';
    /** Use for which the policy itself created the approval; only with origin Auto. Set by stepup; rejected when set by others. */
    readonly use?: {
      /** Hash of requester, action, policy, object and change. A later request with the same key is the same attempt. */
      readonly attemptKey: string;
      /** Digest of the change that was admitted. */
      readonly digest: string;
      /** Version of `digest` and `attemptKey`. Absent means v1. */
      readonly digestVersion?: string;
      /** When the approval was reserved for the request. */
      readonly reservedAt: string;
      /** UID of the admission request that the approval was reserved for. */
      readonly requestUID?: string;
      /** UID of the object that the request changes. Once used, the approval covers no other object, except for a CREATE. */
      readonly objectUID?: string;
      /** The resourceVersion that the object had before the change. */
      readonly oldResourceVersion?: string;
      /** Usernames of the voters whose votes counted when the approval was reserved. */
      readonly votes?: readonly string[];
      /** State of the target on which the admitted write can succeed at most once. The same attempt on the same base is admitted again without another use. */
      readonly base: {
        /** What the state is recognized by: the generation, the resourceVersion, either of them for a `Scale`, the UID for a `Deletion` or `Creation`, or the admission request itself for a `Request` that stores nothing. */
        readonly kind: 'Generation' | 'ResourceVersion' | 'Scale' | 'Deletion' | 'Creation' | 'Request';
        /** UID of the target. Not set for kind Request. */
        readonly uid?: string;
        /** Generation of the target before the change, for the kinds Generation and Scale. */
        readonly generation?: number;
        /** The resourceVersion of the target before the change, for the kinds ResourceVersion and Scale. */
        readonly resourceVersion?: string;
        /** UID of the admission request, for kind Request. */
        readonly requestUID?: string;
      };
      /** How stepup recognizes the change in a later state of the target, even if the policy has changed since. */
      readonly effect?: {
        /** Part of the target that stepup compares. */
        readonly content: {
          /** What is compared: the object without or with its status (`Object`, `ObjectAndStatus`), the object without metadata and status (`Spec`), what `pointers` lists (`Fields`, `Labels`), or the number of replicas (`Replicas`). */
          readonly kind: 'Object' | 'ObjectAndStatus' | 'Spec' | 'Fields' | 'Labels' | 'Replicas';
          /** JSON pointers for kind Fields, label keys for kind Labels. */
          readonly pointers?: readonly string[];
          /** JSON pointers that are left out of `after`. */
          readonly ignore?: readonly string[];
        };
        /** Hash of that part before the change, with nothing left out. */
        readonly before: string;
        /** Hash of that part after the change, without what `ignore` lists. */
        readonly after: string;
      };
    };
    /** Who created the approval, as authenticated. Set by stepup; rejected if it names somebody else or comes from a copy of another approval. */
    readonly createdBy?: {
      /** Username of the creator. */
      readonly username: string;
      /** UID of the creator. The same UID as that of the requester or another voter means the same person. */
      readonly uid?: string;
      /** Groups of the creator that some policy names; all others are left out. */
      readonly groups?: readonly string[];
      /** What the requester could do at that time to vote as the creator. Absent if stepup found nothing. */
      readonly requesterMay?: string;
      /** Pod and credential of the creator, as the API server reports them. */
      readonly extra?: Readonly<Record<string, readonly string[]>>;
      /** When admission recorded the creator. If it does not fit the creation of the object, the object is a copy, and the creator's vote does not count. Not set on approvals that stepup creates. */
      readonly stampedAt?: string;
      /** Random value of this approval alone; another approval with the same one is a copy. Not set on approvals that stepup creates. */
      readonly nonce?: string;
      /** Signature of stepup over the spec: `<key id>:<Ed25519 in base64url>`. Without a valid one, the creator's vote does not count. */
      readonly seal?: string;
    };
  };
  readonly status?: {
    /** Generation of the approval that the status describes. Not set today, because the spec cannot be changed. */
    readonly observedGeneration?: number;
    /** Phase of the approval, for people and selectors; no phase lets a request through. Absent means Pending. Consumed, Denied, TimedOut, Expired, Withdrawn, Revoked and Superseded are final. */
    readonly phase?: 'Pending' | 'Approved' | 'Reserved' | 'Consumed' | 'Denied' | 'TimedOut' | 'Expired' | 'Withdrawn' | 'Revoked' | 'Superseded';
    /** Votes received and required, such as `1/2`. On a break-glass approval, followed by `unreviewed` or `reviewed`. */
    readonly votes?: string;
    /** Number of votes that the policy requires. */
    readonly required?: number;
    /** Number of the required votes that have been received and count. */
    readonly received?: number;
    /** What is missing before the approval can be used, in plain text. Empty if nothing is. */
    readonly missing?: string;
    /** Requester and action in brief, for columns and messages. */
    readonly summary?: {
      /** Requester of the approval: `namespace/name` of a service account, or a username. */
      readonly requester?: string;
      /** Action of the approval, such as `UPDATE deployments web`. */
      readonly action?: string;
    };
    /** Instant before which the approval must be decided: its creation and the policy's `request.pendingTTLSeconds`. */
    readonly pendingUntil?: string;
    /** Instant before which the approval must be used: `approvedAt` and the policy's `grant.ttlSeconds`, or `spec.ttlSeconds` if that is shorter. */
    readonly usableUntil?: string;
    /** When the last vote that was needed was cast. */
    readonly approvedAt?: string;
    /** When the approval reached its final phase. */
    readonly endedAt?: string;
    /** How stepup knows what became of the admitted request: the change was seen (`Observed`), nobody can tell any more (`Unconfirmed`), or the request leaves nothing to see, such as a token (`Admitted`). */
    readonly evidence?: 'Observed' | 'Unconfirmed' | 'Admitted';
    /** Whether an approver other than who used break-glass has reviewed the approval: `Required` or `Done`. Absent if it is no break-glass approval. */
    readonly review?: 'Required' | 'Done';
    /** The change as stepup saw it in the first request with this content, on approvals that stepup did not file. */
    readonly preview?: {
      /** Lines about requester, reason and risk, and the diff of the change. Values of Secrets are shown as keyed hashes. */
      readonly diff: string;
      /** True if the diff was too long and has been cut. */
      readonly truncated: boolean;
      /** When stepup saw the request. */
      readonly verifiedAt: string;
      /** Signature of stepup over the preview: `<key id>:<Ed25519 in base64url>`. Without a valid one, the content is not verified. */
      readonly seal?: string;
    };
    /** Policy engines that were asked and have not decided. stepup asks them again while the approval is pending. */
    readonly engines?: readonly {
      /** Name of the policy engine, as the policy requires it. */
      readonly name: string;
      /** Why the engine has not decided, such as `no answer within 3 s`. */
      readonly abstained: string;
    }[];
    /** The complete StepUpDecision that approves, as one line of JSON for `kubectl create -f -`. */
    readonly approveWith?: string;
    /** Votes on the approval, copied for people; those that count come first. A Deny, Revoke or Withdraw that counted keeps its effect when its StepUpDecision is deleted. */
    readonly decisions?: readonly ({
      /** Name of the StepUpDecision. */
      readonly name: string;
      /** UID of the StepUpDecision. */
      readonly uid: string;
      /** Verdict of the vote: Approve, Deny, Revoke, Withdraw or Review. */
      readonly verdict: 'Approve' | 'Deny' | 'Revoke' | 'Withdraw' | 'Review';
      /** Username of the voter, or `engine <name>` for a policy engine. */
      readonly decidedBy: string;
      /** Username of the delegate that voted on behalf of `decidedBy`. */
      readonly decidedVia?: string;
      /** When the vote was cast. */
      readonly decidedAt: string;
      /** Reason that the voter gave. */
      readonly reason?: string;
      /** True if the vote uses break-glass. */
      readonly bypass?: boolean;
      /** True if the vote counts under the policy. */
      readonly counted: boolean;
      /** Why the vote does not count. Absent if it does. */
      readonly why?: string;
    })[];
    /** Times the approval was reserved for a request, oldest first; append-only. A use is spent unless a sealed release names it. */
    readonly uses?: readonly ({
      /** Hash of requester, action, policy, object and change. A later request with the same key is the same attempt. */
      readonly attemptKey: string;
      /** Digest of the change that was admitted. */
      readonly digest: string;
      /** Version of `digest` and `attemptKey`. Absent means v1. */
      readonly digestVersion?: string;
      /** When the approval was reserved for the request. */
      readonly reservedAt: string;
      /** UID of the admission request that the approval was reserved for. */
      readonly requestUID?: string;
      /** UID of the object that the request changes. Once used, the approval covers no other object, except for a CREATE. */
      readonly objectUID?: string;
      /** The resourceVersion that the object had before the change. */
      readonly oldResourceVersion?: string;
      /** Usernames of the voters whose votes counted when the approval was reserved. */
      readonly votes?: readonly string[];
      /** State of the target on which the admitted write can succeed at most once. The same attempt on the same base is admitted again without another use. */
      readonly base: {
        /** What the state is recognized by: the generation, the resourceVersion, either of them for a `Scale`, the UID for a `Deletion` or `Creation`, or the admission request itself for a `Request` that stores nothing. */
        readonly kind: 'Generation' | 'ResourceVersion' | 'Scale' | 'Deletion' | 'Creation' | 'Request';
        /** UID of the target. Not set for kind Request. */
        readonly uid?: string;
        /** Generation of the target before the change, for the kinds Generation and Scale. */
        readonly generation?: number;
        /** The resourceVersion of the target before the change, for the kinds ResourceVersion and Scale. */
        readonly resourceVersion?: string;
        /** UID of the admission request, for kind Request. */
        readonly requestUID?: string;
      };
      /** How stepup recognizes the change in a later state of the target, even if the policy has changed since. */
      readonly effect?: {
        /** Part of the target that stepup compares. */
        readonly content: {
          /** What is compared: the object without or with its status (`Object`, `ObjectAndStatus`), the object without metadata and status (`Spec`), what `pointers` lists (`Fields`, `Labels`), or the number of replicas (`Replicas`). */
          readonly kind: 'Object' | 'ObjectAndStatus' | 'Spec' | 'Fields' | 'Labels' | 'Replicas';
          /** JSON pointers for kind Fields, label keys for kind Labels. */
          readonly pointers?: readonly string[];
          /** JSON pointers that are left out of `after`. */
          readonly ignore?: readonly string[];
        };
        /** Hash of that part before the change, with nothing left out. */
        readonly before: string;
        /** Hash of that part after the change, without what `ignore` lists. */
        readonly after: string;
      };
    })[];
    /** Uses whose write provably did not happen and no longer can, which makes the approval usable again; append-only. */
    readonly releases?: readonly {
      /** Index of the released use, from 0. On approvals of origin Auto `spec.use` is 0, and `status.uses` begins at 1. */
      readonly use: number;
      /** When the use was released. */
      readonly releasedAt: string;
      /** What proves that the write did not happen. */
      readonly why: string;
      /** Signature of stepup over the release and its use: `<key id>:<Ed25519 in base64url>`. Without a valid one, the use stays spent. */
      readonly seal?: string;
    }[];
    /** `Ready`, `Approved`, `Denied`, `Consumed` and `Expired` follow the phase. `ContentVerified`: stepup itself has seen the content. `ReviewRequired`: break-glass was used and nobody has reviewed it. `Exposed`: the requester could have cast a vote that counts. `Tampered`: something has no valid seal of stepup and was left out. */
    readonly conditions?: readonly ({
      /** Type of the condition, such as `Ready` or `ReviewRequired`. */
      readonly type: string;
      /** Whether the condition holds: `True`, `False` or `Unknown`. */
      readonly status: 'True' | 'False' | 'Unknown';
      /** Generation of the approval that the condition describes. Not set today, because the spec cannot be changed. */
      readonly observedGeneration?: number;
      /** When the status of the condition last changed. */
      readonly lastTransitionTime: string;
      /** Code for why the condition has its status: a phase or its evidence, or a code such as `NotSeen` or `Bypassed`. */
      readonly reason: string;
      /** What the condition means for this approval, in plain text. */
      readonly message: string;
    })[];
  };
}

/** StepUpDecision is one immutable vote on an approval, by a person, a delegate or a policy engine. */
export interface StepUpDecision extends KubeObject {
  readonly spec: {
    /** Approval that the vote is on, as the voter saw it. A vote that does not match the stored approval is rejected. */
    readonly approval: {
      /** Name of the StepUpApproval, in the namespace of the vote. */
      readonly name: string;
      /** UID of the StepUpApproval, so that the vote counts for no other one of that name. */
      readonly uid: string;
      /** Digest of the change, as `spec.change.digest` of the approval has it. Required if the approval has one. */
      readonly digest?: string;
    };
    /** `Approve` counts towards the approval; `Deny` ends it, also after it was approved. `Revoke` takes back an approval that was given. `Withdraw` is for its requester and its creator. `Review` records that another approver has reviewed a break-glass approval. */
    readonly verdict: 'Approve' | 'Deny' | 'Revoke' | 'Withdraw' | 'Review';
    /** Why the voter decided this way, for the requester and other approvers. Required if `bypass` is true. */
    readonly reason?: string;
    /** True to use break-glass: approve alone, in place of all requirements. The policy must allow it, the voter needs the RBAC verb `bypass` on the policy, and an approver must review it afterwards. Defaults to false. */
    readonly bypass?: boolean;
    /** Username of the person that a delegate votes for. Votes with it are rejected unless the policy lists the caller in `serviceAccounts`. */
    readonly onBehalfOf?: string;
    /** Whose vote it is: the authenticated caller or, with `decidedVia`, the person that it votes for. Set by stepup; a vote that names anyone but its caller is rejected. */
    readonly decidedBy?: {
      /** Username of the voter. */
      readonly username: string;
      /** UID of the voter. The same UID as that of the requester or another voter means the same person. */
      readonly uid?: string;
      /** Groups of the voter that some policy names; all others are left out. */
      readonly groups?: readonly string[];
      /** What the requester could do at that time to vote as the voter. Absent if stepup found nothing. */
      readonly requesterMay?: string;
      /** Pod and credential of the voter, as the API server reports them. */
      readonly extra?: Readonly<Record<string, readonly string[]>>;
    };
    /** Authenticated delegate that voted on behalf of `decidedBy`. Set by stepup; ignored when set by others. */
    readonly decidedVia?: {
      /** Username of the delegate. */
      readonly username: string;
      /** UID of the delegate, as the API server authenticated it. */
      readonly uid?: string;
      /** Groups of the delegate that some policy names; all others are left out. */
      readonly groups?: readonly string[];
      /** What the requester could do at that time to vote as the delegate. Absent if stepup found nothing. */
      readonly requesterMay?: string;
      /** Pod and credential of the delegate, as the API server reports them. */
      readonly extra?: Readonly<Record<string, readonly string[]>>;
    };
    /** What the voter is: a person (`Human`), a service account that the policy lists (`Delegate`) or a policy engine (`Engine`). Set by stepup; Engine is rejected when set by others, and anything else is ignored. */
    readonly kind?: 'Human' | 'Delegate' | 'Engine';
    /** Policy engine that votes, and the rule that decided. Set by stepup; rejected when set by others. */
    readonly engine?: {
      /** Name of the policy engine, as the chart's value `engines` has it. */
      readonly name: string;
      /** ID of the rule that decided, as the engine reports it. */
      readonly rule: string;
    };
    /** When admission received the vote. Set by stepup; ignored when set by others. */
    readonly decidedAt?: string;
    /** Signature of stepup over the vote: `<key id>:<Ed25519 in base64url>`. Set by stepup; a vote without a valid one does not count. */
    readonly seal?: string;
  };
}

/** StepUpPolicy says which actions, by which identities, need approval, and from whom. stepup installs one ValidatingWebhookConfiguration for each policy, named `stepup-<policy>`. */
export interface StepUpPolicy extends KubeObject {
  readonly spec: {
    /** `Enforce` denies governed requests that no approval covers. `Observe` never blocks: it warns, annotates the audit log and counts in `status.observed`. Defaults to Enforce. */
    readonly mode?: 'Enforce' | 'Observe';
    /** How serious the governed actions are. Approvers and policy engines see it; stepup itself decides nothing by it. */
    readonly risk?: {
      /** How much harm a governed action can do, from `Low` to `Critical`. Defaults to Medium. */
      readonly level?: 'Low' | 'Medium' | 'High' | 'Critical';
      /** True if the effect of a governed action cannot be undone. Defaults to false. */
      readonly irreversible?: boolean;
      /** One sentence for approvers that says what a governed action can do. */
      readonly why?: string;
    };
    /** Identities whose requests are governed. Defaults to every service account. Requests without credentials (`system:anonymous`) are governed unless excluded; those of nodes, Kubernetes' own controllers and other parts of Kubernetes, and of stepup itself, never are. */
    readonly subjects?: {
      /** Identities whose requests are governed, besides `system:anonymous`. An empty list means every service account. */
      readonly include?: readonly ({
        /** Kind of identity that `name` names: `ServiceAccount`, `Group` or `User`. */
        readonly kind: 'ServiceAccount' | 'Group' | 'User';
        /** Namespace of the service account; `*` stands for any run of characters. Defaults to every namespace. */
        readonly namespace?: string;
        /** Name of the service account, group or user. In names of service accounts and users `*` stands for any run of characters; groups are compared as they are. */
        readonly name: string;
      })[];
      /** Identities whose requests are not governed, even if `include` names them. Whoever can act as one of them can get around the policy. */
      readonly exclude?: readonly ({
        /** Kind of identity that `name` names: `ServiceAccount`, `Group` or `User`. */
        readonly kind: 'ServiceAccount' | 'Group' | 'User';
        /** Namespace of the service account; `*` stands for any run of characters. Defaults to every namespace. */
        readonly namespace?: string;
        /** Name of the service account, group or user. In names of service accounts and users `*` stands for any run of characters; groups are compared as they are. */
        readonly name: string;
      })[];
    };
    /** Actions that need approval. Equivalent requests are governed too, such as the `scale` subresource of a workload or the eviction of a pod. */
    readonly actions: readonly ({
      /** Operations that need approval. `UPDATE` includes patches; `CONNECT` is exec, attach, port-forward and proxy. */
      readonly operations: readonly ('CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT')[];
      /** API groups of the resources, by name; `""` is the core group. Wildcards are not allowed. */
      readonly apiGroups: readonly string[];
      /** Resources by plural name, with a subresource after a slash, such as `pods/exec`. Wildcards are not allowed. A resource that the cluster does not serve is reported in the condition Ready as `KindNotServed`. */
      readonly resources: readonly string[];
      /** JSON pointers (RFC 6901). An UPDATE needs approval only if it changes one of these subtrees, and an approval covers only what changes in them. Other operations always need approval. Defaults to the whole object. */
      readonly fields?: readonly string[];
      /** JSON pointers that the digest leaves out. A change there still needs approval, but its value is not part of what is approved. */
      readonly digestIgnore?: readonly string[];
      /** Longest lifetime in seconds that a service account token may be requested with. A longer one, or a Secret of type `kubernetes.io/service-account-token`, is rejected with `TokenTooLong`, which no approval lifts. Defaults to no limit. */
      readonly maxTokenSeconds?: number;
    })[];
    /** Namespaces that are governed, by their labels. Defaults to all. With a selector, no cluster-scoped resource in `actions` is governed except `namespaces`, which are selected by their own labels. */
    readonly namespaceSelector?: {
      /** Labels with the values that a namespace must have, all of them. */
      readonly matchLabels?: Readonly<Record<string, string>>;
      /** Requirements that the labels of a namespace must meet, all of them. */
      readonly matchExpressions?: readonly ({
        /** Label key that the requirement applies to. */
        readonly key: string;
        /** How the label relates to `values`: its value is one of them (`In`) or is not (`NotIn`), or the label exists (`Exists`) or does not (`DoesNotExist`). */
        readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
        /** Label values that `In` and `NotIn` compare with, at least one. Empty for `Exists` and `DoesNotExist`. */
        readonly values?: readonly string[];
      })[];
    };
    /** Name of the policy whose approval is required to delete a governed namespace or to remove the labels that select it. Policies that name the same one share one approval. Defaults to this policy, which also applies while the named one does not exist, is not Ready or is in mode Observe. */
    readonly namespaceShapes?: string;
    /** CEL expressions that the API server evaluates; a request is governed only if all are true. An expression that fails, say on an absent field, rejects the request unless `failurePolicy` is Ignore: guard optional fields with has(). Removing a label or annotation that an expression reads is governed too. */
    readonly conditions?: readonly {
      /** Name of the condition, unique in the policy. The webhook configuration lists it as `policy-<name>`. */
      readonly name: string;
      /** CEL expression that is true or false. It can read `object`, `oldObject`, `request` and `authorizer`, as in matchConditions of a webhook. */
      readonly expression: string;
    }[];
    /** Who or what approves governed requests. At least one of `require` and `auto` must be set. */
    readonly approval: {
      /** Requirements for an approval, all of which must be met. Each person has one vote, which counts for one requirement. */
      readonly require?: readonly {
        /** Name of the requirement, unique in the policy. Messages about a requirement that can never be met show it. */
        readonly name: string;
        /** Number of votes, by different people, that meet the requirement. Defaults to 1, which is the most that an engine can give. */
        readonly count?: number;
        /** Who can vote for this requirement. Approvers also need the RBAC verb `approve` on the policy. The requester, owners of its account and gated identities cannot vote, except gated service accounts that are listed here. */
        readonly approvers?: {
          /** Usernames of approvers, exactly as the API server authenticates them. */
          readonly users?: readonly string[];
          /** Groups whose members are approvers, exactly as the API server authenticates them. */
          readonly groups?: readonly string[];
          /** Service accounts that are approvers. They vote for themselves, or as delegates for the person that their vote names in `onBehalfOf`. */
          readonly serviceAccounts?: readonly {
            /** Namespace of the service account. Wildcards are not allowed. */
            readonly namespace: string;
            /** Name of the service account. Wildcards are not allowed. */
            readonly name: string;
          }[];
        };
        /** Name of a policy engine whose approval meets the requirement, as the chart's value `engines` configures it. If no engine of that name is configured, the policy is not Ready. */
        readonly engine?: string;
      }[];
      /** Lets the policy approve requests by itself, up to a rate, and records each in a StepUpApproval of origin Auto. Above the rate `require` applies; without `require`, requests are denied with `RateExceeded`. */
      readonly auto?: {
        /** Number of requests per hour that the policy approves by itself. It is approximate: each replica counts its own approvals and those that it sees other replicas create. */
        readonly ratePerHour: number;
      };
      /** Whether a vote counts if the requester could have cast it, for example by impersonating the voter. `Warn` counts it and sets the condition Exposed on the approval; `Refuse` rejects it. A Deny or Revoke always counts. Defaults to Warn. */
      readonly requesterTooPowerful?: 'Warn' | 'Refuse';
      /** True if the requested object must have the annotation `stepup.dev/reason`. A request without it is denied with `ReasonRequired`, and no approval is filed. Defaults to false. */
      readonly reasonRequired?: boolean;
      /** True if the requested object must have the annotation `stepup.dev/ticket`. A request without it is denied with `TicketRequired`, and no approval is filed. Defaults to false. */
      readonly ticketRequired?: boolean;
    };
    /** What an approval covers, and for how long it can be used. */
    readonly grant?: {
      /** Seconds for which an approval can be used, from the last vote that it needed. Defaults to 900. An approval can shorten it with `spec.ttlSeconds`. */
      readonly ttlSeconds?: number;
      /** What an approval covers: exactly one change, by its digest (`Content`), or any change by the same requester with the same operation on the same target (`Target`). Defaults to Content. */
      readonly binding?: 'Content' | 'Target';
      /** Whose requests an approval covers: those of the same username and UID (`ServiceAccount`), only from the same pod (`Pod`), or only with the same credential (`Credential`). A request that shows no pod or credential is then not covered. Defaults to ServiceAccount. */
      readonly bindIdentity?: 'ServiceAccount' | 'Pod' | 'Credential';
    };
    /** How governed requests are answered while no approval covers them, and how long their approvals stay pending. */
    readonly request?: {
      /** Seconds from its creation in which an approval must be decided; then it ends as `TimedOut`. Defaults to 3600. */
      readonly pendingTTLSeconds?: number;
      /** `Deny` answers with code 403. `Retry` answers with code 429, so that plain clients wait and try again by themselves; dry runs and CONNECT still get 403. Defaults to Deny. */
      readonly whenPending?: 'Deny' | 'Retry';
      /** Seconds after which clients try again if `whenPending` is Retry. Defaults to 15. Clients are told 1 second while only policy engines have yet to answer. */
      readonly retryAfterSeconds?: number;
      /** Number of pending approvals that one requester can have under the policy. Beyond it, requests are denied with `TooManyPending` and no approval is filed. Defaults to 100. */
      readonly maxPendingPerRequester?: number;
    };
    /** Break-glass: one person with the RBAC verb `bypass` on the policy approves alone, in place of all requirements, and an approver must review it afterwards. */
    readonly bypass?: {
      /** True if break-glass is allowed under the policy. Defaults to false. */
      readonly enabled?: boolean;
    };
    /** What the API server does with governed requests when it cannot reach stepup: reject them (`Fail`) or let them through without approval (`Ignore`). Defaults to Fail. A policy in mode Observe always has Ignore. */
    readonly failurePolicy?: 'Fail' | 'Ignore';
  };
  readonly status?: {
    /** Generation of the policy that the status describes. Set by stepup. */
    readonly observedGeneration?: number;
    /** Requests that a policy in mode Observe has seen since its spec last changed. Set by stepup, and removed once the mode is Enforce. */
    readonly observed?: {
      /** Generation of the policy that the counts are for. Each generation starts at 0. */
      readonly generation: number;
      /** Number of requests that the API server sent to stepup under the policy. Dry runs, requests without a privileged change and repeated calls for the same request count too. */
      readonly requests: number;
      /** Number of requests that mode Enforce would have denied. Existing approvals are not considered. */
      readonly wouldHaveBlocked: number;
      /** When the first counted request arrived. */
      readonly since: string;
      /** When the newest counted request arrived. */
      readonly lastAt: string;
      /** Newest requests that would have been denied, newest first. */
      readonly recent?: readonly {
        /** When the request arrived. */
        readonly at: string;
        /** Who sent the request: `namespace/name` of a service account, or a username. */
        readonly requester: string;
        /** What was requested, such as `UPDATE deployments prod/web`. */
        readonly action: string;
      }[];
      /** Requests that would have been denied, grouped by requester, action and reason, newest first. Groups beyond 50 are dropped, oldest first; `wouldHaveBlocked` still counts them. */
      readonly blocked?: readonly {
        /** Who sent the requests: `namespace/name` of a service account, or a username. */
        readonly requester: string;
        /** What was requested, such as `UPDATE deployments prod/web`. */
        readonly action: string;
        /** Code that the denial would have had, such as `ApprovalRequired`. */
        readonly reason: string;
        /** Number of requests in the group. */
        readonly count: number;
        /** When the newest request of the group arrived. */
        readonly lastAt: string;
      }[];
    };
    /** Conditions of the policy. `Ready`: its webhook configuration is installed. `Tampered`: somebody else changed something that stepup relies on; it stays True until a person clears it with the annotation `stepup.dev/tampered-cleared`. */
    readonly conditions?: readonly ({
      /** Type of the condition: `Ready` or `Tampered`. */
      readonly type: string;
      /** Whether the condition holds: `True`, `False` or `Unknown`. */
      readonly status: 'True' | 'False' | 'Unknown';
      /** Generation of the policy that the condition describes. A Ready of an older generation says nothing about the current spec. */
      readonly observedGeneration?: number;
      /** When the status of the condition last changed. For a Tampered that is True, when the latest change by somebody else was found. */
      readonly lastTransitionTime: string;
      /** Code for why the condition has its status, such as `InPlace` or `KindNotServed`. */
      readonly reason: string;
      /** What is in place or wrong, in plain text, and how to fix it. */
      readonly message: string;
    })[];
  };
}
