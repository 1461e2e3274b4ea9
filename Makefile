# `make` lists the targets. Each target sets up what it needs, so any of them may be the first command.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CODE := $(wildcard shared_lib functions infra benchmarks tests)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The Python that .ci/python finds, or PYTHON=/path/to/python3.12. Commands of the stack in containers and of the kind cluster work
# without the virtualenv, on other systems too.
ELSEWHERE := $(filter compose kind,$(TARGET))
COMPOSE := .ci/python -m infra.compose
KUBERNETES := .ci/python -m infra.kubernetes
# For commands that say themselves what to do. Checks keep make's own last line and exit code.
QUIETLY := || exec .ci/quietly $$PPID
# The whole suite runs in one worker for each processor, four at most. Each worker has its own PostgreSQL, Redis and Kafka.
WORKERS = $(if $(T),,--numprocesses auto --maxprocesses 4 --dist loadscope)
THERE := $(if $(filter kind,$(TARGET)),$(KUBERNETES),$(COMPOSE))
# A command of the running stack: TARGET's, else that of make up, else that of make up_all if it is the only one.
define on_stack
if [ -z "$(TARGET)" ] && { [ -e .local/running.json ] || ! $(COMPOSE) running 2>/dev/null; }; then \
  if [ -x $(BIN)/python ]; then $(BIN)/python -m infra.local $(1); \
  else echo "No stack runs here. Start it in another terminal: make up, or make up_all" >&2; false; fi; \
else $(THERE) $(1); fi $(QUIETLY)
endef

.PHONY: help
help:
	@{ size="$$(stty size <&3 2>/dev/null)" || size="0 1000"; } 3>&1; \
	bold=""; if [ -t 1 ] && [ -z "$${NO_COLOR+set}" ]; then bold=1; fi; \
	awk -v width="$${size#* }" -v bold="$$bold" 'BEGIN { FS = ":.*## " } \
	  function folded(text,    n, at, word, line, lines) { \
	    n = split(text, word, " "); \
	    for (at = 1; at <= n; at++) \
	      if (line != "" && length(line) + length(word[at]) > width - 18) { lines = lines line sprintf("\n%16s", ""); line = word[at] } \
	      else line = line (line == "" ? "" : " ") word[at]; \
	    return lines line } \
	  /^##@ / { printf (bold ? "\n\033[1m%s\033[0m\n" : "\n%s\n"), substr($$0, 5) } \
	  /^[a-z0-9_-]+:.*## / { printf "  %-13s %s\n", $$1, folded($$2) }' $(MAKEFILE_LIST)
	@echo

##@ Start

.PHONY: demo
demo: $(if $(ELSEWHERE),,$(READY)) ## play the whole story and compare the money; TARGET=compose|kind: on the stack of up_all or kind_up; PROVIDER=stripe|yookassa: the sandbox speaks as it
	@$(if $(ELSEWHERE),$(THERE) demo,$(BIN)/python -m infra.demo $(if $(PROVIDER),--provider $(PROVIDER))) $(ARGS) $(QUIETLY)

.PHONY: up
up: $(READY) ## start all functions, PostgreSQL, Redis, mail and the sandbox; ARGS=--reload: restart what runs a changed file
	@$(BIN)/python -m infra.local up $(ARGS) $(QUIETLY)

.PHONY: up_all
up_all: ## start everything in containers, on Kafka behind NGINX, and wait until it is healthy; needs Docker
	@$(COMPOSE) up $(ARGS) $(QUIETLY)

.PHONY: down_all
down_all: ## stop the containers; ARGS=-v also deletes their data
	@$(COMPOSE) down $(ARGS) $(QUIETLY)

.PHONY: kind_up
kind_up: ## start Boxoffice in a kind cluster, stage by stage; needs Docker, kind and kubectl; repeating it changes nothing
	@$(KUBERNETES) up $(QUIETLY)

.PHONY: kind_cluster
kind_cluster: ## stage 1: a cluster with a kubeconfig of its own; KIND_NODE_IMAGE=...: the node image
	@$(KUBERNETES) cluster $(QUIETLY)

