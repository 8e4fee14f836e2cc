// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Digests, keys, names and sealed statements are stored and outlive releases. fixtures/recorded-digests.json holds what
// commit fdd3e04, the last one before src/ was divided into rooms, made of reviews as an API server sends them. What
// is made today is held against it: a row that fails here means that approvals on clusters would not be found, would
// not cover their change, or would lose their seal. Rows are only ever added, recorded by code that this test holds.
import { createHash, createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseReview } from '../../../../src/api/admission-review.ts';
import { approvalNameOf, attemptOf, targetLabelOf, targetLabelValue } from '../../../../src/domain/change/attempt.ts';
import { describe as describeRequest, isHarmlessDryRun } from '../../../../src/domain/change/describe.ts';
import { coverageOf, rowsFor } from '../../../../src/domain/coverage/coverage.ts';
import { askingOf } from '../../../../src/domain/coverage/shared-policy.ts';
import { draftOf } from '../../../../src/domain/filing/draft.ts';
import type { ApprovalSpec, Decision, Release, SeenPreview, Use } from '../../../../src/domain/model/approval.ts';
import type { Policy } from '../../../../src/domain/model/policy.ts';
import type { AdmissionRequest } from '../../../../src/domain/model/request.ts';
import {
  creationStatement,
  decisionStatement,
  previewStatement,
  releaseStatement,
} from '../../../../src/domain/seals/seal.ts';
import type { Json, JsonObject } from '../../../../src/lib/json.ts';
import { readCarefully } from '../../../../src/lib/parse-json.ts';
import { keyringOf } from '../../../support/seals.ts';

interface Recording {
  readonly recordedAt: string;
  readonly policies: readonly Policy[];
  readonly cases: readonly Case[];
  readonly statements: readonly Statement[];
}

interface Case {
  readonly name: string;
  /** The policy whose webhook is called. */
  readonly policy: string;
  /** What is read live where the review does not carry it. */
  readonly live?: JsonObject;
  readonly review: Json;
  readonly recorded: { readonly outcome: string; readonly digests?: { readonly v1: string; readonly v2: string } };
}

interface Statement {
  readonly of: 'creation' | 'vote' | 'preview' | 'release';
  readonly name: string;
  readonly namespace: string;
  readonly spec: unknown;
  readonly uid: string;
  readonly preview: SeenPreview;
  readonly use?: Use;
  readonly release: Release;
  readonly recorded: string;
  readonly seal: string;
}

const recording = read(new URL('fixtures/recorded-digests.json', import.meta.url));

/** With integers beyond 2^53 as they are written, like a review. */
function read(file: URL): Recording {
  const parsed = readCarefully(readFileSync(file, 'utf8'));
  if (!parsed.ok) throw new Error(parsed.problem);
  return parsed.value as unknown as Recording;
}

// The adapter: nothing below but these three functions knows what the code calls its parts today. Words that have been
// renamed since the recording are given back as they were recorded; a digest never is.

const recordedReasons: Readonly<Record<string, string>> = { TargetUnknown: 'Undescribable' };

/** What the code makes of a case, in the words of the recording. */
function made({ policy: name, review, live }: Case): object {
  const { policies } = recording;
  const request = requestOf(review);
  const policy = policies.find(({ metadata }) => metadata.name === name) ?? expect.fail(`no policy ${name}`);
  const { effective, selectorKeys } = askingOf(policy, request, () => policies);
  const described = describeRequest(request, policy, { selectorKeys, ...(live === undefined ? {} : { live }) });
  const isDryRun = isHarmlessDryRun(request);
  if (described.kind !== 'Privileged') {
    return { outcome: described.kind, reason: recordedReasons[described.reason] ?? described.reason, isDryRun };
  }
  const { change } = described;
  const attempt = attemptOf(effective.metadata.name, request, change);
  const preview = { diff: '-image: web:1\n+image: web:2', truncated: false };
  const filed = draftOf(attempt, request, effective, preview, 'system:serviceaccount:stepup-system:stepup', ['ada']);
  return {
    outcome: 'NeedsApproval',
    isDryRun,
    policy: attempt.policy,
    action: attempt.action,
    digest: change.digest,
    digests: { v1: change.digests.v1, v2: change.digests.v2 },
    fields: change.fields,
    deletion: change.deletion,
    objectUID: change.objectUID,
    oldResourceVersion: change.oldResourceVersion,
    base: change.base,
    effect: change.effect,
    targetKey: attempt.targetKey,
    targetLabel: targetLabelValue(attempt.targetKey),
    targetLabelOfApproval: targetLabelOf(filed),
    attemptKey: attempt.attemptKey,
    attemptKeys: { v1: attempt.attemptKeys.v1, v2: attempt.attemptKeys.v2 },
    approvalName: approvalNameOf(attempt.policy, attempt.attemptKey, ''),
    nextApprovalName: approvalNameOf(attempt.policy, attempt.attemptKey, 'uid-spent'),
    askedOn: filed.change?.askedOn,
    sealedCreation: creationStatement('prod', filed),
  };
}

