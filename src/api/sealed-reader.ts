// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Converts API objects for the domain and checks the seals on them.
import { type Approval, type Decision, usesOf } from '../domain/model/approval.ts';
import type { Seals } from '../domain/model/seal-check.ts';
import { creationStatement, decisionStatement, previewStatement, releaseStatement } from '../domain/seals/seal.ts';
import { defined } from '../lib/json.ts';
import type { StepUpApproval, StepUpDecision } from './kinds.ts';

/** Where the domain's approvals and decisions come from. The same object gives the same result. */
export interface ObjectReader {
  approval(object: StepUpApproval): Approval;
  decision(object: StepUpDecision): Decision;
}

/** Looks at each seal once, when somebody first asks: stored objects are never changed, and a signature takes its time. */
export class SealedReader implements ObjectReader {
  readonly #seals: Seals;
  readonly #approvals = new WeakMap<StepUpApproval, Approval>();
  readonly #decisions = new WeakMap<StepUpDecision, Decision>();

  constructor(seals: Seals) {
    this.#seals = seals;
  }

  approval(object: StepUpApproval): Approval {
    return known(this.#approvals, object, () => {
      let found: Approval['seals'] | undefined;
      const check = () => this.#sealsOf(object);
      const { metadata, spec, status } = object;
      return {
        ...{ metadata, spec },
        ...defined({ status }),
        get seals() {
          found ??= check();
          return found;
        },
      };
    });
  }

  decision(object: StepUpDecision): Decision {
    return known(this.#decisions, object, () => {
      const { metadata, spec } = object;
      const check = this.#seals.check(decisionStatement(metadata.namespace, spec), spec.seal);
      return { metadata, spec, seal: check };
    });
  }

  #sealsOf({ metadata, spec, status }: StepUpApproval): Approval['seals'] {
    const uses = usesOf({ spec, ...defined({ status }) });
    const { releases = [], preview } = status ?? {};
    const seen = preview && this.#seals.check(previewStatement(metadata.uid, preview), preview.seal);
    return {
      ...defined({ preview: seen }),
      creation: this.#seals.check(creationStatement(metadata.namespace, spec), spec.createdBy?.seal),
      releases: releases.map((release) =>
        this.#seals.check(releaseStatement(metadata.uid, uses[release.use], release), release.seal),
      ),
    };
  }
}

function known<K extends object, V>(map: WeakMap<K, V>, key: K, make: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}