.PHONY: kind_platform
kind_platform: ## stage 2: Knative Serving and Kourier; an installed platform is kept
	@$(KUBERNETES) platform $(QUIETLY)

.PHONY: kind_images
kind_images: ## stage 3: build our images and load them; BUILD_DOCKER_HOST, BUILD_FLAGS: the Docker that builds
	@$(KUBERNETES) images $(QUIETLY)

.PHONY: kind_deploy
kind_deploy: ## stage 4: secrets, manifests, jobs; then wait, or explain why a pod does not run
	@$(KUBERNETES) deploy $(QUIETLY)

.PHONY: kind_down
kind_down: ## delete the cluster and everything in it
	@$(KUBERNETES) down $(QUIETLY)

.PHONY: install
install: $(READY) ## only install: what each command does first, in .venv; PYTHON=/path/to/python3.12: with that Python
	@echo "Everything is installed in $(VENV)."

##@ Look

.PHONY: db
db: $(if $(ELSEWHERE),,$(READY)) ## open psql on the running stack's database, read-only; ROLE=owner: another role; TARGET=compose|kind
	@$(if $(ELSEWHERE),$(THERE) db,$(BIN)/python -m infra.local.psql) $(QUIETLY)

.PHONY: logs
logs: ## follow the logs of the running stack, one line per event; ARGS=relay: one process; TARGET=compose|kind
	@$(call on_stack,logs $(ARGS))

.PHONY: mails
mails: ## read what the running stack mailed: the newest; CUSTOMER=bob: to bob; ARGS=3: the third; TARGET=compose|kind
	@$(call on_stack,mails $(if $(filter-out file,$(origin CUSTOMER)),--customer $(CUSTOMER)) $(ARGS))

##@ Operate

.PHONY: cli
cli: $(if $(ELSEWHERE),,$(READY)) ## run the operator's command line on the running stack: make cli ARGS="explain ann"; TARGET=compose|kind
	@$(call on_stack,cli $(ARGS))

CUSTOMER ?= ann

.PHONY: token
token: ## print a token for the running stack: make token CUSTOMER=bob; ARGS=billing:operator; TARGET=compose|kind
	@$(if $(strip $(CUSTOMER)),$(call on_stack,token $(CUSTOMER) $(ARGS)),{ echo "CUSTOMER is empty. Name one: make token CUSTOMER=bob" >&2; false; } $(QUIETLY))

.PHONY: reset
reset: $(READY) ## delete the data of the local stack: the next make up starts with no orders, and today
	@$(BIN)/python -m infra.local reset $(ARGS) $(QUIETLY)

.PHONY: kills
kills: ## kill each container (TARGET=kind: each pod) in turn under a load of orders, and count what was lost or doubled
	@$(if $(filter kind,$(TARGET)),$(KUBERNETES) kills,.ci/python -m infra.drill) $(ARGS) $(QUIETLY)

.PHONY: bench
bench: $(READY) ## measure orders and renewals beside their controls; ARGS go to the benchmark
	@$(BIN)/python -m benchmarks $(ARGS)

##@ Check

.PHONY: check
check: lint types contracts docs-check test ## everything continuous integration runs, in its order

.PHONY: test
test: $(READY) ## run the tests: make test T=tests/test_ground.py ARGS="-k redis"
	@.ci/chromium
	@.ci/nginx
	@.ci/java
	@.ci/node
	@$(BIN)/python -m pytest $(WORKERS) $(T) $(ARGS)

.PHONY: test-fast
test-fast: $(READY) ## run what needs no browser, no broker, no crash and less than five seconds
	@$(BIN)/python -m pytest -m "not (slow or browser or kafka or crash)" $(WORKERS) $(T) $(ARGS)

.PHONY: test-changed
test-changed: $(READY) ## run the tests that your change touches, the nearest first: ARGS=--help explains, ARGS=--list runs none
	@$(BIN)/python -m tests.changed $(ARGS)

.PHONY: k8s_check
k8s_check: $(READY) ## check k8s/ against rules and a real apiserver: K8S_KUBECONFIG=FILE, or K8S_TOOLS and K8S_CRDS (tests/k8s)
	@$(BIN)/python -m pytest -m k8s tests/k8s $(ARGS)

