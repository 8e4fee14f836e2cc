// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// make storm: many rounds, progress every few seconds, and a bad end when an approval had two effects, none or a wrong denial.
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { lineOf, runStorm, type Totals } from './storm.ts';
import { startLab } from './storm-lab.ts';

const help = `Usage: npm run storm -- [options]

  --rounds N     rounds, each about one approval or two (default 2000)
  --requests N   requests that race in each (default 100)
  --seed N       repeats a storm, as far as chance is ours (default: drawn and printed)
  --from N       the number of the first round (default 0): with --rounds 1, one round again
  --json         the counts as JSON, on the standard output
  --help         this text

Ctrl-C ends it after the round under way, with the counts so far. Exits with 1 when an approval had two effects, was lost or wrongly denied, or something passed that none covers.
Traces of such rounds: test-results/storm/.
`;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '2000' },
    requests: { type: 'string', default: '100' },
    seed: { type: 'string' },
    from: { type: 'string', default: '0' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(help);
else await main();

async function main(): Promise<void> {
  const options = {
    rounds: wholeNumber('rounds', values.rounds),
    requests: wholeNumber('requests', values.requests),
    seed: wholeNumber('seed', values.seed ?? String(Math.floor(Math.random() * 1e6))),
    from: wholeNumber('from', values.from),
  };
  say(`seed ${options.seed}, ${options.rounds} rounds of ${options.requests} requests`);
  const lab = await startLab(say);
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());
  const startedAtMs = performance.now();
  let saidAtMs = startedAtMs;
  let latest: Totals | undefined;
  const progressLine = () => {
    if (latest === undefined || performance.now() - saidAtMs < 5_000) return;
    saidAtMs = performance.now();
    const secondsLeft = ((saidAtMs - startedAtMs) / latest.rounds / 1_000) * (options.rounds - latest.rounds);
    say(`${lineOf(latest)}; about ${Math.ceil(secondsLeft / 60)} min left`);
  };
  const timer = setInterval(progressLine, 8_000);
  try {
    const traces = fileURLToPath(new URL('../../../test-results/storm', import.meta.url));
    const progress = (totals: Totals) => {
      latest = totals;
      for (const violation of totals.violations.slice(told)) say(`WRONG: ${violation}`);
      told = totals.violations.length;
      progressLine();
    };
    let told = 0;
    const totals = await runStorm(lab, { ...options, traces, progress, signal: stopping.signal });
    const minutes = (performance.now() - startedAtMs) / 60_000;
    if (values.json) process.stdout.write(`${JSON.stringify({ ...options, minutes, ...totals })}\n`);
    else process.stdout.write(summaryOf(totals, options.seed, minutes));
    if (totals.violations.length > 0) process.exitCode = 1;
  } finally {
    clearInterval(timer);
    await lab.stop();
  }
}

function summaryOf(totals: Totals, seed: number, minutes: number): string {
  const list = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ');
  return [
    `storm: ${lineOf(totals)}`,
    `storm: ${totals.approvals} approvals, ${totals.requests} requests in ${minutes.toFixed(1)} min, seed ${seed}`,
    `storm: answers: ${list(totals.answers)}`,
    `storm: kinds: ${list(totals.kinds)}`,
    `storm: disturbances: ${list(totals.disturbances)}`,
    `storm: died between reservation and answer ${totals.diedReserving}; came about when sent again ${totals.late}; overtaken ${totals.overtaken}`,
    `storm: reviews by replica since it started, at most ${Object.values(totals.reviews).join(', ')}`,
    ...totals.violations.map((violation) => `storm: WRONG: ${violation}`),
    '',
  ].join('\n');
}

function say(line: string): void {
  process.stderr.write(`storm: ${line}\n`);
}

function wholeNumber(name: string, text: string): number {
  if (!/^\d{1,7}$/.test(text)) throw new Error(`--${name}: cannot read ${JSON.stringify(text)}`);
  return Number(text);
}
