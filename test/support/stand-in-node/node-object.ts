// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The Node object of the stand-in node.

import { type AdminClient, ApiRefusal } from '../control-plane/admin-client.ts';

export const nodeName = 'standin';

/** Creates the Node, Ready and without taints. Nothing renews it: the controller that would mark it lost does not run. */
export async function registerNode(admin: AdminClient): Promise<void> {
  const now = new Date().toISOString();
  const room = { cpu: '64', memory: '256Gi', pods: '250' };
  const node = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: nodeName, labels: { 'kubernetes.io/hostname': nodeName, 'kubernetes.io/os': 'linux' } },
    status: {
      capacity: room,
      allocatable: room,
      addresses: [{ type: 'InternalIP', address: '10.88.255.2' }],
      conditions: [
        { type: 'Ready', status: 'True', reason: 'StandInReady', lastHeartbeatTime: now, lastTransitionTime: now },
      ],
    },
  };
  try {
    await admin.post('/api/v1/nodes', node);
  } catch (cause) {
    const exists = cause instanceof ApiRefusal && cause.code === 409;
    if (!exists) throw cause;
  }
  // Admission taints every new Node as not ready, and the controller that takes the taint back does not run.
  await admin.patch(`/api/v1/nodes/${nodeName}`, { spec: { taints: null } });
}
