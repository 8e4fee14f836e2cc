// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A word that stops and the use of what it stops, at the same moment: one of them wins, and everything tells the same
// winner: the client, the target, the phase and the uses.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StepUpApproval } from '../../../src/api/kinds.ts';
import { apply, type Installation, installStepup } from '../../support/installation/installation.ts';
import { addPolicy } from '../../support/installation/test-policy.ts';
import { account, approvalIn, headless, type Key, People, type Someone } from './people.ts';

let stepup: Installation;
let people: People;

const ada: Someone = { user: 'ada', groups: ['approvers'] };
const grace: Someone = { user: 'grace', groups: ['approvers'] };
const eve: Someone = { user: 'eve' };
const rootBot = account('ci', 'root-bot');
const path = '/api/v1/namespaces/prod/services';

beforeAll(async () => {
  stepup = await installStepup();
  people = new People(stepup);
  await people.bind('stepup-break-glass', eve);
  const changes = [{ operations: ['UPDATE'], apiGroups: [''], resources: ['services'] }];
  await addPolicy(stepup, 'services', changes, { bypass: { enabled: true } });
}, 300_000);
afterAll(() => stepup?.stop());

const update = (name: string, value: string) =>
  people.send(rootBot, 'PATCH', `${path}/${name}`, { metadata: { annotations: { value } } });

/** A Service, and the approval that root-bot was refused for changing it. */
async function asked(name: string, value = 'after'): Promise<Key> {
  await apply(stepup.cluster, [headless(name, { namespace: 'prod', annotations: { value: 'before' } })]);
  const key = approvalIn(await update(name, value));
  await people.phase(key, 'Pending');
  return key;
}

async function valueIn(name: string): Promise<string | undefined> {
  const { metadata } = await stepup.cluster.admin.get(`${path}/${name}`);
  return metadata.annotations?.value;
}

const isEnd = ({ status }: StepUpApproval) => status?.endedAt !== undefined;

/** So many milliseconds that one of the two is given before the other; negative: the use. */
const leads = [-40, -20, -10, -5, 0, 0, 5, 10, 20, 40];
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, Math.max(ms, 0)));

type Verdict = 'Deny' | 'Revoke' | 'Withdraw';
const phases = { Deny: 'Denied', Revoke: 'Revoked', Withdraw: 'Withdrawn' } as const;

/** What everything tells after both have been tried: always the same. */
async function winnerOf(name: string, key: Key, verdict: Verdict, isAdmitted: boolean): Promise<string> {
  const { status } = await people.reached(key, 'ended', isEnd);
  expect({ value: await valueIn(name), phase: status?.phase, uses: status?.uses?.length ?? 0 }).toEqual(
    isAdmitted ? { value: 'after', phase: 'Consumed', uses: 1 } : { value: 'before', phase: phases[verdict], uses: 0 },
  );
  return isAdmitted ? 'use' : 'word';
}

describe.each<[Verdict, Someone]>([
  ['Deny', grace],
  ['Revoke', grace],
  ['Withdraw', rootBot],
])('%s and a use', (verdict, who) => {
  const word = verdict.toLowerCase();

  test('have one winner, whoever is first', async () => {
    const winners = await Promise.all(
      leads.map(async (lead, round) => {
        const name = `${word}-${round}`;
        const key = await asked(name);
        expect((await people.decide(ada, key)).code).toBe(201);
        await people.phase(key, 'Approved');
        const [used, said] = await Promise.all([
          pause(lead).then(() => update(name, 'after')),
          pause(-lead).then(() => people.decide(who, key, { verdict })),
        ]);
        // A word that finds the approval over is told so, and never lost in silence.
        if (said.code !== 201) expect(said.message).toContain('the approval has ended; its phase is Consumed');
        return winnerOf(name, key, verdict, used.code === 200);
      }),
    );
    expect(winners).toHaveLength(leads.length);
  });

  test('have the word as winner where it was seen first', async () => {
    const name = `${word}-first`;
    const key = await asked(name);
    expect((await people.decide(ada, key)).code).toBe(201);
    await people.phase(key, 'Approved');
    expect((await people.decide(who, key, { verdict })).code).toBe(201);
    await people.phase(key, phases[verdict]);
    const used = await update(name, 'after');
    expect(approvalIn(used)).not.toEqual(key);
    expect(await winnerOf(name, key, verdict, false)).toBe('word');
    // Nothing takes it back.
    expect((await people.decide(ada, key)).message).toContain(`its phase is ${phases[verdict]}`);
  });

  test('have the use as winner where it was first', async () => {
    const name = `${word}-late`;
    const key = await asked(name);
    expect((await people.decide(ada, key)).code).toBe(201);
    await people.phase(key, 'Approved');
    expect((await update(name, 'after')).code).toBe(200);
    const said = await people.decide(who, key, { verdict });
    if (said.code !== 201) expect(said.message).toContain('its phase is Consumed');
    expect(await winnerOf(name, key, verdict, true)).toBe('use');
  });
});

