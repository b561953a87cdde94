# SPDX-License-Identifier: MIT OR GPL-2.0-only
# A thin front for meson and ninja. Targets: all run test torture bench fuzz aarch64 coverage install clean.

BUILD ?= build
PREFIX ?= /usr/local
SECONDS ?= 60

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja: | deps
	@meson setup $(BUILD) --prefix=$(PREFIX) >/dev/null || { cat $(BUILD)/meson-logs/meson-log.txt; exit 1; }

deps:
	@scripts/deps.sh

run: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet
	@scripts/run.sh $(BUILD)

test: deps
	@scripts/test.sh

# Ten minutes as it is, then each way to break it.
torture: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet
	@tests/torture.sh $(BUILD)/tools/anyrcu/anyrcu 600

# Writes bench/results; some minutes.
bench: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet
	@scripts/bench.sh $(BUILD)

# Each fuzzer for so many seconds.
fuzz: deps
	@scripts/fuzz.sh $(SECONDS)

# The tests on aarch64, emulated.
aarch64: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet
	@scripts/aarch64.sh $(BUILD)

coverage: deps
	@scripts/coverage.sh

install: $(BUILD)/build.ninja
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@ninja -C $(BUILD) --quiet
	@meson install -C $(BUILD) --quiet
	@[ -n "$(DESTDIR)" ] || ldconfig

clean:
	rm -rf $(BUILD) build-*

.PHONY: all deps run test torture bench fuzz aarch64 coverage install clean
