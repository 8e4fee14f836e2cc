// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Visits every world that a model can reach, breadth first, and tells the shortest way to the first broken promise.
// Knows nothing about stepup.

export interface Step<W> {
  /** What happens, for the trace; asked for only there. */
  readonly label: () => string;
  readonly world: W;
  /** Names of what is worth knowing to have happened at all. */
  readonly sights?: readonly string[];
}

export interface Model<W> {
  readonly initial: W;
  /** All that can happen next; always the same steps in the same order for the same world. */
  steps(world: W): Promise<readonly Step<W>[]>;
  /** Equal for worlds that need not be told apart. */
  keyOf(world: W): string;
  /** The promise that the world breaks, in a sentence. */
  broken(world: W): string | undefined | Promise<string | undefined>;
}

export interface Exploration {
  readonly states: number;
  readonly transitions: number;
  /** Steps from the first world to the farthest. */
  readonly depth: number;
  readonly seconds: number;
  /** How often each sight was met. */
  readonly sights: ReadonlyMap<string, number>;
  readonly violation?: Violation;
}

interface Violation {
  readonly promise: string;
  readonly trace: readonly string[];
}

export interface ExploreOptions {
  /** Told now and then how far it is. */
  readonly progress?: (line: string) => void;
  /** More states than this are an error: a model that is not finite must not run for ever. */
  readonly mostStates?: number;
}

const progressMs = 5_000;

export async function explore<W>(model: Model<W>, options: ExploreOptions = {}): Promise<Exploration> {
  const { progress = () => {}, mostStates = 5_000_000 } = options;
  const startedAtMs = performance.now();
  const known = new Set<string>();
  // Of each world only how it was first reached is kept: its parent, and which of the parent's steps it was.
  const parents: number[] = [];
  const ordinals: number[] = [];
  const sights = new Map<string, number>();
  let transitions = 0;
  let depth = 0;
  let toldAtMs = startedAtMs;

  const result = () => ({
    states: known.size,
    transitions,
    depth,
    seconds: (performance.now() - startedAtMs) / 1000,
    sights,
  });
  const add = (parent: number, ordinal: number): number => {
    parents.push(parent);
    ordinals.push(ordinal);
    return parents.length - 1;
  };

  known.add(model.keyOf(model.initial));
  let frontier: { readonly at: number; readonly world: W }[] = [{ at: add(-1, -1), world: model.initial }];
  while (frontier.length > 0) {
    const next: typeof frontier = [];
    for (const { at, world } of frontier) {
      const promise = await model.broken(world);
      if (promise !== undefined) {
        return { ...result(), violation: { promise, trace: await trace(model, wayTo(at, parents, ordinals)) } };
      }
      const steps = await model.steps(world);
      transitions += steps.length;
      for (const [ordinal, step] of steps.entries()) {
        for (const sight of step.sights ?? []) sights.set(sight, (sights.get(sight) ?? 0) + 1);
        const key = model.keyOf(step.world);
        if (known.has(key)) continue;
        known.add(key);
        next.push({ at: add(at, ordinal), world: step.world });
      }
      if (known.size > mostStates) throw new Error(`explore: more than ${mostStates} states`);
      if (performance.now() - toldAtMs > progressMs) {
        toldAtMs = performance.now();
        progress(`${known.size} states, ${transitions} transitions, depth ${depth}`);
      }
    }
    frontier = next;
    if (frontier.length > 0) depth += 1;
  }
  return result();
}

function wayTo(at: number, parents: readonly number[], ordinals: readonly number[]): readonly number[] {
  const way: number[] = [];
  for (let i = at; (parents[i] ?? -1) >= 0; i = parents[i] ?? -1) way.unshift(ordinals[i] ?? 0);
  return way;
}

/** Walks the way once more, this time listening. */
async function trace<W>(model: Model<W>, way: readonly number[]): Promise<readonly string[]> {
  const labels: string[] = [];
  let world = model.initial;
  for (const ordinal of way) {
    const step = (await model.steps(world))[ordinal];
    if (step === undefined) throw new Error('trace: a world did not repeat its steps');
    labels.push(step.label());
    world = step.world;
  }
  return labels;
}
