// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// A transcript that explains itself: who runs which command, what came of it, and whether that is what should have.
import { styleText } from 'node:util';
import type { Actor, Installation } from '../test/support/installation/installation.ts';

export interface Step {
  readonly actor: Actor;
  /** Arguments of kubectl. */
  readonly args: readonly string[];
  readonly stdin?: string;
  readonly expect: 'passes' | 'is denied';
  /** Text that the output must contain. */
  readonly shows?: readonly string[];
}

const isColoured = process.stdout.isTTY === true && process.env.NO_COLOR === undefined;

/** Prints the story as it goes; the first step that does not come out throws. */
export class Transcript {
  readonly #installation: Installation;
  #chapter = 0;

  constructor(installation: Installation) {
    this.#installation = installation;
  }

  chapter(title: string): void {
    this.#chapter += 1;
    say(`\n${paint('bold', `${this.#chapter}. ${title}`)}`);
  }

  tell(text: string): void {
    say(paint('dim', `   ${text}`));
  }

  /** Runs one kubectl command as an actor, shows it with its output, and checks what came of it. */
  async run(step: Step): Promise<string> {
    const { actor, args, stdin, expect, shows = [] } = step;
    say(`   ${paint('cyan', `${actor}$`)} kubectl ${args.map(quoted).join(' ')}`);
    const result = await this.#installation.kubectl(actor, args, {
      timeoutMs: 60_000,
      ...(stdin === undefined ? {} : { stdin }),
    });
    const output = `${result.stdout}${result.stderr}`.trimEnd();
    for (const line of output.split('\n').slice(0, 30)) say(`     ${line}`);
    const passed = result.code === 0;
    if (passed !== (expect === 'passes')) {
      throw new Error(`the command was to be one that ${expect}, but it ended with ${result.code}`);
    }
    for (const text of shows) {
      if (!output.includes(text)) throw new Error(`the output does not show ${JSON.stringify(text)}`);
    }
    this.check(expect === 'passes' ? 'passed' : 'denied');
    return output;
  }

  /** A fact that has just been verified by other means than a command's exit code. */
  check(fact: string): void {
    say(`   ${paint('green', '✓')} ${fact}`);
  }
}

function quoted(argument: string): string {
  return /[\s{}|<>$;&*?]/.test(argument) ? `'${argument}'` : argument;
}

function paint(style: Parameters<typeof styleText>[0], text: string): string {
  return isColoured ? styleText(style, text) : text;
}

export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
