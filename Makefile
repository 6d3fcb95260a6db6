# make run    the whole pipeline, ends with results/report.html     make tiny   the same graph in two minutes, for tests
# make test   all tests        make lint   all checks of style      make docs   the site, into site/
# make record / adopt   versions with DVC (docs/how-to/versions.md)
# make gpu-check   is a GPU right, exact and fast with this? eight minutes (docs/results/gpu.md)
# make bench  speed beside denoising-diffusion-pytorch, smalldiffusion, k-diffusion, diffusers, clean-fid and others (docs/results/bench.md)
# Each target makes the virtual environment it needs. Other choices: make run CORES=8 PROFILE=gpu

PYTHON  ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
             $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV    := .venv
BIN     := $(VENV)/bin
PROFILE := local
CORES   :=
TESTERS := 3

SNAKEMAKE = $(BIN)/snakemake --workflow-profile workflow/profiles/$(PROFILE) $(if $(CORES),--cores $(CORES))
PIP       = $(BIN)/python -m pip --disable-pip-version-check

.PHONY: run tiny test bench gpu-check lint docs format record adopt lock clean-venv

run: $(VENV)/.run
	@$(SNAKEMAKE)
	@echo "The report is $(CURDIR)/results/report.html"

tiny: $(VENV)/.run
	@$(BIN)/snakemake --workflow-profile workflow/profiles/tiny
	@echo "The report is $(CURDIR)/results/tiny/report.html"

test: $(VENV)/.dev
	@$(BIN)/pytest --numprocesses $(TESTERS) --no-loadscope-reorder

# The peers live in .bench/venv, which the command makes.
bench: $(VENV)/.run
	@$(BIN)/python benchmarks/speed

gpu-check: $(VENV)/.dev
	@$(BIN)/python benchmarks/gpu --peers

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy featdiff
	@$(BIN)/snakefmt --check Snakefile workflow
	@$(BIN)/snakemake --lint

# Strict: a broken link, anchor or a page outside of the menu ends it. It needs no network.
docs: $(VENV)/.dev
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "The site is $(CURDIR)/site/index.html"

format: $(VENV)/.dev
	@$(BIN)/ruff format .
	@$(BIN)/snakefmt Snakefile workflow

record: $(VENV)/.run
	@$(BIN)/featdiff ledger record

adopt: $(VENV)/.run
	@$(BIN)/featdiff ledger adopt

# The environment. torch comes first with its own dependencies, because a CUDA build brings its libraries along; the rest is
# the full list as pinned. Without --no-deps, clean-fid would bring torchvision, which nothing here needs.
$(VENV)/.run: requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "Setting up $(VENV) (once, a few minutes) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --constraint requirements.txt $$(grep '^torch==' requirements.txt)
	@$(PIP) install --quiet --no-deps --requirement requirements.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	@$(PIP) install --quiet --no-deps --requirement requirements-dev.txt
	@touch $@

# Both lists anew, from what pyproject.toml asks for, in an environment of its own.
lock:
	@bash workflow/lock.sh "$(PYTHON)"

clean-venv:
	@rm -rf $(VENV) .bench
