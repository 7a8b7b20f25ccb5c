# Everything a newcomer needs: `make run` for a server, `make test` for all that is checked.

SHELL := /bin/bash
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/roost/target

.DEFAULT_GOAL := help
.PHONY: help run build test lint fmt clients complement-image bench

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build the release and start a server with a private PostgreSQL
	@.ci/rust
	@.ci/packages build postgresql
	@.ci/build
	@exec "$$CARGO_TARGET_DIR/release/roost" quickstart

build: ## Build the release
	@.ci/rust
	@.ci/packages build
	@.ci/build

test: ## Run every test, from the smallest to foreign clients
	@.ci/test

lint: ## Check format, lints and the arrows of the house
	@.ci/rust
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- --deny warnings
	cargo test --release --package roost-tests --test house

fmt: ## Format the code
	cargo fmt --all

clients: ## Build the foreign clients that the tests drive
	@.ci/rust
	@.ci/packages build python npm browser
	@.ci/clients

complement-image: build ## Build an image for matrix-org/complement (wants root, Docker, debootstrap)
	@deploy/complement/build

bench: ## Measure Roost and Synapse side by side; ARGS=soak, ARGS='--against BINARY': see .ci/bench
	@.ci/bench $(ARGS)
