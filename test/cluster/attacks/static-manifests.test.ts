// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The cluster-admin's attacks once more, on an API server that reads the guard from its disk as docs/attacks.md says.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Installation, installStepup } from '../../support/installation/installation.ts';
import { runCommand } from '../../support/run-command.ts';
import { Attacker } from './attacker.ts';
import { byRootBot, webhook } from './attacks.ts';
import { documentedTable } from './attacks-document.ts';
import { refuserOf, type Stage, setStage } from './stage.ts';

const binary = fileURLToPath(new URL('../../../src/cmd/stepup.ts', import.meta.url));
const docs = fileURLToPath(new URL('../../../docs/attacks.md', import.meta.url));
const registration = '/apis/admissionregistration.k8s.io/v1';

let folder: string;
let stepup: Installation;
let stage: Stage;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'stepup-static-'));
  const { code, stdout, stderr } = await runCommand(process.execPath, [binary, 'static-manifests'], { env: {} });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  writeFileSync(join(folder, 'stepup.yaml'), stdout);
  // Beside the folder of manifests: every file in that one is read as a manifest.
  const configuration = `${folder}.admission.yaml`;
  writeFileSync(configuration, documentedConfiguration().replaceAll('/etc/kubernetes/stepup-guard', folder));
  stepup = await installStepup({ apiServerArgs: [`--admission-control-config-file=${configuration}`] });
  stage = await setStage(stepup);
}, 300_000);
afterAll(async () => {
  stage?.close();
  await stepup?.stop();
  rmSync(folder, { recursive: true, force: true });
  rmSync(`${folder}.admission.yaml`, { force: true });
});

/** The file that the documentation tells people to write. */
function documentedConfiguration(): string {
  const [, yaml] = /```yaml\n(apiVersion: apiserver\.config\.k8s\.io[^`]*)```/.exec(readFileSync(docs, 'utf8')) ?? [];
  if (yaml === undefined) throw new Error('read docs/attacks.md: it has no admission configuration');
  return yaml;
}

test('what is undone without the files is refused with them, and what stays out of reach is known', async () => {
  const rows: (readonly [string, string])[] = [];
  for (const [what, attack] of byRootBot) {
    const said = await attack(stage.rootBot, stage.scene);
    rows.push([what, refuserOf(said) ?? (said.code < 300 ? 'out of reach' : `answered ${said.code}`)]);
  }
  process.stdout.write(`\n${rows.map((row) => row.join(': ')).join('\n')}\n`);
  for (const [index, [what, , outcome]] of byRootBot.entries()) {
    if (outcome === 'undone' || (outcome === 'out of reach' && what.includes('binding')))
      expect(rows[index], what).toEqual([what, 'guard']);
  }
  expect(rows.filter(([, outcome]) => outcome === 'out of reach').map(([what]) => what)).toEqual([
    'reads the keys',
    'approves a request as another person, by impersonation',
    'has a certificate in the name of an approver approved',
    'makes another subject cluster-admin',
  ]);
  documentedTable('static', [['it', 'with the files'], ...rows]);
}, 120_000);

test('people and stepup itself are stopped by the files no more than by the guard', async () => {
  const admin = new Attacker('admin', stepup.kubeconfigs.admin);
  const bindings = `${registration}/validatingadmissionpolicybindings`;
  // By a person; and the leader puts it back.
  expect((await admin.delete(`${bindings}/stepup-guard`)).code).toBe(200);
  await expect.poll(async () => (await admin.get(`${bindings}/stepup-guard`)).code, { timeout: 10_000 }).toBe(200);
  const foreign = { metadata: { name: 'foreign' }, spec: { policyName: 'foreign', validationActions: ['Deny'] } };
  expect((await stage.rootBot.post(`${bindings}?dryRun=All`, foreign)).code).toBe(201);
  const other = webhook('other', 'example.test');
  expect((await stage.rootBot.post(`${registration}/mutatingwebhookconfigurations?dryRun=All`, other)).code).toBe(201);
  // Helm and its uninstaller get through as well.
  const gone = await stepup.cluster.helm(['uninstall', 'stepup', '-n', 'stepup-system', '--wait'], {
    timeoutMs: 120_000,
  });
  expect(gone.code, gone.stderr).toBe(0);
  expect((await admin.get(`${bindings}/stepup-guard`)).code).toBe(404);
  admin.close();
}, 180_000);