.PHONY: cluster_test
cluster_test: $(READY) ## run Boxoffice on a cluster of pods, with failures: K8S_TOOLS, or K8S_KUBECONFIG (tests/cluster)
	@$(BIN)/python -m pytest -m cluster tests/cluster $(ARGS)

.PHONY: lint
lint: $(READY) ## check formatting and style with ruff
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/ruff check $(CODE)

.PHONY: types
types: $(READY) ## check types with mypy --strict
	@$(BIN)/mypy $(CODE)

.PHONY: words
words: $(READY) ## check for vague subjects, secrets, and names of one machine
	@$(BIN)/python -m tests.words

.PHONY: contracts
contracts: $(READY) ## check which modules import which
	@$(BIN)/lint-imports

.PHONY: docs-check
docs-check: $(READY) ## check that the generated pages match the code
	@$(BIN)/python -m shared_lib.cli.docs --check

##@ Change

.PHONY: hooks
hooks: $(READY) ## let git check each commit as continuous integration would: format, style, words, types, contracts, pages
	@$(BIN)/pre-commit install

.PHONY: fmt
fmt: $(READY) ## format, and apply ruff's fixes
	@$(BIN)/ruff check --fix-only --quiet $(CODE)
	@$(BIN)/ruff format $(CODE)

.PHONY: docs
docs: $(READY) ## write the generated pages: state machines, events, OpenAPI, problem codes
	@$(BIN)/python -m shared_lib.cli.docs

.PHONY: captures
captures: $(READY) ## write the pictures of docs/terminal.md from real commands; wants an empty .local; ARGS=make: only the first
	@$(BIN)/python -m infra.demo.captures $(ARGS) $(QUIETLY)

.PHONY: migration
migration: $(READY) ## draft a migration from the difference between tables and migrations: make migration NAME="add promotions"
	@test -n "$(NAME)" || { echo 'A name is missing: make migration NAME="add promotions"'; false; } $(QUIETLY)
	@$(BIN)/python -m infra.local.migration "$(NAME)"

.PHONY: new
new: $(READY) ## write a new part into the tree: make new ARGS="door NAME", "event TYPE" or "mail TYPE" (CONTRIBUTING.md)
	@$(BIN)/python -m shared_lib.cli.main new $(ARGS)

LOCK := pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links $(ARGS)

.PHONY: lock
lock: $(READY) ## pin what pyproject.toml asks for, with hashes; ARGS=--upgrade: the newest of everything
	@$(BIN)/$(LOCK) --output-file requirements.lock pyproject.toml
	@$(BIN)/$(LOCK) --all-extras --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml
	@$(BIN)/$(LOCK) --output-file tests/clients/requirements.lock tests/clients/requirements.in
	@$(BIN)/$(LOCK) --output-file tests/providers/sdk/requirements.lock tests/providers/sdk/requirements.in
	@$(MAKE) wheels

# Those that pip on a machine with glibc 2.28 would accept.
PLATFORMS := $(foreach tag,manylinux_2_28 manylinux_2_27 manylinux_2_24 manylinux_2_17 manylinux2014,--platform $(tag)_$$machine)

.PHONY: wheels
wheels: $(READY) ## check that what is pinned has a wheel for each Python and processor: on a fresh machine nothing can be compiled
	@for python in 3.11 3.12 3.13 3.14; do for machine in x86_64 aarch64; do for lock in requirements-dev.lock tests/clients/requirements.lock; do \
	  echo "Python $$python, $$machine, $$lock"; \
	  $(BIN)/python -m pip install --quiet --dry-run --no-deps --require-hashes --only-binary=:all: --target .none \
	    --python-version $$python $(PLATFORMS) --requirement $$lock; \
	done; done; done

.PHONY: clean
clean: ## remove the virtualenv, caches and builds; the local stack's data stays in .local
	@rm -rf $(VENV) *.egg-info build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find $(CODE) -name __pycache__ -prune -exec rm -rf {} +

$(READY): requirements-dev.lock
	@test -x $(BIN)/python || .ci/python --virtualenv $(VENV) $(QUIETLY)
	@$(BIN)/python .ci/install $(BIN)/python requirements-dev.lock $(QUIETLY)
	@touch $@
