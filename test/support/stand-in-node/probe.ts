// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Probes a container as the kubelet does: counts successes and failures, and reports when a threshold is crossed.

import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Container, type Probe, resolvePort } from './pod.ts';

export interface ProbeTarget {
  readonly host: string;
  readonly container: Container;
}

/** Reports each outcome that has reached its threshold, until aborted. */
export async function runProbe(
  probe: Probe,
  target: ProbeTarget,
  onOutcome: (isSuccess: boolean) => void,
  signal: AbortSignal,
): Promise<void> {
  const { initialDelaySeconds = 0, periodSeconds = 10, failureThreshold = 3, successThreshold = 1 } = probe;
  let streak = 0;
  let last: boolean | undefined;
  await pause(initialDelaySeconds, signal);
  while (!signal.aborted) {
    const isSuccess = await attempt(probe, target);
    if (signal.aborted) return;
    streak = isSuccess === last ? streak + 1 : 1;
    last = isSuccess;
    if (streak >= (isSuccess ? successThreshold : failureThreshold)) onOutcome(isSuccess);
    await pause(periodSeconds, signal);
  }
}

async function pause(seconds: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(seconds * 1000, undefined, { signal });
  } catch {
    // Aborted: the caller looks at the signal.
  }
}

function attempt(probe: Probe, target: ProbeTarget): Promise<boolean> {
  const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000;
  if (probe.httpGet) return httpAttempt(probe.httpGet, target, timeoutMs);
  if (probe.tcpSocket) return tcpAttempt(probe.tcpSocket, target, timeoutMs);
  return Promise.resolve(false); // exec and gRPC are not imitated
}

function httpAttempt(get: NonNullable<Probe['httpGet']>, target: ProbeTarget, timeoutMs: number): Promise<boolean> {
  const port = resolvePort(get.port, [target.container]);
  const headers = Object.fromEntries((get.httpHeaders ?? []).map(({ name, value }) => [name, value]));
  const options = { host: target.host, port, path: get.path ?? '/', headers, agent: false as const };
  return new Promise((resolve) => {
    const onResponse = (response: { statusCode?: number | undefined; resume(): unknown }) => {
      response.resume();
      const code = response.statusCode ?? 0;
      resolve(code >= 200 && code < 400);
    };
    // The kubelet does not verify certificates either.
    const req =
      get.scheme === 'HTTPS'
        ? httpsRequest({ ...options, rejectUnauthorized: false }, onResponse)
        : httpRequest(options, onResponse);
    const timer = setTimeout(() => req.destroy(), timeoutMs);
    req.on('error', () => resolve(false));
    req.on('close', () => clearTimeout(timer));
    req.end();
  });
}

function tcpAttempt(tcp: NonNullable<Probe['tcpSocket']>, target: ProbeTarget, timeoutMs: number): Promise<boolean> {
  const port = resolvePort(tcp.port, [target.container]);
  if (port === undefined) return Promise.resolve(false);
  return new Promise((resolve) => {
    const socket = connect({ host: target.host, port });
    const settle = (isSuccess: boolean) => {
      socket.destroy();
      resolve(isSuccess);
    };
    socket.setTimeout(timeoutMs, () => settle(false));
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
  });
}
