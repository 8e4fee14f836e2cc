// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The event recorder: what it does not write, and that it never gets in the way.

import { expect, test } from 'vitest';
import { EventRecorder, type EventRecorderOptions, type NewEvent } from '../../../../src/kube/objects/events.ts';
import { fakeClock } from '../../../support/fakes/fake-clock.ts';

const event: NewEvent = {
  regarding: { apiVersion: 'stepup.dev/v1alpha1', kind: 'StepUpApproval', namespace: 'prod', name: 'a', uid: 'u' },
  type: 'Normal',
  action: 'Approve',
  reason: 'Approved',
  note: 'approved',
};

type Create = EventRecorderOptions['events']['create'];

function setup(answer: () => Promise<never>) {
  const clock = fakeClock();
  const created: unknown[] = [];
  const errors: unknown[] = [];
  const create: Create = (object) => {
    created.push(object);
    return answer();
  };
  const recorder = new EventRecorder({
    events: { create },
    controller: 'stepup.dev/operator',
    instance: 'pod-0',
    onError: (error) => errors.push(error),
    clock,
  });
  return { clock, created, errors, recorder };
}

const answered = async () => ({}) as never;

test('an event says who reports it, where and when', async () => {
  const { clock, created, recorder } = setup(answered);
  recorder.emit(event);
  await clock.advance(0);
  expect(created).toEqual([
    {
      ...event,
      metadata: { namespace: 'prod', generateName: expect.stringMatching(/^stepupapproval-[0-9a-f]{14}-$/) },
      eventTime: '2026-01-02T03:04:05.678000Z',
      reportingController: 'stepup.dev/operator',
      reportingInstance: 'pod-0',
    },
  ]);
  expect(recorder.counts).toEqual({ written: 1, failed: 0, dropped: 0 });
});

test('the same again is written after 10 minutes, something else at once', async () => {
  const { clock, created, recorder } = setup(answered);
  recorder.emit(event);
  recorder.emit({ ...event, note: 'approved by two' });
  await clock.advance(599_999);
  recorder.emit(event);
  await clock.advance(0);
  expect(created).toHaveLength(2);
  await clock.advance(1);
  recorder.emit(event);
  await clock.advance(0);
  expect(created).toHaveLength(3);
});

test('a refused event is counted and reported', async () => {
  const failure = new Error('refused');
  const { clock, errors, recorder } = setup(() => Promise.reject(failure));
  recorder.emit(event);
  await clock.advance(0);
  expect([errors, recorder.counts]).toEqual([[failure], { written: 0, failed: 1, dropped: 0 }]);
});

test('when nothing gets through, events are dropped and counted', () => {
  const { recorder } = setup(() => new Promise(() => {}));
  for (let i = 0; i < 300; i += 1) {
    recorder.emit({ ...event, note: `${i}` });
  }
  expect(recorder.counts).toEqual({ written: 0, failed: 0, dropped: 300 - 256 - 2 });
});
