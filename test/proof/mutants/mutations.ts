// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Five ways to break the promise, each an exact replacement in one source file, and the test on the real API server that
// notices it. The model has to notice each as well.

export interface Mutation {
  readonly name: string;
  readonly file: string;
  /** Occurs exactly once. */
  readonly from: string;
  readonly to: string;
  /** Of mutants.test.ts. */
  readonly test: string;
}

export const mutations: readonly Mutation[] = [
  {
    name: 'no base check',
    file: 'src/domain/decision/candidate.ts',
    from: 'isUseOf(open.use, attempt) && isSameBase(open.use.base, attempt.change.base)',
    to: 'isUseOf(open.use, attempt)',
    test: 'a change that was undone does not pass again while its use is unsettled',
  },
  {
    name: 'settle by time alone',
    file: 'src/domain/lifecycle/plan.ts',
    from: `    case 'Stands':
      if (!isOver) return { phase: 'Reserved', message: 'reserved for one request', nextAt: until };`,
    to: `    case 'Stands':
      if (now >= after(new Date(use.reservedAt), 6)) {
        const release = { use: index, releasedAt: now.toISOString(), why: 'nothing has happened for a while' };
        return { ...afterRelease(votes, life, now), releases: [...(approval.status?.releases ?? []), release] };
      }
      if (!isOver)
        return { phase: 'Reserved', message: 'reserved for one request', nextAt: after(new Date(use.reservedAt), 6) };`,
    test: 'a write that lands long after its answer has used its approval',
  },
  {
    name: 'reserve from memory',
    file: 'src/webhook/gate/reserve.ts',
    from: 'await approvals.replaceStatus(reserved, { deadlineMs, signal: limit.signal });',
    to: 'await Promise.resolve(deadlineMs);',
    test: 'no replica admits again what another one has admitted, however old its cache',
  },
  {
    name: 'base without UID',
    file: 'src/domain/lifecycle/reservation.ts',
    from: `    case 'Deletion':
    case 'Creation':
      return sameText(reserved.uid, asked.uid);`,
    to: `    case 'Deletion':
    case 'Creation':
      return true;`,
    test: 'a creation does not pass again after its object was deleted',
  },
  {
    name: 'release while the base stands',
    file: 'src/domain/lifecycle/settle.ts',
    from: `  if (now <= generation) return 'Stands';`,
    to: `  if (now <= generation) return 'Lost';`,
    test: 'a reservation is not given back while the write it admitted is under way',
  },
];

/** The source with the mutation; throws unless there is exactly one place for it. */
export function mutated(source: string, { name, file, from, to }: Mutation): string {
  const parts = source.split(from);
  if (parts.length !== 2) throw new Error(`mutate ${file}: "${name}" fits ${parts.length - 1} places, not one`);
  return parts.join(to);
}
