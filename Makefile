# The verbs of this house; CI calls the same ones. `make test` and `make demo` set everything up from a fresh clone.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RUST   := $(shell find rust -name '*.rs' -not -path '*/target/*') $(wildcard rust/*/Cargo.toml) Cargo.toml Cargo.lock

.PHONY: demo test check fmt lint type rust vectors fault bench bench-peers bench-net bench-large okvs proto notebooks lock clean

demo: $(VENV)/.built            ## the main job on made-up data, two processes over mutual TLS
	$(BIN)/psc demo

test: $(VENV)/.built            ## every test: Rust, Python, two processes, notebooks
	cargo test --workspace --locked --quiet
	cargo test --release -p psc-core --locked --quiet   # 100,000 random inputs on every backend
	$(BIN)/python -m pytest -q --durations=25

check: lint type                ## what CI asks beside the tests

lint: $(VENV)/.built
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python protos/generate.py --check
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings

type: $(VENV)/.built
	$(BIN)/mypy

fmt: $(VENV)/.built             ## rewrite in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cargo fmt --all

rust: ; cargo test --workspace --locked
vectors: $(VENV)/.built ; $(BIN)/python -m pytest -q tests/vectors
fault: $(VENV)/.built ; $(BIN)/python -m pytest -q tests/fault
bench: $(VENV)/.built           ## measured on this machine; JSON lines are appended under benchmarks/results
	$(BIN)/python -m benchmarks.micro.crypto --output benchmarks/results/micro.jsonl
	$(BIN)/python -m benchmarks.micro.vole --malicious --output benchmarks/results/micro.jsonl
	$(BIN)/python -m benchmarks.micro.constant_time
	$(BIN)/python -m benchmarks.micro.core --output benchmarks/results/core.jsonl
	$(BIN)/python -m benchmarks.macro.runs --output benchmarks/results/macro.jsonl
	$(BIN)/python -m benchmarks.macro.shares --output benchmarks/results/shares.jsonl
	$(BIN)/python -m benchmarks.report
bench-peers: $(VENV)/.built .venv-peers/.built   ## beside other libraries, each in an environment of its own, in the same call
	$(BIN)/python -m benchmarks.peers.pairs --peers ecdh rr22 kkrt --output benchmarks/results/peers.jsonl
	$(BIN)/python -m benchmarks.peers.pairs --peers openmined --sizes 10000 100000 --output benchmarks/results/peers.jsonl
	test -x .venv-sums/bin/python || { $(PYTHON) -m venv .venv-sums && .venv-sums/bin/pip install --quiet phe==1.5.0 gmpy2 pypaillier==0.8.0 sf-heu==0.5.2b0 tenseal==0.3.18; }
	$(BIN)/python -m benchmarks.micro.rlwe --peer-python .venv-sums/bin/python --output benchmarks/results/rlwe.jsonl --page docs/protocols/packed-encryption.md
	$(BIN)/python -m benchmarks.report
bench-net: $(VENV)/.built .venv-peers/.built   ## over 100 Mbit/s with a round trip of 20 ms, between two network namespaces
	$(BIN)/python -m benchmarks.net.runs --output benchmarks/results/net.jsonl
	$(BIN)/python -m benchmarks.report
bench-large: $(VENV)/.built .venv-peers/.built   ## 10^7 keys a side and 50,000 against 3*10^7: some GB of memory and disk
	$(BIN)/python -m benchmarks.macro.runs --sizes 10000000 50000x30000000 --files parquet --operations match "match, one-sided" "match, one-sided, semi-honest" --output benchmarks/results/macro.jsonl
	$(BIN)/python -m benchmarks.macro.resume --output benchmarks/results/resume.jsonl
	$(BIN)/python -m benchmarks.peers.pairs --sizes 10000000 --files parquet --peers rr22 --released 0 --pairs 3 --output benchmarks/results/peers.jsonl
	$(BIN)/python -m benchmarks.report
.venv-peers/.built:
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet spu==0.9.5 openmined_psi==2.0.6
	touch $@
proto: $(VENV)/.built ; $(BIN)/python protos/generate.py
okvs:                           ## how often the key-value store fails: ten minutes; fails when the law does not hold
	cargo run --release --locked -p psc-core --example okvs_failure > benchmarks/results/okvs_failure.jsonl
	$(BIN)/python -m benchmarks.report
notebooks: $(VENV)/.built ; cd examples && ../$(BIN)/jupyter execute --inplace *.ipynb
lock: $(VENV)/.installed        ## renew requirements.lock from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group dev pyproject.toml -o requirements.lock

$(VENV)/.installed: requirements.lock
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "psc needs Python 3.11 or newer"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	touch $@

$(VENV)/.built: $(VENV)/.installed pyproject.toml $(RUST)
	@command -v cargo >/dev/null || { echo "psc's core is Rust: install it from your system or rustup, then run make again"; exit 1; }
	PATH="$(abspath $(BIN)):$$PATH" MATURIN_PEP517_ARGS=--locked $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

clean: ; rm -rf $(VENV) target psc/_core*.so
