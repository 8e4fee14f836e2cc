// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What is admitted while nobody looks, and how it must be told by whoever looks an hour later. Each has a neighbour that
// differs in one thing.

import { expect } from 'vitest';
import type { Answer } from '../../support/control-plane/admin-client.ts';
import { apply } from '../../support/installation/installation.ts';
import { targetOf } from '../../support/side-webhook.ts';
import { deployment, deployments } from '../../support/traffic.ts';
import { core, deploymentAtRest, deploymentPath, pod, secret, setImage } from './actions.ts';
import { byDeployer, expiredOnce, type Lab, type Outcome, observedOnce, unconfirmedOnce } from './facts-lab.ts';

type Attempt = () => Promise<Answer>;

export interface Left {
  readonly what: string;
  /** How it was told an hour later, by an operator that saw nothing of it. */
  readonly expected: Outcome;
  readonly attempt: Attempt;
  readonly prepare?: () => Promise<unknown>;
  /** What becomes of it while nobody looks. */
  readonly pass: (attempt: Attempt) => Promise<void>;
}

export function leftBehind(lab: Lab): readonly Left[] {
  const done = async (attempt: Attempt) => expect((await attempt()).code).toBeLessThan(202);
  const refused = async (attempt: Attempt, name: string) => {
    const allow = lab.side.deny(
      byDeployer((review) => targetOf(review) === name),
      'not today',
    );
    expect((await attempt()).code).toBe(403);
    allow();
  };
  const update = (name: string): Pick<Left, 'attempt' | 'prepare'> => ({
    prepare: () => deploymentAtRest(lab, name),
    attempt: () => setImage(lab, name),
  });
  const deletion = (name: string): Pick<Left, 'attempt' | 'prepare'> => ({
    prepare: () => lab.admin.post(core('pods'), pod(name)),
    attempt: () => lab.deployer.send('DELETE', core('pods', name)),
  });
  const creation = (name: string): Pick<Left, 'attempt'> => ({
    attempt: () => lab.deployer.send('POST', deployments('prod'), { body: deployment('prod', name) }),
  });
  return [
    { what: 'an update that happened', ...update('hour-a'), pass: done, expected: observedOnce },
    {
      what: 'an update that happened, and the spec has changed since',
      ...update('hour-b'),
      pass: async (attempt) => {
        await done(attempt);
        await lab.admin.patch(deploymentPath('hour-b'), { spec: { minReadySeconds: 1 } });
      },
      expected: unconfirmedOnce,
    },
    {
      what: 'an update that did not happen',
      ...update('hour-c'),
      pass: (a) => refused(a, 'hour-c'),
      expected: expiredOnce,
    },
    {
      what: 'an update that did not happen, and the spec has changed since',
      ...update('hour-d'),
      pass: async (attempt) => {
        await refused(attempt, 'hour-d');
        await lab.admin.patch(deploymentPath('hour-d'), { spec: { minReadySeconds: 1 } });
      },
      expected: { ...expiredOnce, releases: 1 },
    },
    { what: 'a deletion that happened', ...deletion('hour-e'), pass: done, expected: observedOnce },
    {
      what: 'a deletion that did not happen',
      ...deletion('hour-f'),
      pass: (a) => refused(a, 'hour-f'),
      expected: expiredOnce,
    },
    {
      what: 'a deletion that happened, of a kind that stepup may not read',
      prepare: () => lab.admin.post(core('secrets'), secret('hour-k')),
      attempt: () => lab.deployer.send('DELETE', core('secrets', 'hour-k')),
      pass: done,
      expected: unconfirmedOnce,
    },
    { what: 'a creation that happened', ...creation('hour-g'), pass: done, expected: observedOnce },
    {
      what: 'a creation that happened, and the object is gone again',
      ...creation('hour-h'),
      pass: async (attempt) => {
        await done(attempt);
        await lab.admin.delete(deploymentPath('hour-h'));
      },
      expected: unconfirmedOnce,
    },
    {
      what: 'a creation that happened, and the name is another object by now',
      ...creation('hour-i'),
      pass: async (attempt) => {
        await done(attempt);
        await lab.admin.delete(deploymentPath('hour-i'));
        await apply(lab.cluster, [deployment('prod', 'hour-i')]);
      },
      expected: unconfirmedOnce,
    },
    {
      what: 'a creation that did not happen',
      ...creation('hour-j'),
      pass: (a) => refused(a, 'hour-j'),
      expected: unconfirmedOnce,
    },
  ];
}
