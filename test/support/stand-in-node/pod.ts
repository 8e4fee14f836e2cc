// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The parts of Pods and Services that the stand-in node reads, as the API server writes them.

import type { KubeObject } from '../control-plane/admin-client.ts';

export interface Pod extends KubeObject {
  spec: PodSpec;
  status?: { phase?: string };
}

export interface PodSpec {
  nodeName?: string;
  serviceAccountName?: string;
  restartPolicy?: 'Always' | 'OnFailure' | 'Never';
  terminationGracePeriodSeconds?: number;
  initContainers?: Container[];
  containers: Container[];
  volumes?: Volume[];
}

export interface Container {
  name: string;
  image: string;
  command?: string[];
  args?: string[];
  workingDir?: string;
  env?: EnvVar[];
  envFrom?: EnvFrom[];
  ports?: { name?: string; containerPort: number }[];
  volumeMounts?: VolumeMount[];
  startupProbe?: Probe;
  readinessProbe?: Probe;
  livenessProbe?: Probe;
  lifecycle?: { preStop?: { sleep?: { seconds: number } } };
}

export interface EnvVar {
  name: string;
  value?: string;
  valueFrom?: {
    fieldRef?: FieldRef;
    secretKeyRef?: KeyRef;
    configMapKeyRef?: KeyRef;
  };
}

interface EnvFrom {
  prefix?: string;
  secretRef?: ObjectRef;
  configMapRef?: ObjectRef;
}

interface FieldRef {
  fieldPath: string;
}

interface ObjectRef {
  name: string;
  optional?: boolean;
}

export interface KeyRef extends ObjectRef {
  key: string;
}

interface VolumeMount {
  name: string;
  mountPath: string;
  subPath?: string;
}

export interface KeyToPath {
  key: string;
  path: string;
}

export interface Volume {
  name: string;
  emptyDir?: unknown;
  secret?: { secretName: string; optional?: boolean; items?: KeyToPath[] };
  configMap?: ObjectRef & { items?: KeyToPath[] };
  downwardAPI?: { items?: DownwardItem[] };
  projected?: { sources: ProjectedSource[] };
}

export interface DownwardItem {
  path: string;
  fieldRef?: FieldRef;
}

export interface ProjectedSource {
  secret?: ObjectRef & { items?: KeyToPath[] };
  configMap?: ObjectRef & { items?: KeyToPath[] };
  downwardAPI?: { items?: DownwardItem[] };
  serviceAccountToken?: TokenProjection;
}

export interface TokenProjection {
  path: string;
  audience?: string;
  expirationSeconds?: number;
}

export interface Probe {
  httpGet?: {
    path?: string;
    port: number | string;
    scheme?: 'HTTP' | 'HTTPS';
    httpHeaders?: { name: string; value: string }[];
  };
  tcpSocket?: { port: number | string };
  initialDelaySeconds?: number;
  periodSeconds?: number;
  timeoutSeconds?: number;
  failureThreshold?: number;
  successThreshold?: number;
}

export interface Service extends KubeObject {
  spec: {
    type?: string;
    clusterIP?: string;
    externalName?: string;
    selector?: Record<string, string>;
    ports?: { name?: string; port: number; targetPort?: number | string }[];
  };
}

/** The number behind a port that may be given by its name. */
export function resolvePort(port: number | string, containers: readonly Container[]): number | undefined {
  if (typeof port === 'number') return port;
  return containers.flatMap(({ ports = [] }) => ports).find(({ name }) => name === port)?.containerPort;
}
