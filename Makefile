# The commands of README.md. Each sets the machine up first (scripts/setup): packages, toolchain, tools.

DEMO_FLAGS ?=
# What setup wrote: where cargo is.
CARGO = . target/tools/env && cargo

.PHONY: demo test build check setup clean

# From a commit to countersigned production on this machine, on examples/paydesk. DEMO_FLAGS=--stay keeps it running.
demo:
	@scripts/setup demo
	$(CARGO) build --release --locked --package countersign
	@scripts/fetch-example-crates
	target/release/countersign demo $(DEMO_FLAGS)

# All checks and all tests. Clippy and the tests build every dependency twice, once to check and once to run: that is
# what cargo shares nothing between.
test:
	@scripts/setup test
	$(CARGO) xtask check
	@scripts/fetch-example-crates
	$(CARGO) nextest run --locked --workspace
	$(CARGO) test --quiet --locked --workspace --doc

build:
	@scripts/setup build
	$(CARGO) build --release --locked --package countersign

check:
	@scripts/setup check
	$(CARGO) xtask check

setup:
	@scripts/setup test

clean:
	rm -rf target
