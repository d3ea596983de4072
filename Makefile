# `make help` lists what there is. Everything runs inside .venv, which `make setup` makes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DIR ?= demo
LISTEN ?= 127.0.0.1:8080
ADMIN ?= 127.0.0.1:9090
SERVICE ?= 127.0.0.1:8000
NAME ?= baseline
TAG ?= dev
FAST := $(wildcard crds/tests operator/tests dataplane/tests cli/tests kube/tests)
CLUSTER = PYTHONPATH=tools/cluster/src $(BIN)/python -m inferway_cluster
DOCKERFILES := $(sort $(wildcard */Dockerfile services/*/Dockerfile))
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.7

.DEFAULT_GOAL := help
.PHONY: help setup run test test-fast test-slow coverage check prose workflows fmt types imports golden crds envtest lock corpus fuzz fuzz-setup cases bench bench-tools bench-setup \
  profile feature-costs reloads soak-keys slow-clients endpoint-faults soak-local stop-under-load dist release-notes load-job load-local lint-images images images-load cluster cluster-delete up node-test node-suite compose-up compose-down compose-test clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## make .venv with everything, from hash-pinned requirements

$(VENV)/.ready: requirements/dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: setup ## start the demo: service-python and the gateway before it (LISTEN=, ADMIN=, SERVICE=, DIR=)
	@$(BIN)/python -m demo --directory $(DIR) --listen $(LISTEN) --admin $(ADMIN) --service $(SERVICE)

test: setup check node-test ## everything that needs no cluster
	$(BIN)/pytest

test-fast: setup ## tests of the product without sockets and processes, 20 examples for each property (docs/testing.md)
	$(BIN)/pytest --fast $(FAST)

test-slow: setup ## the longer proofs too: outages and frozen watches in their full length
	$(BIN)/pytest -m slow

coverage: setup ## run the tests, then line and branch coverage by package (ARGS=dataplane/tests for some)
	@$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(ARGS); status=$$?; $(BIN)/coverage combine --quiet \
	&& $(BIN)/coverage json --quiet -o - | PYTHONPATH=tools/coverage/src $(BIN)/python -m inferway_coverage && exit $$status

check: setup workflows lint-images ## lint, format, types, import rules, workflows
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

prose: setup ## check the English of docs, docstrings, comments and messages, and names (ARGS=--counts)
	@PYTHONPATH=tools/prose/src $(BIN)/python -m inferway_prose $(ARGS)

lint-images: setup ## check the Dockerfiles with hadolint
	$(BIN)/hadolint $(DOCKERFILES)

images: setup ## build all images; a table of sizes and times (TAG=dev)
	@$(CLUSTER) images --tag $(TAG)

images-load: setup ## bring the images into the cluster (TAG=dev)
	@$(CLUSTER) load --tag $(TAG)

cluster: setup ## a cluster of kind with everything in it: made if it is not there, images built, samples applied
	@$(CLUSTER) create

cluster-delete: setup ## delete that cluster
	@$(CLUSTER) delete

up: ## the same brought up to date with every saved file, by Tilt (after make cluster)
	@command -v tilt > /dev/null || { echo "tilt is not installed: https://docs.tilt.dev/install.html" >&2; exit 1; }
	tilt up --context kind-inferway

workflows: ## check .github/workflows with actionlint (a Go program; said, not checked, where there is no Go)
	@if command -v go > /dev/null; then go run $(ACTIONLINT); else echo "actionlint skipped: it needs Go"; fi

fmt: setup ## format, and fix what can be fixed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

golden: setup ## rewrite the compiler's golden files; review the difference like code
	$(BIN)/python operator/tests/golden_cases.py --write

crds: setup ## generate crds/*.yaml and docs/api.md from the models
	$(BIN)/python -m inferway_contract.generate.crds crds
	$(BIN)/python -m inferway_contract.generate.api_reference docs/api.md

envtest: setup ## find or build the API server for tests (with Go about five minutes, once; docs/testing.md)
	@PYTHONPATH=tools/envtest/src:tests/support/src $(BIN)/python -m inferway_envtest build

# Of images: the very versions that tests run with, for their one platform and Python.
IMAGE_FLAGS := --constraint requirements/dev.txt --python-platform linux --python-version 3.12 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --no-header --quiet
LOCK_IMAGE := uv pip compile pyproject.toml $(IMAGE_FLAGS)

lock: ## resolve requirements/*.txt anew (needs uv)
	uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --quiet -o requirements/dev.txt
	uv pip compile --group bench --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --quiet -o requirements/bench.txt
	uv pip compile --group fuzz --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --quiet -o requirements/fuzz.txt
	$(LOCK_IMAGE) --extra operator -o requirements/operator.txt
	$(LOCK_IMAGE) --extra dataplane --extra otel -o requirements/dataplane.txt
	$(LOCK_IMAGE) --extra dataplane --extra otel -o requirements/standalone.txt
	uv pip compile --group service-python $(IMAGE_FLAGS) -o requirements/service-python.txt

corpus: setup ## raw HTTP messages put to the gateway, or to ARGS="--target host:port"; ARGS=--bytewise, --all, --help
	@cd dataplane/tests && ../../$(BIN)/python -m corpus.run $(ARGS)

fuzz-setup: setup
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.txt \
	  || echo "atheris cannot be installed here: hypothesis feeds the parsers, more slowly"

fuzz: fuzz-setup ## a million inputs over all pure parsers (ARGS="--inputs 10000000 --only host")
	@cd dataplane/tests && ../../$(BIN)/python -m fuzzing.run $(ARGS)

cases: setup ## the table of cases with pass, fail or not yet (ARGS="P L" for some)
	@$(BIN)/python -m e2e.cases $(ARGS)

bench-tools: ## install nginx and wrk (Debian)
	apt-get install -y nginx-light wrk

bench-setup: setup
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt

bench: bench-setup ## side by side against nginx, Envoy and a plain httpx proxy (about ten minutes)
	$(BIN)/python -m bench $(ARGS)

profile: setup ## where the hot path spends its time
	$(BIN)/python -m bench.hotpath --profile $(ARGS)

feature-costs: setup ## what each feature of a rule costs on the hot path
	$(BIN)/python -m bench.features $(ARGS)

reloads: bench-setup ## 100 changes of the configuration under full load
	$(BIN)/python -m bench.reloads $(ARGS)

soak-keys: bench-setup ## memory after 5 million requests of 100,000 clients
	$(BIN)/python -m bench soak-keys $(ARGS)

slow-clients: setup ## 400 slow clients against 256 descriptors: is a healthy one served within a second?
	$(BIN)/python -m bench.slow_clients $(ARGS)

endpoint-faults: setup ## one of three endpoints refuses, hangs, fails, is slow: what do clients see? (--with-retry)
	$(BIN)/python -m bench.endpoint_faults $(ARGS)

soak-local: setup ## ten minutes of mixed traffic: growth, leaks, failures (ARGS="--minutes 1")
	$(BIN)/python -m bench.soak_local $(ARGS)

stop-under-load: setup ## SIGTERM under load: is a request lost?
	$(BIN)/python -m bench.stop_under_load $(ARGS)

dist: setup ## wheel and sdist in dist/
	@rm -rf dist
	$(BIN)/hatchling build

release-notes: ## what the release of TAG=v0.1.0 will say (docs/releasing.md)
	@PYTHONPATH=tools/release/src $(PYTHON) -m inferway_release notes $(TAG)

LOAD = PYTHONPATH=tools/load/src $(BIN)/python -m inferway_load
LOAD_SETTINGS = --set RATE=$(RATE) --set DURATION=$(DURATION) --set TARGET=$(TARGET) $(ARGS)

load-job: setup ## a k6 run as a Job in the current cluster (NAME=baseline|steady|spike|soak|single-address, RATE=, DURATION=)
	@$(LOAD) job $(NAME) $(LOAD_SETTINGS)

load-local: setup ## the same run with the k6 of this machine (NAME=, TARGET=http://127.0.0.1:8080, RATE=, DURATION=)
	@$(LOAD) local $(NAME) $(LOAD_SETTINGS)


NODE_SERVICE := services/service-node
COMPOSE := docker compose --file manifests/compose.yaml

node-test: ## lint and tests of service-node (said and skipped where there is no Node of at least 20)
	@if command -v npm > /dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2> /dev/null; \
	then $(MAKE) --no-print-directory node-suite; \
	else echo "node-test skipped: it needs Node >= 20.19 and npm"; echo "service-node: 0 passed, 0 failed, 1 skipped"; fi

node-suite: $(NODE_SERVICE)/node_modules/.ready
	cd $(NODE_SERVICE) && npm run --silent lint && npm test --silent

$(NODE_SERVICE)/node_modules/.ready: $(NODE_SERVICE)/package-lock.json $(NODE_SERVICE)/package.json
	cd $(NODE_SERVICE) && npm ci
	@touch $@

compose-up: ## the gateway without Kubernetes, both services and Prometheus, by docker compose (docs/compose.md)
	$(COMPOSE) up --build --detach --wait
	@echo "curl -i 'http://$$($(COMPOSE) port gateway 8080)/infer?prompt=hello'     Prometheus: http://$$($(COMPOSE) port prometheus 9090)"

compose-down: ## stop that, and remove what it made
	$(COMPOSE) down --volumes

compose-test: setup ## start it under another name on free ports, test it, stop it (skipped without docker compose)
	$(BIN)/pytest e2e/compose

e2e: setup ## on the cluster that `make cluster` made: traffic, changes, status, refusals
	$(BIN)/pytest e2e/cluster $(ARGS)

clean: ## remove what was made
	rm -rf $(VENV) $(NODE_SERVICE)/node_modules dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* bench/results
