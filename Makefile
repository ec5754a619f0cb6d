# The commands of a developer and of CI. `make` lists them.
PYTHON ?= python3
VENV := .venv
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test check bench generate bed clean

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(VENV)/installed ## build examples/hello on a real BuildKit, push it, show what was pushed
	@scripts/demo

test: $(VENV)/installed bed ## every test, against real peers (ARGS="-k word" for some)
	@$(VENV)/bin/pytest $(ARGS)

check: $(VENV)/installed ## formatting, lint, types, layering, generated files
	@scripts/check

bench: $(VENV)/installed bed ## compare with buildctl and buildx (ARGS="--quick", "--only help", ...)
	@$(VENV)/bin/python -m bench $(ARGS)

generate: $(VENV)/installed ## the message stubs from their .proto files
	@scripts/generate

bed: ## install the real peers that tests use; slow once, cached outside of the checkout
	@testbed/ready cluster

clean: ## remove what the commands above made in the checkout
	rm -rf $(VENV) dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# made anew only when the pins or the package's own metadata change
$(VENV)/installed: requirements/dev.txt pyproject.toml
	@echo "installing requirements/dev.txt into $(VENV)"
	@scripts/venv "$(PYTHON)" $(VENV)
	@touch $@
