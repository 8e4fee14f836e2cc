# syntax=docker/dockerfile:1
# SPDX-FileCopyrightText: The stepup authors
# SPDX-License-Identifier: Apache-2.0
#
# The image of stepup: Node, the bundle, nothing else. The bundle is made outside, by `npm run build`, so that what is
# tested is what is shipped. Not run where no container engine runs: there the tests start the same bundle directly.
#
#   npm run build && docker build --tag ghcr.io/stepup-dev/stepup:dev .
#
# The base is pinned by whoever builds: --build-arg BASE=<repository>@sha256:<digest>, as the release does
# (.github/workflows/release.yaml). Several architectures: docker buildx bake (docker-bake.hcl); the bundle is the same for all.
ARG BASE=gcr.io/distroless/nodejs24-debian13:nonroot
FROM ${BASE}

LABEL org.opencontainers.image.title="stepup" \
      org.opencontainers.image.description="Step-up approval for Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0"

# The bundle, the licences of what is in it, and its bill of materials. Source maps stay outside: nothing reads them here.
COPY dist/ /app/dist/

# Numeric, so that runAsNonRoot can be checked without reading /etc/passwd of the image.
USER 65532:65532
WORKDIR /app
ENV NODE_ENV=production
EXPOSE 8443 8080

# No shell in here: probes are HTTP, and Node gets SIGTERM itself. Reviews die young, so that a small young generation is
# enough, and an unbounded one only memory; --enable-source-maps would keep the whole map in memory. Tests and benchmarks
# read the flags from this line (scripts/image-entrypoint.ts).
ENTRYPOINT ["/nodejs/bin/node", "--max-semi-space-size=4", "/app/dist/stepup.mjs"]
CMD ["serve"]
