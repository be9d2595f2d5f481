# make demo    run the quickstart and say where its report is
# make test    every test this machine can run (Ray always; browser tests where chromium is, exports where their extras are)
# make lint    style, types, layers
# make check   lint, generated pages, site and test: what continuous integration runs
# make docs    write the generated reference pages; make docs-check only compares them
# make site    build the documentation as a site into build/site, strictly; it needs no network to be read
# make gallery run what docs/gallery.md shows, and take its pictures; `make site` then takes in the pages themselves
# make mutants change the code in SAMPLE places and count how often the tests notice (half an hour; see benchmarks/mutants)
# make plotly  the script for figures again, from the versions that packaging/plotly locks (needs node)
# make release build a source distribution and a wheel into DIST, check both, install each into an empty folder and run it
# make compat  the Flower tests on the oldest, a middle and the newest supported flwr, each in its own environment
#
# The environment is made once, in .venv; stamp files in it remember what was installed from which pyproject.toml.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH := torch==2.13.0
SCENARIO ?= scenarios/quickstart.yaml
DEMO_OUT ?= runs/demo

# Tests that need what a machine may lack are chosen here, by presence, so that none of them has to skip itself.
CHROMIUM := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
# Asked when the tests begin, for then the environment is there: has it the module $(1)?
has = $(shell $(BIN)/python -c "import importlib.util as u; print('yes' if u.find_spec('$(1)') else '')" 2>/dev/null)
without = $(if $(call has,$(1)),, and not $(2))
MARKS = not network$(if $(CHROMIUM),, and not browser)$(call without,onnxruntime,onnx)$(call without,executorch,mobile)$(call without,coremltools,coreml)$(call without,litert_torch,litert)$(call without,pandas,pandas)$(call without,matplotlib,figures)$(call without,tensorboard,tensorboard)$(call without,mlflow,mlflow)
PYTEST_ARGS ?=
# Where `make release` puts what it builds; with BORROW=1 it fetches no dependencies.
DIST ?= dist
BORROW ?=
# How many mutants `make mutants` draws, and the seed of the draw.
SAMPLE ?= 500
SEED ?= 2
# Tests run in one process more than there are processors, for one mostly waits for Ray, and in four at most: each takes about
# a gigabyte.
WORKERS ?= $(shell $(PYTHON) -c "import os; print(min(4, (os.cpu_count() or 1) + 1))")

# One thread per process: Ray and the trainer spread the work, and more threads only fight over the cores.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help environment demo test lint check format docs docs-check site release mutants compat plotly picture gallery clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

# torch goes first and alone: resolved together with the rest, pip may fetch the CUDA build before it sees the pin.
$(VENV)/.torch:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet $(TORCH)
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml constraints.txt
	$(PIP) install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(PIP) install --quiet -c constraints.txt -e ".[dev]"
	@touch $@

$(VENV)/.site: $(VENV)/.installed
	$(PIP) install --quiet -c constraints.txt -e ".[docs]"
	@touch $@

$(VENV)/.release: $(VENV)/.installed
	$(PIP) install --quiet -c constraints.txt -e ".[release]"
	@touch $@

# All that continuous integration needs, so that pip looks once.
environment: $(VENV)/.torch
	$(PIP) install --quiet -c constraints.txt -e ".[dev,docs,release]"
	@touch $(VENV)/.installed $(VENV)/.dev $(VENV)/.site $(VENV)/.release

$(VENV)/.mutants: $(VENV)/.dev
	$(PIP) install --quiet -c constraints.txt -e ".[mutants]"
	@touch $@

demo: $(VENV)/.installed
	@rm -rf $(DEMO_OUT)
	$(BIN)/fedlite run $(SCENARIO) --out $(DEMO_OUT)
	@echo "Open $(CURDIR)/$(DEMO_OUT)/report.html in a browser. Then try:"
	@echo "  $(BIN)/fedlite deploy $(DEMO_OUT)        # the model as files for its devices, executed and priced"
	@echo "  $(BIN)/fedlite campaign $(DEMO_OUT)      # whose data and battery it takes, and for how many days"
	@echo "  $(BIN)/fedlite run $(SCENARIO) --set wire.up=topk:0.1+int8+zstd --out $(DEMO_OUT)-topk && $(BIN)/fedlite compare $(DEMO_OUT) $(DEMO_OUT)-topk"

test: $(VENV)/.dev
	$(BIN)/pytest -m "$(MARKS)" -n $(WORKERS) --dist loadgroup $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint docs-check site test

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed
	$(BIN)/python docs/generate_reference.py
	$(BIN)/python docs/generate_techniques.py
	$(BIN)/python docs/generate_cli.py

docs-check: $(VENV)/.installed
	$(BIN)/python docs/generate_reference.py --check
	$(BIN)/python docs/generate_techniques.py --check
	$(BIN)/python docs/generate_cli.py --check

site: $(VENV)/.site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	$(BIN)/python docs/site/check.py build/site

release: $(VENV)/.release
	PYTHON=$(abspath $(BIN))/python BORROW=$(BORROW) tests/release/run.sh $(DIST)

mutants: $(VENV)/.mutants
	$(BIN)/python benchmarks/mutants/run.py --sample $(SAMPLE) --seed $(SEED)

compat: $(VENV)/.dev
	PYTHON=$(abspath $(BIN))/python tests/compat/run.sh

plotly:
	cd packaging/plotly && npm ci --ignore-scripts --no-audit --no-fund && node build.mjs

# The picture in README.md: the top of the page that `make demo` leaves.
picture: demo
	$(BIN)/python docs/site/pictures.py --height 1500 $(DEMO_OUT)/report.html=docs/images/report.png

# The pages of docs/gallery.md, and their pictures: two minutes on two cores, and needs chromium.
GALLERY := runs/gallery
gallery: $(VENV)/.installed
	@rm -rf $(GALLERY)
	$(BIN)/fedlite run scenarios/quickstart.yaml --out $(GALLERY)/run
	$(BIN)/fedlite sweep scenarios/studies/wire-codecs.yaml --out $(GALLERY)/study
	$(BIN)/fedlite compare $(GALLERY)/study/fp32-seed-1 $(GALLERY)/study/int4-seed-1 --out $(GALLERY)/compare.html
	$(BIN)/fedlite rollout scenarios/rollout/kws-canary.yaml --replications 40 --out $(GALLERY)/rollout
	$(BIN)/python docs/site/pictures.py $(foreach page,run/report study/study compare rollout/report,\
	  $(GALLERY)/$(page).html=docs/images/gallery/$(firstword $(subst /, ,$(page))).png)

clean:
	rm -rf $(VENV) dist build runs .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
