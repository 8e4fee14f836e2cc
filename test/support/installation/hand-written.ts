// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Approvals as somebody writes them by hand, before or without a denied request.

export const deployerName = 'system:serviceaccount:ci:deployer';

export interface HandWrittenAction {
  readonly operation?: 'CREATE' | 'UPDATE' | 'DELETE';
  readonly group?: string;
  readonly resource?: string;
  readonly namespace?: string;
  readonly name: string;
}

/** By default the deployer may delete a Secret in prod, under policy secret-deletion. */
export function handWritten(
  metadata:
    | { readonly name: string; readonly namespace?: string }
    | { readonly generateName: string; readonly namespace?: string },
  action: HandWrittenAction,
  spec: object = {},
) {
  const { operation = 'DELETE', resource = 'secrets', namespace = 'prod' } = action;
  return {
    apiVersion: 'stepup.dev/v1alpha1',
    kind: 'StepUpApproval',
    metadata: { namespace, ...metadata },
    spec: {
      policy: { name: 'secret-deletion' },
      requester: { username: deployerName },
      action: { version: 'v1', ...action, operation, resource, namespace },
      ...spec,
    },
  };
}
