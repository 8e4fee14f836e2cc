// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// CEL that means what the policy says, however odd its pointers, names and globs are.
import { describe, expect, test } from 'vitest';
import type { LabelSelector, Policy } from '../../../../src/domain/model/policy.ts';
import type { Subjects } from '../../../../src/domain/model/subject.ts';
import { matchesGlob } from '../../../../src/lib/glob.ts';
import { celDiffers, celText, globPattern } from '../../../../src/operator/admission/cel.ts';
import { changeCondition, gatedCondition } from '../../../../src/operator/gates/match-conditions.ts';

describe('text', () => {
  test.each([
    { given: 'plain', want: "'plain'" },
    { given: "o'brien", want: String.raw`'o\'brien'` },
    { given: 'say "x"', want: `'say "x"'` },
    { given: '\\"', want: String.raw`'\\"'` },
    { given: "\\'", want: String.raw`'\\\''` },
    { given: 'a\nb\u0001', want: String.raw`'a\nb\u0001'` },
    { given: 'ü🙂', want: "'ü🙂'" },
  ])('$given', ({ given, want }) => {
    expect(celText(given)).toBe(want);
  });
});

describe('pointers', () => {
  test.each([
    { given: '/spec/template', want: "oldObject[?'spec'][?'template'] != object[?'spec'][?'template']" },
    {
      given: "/metadata/annotations/a.b~1c~0d'e",
      want: String.raw`oldObject[?'metadata'][?'annotations'][?'a.b/c~d\'e'] != object[?'metadata'][?'annotations'][?'a.b/c~d\'e']`,
    },
  ])('$given', ({ given, want }) => {
    expect(celDiffers(given)).toBe(want);
  });
});

describe('globs', () => {
  test.each(['a*', '*a', 'a*b*c', 'a.b', 'a+b*', '*', '[x]*', 'a$b^*', 'system:node:*', 'a\\*'])(
    '%s matches the same names as in decide',
    (glob) => {
      const pattern = new RegExp(`^${globPattern(glob, '.*')}$`, 's');
      const names = [
        'a',
        'ab',
        'abc',
        'axbxc',
        'a.b',
        'axb',
        'a+bc',
        '[x]y',
        'x',
        'a$b^c',
        'system:node:n',
        'a\\b',
        '',
      ];
      expect(names.filter((name) => pattern.test(name))).toEqual(names.filter((name) => matchesGlob(glob, name)));
    },
  );
});

describe('subjects', () => {
  // Service accounts are asked for by name; users and groups may also be parts of Kubernetes.
  const parts =
    "!(request.userInfo.username.startsWith('system:') && request.userInfo.username != 'system:anonymous' && !request.userInfo.username.startsWith('system:serviceaccount:'))";
  test.each<{ given: string; subjects: Subjects; subjectsTerm: string; parts?: string; excluded?: string }>([
    {
      given: 'nobody named: every service account and whoever has no name',
      subjects: {},
      subjectsTerm:
        "(request.userInfo.username.startsWith('system:serviceaccount:')) || (request.userInfo.username == 'system:anonymous')",
    },
    {
      given: 'every account of a namespace',
      subjects: { include: [{ kind: 'ServiceAccount', namespace: 'ci', name: '*' }] },
      subjectsTerm:
        "(request.userInfo.username.startsWith('system:serviceaccount:ci:')) || (request.userInfo.username == 'system:anonymous')",
    },
    {
      given: 'one account and a group',
      subjects: {
        include: [
          { kind: 'ServiceAccount', namespace: 'ci', name: 'bot' },
          { kind: 'Group', name: 'bots' },
        ],
      },
      subjectsTerm:
        "(request.userInfo.username == 'system:serviceaccount:ci:bot') || (has(request.userInfo.groups) && 'bots' in request.userInfo.groups) || (request.userInfo.username == 'system:anonymous')",
      parts,
    },
    {
      given: 'globs, and an exception that is matched exactly',
      subjects: {
        include: [{ kind: 'User', name: 'ci.*' }],
        exclude: [{ kind: 'ServiceAccount', namespace: 'ci', name: '*' }],
      },
      subjectsTerm: String.raw`(request.userInfo.username.matches('(?s)^ci\\..*$')) || (request.userInfo.username == 'system:anonymous')`,
      parts,
      excluded: "!(request.userInfo.username.matches('^system:serviceaccount:ci:[^:]+$'))",
    },
  ])('$given', ({ subjects, subjectsTerm, parts: others, excluded }) => {
    const { expression } = gatedCondition({ spec: { subjects } } as Policy, 'us', "object.a != 'b'");
    const who = `(${subjectsTerm}) && (request.userInfo.username != 'us') && (!(request.userInfo.username in [`;
    expect(expression.startsWith(who)).toBe(true);
    const exceptions = [others, excluded].flatMap((term) => (term === undefined ? [] : [` && (${term})`])).join('');
    expect(expression.endsWith(`]))${exceptions} && (object.a != 'b')`)).toBe(true);
  });
});

test('a namespace leaves when a label that the selector names changes and it was selected', () => {
  const selector: LabelSelector = {
    matchLabels: { env: 'prod' },
    matchExpressions: [
      { key: 'a/b', operator: 'NotIn', values: ['x', 'y'] },
      { key: 'c', operator: 'DoesNotExist' },
    ],
  };
  const row = {
    shape: 'NamespaceLeaves',
    operations: ['UPDATE'],
    apiGroups: [''],
    resources: ['namespaces'],
    reach: 'AllNamespaces',
  } as const;
  const old = (key: string) => `oldObject[?'metadata'][?'labels'][?'${key}']`;
  const differs = (key: string) => `(${old(key)} != ${old(key).replace('oldObject', 'object')})`;
  expect(changeCondition(row, selector)).toBe(
    [
      `(${old('env')}.hasValue() && ${old('env')}.value() in ['prod'])`,
      `(!(${old('a/b')}.hasValue() && ${old('a/b')}.value() in ['x', 'y']))`,
      `(!${old('c')}.hasValue())`,
      `(${differs('a/b')} || ${differs('c')} || ${differs('env')})`,
    ].join(' && '),
  );
});
