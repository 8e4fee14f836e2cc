// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Names of labels and objects that belong to stepup.

export const targetLabel = 'stepup.dev/target';

export const approvalLabel = 'stepup.dev/approval';

/** Every webhook configuration that is ours carries it, with the value true. */
export const managedLabel = 'stepup.dev/managed';

/** And its name begins so: the guard keeps service accounts from making one of such a name, while anybody may use the label. */
export const configurationPrefix = 'stepup-';

/** `<version>.<group>`: the name that the aggregator gives it. */
export const ownApiServiceName = 'v1alpha1.stepup.dev';
