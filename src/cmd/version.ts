// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// The version, set by the bundler from package.json.

declare const STEPUP_VERSION: string | undefined;

export const version: string = typeof STEPUP_VERSION === 'string' ? STEPUP_VERSION : 'dev';
