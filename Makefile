# Every target says what it does. `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JSON   ?=
ARGS   ?=
RIVALS ?= pgqueuer,graphile,procrastinate,pgboss
.DEFAULT_GOAL := help
.PHONY: help venv demo test branches simulate-suite faults lint types docs screens site lock wheel dist sbom audit workflows clean bench bench-drain bench-full bench-keda bench-scale-in

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: pyproject.toml requirements/dev.txt
	@hack/venv "$(PYTHON)" "$(VENV)"
venv: $(VENV)/.installed ## create the virtual environment (about 45 s, once)

demo: venv ## replay a real trace on this machine: no cluster, no server (2 minutes; JSON=FILE writes the summary)
	@mkdir -p .demo && $(BIN)/queueworker-operator local examples/demo --exit-when-done --plot .demo/demo.svg $(if $(JSON),--json "$(JSON)")

test: venv lint branches ## every check that needs no root, no cluster and no tool build (25 minutes on 2 cores)
	@$(BIN)/pytest tests --ignore tests/kubernetes --ignore tests/e2e -m "not system and not slow_fault and not kubernetes and not tools" $(TESTS)

branches: venv ## every branch of the decision is taken by an example (20 s)
	@hack/branches

simulate-suite: venv ## every simulated workload beside KEDA and a plan that knows the future, and the goals (half an hour; cut short it goes on where it was; JSON=FILE keeps the figures)
	@$(BIN)/python -m tests.scenarios $(if $(JSON),--json "$(JSON)") $(ARGS)

faults: venv ## kill, stop, crash, cut and skew all there is: 48 rows (Debian, root, make tools); ROWS=1-30 for workers alone; SEED=n ROUNDS=m mixes these at random
	@hack/packages pgbouncer faketime iproute2 nftables && $(BIN)/python -m tests.faults$(if $(SEED)$(ROUNDS),.mix $(if $(SEED),--seed $(SEED)) $(if $(ROUNDS),--rounds $(ROUNDS)),$(if $(ROWS), --rows $(ROWS)))

lint: venv ## formatting, rules, types, import contracts, dead code, dependencies, spelling
	@hack/lint

types: venv ## types alone, of the product, the benchmarks and the tests (10 s)
	@$(BIN)/mypy

docs: venv ## write the reference pages that come from the code, the resource definition and the chart
	@$(BIN)/python hack/docs_reference.py && $(BIN)/python hack/docs_commands.py && $(BIN)/python hack/dashboards.py && $(BIN)/python hack/drawings.py

screens: venv ## write the text captures of docs/reference/screens.md anew (needs an API server, 40 s)
	@QUEUEWORKER_WRITE_SCREENS=1 $(BIN)/pytest -q tests/kubernetes/test_screens.py

site: venv ## build the documentation as a site into .site/ (10 s)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet && echo ".site/index.html"

bench: venv ## the short table beside four rivals (10 minutes or less, once 2 more to install them)
	@$(BIN)/python -m benchmarks drain --rivals $(RIVALS) --processes 1,2 --repeats 2 --short --json .bench/drain.json
	@$(BIN)/python -m benchmarks enqueue --rivals $(RIVALS) --repeats 1 --short --json .bench/enqueue.json
	@$(BIN)/python -m benchmarks latency --rivals $(RIVALS) --repeats 1 --duration 6 --json .bench/latency.json

bench-drain: venv ## drain 1 and 2 processes beside PGQueuer and Graphile Worker (5 minutes; JSON=FILE keeps the figures)
	@$(BIN)/python -m benchmarks drain --rivals pgqueuer,graphile --processes 1,2 --json "$(or $(JSON),.bench/drain.json)"

bench-full: venv ## every scenario at full length, for the page (3.5 hours; interrupted, it goes on where it was)
	@$(BIN)/python -m benchmarks drain --rivals $(RIVALS) --tunings best,default --skip-done
	@for name in enqueue latency steady; do $(BIN)/python -m benchmarks $$name --rivals $(RIVALS) --skip-done || exit 1; done
	@for name in snapshot flat lag recovery restarts memory reaction bulkhead footprint; do $(BIN)/python -m benchmarks $$name --skip-done || exit 1; done
	@$(BIN)/python -m benchmarks page

bench-keda: venv tools ## the operator beside real KEDA and the HPA on fake nodes (15 minutes, once 15 more to build KEDA; JSON=FILE)
	@hack/tools/build keda && $(BIN)/python -m benchmarks.keda reaction $(if $(JSON),--json "$(JSON)") $(ARGS)
	@$(BIN)/python -m benchmarks.keda trace $(if $(JSON),--json "$(JSON)") $(ARGS)

bench-scale-in: venv tools ## 1,000 pods removed while their workers run mixed jobs, and 200 killed workers (20 minutes; JSON=FILE)
	@$(BIN)/python -m benchmarks.keda scale-in $(if $(JSON),--json "$(JSON)") $(ARGS)
	@$(BIN)/python -m benchmarks.keda crash $(if $(JSON),--json "$(JSON)")

lock: venv ## pin all dependencies by hash
	@hack/lock

wheel: venv ## build the distribution into dist/
	@hack/wheel

dist: venv ## build wheel, sdist and chart into dist/, the same bytes wherever and whenever
	@hack/dist

sbom: venv ## list what is in the images as CycloneDX, into dist/sbom/
	@hack/sbom

audit: venv ## look all pinned packages up in the Python advisory database (fails where that cannot be reached)
	@hack/audit

workflows: venv ## lint the workflows of CI and release (Go 1.26, once 20 s to build the linter)
	@hack/workflows

clean: ## remove what the targets made here (caches outside the tree stay)
	@rm -rf $(VENV) .demo .bench .cache dist build

include hack/hack.mk