/** What a seal is made of. */
function stated({ of, namespace, spec, uid, preview, use, release }: Statement): string {
  switch (of) {
    case 'creation':
      return creationStatement(namespace, spec as ApprovalSpec);
    case 'vote':
      return decisionStatement(namespace, spec as Decision['spec']);
    case 'preview':
      return previewStatement(uid, preview);
    case 'release':
      return releaseStatement(uid, use, release);
  }
}

/** The equivalent requests and own actions by which the policies of the recording come to govern its reviews. */
function shapes(): { readonly known: ReadonlySet<string>; readonly recorded: ReadonlySet<string> } {
  const { policies, cases } = recording;
  const rows = cases.flatMap(({ policy: name, review }) =>
    policies.filter(({ metadata }) => metadata.name === name).flatMap((policy) => rowsFor(policy, requestOf(review))),
  );
  const shapesOf = (all: readonly { readonly shape: string }[]) => new Set(all.map(({ shape }) => shape));
  return { known: shapesOf(policies.flatMap((policy) => coverageOf(policy))), recorded: shapesOf(rows) };
}

function requestOf(review: Json): AdmissionRequest {
  const parsed = parseReview(review);
  if (!parsed.ok) throw new Error(parsed.problems.join());
  return parsed.request;
}

describe('as commit fdd3e04 recorded it', () => {
  test.each(recording.cases.map((one) => [one.name, one] as const))('%s', (_, one) => {
    expect(made(one)).toEqual(one.recorded);
  });
});

describe('as commit fdd3e04 sealed it', () => {
  // The key is drawn from a text, so that its signatures are the same every time and no key lies in the repository.
  const seed = createHash('sha256').update('stepup: recorded digests').digest();
  const ed25519 = Buffer.from('302e020100300506032b657004220420', 'hex');
  const privateKey = createPrivateKey({ key: Buffer.concat([ed25519, seed]), format: 'der', type: 'pkcs8' })
    .export({ type: 'pkcs8', format: 'pem' })
    .toString();
  const keyring = keyringOf([{ createdAt: '2026-01-01T00:00:00Z', privateKey }]);

  test.each(recording.statements.map((one) => [one.of, one.name, one] as const))('%s: %s', (_, __, one) => {
    expect(stated(one)).toBe(one.recorded);
    expect(keyring.sign(stated(one))).toBe(one.seal);
    expect(keyring.check(stated(one), one.seal)).toBe('Sealed');
  });
});

describe('the recording', () => {
  const { cases, statements } = recording;

  test('names each of its rows once', () => {
    const names = [...cases.map(({ name }) => name), ...statements.map(({ of, name }) => `${of}: ${name}`)];
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
  });

  test('holds at least 139 reviews and 30 statements: rows are only ever added', () => {
    expect(cases.length).toBeGreaterThanOrEqual(139);
    expect(statements.length).toBeGreaterThanOrEqual(30);
  });

  test('holds every operation, every outcome and every shape of request', () => {
    const operations = cases.map(({ review }) => requestOf(review).operation);
    expect(new Set(operations)).toEqual(new Set(['CREATE', 'UPDATE', 'DELETE', 'CONNECT']));
    const outcomes = cases.map(({ recorded }) => recorded.outcome);
    expect(new Set(outcomes)).toEqual(new Set(['NeedsApproval', 'NotGoverned', 'Rejected']));
    const { known, recorded } = shapes();
    expect(recorded).toEqual(known);
    expect(known.size).toBeGreaterThanOrEqual(14);
  });

  test('holds digests of both versions for every change that needs approval', () => {
    const needing = cases.filter(({ recorded }) => recorded.outcome === 'NeedsApproval');
    const digest = /^sha256:[0-9a-f]{64}$/;
    for (const { recorded } of needing) {
      expect(recorded.digests).toEqual({ v1: expect.stringMatching(digest), v2: expect.stringMatching(digest) });
    }
    expect(needing.length).toBeGreaterThan(100);
  });
});
