// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The Helm chart that the tests deploy: a ConfigMap that no policy governs, and Deployments that one does.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Writes the chart and returns its folder. Values: image, deployments (names), maxUnavailable. */
export function writeChart(dir: string, name = 'app'): string {
  const folder = join(dir, `chart-${name}`);
  mkdirSync(join(folder, 'templates'), { recursive: true });
  writeFileSync(join(folder, 'Chart.yaml'), `apiVersion: v2\nname: ${name}\nversion: 0.1.0\n`);
  writeFileSync(join(folder, 'values.yaml'), 'image: nginx:1\nconfig: one\ndeployments: [web]\n');
  writeFileSync(join(folder, 'templates/config.yaml'), config);
  writeFileSync(join(folder, 'templates/deployments.yaml'), deployments);
  return folder;
}

const config = `apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
data:
  config: {{ .Values.config | quote }}
`;

// With one pod allowed to be away, Helm's --wait is content although no node runs it.
const deployments = `{{- range .Values.deployments }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $.Release.Name }}-{{ . }}
spec:
  replicas: 1
  strategy:
    rollingUpdate: {maxUnavailable: 1, maxSurge: 0}
  selector:
    matchLabels: {app: {{ $.Release.Name }}-{{ . }}}
  template:
    metadata:
      labels: {app: {{ $.Release.Name }}-{{ . }}}
    spec:
      containers:
        - name: c
          image: {{ $.Values.image }}
{{- end }}
`;
