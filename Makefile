# The commands of README.md. Each sets the machine up first (scripts/setup): packages, toolchain, tools.

# For `countersign demo`: DEMO_FLAGS=--stay leaves the system running.
DEMO_FLAGS ?=
# For `fuzz`: seconds a target, and which targets if not all.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?=

# What setup wrote: where cargo is, and which toolchain.
ENV = . target/tools/env &&

# Paths below are those of this folder.
unexport CARGO_TARGET_DIR

.PHONY: demo test build check fuzz setup clean

# From a commit to countersigned production on this machine, on examples/paydesk.
demo:
	@scripts/setup demo
	$(ENV) cargo build --release --locked --package countersign
	@$(ENV) scripts/fetch-example-crates
	$(ENV) target/release/countersign demo $(DEMO_FLAGS)

# All checks and all tests, the examples in documentation first. Clippy and the tests build every dependency, once to
# check and once to run: cargo shares nothing between the two.
test:
	@scripts/setup test
	$(ENV) cargo xtask check
	@$(ENV) scripts/fetch-example-crates
	$(ENV) cargo test --quiet --locked --workspace --doc
	$(ENV) cargo nextest run --locked --workspace
	$(ENV) scripts/fuzz --short

# The parsers of bytes from outside, for longer than in `test`.
fuzz:
	@scripts/setup fuzz
	$(ENV) scripts/fuzz --seconds $(FUZZ_SECONDS) $(FUZZ_TARGETS)

build:
	@scripts/setup build
	$(ENV) cargo build --release --locked --package countersign

check:
	@scripts/setup check
	$(ENV) cargo xtask check

setup:
	@scripts/setup test

clean:
	rm -rf target
