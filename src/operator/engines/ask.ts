// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Sends one request to an engine, with limits on time and size and without redirects. A failure is never taken for an
// answer.
import { type IncomingMessage, request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { abstain, engineAnswerOf, type ReadAnswer } from '../../domain/engines/engine-answer.ts';
import { askOf, type EngineReview } from '../../domain/engines/engine-review.ts';
import { ApiError } from '../../kube/http/api-error.ts';
import { withinLimit } from '../../kube/http/call-limit.ts';
import { readBody, TooLargeError } from '../../kube/http/http-exchange.ts';
import { defined } from '../../lib/json.ts';
import { parseStrictJson } from '../../lib/parse-strict-json.ts';
import type { Engine } from './engine-settings.ts';

/** The result of a request, as the metric counts it. */
type EngineResult = ReadAnswer['result'] | 'BadStatus' | 'Redirect' | 'TooLarge' | 'Timeout' | 'TLS' | 'Unreachable';

export interface AskResult {
  readonly answer: ReadAnswer['answer'];
  readonly result: EngineResult;
}

/** Far more than a verdict, a reason and the id of a rule take. */
const mostBytes = 64 * 1024;

/** Rejects only when the signal aborts; whatever else goes wrong is an abstention that says what. */
export async function ask(engine: Engine, review: EngineReview, signal: AbortSignal): Promise<AskResult> {
  const body = Buffer.from(JSON.stringify(askOf(review, engine.format)));
  const limit = { attempt: `ask engine ${engine.name}`, deadlineMs: engine.timeoutSeconds * 1000, signal };
  try {
    return await withinLimit(limit, async (within) => {
      const answer = await post(engine, body, within);
      try {
        return await readAnswer(answer, engine);
      } finally {
        answer.destroy();
      }
    });
  } catch (error) {
    signal.throwIfAborted();
    return failed(error, engine);
  }
}

function post({ url, caBundle }: Engine, body: Buffer, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const options = {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        'Content-Length': body.length,
        Accept: 'application/json',
        'Accept-Encoding': 'identity',
        Connection: 'close',
      },
      // One connection for each question: they are rare, and an engine that was replaced is not asked on an old one.
      agent: false,
      signal,
    } as const;
    const request =
      url.protocol === 'https:'
        ? tlsRequest(url, {
            ...options,
            // Set explicitly, so that no environment variable can disable it.
            rejectUnauthorized: true,
            ...defined({ ca: caBundle }),
          })
        : plainRequest(url, options);
    request.once('response', resolve);
    request.on('error', reject);
    request.end(body);
  });
}

async function readAnswer(answer: IncomingMessage, { format }: Engine): Promise<AskResult> {
  const { statusCode = 0, headers } = answer;
  if (statusCode >= 300 && statusCode < 400) {
    return { result: 'Redirect', answer: abstain(`it answered ${statusCode}, and redirects are not followed`) };
  }
  if (statusCode !== 200) return { result: 'BadStatus', answer: abstain(`it answered ${statusCode}`) };
  const mediaType = headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  if (mediaType !== 'application/json' || headers['content-encoding'] !== undefined) {
    return { result: 'BadAnswer', answer: abstain('the answer is not plain application/json') };
  }
  const parsed = parseStrictJson(await readBody(answer, mostBytes));
  if (!parsed.ok) return { result: 'BadAnswer', answer: abstain(`the answer cannot be read: ${parsed.problem}`) };
  return engineAnswerOf(parsed.value, format);
}

function failed(error: unknown, { timeoutSeconds }: Engine): AskResult {
  if (error instanceof ApiError && error.kind === 'deadline') {
    return { result: 'Timeout', answer: abstain(`no answer within ${timeoutSeconds} s`) };
  }
  if (error instanceof TooLargeError) {
    return { result: 'TooLarge', answer: abstain(`the answer is larger than ${mostBytes / 1024} KiB`) };
  }
  // Requesters read this too: no address, only what kind of failure it was.
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'no code';
  if (/^(CERT_|ERR_TLS|ERR_SSL|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|INVALID_|HOSTNAME_|EPROTO$)/.test(code)) {
    return { result: 'TLS', answer: abstain(`its certificate or TLS cannot be accepted (${code})`) };
  }
  return { result: 'Unreachable', answer: abstain(`it cannot be reached (${code})`) };
}