describe('a vote and', () => {
  test('a denial at once: the denial stays, whoever was first', async () => {
    const ends = await Promise.all(
      leads.map(async (lead, round) => {
        const key = await asked(`both-${round}`);
        await Promise.all([
          pause(lead).then(() => people.decide(ada, key)),
          pause(-lead).then(() => people.decide(grace, key, { verdict: 'Deny' })),
        ]);
        const { status } = await people.reached(key, 'ended', isEnd);
        expect((await update(`both-${round}`, 'after')).code).toBe(403);
        return status?.phase;
      }),
    );
    expect(new Set(ends)).toEqual(new Set(['Denied']));
  });

  test('newer content: the older one is replaced, or approved and used, and never both', async () => {
    const ends = await Promise.all(
      leads.slice(2, 8).map(async (lead, round) => {
        const name = `newer-${round}`;
        const key = await asked(name);
        // Which of two is newer, whole seconds tell.
        await pause(1_100);
        const [, other] = await Promise.all([
          pause(lead).then(() => people.decide(ada, key)),
          pause(-lead).then(() => update(name, 'other')),
        ]);
        const newer = approvalIn(other);
        await people.phase(newer, 'Pending');
        const settled = await people.reached(key, 'replaced or approved', ({ status }) =>
          ['Superseded', 'Approved'].includes(status?.phase ?? ''),
        );
        const used = await update(name, 'after');
        const isApproved = settled.status?.phase === 'Approved';
        expect([used.code, await valueIn(name)]).toEqual(isApproved ? [200, 'after'] : [403, 'before']);
        if (isApproved) await people.phase(key, 'Consumed');
        return settled.status?.phase;
      }),
    );
    expect(ends).toHaveLength(6);
  });
});

describe('a review and', () => {
  test('the use of what was bypassed: both are told in the end', async () => {
    await Promise.all(
      leads.map(async (lead, round) => {
        const name = `reviewed-${round}`;
        const key = await asked(name);
        expect((await people.decide(eve, key, { bypass: true, reason: 'now' })).code).toBe(201);
        await people.reached(key, 'to be reviewed', ({ status }) => status?.review === 'Required');
        const [used, said] = await Promise.all([
          pause(lead).then(() => update(name, 'after')),
          pause(-lead).then(() => people.decide(ada, key, { verdict: 'Review' })),
        ]);
        expect([used.code, said.code]).toEqual([200, 201]);
        const { status } = await people.reached(
          key,
          'over and reviewed',
          (one) => isEnd(one) && one.status?.review === 'Done',
        );
        expect([status?.phase, status?.uses?.length]).toEqual(['Consumed', 1]);
      }),
    );
  });

  test('a denial: both are told, and nothing passes', async () => {
    const key = await asked('reviewed-denied');
    expect((await people.decide(eve, key, { bypass: true, reason: 'now' })).code).toBe(201);
    await people.reached(key, 'to be reviewed', ({ status }) => status?.review === 'Required');
    const said = await Promise.all([
      people.decide(ada, key, { verdict: 'Review' }),
      people.decide(grace, key, { verdict: 'Deny' }),
    ]);
    expect(said.map(({ code }) => code)).toEqual([201, 201]);
    const { status } = await people.reached(
      key,
      'over and reviewed',
      (one) => isEnd(one) && one.status?.review === 'Done',
    );
    expect(status?.phase).toBe('Denied');
    expect((await update('reviewed-denied', 'after')).code).toBe(403);
  });
});
