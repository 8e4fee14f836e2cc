// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0
// Metrics about the authority of the serving certificate, and about webhook configurations that do not trust it.
import { Gauge, type Registry } from 'prom-client';
import type { ServingCertificate } from './serving-certificate.ts';

export function certificateMetrics(
  registry: Registry,
  certificate: Pick<ServingCertificate, 'authorityEndsAt' | 'distrusting'>,
): void {
  const registers = [registry];
  new Gauge({
    name: 'stepup_certificate_authority_expiry_timestamp_seconds',
    help: 'When the authority of the serving certificate expires.',
    registers,
    collect() {
      const endsAt = certificate.authorityEndsAt();
      // Without one there is no sample: 0 would read as an authority that ended long ago.
      if (endsAt === undefined) this.remove();
      else this.set(endsAt.getTime() / 1000);
    },
  });
  new Gauge({
    name: 'stepup_distrusting_configurations',
    help: 'Webhook configurations of stepup without an authority for the serving certificate.',
    registers,
    collect() {
      this.set(certificate.distrusting());
    },
  });
}
