# A thin front for CMake. `make help` lists the targets.
BUILD ?= build
J     ?= $(shell nproc)
LLAMA ?= prebuilt

.PHONY: all help setup
all: $(BUILD)/build.ninja ## Build tug, tug-engine and docker-model
	@ninja -C $(BUILD) -j$(J)

$(BUILD)/build.ninja:
	@scripts/setup build
	@cmake -S . -B $(BUILD) -G Ninja -DLLAMA=$(LLAMA) >/dev/null

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
