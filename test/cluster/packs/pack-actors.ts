// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What a gated account with cluster-admin tries under the packs, and what it is told.
import { expect } from 'vitest';
import { approvalNamedIn, approve } from '../../support/installation/approvals.ts';
import type { Actor, Installation } from '../../support/installation/installation.ts';
import type { CommandResult } from '../../support/run-command.ts';

export interface Key {
  readonly namespace: string;
  readonly name: string;
}

/** One way to do something: arguments of kubectl, and what it reads. */
export interface Try {
  readonly args: readonly string[];
  readonly stdin?: string;
}

/** Arguments in one string, split at spaces. */
export function words(line: string): Try {
  return { args: line.split(' ') };
}

export function create(object: object): Try {
  return { args: ['create', '-f', '-'], stdin: JSON.stringify(object) };
}

export function patch(target: string, change: object | readonly object[]): Try {
  const type = Array.isArray(change) ? 'json' : 'merge';
  return { args: ['patch', ...target.split(' '), `--type=${type}`, '-p', JSON.stringify(change)] };
}

export class Robot {
  readonly #stepup: Installation;

  constructor(stepup: Installation) {
    this.#stepup = stepup;
  }

  run({ args, stdin }: Try, actor: Actor = 'root-bot'): Promise<CommandResult> {
    return this.#stepup.kubectl(actor, args, stdin === undefined ? {} : { stdin });
  }

  /** As somebody whom nobody gates; has to work. */
  async prepare(...tries: readonly Try[]): Promise<void> {
    for (const one of tries) await this.passes(one, 'admin');
  }

  async passes(one: Try, actor: Actor = 'root-bot'): Promise<CommandResult> {
    const result = await this.run(one, actor);
    expect(result.code, `${one.args.join(' ')}: ${result.stderr}`).toBe(0);
    return result;
  }

  /** Refused with these words. */
  async refused(one: Try, said: string): Promise<CommandResult> {
    const result = await this.run(one);
    expect(result.stderr, one.args.join(' ')).toContain(said);
    expect(result.code).not.toBe(0);
    return result;
  }

  /** Has what was refused approved, by the printed command. */
  async approve(denied: CommandResult, actor: Actor = 'approver'): Promise<Key> {
    const key = approvalNamedIn(denied.stderr);
    const vote = await approve(this.#stepup, key, actor);
    expect(vote.code, vote.stderr).toBe(0);
    return key;
  }

  /** Refused, approved, and passing with the very same command; then undone by the admin, and refused again. */
  async passesOnce(one: Try, said: string, undo?: Try): Promise<Key> {
    const key = await this.approve(await this.refused(one, said));
    await this.passes(one);
    if (undo !== undefined) await this.prepare(undo);
    await this.refused(one, said);
    return key;
  }
}
