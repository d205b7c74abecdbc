# `make test` installs what is missing and runs every check, cheapest first.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.PHONY: help test install fmt deny lint doc unit lab models experiment figures bench bench-deep

# One profile for everything, so the dependencies are built once.
CARGO_TEST := cargo test --locked --release

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

test: install fmt deny lint doc unit ## everything below, in this order

install: ## the servers and tools that the tests run
	tests/install.sh

fmt: ## formatting
	cargo fmt --check

deny: ## licences, sources, duplicate majors, advisories
	tests/deny.sh

lint: ## clippy, with and without the networks
	cargo clippy --locked --release --all-targets -- -D warnings
	cargo clippy --locked --release --all-targets --no-default-features -- -D warnings

doc: ## the documentation's links
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --release --no-deps --document-private-items

unit: ## all tests, on real servers where there is one
	$(CARGO_TEST)

# SCENARIOS='FILE …' names others; the rows go to target/lab, from which they are used again.
SCENARIOS = $(wildcard tests/lab/scenarios/*/*.yml)
SIMULATED = tests/lab/simulated
lab: install ## faults on real CoreDNS at known times, and who finds them; scenarios side by side, three quarters of an hour
	$(CARGO_TEST) --test lab -- --out target/lab --judge models $(SCENARIOS) $(wildcard $(SIMULATED)/test/*.yml)

models: install ## the networks of models/, learnt anew from the lab and from simulations, an hour and a half
	$(CARGO_TEST) --test lab -- --out target/lab --pretrain models --judge models $(SCENARIOS) $(wildcard $(SIMULATED)/*/*.yml)

# The last recording judges, the one before it chooses, the others are learnt from. `rm -r target/lab` records anew.
RECORDINGS = train/clean train/a train/b train/c validation/d
HOLD_OUT = upstream_timeout
experiment: install ## the CoreDNS RFC's experiment, from recordings (an hour, where there are none yet) to a shortlisted model
	$(CARGO_TEST) --test lab -- --out target/lab --experiment target/experiment --hold-out $(HOLD_OUT) \
		$(RECORDINGS:%=tests/lab/scenarios/%.yml)

figures: install ## the table of figures in the README, some minutes on an idle machine
	cargo bench --locked --bench figures

bench: target/bench-classical/.done ## the classical detectors against statsmodels and scikit-learn, some minutes on an idle machine
	PORTENT_BENCH_PYTHON=target/bench-classical/bin/python cargo bench --locked --bench classical

bench-deep: target/bench-deep/.done ## the networks against PyTorch and ONNX Runtime, some minutes on an idle machine
	PORTENT_BENCH_PYTHON=target/bench-deep/bin/python cargo bench --locked --bench backends -- --frameworks

# In target/, which git ignores.
target/bench-%/.done: benches/%-requirements.txt
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --only-binary :all: -r $<
	touch $@
