# make bench SUITE=smoke MODEL=/path/to/model ARGS='variant=base,q4 device=cpu'
PYTHON ?= python3
READY := .venv/ready$(CUDA)
BENCH := .venv/bin/bench
OPEN := --open
RUN := $(if $(SUITE),suite=$(SUITE)) $(if $(MODEL),model=$(MODEL)) $(ARGS)

.PHONY: setup bench report compare test check perf reference clean

bench: $(READY)          # build and measure every variant, write the report and open it; OPEN= leaves it closed
	$(BENCH) run $(OPEN) $(RUN)

$(READY): pyproject.toml constraints.txt bench/bootstrap.py
	CUDA=$(CUDA) $(PYTHON) bench/bootstrap.py $@

# llama.cpp is built for the GPUs that are here, by the nvcc in PATH, CUDACXX or /usr/local/cuda. For cards elsewhere:
# make setup CUDA=1 CMAKE_ARGS=-DCMAKE_CUDA_ARCHITECTURES=90
setup:                   # (re)make .venv; CUDA=0|1 overrides the GPU check
	CUDA=$(CUDA) $(PYTHON) bench/bootstrap.py $(READY)

report: $(READY)         # render results/report again from the records
	$(BENCH) report $(ARGS)

compare: $(READY)        # make compare BASE=HEAD~1 [HEAD=…]: did anything get worse?
	$(BENCH) compare $(BASE) $(HEAD) $(ARGS)

perf: $(READY)           # ratios of costs, speed of scoring, a large store, how often verdicts are right
	@mkdir -p .cache; .venv/bin/python -m bench.selftest 2>.cache/perf.log || { tail -5 .cache/perf.log; exit 1; }

test: $(READY)           # run the tests, a process per core, eight at most
	.venv/bin/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(READY)          # lint, format, types
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

reference: $(READY)      # train the embedded model again, beside the shipped one (variants/reference/README.md)
	.venv/bin/python -m variants.reference.train --out .cache/reference

clean:                   # remove what was built; results/ and .venv stay
	rm -rf .cache results/report .mypy_cache .ruff_cache .pytest_cache
