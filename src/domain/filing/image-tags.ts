// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Container images that an object names by tag: the image behind a tag can change without any approval.
import { isObject, type Json, type JsonObject, textAt } from '../../lib/json.ts';

const containerLists: readonly string[] = ['containers', 'initContainers', 'ephemeralContainers'];
/** What follows @ is the digest (the OCI distribution specification's grammar of references). */
const pinned = /@sha256:[0-9a-f]{64}$/;

/** Sorted, each once; wherever in the object its containers and image volumes stand. */
export function imagesByTag(object: JsonObject | undefined): readonly string[] {
  const images = new Set<string>();
  const note = (image: string): void => {
    if (image !== '' && !pinned.test(image)) images.add(image);
  };
  const visit = (value: Json | undefined): void => {
    if (Array.isArray(value)) for (const item of value) visit(item);
    if (!isObject(value)) return;
    for (const [key, member] of Object.entries(value)) {
      const pointer = containerLists.includes(key) ? '/image' : key === 'volumes' ? '/image/reference' : undefined;
      if (pointer !== undefined && Array.isArray(member)) for (const item of member) note(textAt(item, pointer));
      visit(member);
    }
  };
  visit(object);
  return [...images].sort();
}
