// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The mutating endpoint for stepup's own kinds: calls the domain and answers with a patch.
import { randomBytes } from 'node:crypto';
import type { Answer } from '../../api/admission-review.ts';
import type { StepUpApproval } from '../../api/kinds.ts';
import type { Sealing } from '../../api/sealing.ts';
import { mutatorSentence } from '../../domain/integrity/foreign-mutator.ts';
import { type Approval, type ApprovalSpec, type Decision, isYes } from '../../domain/model/approval.ts';
import type { Policy } from '../../domain/model/policy.ts';
import { type DeniedReason, deniedReasons } from '../../domain/model/reason.ts';
import type { AdmissionRequest } from '../../domain/model/request.ts';
import type { Seen } from '../../domain/model/seen.ts';
import { stampOf } from '../../domain/model/stamp.ts';
import { withSealedCreation, withSealedDecision } from '../../domain/seals/seal.ts';
import { type RightVerb, verbFor } from '../../domain/stamping/rbac-verb.ts';
import { stampApproval } from '../../domain/stamping/stamp-approval.ts';
import { type SubmittedDecision, stampDecision } from '../../domain/stamping/stamp-decision.ts';
import type { Stamping } from '../../domain/stamping/stamping.ts';
import { unlessNotFound } from '../../kube/http/api-error.ts';
import { withinLimit } from '../../kube/http/call-limit.ts';
import type { RestClient } from '../../kube/http/rest.ts';
import type { ResourceClient } from '../../kube/objects/resource-client.ts';
import type { Clock } from '../../kube/time/clock.ts';
import { defined, isObject, type JsonObject, textAt, valueAt } from '../../lib/json.ts';
import { errorFields, type Log } from '../../observe/log.ts';
import type { WebhookMetrics } from '../../observe/webhook-metrics.ts';
import type { AccountOwners } from '../reads/account-owners.ts';
import type { Caches } from '../reads/dependencies.ts';
import { lookAtTarget } from '../reads/live-target.ts';
import { pendingOf } from '../reads/pending-count.ts';
import type { Policies } from '../reads/policies.ts';
import type { Mutators } from './foreign-mutators.ts';
import type { Powers } from './power-reader.ts';
import type { Rights } from './rights.ts';

export interface StamperDependencies {
  readonly caches: Caches;
  readonly policies: Policies;
  readonly rest: Pick<RestClient, 'request'>;
  readonly approvals: Pick<ResourceClient<StepUpApproval>, 'get'>;
  readonly rights: Rights;
  readonly owners: Pick<AccountOwners, 'of'>;
  readonly powers: Powers;
  readonly sealing: Sealing;
  readonly mutators: Pick<Mutators, 'foreign'>;
  readonly ownNamespace: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<WebhookMetrics, 'stamp'>;
}

/** Whose vote it is, for a yes or not, and about which requester. */
interface Voting {
  readonly request: AdmissionRequest;
  readonly verb: RightVerb | undefined;
  readonly isYes: boolean;
  readonly requester: ApprovalSpec['requester'];
  readonly policy?: Policy;
  readonly policies: readonly Policy[];
}

type VoterFacts = Pick<SubmittedDecision, 'right' | 'owners' | 'requesterMay'>;

const innerDeadlineMs = 3_000;
/** For what is only told: no vote fails for it. */
const lookDeadlineMs = 1_000;
const kinds = new Map<string, 'approval' | 'decision'>([
  ['stepupapprovals', 'approval'],
  ['stepupdecisions', 'decision'],
]);

export class Stamper {
  readonly #dependencies: StamperDependencies;

  constructor(dependencies: StamperDependencies) {
    this.#dependencies = dependencies;
  }

