# Two commands do everything: make demo, make test. Each installs and builds what it needs, shows progress, and caches.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test controlplane up down fmt lint typecheck generate verify test-unit test-cluster model mutants build image tools bench storm clean kind-e2e

##@ Start here
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "; printf "Usage: make \033[36m<target>\033[0m\n"} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  \033[36m%-18s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)
demo: build controlplane ## The main job on a real control plane, as a transcript (about a minute, the first time ten more)
	@npm run --silent demo
test: build tools ## Everything: lint, types, generated files, unit, model, control plane, chart, end to end
	@npm run --silent test
up: build controlplane ## Leave a control plane with stepup running; writes .run/ (REPLICAS=n)
	@npm run --silent up -- --replicas $(or $(REPLICAS),2)
down: ## Stop what make up started
	@npm run --silent down

##@ While developing
fmt: node_modules ## Format and fix what can be fixed
	@npm run --silent fmt
lint: node_modules ## Lint, and find unused code; warnings fail
	@npm run --silent lint
typecheck: node_modules ## Check types
	@npm run --silent typecheck
generate: node_modules ## Make generated files anew: types, chart CRDs, table of values
	@npm run --silent generate
verify: node_modules ## Fail when a generated file is not up to date
	@npm run --silent verify
test-unit: node_modules ## Unit tests only (seconds)
	@npm run --silent test-unit
test-cluster: build tools ## Tests on real control planes only
	@npm run --silent test-cluster
model: node_modules ## Explore the promise of one effect per approval in large (WORDS="scenario …"; make test does it in small)
	@npm run --silent model -- $(WORDS)
mutants: build controlplane ## Break the product in five ways: the model and a test on the real API server must each notice
	@npm run --silent mutants -- $(WORDS)
tools: node_modules ## Build kube-apiserver, etcd, kubectl, helm and opa from pinned Go modules (cached)
	@npm run --silent tools
# What all but some tests need.
controlplane: node_modules
	@npm run --silent tools -- etcd kube-apiserver kube-controller-manager kubectl helm
bench: build controlplane ## Measure against the goals and always-allow webhooks; writes docs/benchmarks.md (quarter of an hour)
	@npm run --silent bench
storm: build controlplane ## Race requests for approvals while things break, judged by etcd's history (ROUNDS=2000 REQUESTS=100 SEED=n; an hour or more)
	@npm run --silent storm -- --rounds $(or $(ROUNDS),2000) --requests $(or $(REQUESTS),100) $(if $(SEED),--seed $(SEED))

##@ Shipping
build: node_modules ## Bundle src/ into dist/
	@npm run --silent build
image: build ## Build the container image (not run here: needs a container engine)
	docker build -t ghcr.io/stepup-dev/stepup:dev .
kind-e2e: build ## End-to-end suite on a kind cluster (not run here: needs a container engine)
	@scripts/kind-e2e
clean: ## Remove what was built here (tools stay in their cache)
	rm -rf dist node_modules .run test-results

# npm ci only when the lock file changed. Node's own version does not matter here: npm scripts run on the pinned one.
node_modules: node_modules/.stamp
node_modules/.stamp: package-lock.json package.json
	@echo "installing packages (npm ci)"
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@
