// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Names of labels and objects that belong to stepup.

export const targetLabel = 'stepup.dev/target';

export const approvalLabel = 'stepup.dev/approval';

/** All of stepup's webhook configurations have it, with the value true. */
export const managedLabel = 'stepup.dev/managed';

/** Their names have this prefix: the guard keeps service accounts from using such names, but anybody can use the label. */
export const configurationPrefix = 'stepup-';

/** `<version>.<group>`: the name that the aggregator gives it. */
export const ownApiServiceName = 'v1alpha1.stepup.dev';
