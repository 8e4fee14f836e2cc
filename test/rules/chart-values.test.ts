// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What the chart says of itself: the table of values, the schema and Chart.yaml agree with each other and with the repository.
import { load } from 'js-yaml';
import { describe, expect, test } from 'vitest';
import { readmeWith, valuesOf, valuesTable } from '../../scripts/values-table.ts';
import { schemaValues } from '../support/chart/schema.ts';
import { textOf } from '../support/repository-files.ts';

const valuesText = textOf('charts/stepup/values.yaml');

describe('the table of values', () => {
  test('in the README is made from values.yaml', () => {
    const readme = textOf('charts/stepup/README.md');
    expect(readmeWith(readme, valuesTable(valuesOf(valuesText)))).toBe(readme);
  });

  test('has a row for each value, with comment and default, without examples', () => {
    const text = [
      '# Of the file.',
      '',
      '# How many.',
      '#   2: two',
      '# At least 1.',
      'count: 2',
      'part:',
      '  # On | off.',
      '  on: true',
      '  # What: {a: <b>}.',
      '  map:',
      '    a: [1]',
      '    list:',
      '      - key: 1',
      '# A section.',
      'section:',
      '  # Inside.',
      '  inside: "x|y"',
    ].join('\n');
    expect(valuesTable(valuesOf(text)).split('\n').slice(2)).toEqual([
      '| `count` | How many. At least 1. | `2` |',
      '| `part.on` | On \\| off. | `true` |',
      '| `part.map` | What: {a: &lt;b>}. | `{"a":[1],"list":[{"key":1}]}` |',
      '| `section` | A section. |  |',
      '| `section.inside` | Inside. | `"x\\|y"` |',
    ]);
  });

  test.each([
    ['at the top', '# Said.\na: 1\n\nb: 2', 'b'],
    ['in a section', 'a:\n  # Said.\n  b: 1\n  c: 2\n  d: 3', 'a.c, a.d'],
    ['after a blank line', '# Not of b.\n\nb: 2', 'b'],
    ['with an example only', '#   b: 1\nb: 2', 'b'],
  ])('refuses a value without a comment %s', (_, text, path) => {
    expect(() => valuesOf(text)).toThrow(`read values.yaml: write a comment above ${path}`);
  });

  test('needs its place in the README', () => {
    expect(() => readmeWith('# chart\n', 'table')).toThrow('write the table of values: the README has no');
  });
});

describe('the schema', () => {
  const values = load(valuesText);
  // Those that Helm and other charts set.
  const given = schemaValues().filter(({ path: [first = ''] }) => !['global', 'enabled'].includes(first));

  test('names every value of values.yaml, and none that is not there', () => {
    const named = given.map(({ path }) => path.join('.'));
    expect(valuesOf(valuesText).filter(({ path }) => !named.includes(path))).toEqual([]);
    expect(given.filter(({ path }) => at(values, path) === undefined)).toEqual([]);
  });

  test('lets no switch and no number be taken away by null', () => {
    const loose = given.filter(
      ({ path, mayBeNull }) => mayBeNull && ['boolean', 'number'].includes(typeof at(values, path)),
    );
    expect(loose.map(({ path }) => path.join('.'))).toEqual([]);
  });

  test('the fixture with everything on sets every value', () => {
    const everything = load(textOf('test/support/chart/fixtures/all-on.yaml'));
    const unset = valuesOf(valuesText).filter(({ path }) => at(everything, path.split('.')) === undefined);
    expect(unset.map(({ path }) => path)).toEqual([]);
  });
});

describe('Chart.yaml', () => {
  const chart = load(textOf('charts/stepup/Chart.yaml')) as ChartFile;
  const annotation = (name: string) => load(chart.annotations[`artifacthub.io/${name}`] ?? '');

  test('has the version of the package, also of its image', () => {
    const { version, license } = JSON.parse(textOf('package.json')) as { version: string; license: string };
    expect(chart).toMatchObject({ version, appVersion: version });
    expect(annotation('images')).toEqual([{ name: 'stepup', image: `ghcr.io/stepup-dev/stepup:${version}` }]);
    expect(annotation('license')).toBe(license);
  });

  test('names the three kinds, with an example of each', () => {
    const named = annotation('crds') as readonly { kind: string; name: string }[];
    const examples = annotation('crdsExamples') as readonly { kind: string }[];
    const kinds = ['StepUpPolicy', 'StepUpApproval', 'StepUpDecision'];
    expect(named.map(({ kind }) => kind)).toEqual(kinds);
    expect(examples.map(({ kind }) => kind)).toEqual(kinds);
  });

  test('tells changes as the changelog tells them', () => {
    const newest = textOf('CHANGELOG.md').split(/^## /m)[1] ?? '';
    const sections = newest.split(/^### /m).slice(1);
    const told = sections.flatMap((section) => {
      const [heading = '', ...lines] = section.split('\n');
      const bullets = lines.join('\n').split(/^- /m).slice(1);
      return bullets.map((bullet) => `${heading.toLowerCase()}: ${bullet.trim().replace(/\s+/g, ' ')}`);
    });
    const changes = annotation('changes') as readonly { kind: string; description: string }[];
    expect(changes.length).toBeGreaterThan(0);
    expect(
      changes.map(({ kind, description }) => `${kind}: ${description}`).filter((line) => !told.includes(line)),
    ).toEqual([]);
  });
});

interface ChartFile {
  readonly version: string;
  readonly appVersion: string;
  readonly annotations: Readonly<Record<string, string>>;
}

function at(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (inside, key) =>
      typeof inside === 'object' && inside !== null ? (inside as Readonly<Record<string, unknown>>)[key] : undefined,
    value,
  );
}
