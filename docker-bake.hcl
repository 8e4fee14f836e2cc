# Images for all architectures: `npm run build && docker buildx bake release`. Not run here: needs a container engine.
variable "BASE" {
  default = "gcr.io/distroless/nodejs24-debian13:nonroot"
}
variable "IMAGE" {
  default = "ghcr.io/stepup-dev/stepup"
}
variable "TAG" {
  default = "dev"
}

group "default" {
  targets = ["local"]
}

target "image" {
  context    = "."
  dockerfile = "Dockerfile"
  args       = { BASE = BASE }
  tags       = ["${IMAGE}:${TAG}"]
}

# For this machine, into its own engine.
target "local" {
  inherits = ["image"]
  output   = ["type=docker"]
}

# As released: both architectures under one tag, with provenance, pushed.
target "release" {
  inherits  = ["image"]
  platforms = ["linux/amd64", "linux/arm64"]
  attest    = ["type=provenance,mode=max"]
  labels    = { "org.opencontainers.image.base.name" = BASE }
  output    = ["type=registry"]
}
