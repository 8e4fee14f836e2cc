// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// What stepup doctor prints for people.
import { expect, test } from 'vitest';
import { doctorText } from '../../../src/cmd/doctor.ts';

test('the name of a binding, which its maker chooses, writes nothing on the terminal', () => {
  const by = 'ClusterRoleBinding a\u001b[2J\nfake';
  const said = doctorText([{ who: 'ci/root-bot', power: 'Impersonate', why: 'may act as somebody else', by }]);
  expect(said.split('\n')[1]).toBe(
    '  Impersonate: may act as somebody else, by ClusterRoleBinding a\\u001b[2J\\u000afake',
  );
});
