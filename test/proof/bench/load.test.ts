// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Reading what the load generators print.
import { expect, test } from 'vitest';
import { parseLoad } from './load.ts';

const output = `Running 4s test @ https://127.0.0.1:6443/api
  1 threads and 16 connections
bench {"requests":6000,"durationUs":4000000,"p50Us":2500,"p99Us":9750,"socketErrors":1,"statusErrors":2}
`;

test('a result is found among what wrk says for people', () => {
  expect(parseLoad(output)).toEqual({
    perSecond: 1500,
    p50Ms: 2.5,
    p99Ms: 9.75,
    requests: 6000,
    socketErrors: 1,
    statusErrors: 2,
  });
});

test('no result is an error that shows what was printed', () => {
  expect(() => parseLoad('unable to connect')).toThrow('no line of it in "unable to connect"');
});

test('a result that lacks a number is an error', () => {
  expect(() => parseLoad('bench {"requests":1}')).toThrow('no durationUs');
});
