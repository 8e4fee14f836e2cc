// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The whole status of the answer when stepup could not decide under policy deploys.

export const decisionFailed = {
  code: 403,
  details: {
    causes: [
      { message: 'deploys', reason: 'Policy' },
      { message: 'Failed', reason: 'Reason' },
    ],
    group: 'stepup.dev',
    kind: 'stepuppolicies',
    name: 'deploys',
  },
  message:
    "stepup: deploys: the decision failed. Nothing was admitted; stepup's log has the error. Send the request again in a moment",
  reason: 'Failed',
  status: 'Failure',
};