  /** Never rejects. */
  async review(request: AdmissionRequest): Promise<Answer> {
    const { caches, log, metrics } = this.#dependencies;
    const kind = kinds.get(request.resource);
    const { object } = request;
    const isOurs = request.group === 'stepup.dev' && request.operation === 'CREATE' && request.subresource === '';
    if (kind === undefined || object === undefined || !isOurs) {
      return refusal(
        400,
        'InvalidRequest',
        'this webhook stamps only new stepupapprovals and stepupdecisions; fix the webhook configuration',
      );
    }
    if (!caches.hasSynced()) return refusal(403, 'NotReady', `${deniedReasons.NotReady}; try again in a moment`);
    try {
      const limit = { attempt: `stamp ${request.uid}`, deadlineMs: innerDeadlineMs };
      const stamping = await withinLimit(limit, (signal) => this.#stamp(kind, request, object, signal));
      metrics.stamp(kind, stamping.kind === 'Stamped' ? 'stamped' : 'refused');
      if (stamping.kind === 'Refused') return refusal(403, 'Forbidden', stamping.message);
      return patched(object, { ...stamping, spec: this.#sealed(kind, request.namespace, stamping.spec) });
    } catch (error) {
      metrics.stamp(kind, 'failed');
      log.error({ requestUid: request.uid, namespace: request.namespace, ...errorFields(error) }, 'stamping failed');
      return refusal(403, 'Failed', 'stamping failed and nothing was stored; try again');
    }
  }

  async #stamp(
    kind: 'approval' | 'decision',
    request: AdmissionRequest,
    object: JsonObject,
    signal: AbortSignal,
  ): Promise<Stamping> {
    const foreign = await this.#dependencies.mutators.foreign({ signal, deadlineMs: innerDeadlineMs });
    if (foreign !== undefined) return { kind: 'Refused', message: mutatorSentence(foreign) };
    return kind === 'approval' ? this.#approval(request, object, signal) : this.#decision(request, object, signal);
  }

  #sealed(kind: 'approval' | 'decision', namespace: string, spec: JsonObject): JsonObject {
    const { seals } = this.#dependencies.sealing;
    // Stamped just now: the domain has written or read every member that these types name.
    return kind === 'approval'
      ? (withSealedCreation(namespace, spec as unknown as ApprovalSpec, seals) as unknown as JsonObject)
      : (withSealedDecision(namespace, spec as unknown as Decision['spec'], seals) as unknown as JsonObject);
  }

  async #approval(request: AdmissionRequest, object: JsonObject, signal: AbortSignal): Promise<Stamping> {
    const { ownNamespace, clock } = this.#dependencies;
    const { namespace, requester: caller } = request;
    const policyName = textAt(object, '/spec/policy/name');
    const known = await this.#policies(policyName);
    const pending = pendingOf(this.#dependencies.caches, caller.username, policyName);
    const nonce = randomBytes(16).toString('base64url');
    const username = textAt(object, '/spec/requester/username');
    // Asking for oneself is no vote.
    const verb = username === caller.username ? undefined : 'approve';
    const requester = { username };
    const who = await this.#known({ request, verb, isYes: verb !== undefined, requester, ...known }, signal);
    const now = clock.now();
    return stampApproval({ object, namespace, caller, ownNamespace, pending, now, nonce, ...known, ...who });
  }

  async #decision(request: AdmissionRequest, object: JsonObject, signal: AbortSignal): Promise<Stamping> {
    const { caches, sealing, clock } = this.#dependencies;
    const { reader } = sealing;
    const { namespace, requester: caller } = request;
    const stored = await this.#stored(namespace, textAt(object, '/spec/approval/name'), signal);
    const approval = stored && reader.approval(stored);
    const known = await this.#policies(approval?.spec.policy.name ?? '');
    const decisions =
      approval === undefined
        ? []
        : caches.decisions.byIndex('approval', approval.metadata.uid).map((one) => reader.decision(one));
    const found = approval === undefined ? {} : { approval };
    const verb = isObject(object.spec) ? verbFor(object.spec) : undefined;
    const requester = approval?.spec.requester ?? { username: '' };
    const [who, seen] = await Promise.all([
      this.#known({ request, verb, isYes: isYes(textAt(object, '/spec/verdict')), requester, ...known }, signal),
      this.#look(textAt(object, '/spec/verdict') === 'Approve' ? approval : undefined, signal),
    ]);
    const now = clock.now();
    return stampDecision({ object, namespace, caller, decisions, seen, now, ...found, ...known, ...who });
  }

  async #look(approval: Approval | undefined, signal: AbortSignal): Promise<Seen> {
    if (approval === undefined) return { kind: 'Nothing' };
    return lookAtTarget(this.#dependencies.rest, approval, { deadlineMs: lookDeadlineMs, signal });
  }

  /** What the API server says of the voter and of the requesting account. */
  async #known(
    { request, verb, isYes, requester, policy, policies }: Voting,
    signal: AbortSignal,
  ): Promise<VoterFacts> {
    if (policy === undefined) return { right: { isGranted: false, why: 'there is no such policy' }, owners: [] };
    const { rights, powers, log } = this.#dependencies;
    const limit = { signal, deadlineMs: innerDeadlineMs };
    const voter = stampOf(request.requester, policies);
    const exposure = isYes ? powers.overVote(requester, voter, policy, limit) : undefined;
    const [right, owners, requesterMay] = await Promise.all([
      verb === undefined ? ({ isGranted: true } as const) : rights.ask(request, verb, policy.metadata.name, limit),
      this.#dependencies.owners.of(requester.username, limit),
      exposure?.catch((error: unknown) => {
        if (policy.spec.approval.requesterTooPowerful === 'Refuse') throw error;
        log.warn(
          { policy: policy.metadata.name, ...errorFields(error) },
          'checking the permissions of a requester failed',
        );
        return undefined;
      }),
    ]);
    return { right, owners, ...defined({ requesterMay }) };
  }

  async #stored(namespace: string, name: string, signal: AbortSignal): Promise<StepUpApproval | undefined> {
    if (name === '' || name === '.' || name === '..') return undefined;
    const { approvals } = this.#dependencies;
    return unlessNotFound(approvals.get({ namespace, name }, { signal, deadlineMs: innerDeadlineMs }));
  }

  async #policies(name: string) {
    const { policies } = this.#dependencies;
    const policy = await policies.find(name);
    return { policies: policies.allWith(policy), ...defined({ policy }) };
  }
}

function refusal(code: number, reason: DeniedReason | 'Forbidden', sentence: string): Answer {
  return { refusal: { code, reason, message: `stepup: ${sentence}` } };
}

function patched(object: JsonObject, stamping: Extract<Stamping, { kind: 'Stamped' }>): Answer {
  const { spec, labels, owner, warnings } = stamping;
  const submitted = valueAt(object, '/metadata/labels');
  const patch: object[] = [
    { op: 'add', path: '/spec', value: spec },
    { op: 'add', path: '/metadata/labels', value: { ...(isObject(submitted) ? submitted : {}), ...labels } },
  ];
  if (owner !== undefined) {
    // Ours alone: with another owner the decision could be made to vanish.
    const value = [{ apiVersion: 'stepup.dev/v1alpha1', kind: 'StepUpApproval', ...owner }];
    patch.push({ op: 'add', path: '/metadata/ownerReferences', value });
  }
  return { patch, warnings };
}
