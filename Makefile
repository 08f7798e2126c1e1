# The front door. Everything behind it is `cargo xtask` (see `cargo xtask help`).
.DEFAULT_GOAL := help
.PHONY: help run test bench ui

help: ## list these targets
	@sed -n 's/^\([a-z]*\): .*## \(.*\)/make \1\t\2/p' Makefile

run: ui ## build everything and start the server; ARGS="--flag=value" are handed to it
	exec cargo run --release --locked --package skopos -- server $(ARGS)

test: ## install what the tests need, then run every check and every test
	cargo xtask test

bench: ## run every bench and show the figures beside their goals
	cargo xtask bench

ui: ## build the web interface if its sources changed
	cargo xtask ui
