# The commands of a working day. What they do is in CMakePresets.json and tools/.
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60
JOBS ?= $(shell nproc)

.PHONY: build deps demo test check bench soak torture fuzz asan tsan functional install clean help

build: ## build the program, the library and the sample modules into build/ (the default)
	@tools/build release -j$(JOBS)

deps: ## install what is missing, and build Wasmtime once
	@tools/deps

demo: deps ## index a generated chain, serve it, ask it: needs no node
	@tools/build release -j$(JOBS)
	build/shrewd demo

test: ## every test: unit, structure, functional, fuzz, sanitizers (about 20 minutes on 2 cores)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) JOBS=$(JOBS) tools/run-tests

check: ## formatting, clang-tidy and structure
	@tools/deps --test
	@tools/check-format
	@tools/check-structure
	@tools/build release --configure-only
	@tools/check-tidy -j$(JOBS)

bench: ## measure, print a table, write build/bench.json
	@tools/deps --test
	@tools/build release -j$(JOBS)
	@tools/bench build

soak: ## ten minutes of views while blocks and reorgs arrive: memory must stay flat
	@tools/deps --test
	@tools/build release -j$(JOBS)
	@$$(tools/test-python) test/bench/soak.py build

torture: ## kills, power cuts, reorgs, failing modules, full disks, and every other long form: many
	@tools/deps --test
	@tools/build release -j$(JOBS)
	@JOBS=$(JOBS) tools/torture build

functional: build ## only the tests that drive the daemon against a real node
	@tools/run-tests functional

fuzz: ## every fuzz target for FUZZ_SECONDS, under ASan and UBSan
	@FUZZ_SECONDS=$(FUZZ_SECONDS) JOBS=$(JOBS) tools/run-tests fuzz

asan: ## the unit tests under ASan and UBSan
	@JOBS=$(JOBS) tools/run-tests asan

tsan: ## the unit tests under ThreadSanitizer
	@JOBS=$(JOBS) tools/run-tests tsan

install: build ## install under PREFIX (/usr/local), below DESTDIR when given
	DESTDIR="$(DESTDIR)" cmake --install build --prefix "$(PREFIX)"

clean: ## remove what was built here; the cache with Wasmtime stays
	rm -rf build build-asan build-tsan build-fuzz build-debug

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{ printf "make %-11s %s\n", $$1, $$2 }'
