// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The objects that the clients write.

const labels = (name: string) => ({ app: name });

export function deployment(name: string, image = 'nginx:1', spec: object = {}) {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: 'prod' },
    spec: { replicas: 1, selector: { matchLabels: labels(name) }, template: template(name, image), ...spec },
  };
}

function template(name: string, image: string) {
  return { metadata: { labels: labels(name) }, spec: { containers: [{ name: 'c', image }] } };
}

export function autoscaler(name: string, maxReplicas: number) {
  const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'Deployment', name };
  return {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: { name, namespace: 'prod' },
    spec: { scaleTargetRef, minReplicas: 4, maxReplicas },
  };
}

export function pod(name: string, spec: object = {}) {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'prod' },
    spec: { containers: [{ name: 'c', image: 'nginx:1' }], ...spec },
  };
}

export function cronJob(name: string) {
  const pods = { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'nginx:1' }] } };
  return {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: { name, namespace: 'prod' },
    spec: { schedule: '0 0 1 1 *', suspend: true, jobTemplate: { spec: { template: pods } } },
  };
}

export function configMap(name: string, data: Readonly<Record<string, string>> = {}) {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'prod' }, data };
}

export function replicationController(name: string) {
  return {
    apiVersion: 'v1',
    kind: 'ReplicationController',
    metadata: { name, namespace: 'prod' },
    spec: { replicas: 0, selector: labels(name), template: template(name, 'nginx:1') },
  };
}
