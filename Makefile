# A thin front for CMake, ctest and the scripts. `make help` lists the targets.
BUILD ?= build
J     ?= $(shell nproc)
LLAMA ?= prebuilt
T     ?=
SECONDS_PER_FUZZER ?= 10
PREFIX ?= /usr/local
DESTDIR ?=
CLIENT ?=

.PHONY: all help demo test quick check lint format docs starter bench test-asan test-tsan fuzz source install uninstall deb judge clean
.SUFFIXES:

all: $(BUILD)/build.ninja ## Build tug, tug-engine and docker-model
	@ninja -C $(BUILD) -j$(J)

$(BUILD)/build.ninja: CMakeLists.txt cmake/Llama.cmake scripts/deps.lock
	@scripts/setup build
	@cmake -S . -B $(BUILD) -G Ninja -DLLAMA=$(LLAMA) --log-level=NOTICE

demo: ## Everything once: install, build, serve, package, push, pull, chat
	@scripts/demo

test: ## Everything; T=name for the tests of that name (`make test T=pull`)
	@scripts/test $(T)

quick: $(BUILD)/build.ninja ## The unit tests: seconds, no network
	@ninja -C $(BUILD) -j$(J) all unit-tests
	@ctest --test-dir $(BUILD) --output-on-failure -j$(J)

check: lint ## What CI checks without running anything

lint: $(BUILD)/build.ninja ## Layers, format, complexity, static analysis, stale docs
	@scripts/lint $(BUILD)

format: ## Lay all C files out by .clang-format
	@git ls-files -co --exclude-standard 'src/*.[ch]' 'src/*.cpp' 'bench/*.c' | xargs clang-format -i

docs: all ## Make docs/cli.md, commands.md, limits.md, errors.md, settings.md, runtime-flags.md and MAP.md from the tables
	@scripts/docs $(BUILD) docs

starter: ## Fetch the starter models; prints NAME PATH
	@scripts/starter

bench: all ## Tug against its peers, side by side; prints ratios
	@scripts/setup bench
	@bench/run $(BUILD)

test-asan: ## Unit tests under the address and undefined sanitizers
	@scripts/test asan

test-tsan: ## Unit tests under the thread sanitizer
	@scripts/test tsan

fuzz: ## Each fuzz target for SECONDS_PER_FUZZER; T=gguf for one
	@SECONDS_PER_FUZZER=$(SECONDS_PER_FUZZER) scripts/fuzz $(T)

source: ## Build with llama.cpp from source, into build-source
	@$(MAKE) BUILD=build-source LLAMA=source all

install: all ## Install below PREFIX (/usr/local); DESTDIR stages it
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' scripts/install $(BUILD)

uninstall: ## Remove what make install put below PREFIX
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' scripts/install --uninstall

deb: all ## Build the Debian package, into the build folder
	@scripts/deb $(BUILD)

judge: all ## Docker Model Runner's own client against Tug; CLIENT=its clone
	@scripts/judge '$(CLIENT)' $(BUILD)

clean: ## Remove the build folders; caches outside the checkout stay
	@rm -rf build build-asan build-tsan build-fuzz build-source

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
