// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the keeper writes and reports, from what is stored and what is wanted.
import { describe, expect, test } from 'vitest';
import { statusError } from '../../../../src/kube/http/api-error.ts';
import type { KubeObject } from '../../../../src/kube/objects/objects.ts';
import { validatingWebhookConfigurations } from '../../../../src/kube/objects/resources.ts';
import { ObjectKeeper } from '../../../../src/operator/admission/object-keeper.ts';

interface Colored extends KubeObject {
  readonly color: string;
}

const kind = 'ValidatingWebhookConfiguration';
const metadata = { name: 'one' };
const red = { metadata, color: 'red' };
const blue = { metadata, color: 'blue' };
const itself = { apiVersion: 'admissionregistration.k8s.io/v1', kind, name: 'one' };
const policy = { apiVersion: 'stepup.dev/v1alpha1', kind: 'StepUpPolicy', name: 'of-one' };

/** A keeper of one object, what it wrote and reported, and how the API server answers its next write. */
function setUp(options: { readonly answer?: number; readonly reason?: string } = {}) {
  const calls: unknown[] = [];
  const { answer, reason = '' } = options;
  let stored: { readonly color: string } | undefined;
  const write = (verb: string) => async (object: typeof red, how: { readonly dryRun?: boolean }) => {
    calls.push(`${verb} ${object.color}${how.dryRun ? ', dry run' : ''}`);
    if (answer !== undefined) throw statusError('write', answer, { kind: 'Status', reason, message: 'no\nway' });
    if (how.dryRun !== true) stored = object;
  };
  const keeper = new ObjectKeeper<Colored>({
    client: { resource: validatingWebhookConfigurations, create: write('create'), replace: write('replace') } as never,
    stored: { objects: { get: () => stored } } as never,
    form: {
      isInPlace: ({ color }, wanted) => color === wanted.color,
      broughtBack: (was, { color }) => ({ ...was, color }),
    },
    tampering: { notice: (noticed) => calls.push(noticed) },
  });
  const change = (to: typeof red | undefined) => {
    stored = to;
  };
  return { keeper, calls, change };
}

describe('an object', () => {
  test('that is not stored is tried and then written', async () => {
    const { keeper, calls } = setUp();
    expect(await keeper.keep(red)).toBe('Written');
    expect(calls).toEqual(['create red, dry run', 'create red']);
  });
  test('that is in place is left alone', async () => {
    const { keeper, calls, change } = setUp();
    change(red);
    expect(await keeper.keep(red)).toBe('InPlace');
    expect(calls).toEqual([]);
  });
  test('that was never in place as wanted is no tampering', async () => {
    const { keeper, calls, change } = setUp();
    change(blue);
    expect(await keeper.keep(red)).toBe('Written');
    expect(calls).toEqual(['replace red, dry run', 'replace red']);
  });
  test.each([
    ['edited', blue, 'replace red'],
    ['deleted', undefined, 'create red'],
  ])('that was %s is put back and reported', async (what, to, write) => {
    const { keeper, calls, change } = setUp();
    await keeper.keep(red);
    change(to);
    calls.length = 0;
    expect(await keeper.keep(red)).toBe('InPlace');
    expect(calls).toEqual([write, { kind, name: 'one', what, regarding: itself }]);
  });
  test('is reported on whom it belongs to', async () => {
    const { keeper, calls, change } = setUp();
    await keeper.keep(red);
    change(undefined);
    await keeper.keepIfValid(red, policy);
    expect(calls.at(-1)).toEqual({ kind, name: 'one', what: 'deleted', regarding: policy });
  });
  test('that is wanted otherwise than before is no tampering', async () => {
    const { keeper, calls } = setUp();
    await keeper.keep(red);
    calls.length = 0;
    expect(await keeper.keep(blue)).toBe('Written');
    expect(calls).toEqual(['replace blue, dry run', 'replace blue']);
  });
  test.each([
    [404, 'NotFound'],
    [409, 'Conflict'],
    [409, 'AlreadyExists'],
  ])('of which the copy is old (%i %s) is stale, and not reported', async (answer, reason) => {
    const { keeper, calls } = setUp({ answer, reason });
    expect(await keeper.keep(red)).toBe('Stale');
    expect(calls).toEqual(['create red, dry run']);
  });
  test('that is refused is not written, and the refusal is one line', async () => {
    const { keeper, calls } = setUp({ answer: 422, reason: 'Invalid' });
    expect(await keeper.keepIfValid(red)).toEqual({ refused: 'no way' });
    await expect(keeper.keep(red)).rejects.toThrow(`write ${kind} one: no way`);
    expect(calls).toEqual(['create red, dry run', 'create red, dry run']);
  });
  test('whose write fails otherwise is not given up', async () => {
    const { keeper } = setUp({ answer: 500, reason: 'InternalError' });
    await expect(keeper.keepIfValid(red)).rejects.toThrow('write: 500');
  });
});
