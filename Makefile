# Thin names over .ci/: every target sets up what it needs, from the lock, and only when the lock has changed.
# ARGS are handed on: make run ARGS='--mode enforce --product-token ExampleBot', make pytest ARGS='tests/crawl_audit -x'

.DEFAULT_GOAL := help
.PHONY: help run demo test check pytest smoke image bench fuzz docs lock clean test-faults test-clients soak
MAKEFLAGS += --no-print-directory
BIN := .venv/bin

help: ## show these lines
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 20

run: ## set up, make a CA where there is none, start the sidecar (ARGS='--mode enforce …')
	@.ci/setup.sh proxy
	@exec .ci/serve.sh $(ARGS)

demo: ## set up, then a few local sites, a real crawl, the log and the reports, without network
	@.ci/setup.sh demo
	@exec $(BIN)/crawl-audit-proxy demo $(ARGS)

test: check smoke pytest ## everything continuous integration checks

check: ## formatting, lint, types
	@.ci/setup.sh dev
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy

pytest: ## the tests alone (ARGS='tests/crawl_audit -x' in one process, all of them in two)
	@.ci/setup.sh dev
	$(BIN)/python -m pytest --durations=20 --durations-min=5 $(or $(ARGS),--quiet --numprocesses 2 --dist loadfile)

smoke: ## the readers in an empty environment without mitmproxy
	@.ci/setup.sh dev
	@.ci/auditor_smoke.sh

image: ## build the images, run them confined, list their parts; brings its own Docker on Debian, as root
	@.ci/image.sh

soak: ## an hour of everyday load, memory watched (ARGS='--seconds 600')
	@.ci/setup.sh dev
	$(BIN)/python -m tests.soak $(ARGS)

test-faults: ## the whole fault matrix, needs root (ARGS='soak --requests 20000', ARGS='--json tests/faults/results.json')
	@.ci/setup.sh dev
	$(BIN)/python -m tests.faults $(ARGS)

test-clients: ## every client of docs/clients.md, needs root, npm and Debian packages (ARGS='curl aiohttp')
	@.ci/setup.sh dev
	$(BIN)/python -m tests.clients --json tests/clients/results.json $(ARGS)

bench: ## the sidecar beside plain mitmdump on the same origin server
	@.ci/setup.sh dev
	$(BIN)/python -m benchmarks.proxy $(ARGS)

fuzz: ## the parsers of other people's octets, driven by coverage (ARGS='600 judging' for ten minutes of one)
	@.ci/setup.sh fuzz
	.venv-fuzz/bin/python -m tests.fuzz $(ARGS)

docs: ## write the generated tables of docs/ anew
	@.ci/setup.sh dev
	$(BIN)/python -m docs.generate

lock: ## write requirements/ anew from pyproject.toml
	@.ci/lock.sh

clean: ## remove environments and caches; logs stay
	rm -rf .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
