// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
module stepup.dev/bench/always-allow

go 1.26
