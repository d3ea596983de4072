# `make help` lists the targets. Everything runs inside .venv, which `make setup` creates.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DIR ?= demo
LISTEN ?= 127.0.0.1:8080
ADMIN ?= 127.0.0.1:9090
SERVICE ?= 127.0.0.1:8000
NAME ?= baseline
TAG ?= dev
FAST := $(wildcard crds/tests kube/tests operator/tests dataplane/tests cli/tests)
CLUSTER = PYTHONPATH=tools/cluster/src $(BIN)/python -m inferway_cluster
DOCKERFILES := $(sort $(wildcard */Dockerfile services/*/Dockerfile))
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.7

.DEFAULT_GOAL := help
.PHONY: help setup run test test-fast test-slow coverage check prose workflows fmt types imports golden crds reference drawing envtest lock corpus fuzz fuzz-setup cases bench bench-tools bench-setup \
  profile feature-costs reloads soak-keys slow-clients endpoint-faults soak-local stop-under-load dist chart release-notes load-job load-local lint-images images images-load cluster cluster-delete up node-test node-suite compose-up compose-down compose-test clean

help: ## print this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## create .venv with all requirements, hash-pinned

$(VENV)/.ready: requirements/dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the requirements into $(VENV): a minute or two, once"
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: setup ## start the demo: service-python behind the gateway (LISTEN=, ADMIN=, SERVICE=, DIR=)
	@$(BIN)/python -m demo --directory $(DIR) --listen $(LISTEN) --admin $(ADMIN) --service $(SERVICE)

test: setup check node-test ## run all tests that need no cluster
	$(BIN)/pytest

test-fast: setup ## run the tests of the product without sockets and processes, 20 examples each (docs/testing.md)
	$(BIN)/pytest --fast $(FAST)

test-slow: setup ## run the longer tests: outages and frozen watches in their full length
	$(BIN)/pytest -m slow

coverage: setup ## run the tests, then line and branch coverage by package (ARGS=dataplane/tests for some)
	@$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(ARGS); status=$$?; $(BIN)/coverage combine --quiet \
	&& $(BIN)/coverage json --quiet -o - | PYTHONPATH=tools/coverage/src $(BIN)/python -m inferway_coverage && exit $$status

check: setup workflows lint-images prose ## lint, format, types, import rules, English, workflows
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --quiet tools/structure/tests/test_structure_imports.py

prose: setup ## check the English of docs, docstrings, comments and messages, and names (ARGS=--counts)
	@PYTHONPATH=tools/prose/src $(BIN)/python -m inferway_prose $(ARGS)

lint-images: setup ## check the Dockerfiles with hadolint
	$(BIN)/hadolint $(DOCKERFILES)

images: setup ## build all images and print a table of sizes and times (TAG=dev)
	@$(CLUSTER) images --tag $(TAG)

images-load: setup ## load the images into the cluster (TAG=dev)
	@$(CLUSTER) load --tag $(TAG)

cluster: setup ## create a kind cluster if there is none, build the images, install both planes and the samples
	@$(CLUSTER) create

cluster-delete: setup ## delete that cluster
	@$(CLUSTER) delete

up: ## update that cluster with every saved file, by Tilt (after make cluster)
	@command -v tilt > /dev/null || { echo "tilt is not installed: https://docs.tilt.dev/install.html" >&2; exit 1; }
	tilt up --context kind-inferway

workflows: ## check .github/workflows with actionlint (skipped with a message without Go)
	@if command -v go > /dev/null; then go run $(ACTIONLINT); else echo "actionlint skipped: it needs Go"; fi

fmt: setup ## format, and fix what ruff can fix
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

golden: setup ## rewrite the compiler's golden files; review the difference like code
	$(BIN)/python operator/tests/golden_cases.py --write

crds: setup ## generate crds/*.yaml and docs/api.md from the models
	$(BIN)/python -m inferway_contract.generate.crds crds
	$(BIN)/python -m inferway_contract.generate.api_reference docs/api.md

reference: setup ## generate the pages of problem codes, metrics, log fields, admin pages and settings
	@PYTHONPATH=tools/reference/src $(BIN)/python -m inferway_reference docs

drawing: setup ## draw the import contracts in docs/architecture.md
	@PYTHONPATH=tools/structure/src $(BIN)/python -m inferway_structure docs/architecture.md

envtest: setup ## find or build the API server for tests (with Go about five minutes, once; docs/testing.md)
	@PYTHONPATH=tools/envtest/src:tests/support/src $(BIN)/python -m inferway_envtest build

# Images have the versions of the tests, for one platform and Python.
IMAGE_FLAGS := --constraint requirements/dev.txt --python-platform linux --python-version 3.12 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --no-header --quiet
LOCK_IMAGE := uv pip compile pyproject.toml $(IMAGE_FLAGS)

lock: ## resolve requirements/*.txt again (needs uv)
	uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --quiet -o requirements/dev.txt
	uv pip compile --group bench --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --quiet -o requirements/bench.txt
	uv pip compile --group fuzz --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --quiet -o requirements/fuzz.txt
	$(LOCK_IMAGE) --extra operator -o requirements/operator.txt
	$(LOCK_IMAGE) --extra dataplane --extra cluster --extra otel -o requirements/dataplane.txt
	$(LOCK_IMAGE) --extra dataplane --extra otel -o requirements/standalone.txt
	uv pip compile --group service-python $(IMAGE_FLAGS) -o requirements/service-python.txt

corpus: setup ## send raw HTTP messages to the gateway, or to ARGS="--target host:port"; ARGS=--bytewise, --all, --help
	@cd dataplane/tests && ../../$(BIN)/python -m corpus.run $(ARGS)

fuzz-setup: setup
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.txt \
	  || echo "atheris cannot be installed here: hypothesis feeds the parsers, more slowly"

fuzz: fuzz-setup ## fuzz all pure parsers with a million inputs (ARGS="--inputs 10000000 --only host")
	@cd dataplane/tests && ../../$(BIN)/python -m fuzzing.run $(ARGS)

cases: setup ## print the table of cases with pass, fail or not yet (ARGS="P L" for some)
	@$(BIN)/python -m e2e.cases $(ARGS)

bench-tools: ## install nginx and wrk (Debian)
	apt-get install -y nginx-light wrk

bench-setup: setup
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt

bench: bench-setup ## compare with nginx, Envoy and a plain httpx proxy (about ten minutes)
	$(BIN)/python -m bench $(ARGS)

profile: setup ## profile the hot path by function
	$(BIN)/python -m bench.hotpath --profile $(ARGS)

feature-costs: setup ## measure the cost of each feature of a rule on the hot path
	$(BIN)/python -m bench.features $(ARGS)

reloads: bench-setup ## change the configuration 100 times under full load
	$(BIN)/python -m bench.reloads $(ARGS)

soak-keys: bench-setup ## measure memory after 5 million requests of 100,000 clients
	$(BIN)/python -m bench soak-keys $(ARGS)

slow-clients: setup ## test a healthy client next to 400 slow ones, with 256 descriptors
	$(BIN)/python -m bench.slow_clients $(ARGS)

endpoint-faults: setup ## let one of three endpoints refuse, hang, fail or be slow; measure the effect (--with-retry)
	$(BIN)/python -m bench.endpoint_faults $(ARGS)

soak-local: setup ## run ten minutes of mixed traffic; detect growth, leaks, failures (ARGS="--minutes 1")
	$(BIN)/python -m bench.soak_local $(ARGS)

stop-under-load: setup ## send SIGTERM under load; count lost requests
	$(BIN)/python -m bench.stop_under_load $(ARGS)

dist: setup ## build wheel and sdist in dist/
	@rm -rf dist
	$(BIN)/hatchling build

chart: setup ## make the Helm chart from the kustomizations, in build/chart (docs/install.md)
	@mkdir -p build/chart
	@PYTHONPATH=tools/chart/src $(BIN)/python -m inferway_chart build/chart

release-notes: ## print the notes of the release TAG=v0.1.0 (docs/releasing.md)
	@PYTHONPATH=tools/release/src $(PYTHON) -m inferway_release notes $(TAG)

LOAD = PYTHONPATH=tools/load/src $(BIN)/python -m inferway_load
LOAD_SETTINGS = --set RATE=$(RATE) --set DURATION=$(DURATION) --set TARGET=$(TARGET) $(ARGS)

load-job: setup ## run k6 as a Job in the current cluster (NAME=baseline|steady|spike|soak|single-address, RATE=, DURATION=)
	@$(LOAD) job $(NAME) $(LOAD_SETTINGS)

load-local: setup ## run the local k6 against TARGET (NAME=, TARGET=http://127.0.0.1:8080, RATE=, DURATION=)
	@$(LOAD) local $(NAME) $(LOAD_SETTINGS)


NODE_SERVICE := services/service-node
COMPOSE := docker compose --file manifests/compose.yaml

node-test: ## lint and test service-node (skipped with a message without Node >= 20.19)
	@if command -v npm > /dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2> /dev/null; \
	then $(MAKE) --no-print-directory node-suite; \
	else echo "node-test skipped: it needs Node >= 20.19 and npm"; echo "service-node: 0 passed, 0 failed, 1 skipped"; fi

node-suite: $(NODE_SERVICE)/node_modules/.ready
	cd $(NODE_SERVICE) && npm run --silent lint && npm test --silent

$(NODE_SERVICE)/node_modules/.ready: $(NODE_SERVICE)/package-lock.json $(NODE_SERVICE)/package.json
	cd $(NODE_SERVICE) && npm ci
	@touch $@

compose-up: ## start the gateway, both services and Prometheus by docker compose (docs/compose.md)
	$(COMPOSE) up --build --detach --wait
	@echo "curl -i 'http://$$($(COMPOSE) port gateway 8080)/infer?prompt=hello'     Prometheus: http://$$($(COMPOSE) port prometheus 9090)"

compose-down: ## stop the compose demo, and remove its containers and volumes
	$(COMPOSE) down --volumes

compose-test: setup ## test the compose demo as a separate project on free ports (skipped without docker compose)
	$(BIN)/pytest e2e/compose

e2e: setup ## run the cluster suite on the cluster of `make cluster` (docs/testing.md)
	$(BIN)/pytest e2e/cluster $(ARGS)

clean: ## remove generated files
	rm -rf $(VENV) $(NODE_SERVICE)/node_modules dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* bench/results
