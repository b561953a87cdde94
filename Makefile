# SPDX-License-Identifier: MIT OR GPL-2.0-only
# A thin front for meson and ninja. Targets: all run run-all test torture interrupt bench fuzz
# aarch64 mutants kernel lockdep-programs deb coverage site install clean. "make" and "make install"
# need a C compiler, meson, ninja and libc, and install no packages; what the tool can make use of
# beside is found or left out. The other targets first install what is missing for them
# (scripts/deps.sh).

BUILD ?= build
PREFIX ?= /usr/local
SECONDS ?= 60

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@meson setup $(BUILD) --prefix=$(PREFIX) -Dtests=false >$(BUILD).log || \
		{ cat $(BUILD).log; rm -f $(BUILD).log; exit 1; }
	@grep -hE '^(Message|WARNING): |.*: WARNING: ' $(BUILD).log || true
	@rm -f $(BUILD).log

# With all that the tool can make use of, which may have been left out before.
complete:
	@scripts/deps.sh
	@[ ! -f $(BUILD)/build.ninja ] || meson setup --reconfigure $(BUILD) >/dev/null
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

# What it is for, in a minute; and with the table of all schemes.
run: complete
	@scripts/run.sh $(BUILD)

run-all: complete
	@scripts/run.sh $(BUILD) --all

test:
	@scripts/test.sh

# Ten minutes as it is, then each way to break it.
torture: complete
	@tests/torture.sh $(BUILD)/tools/anyrcu/anyrcu 600

# Each any-context call and each call for tasks, interrupted at each instruction; some 15 minutes.
# "make test" has all of the first, and of the second each instruction once.
interrupt:
	@scripts/deps.sh
	@[ -f build-gcc/build.ninja ] || meson setup build-gcc >/dev/null
	@ninja -C build-gcc --quiet tests/interrupt
	@build-gcc/tests/interrupt
	@build-gcc/tests/interrupt --all-tasks

# Writes bench/results; some minutes.
bench: complete
	@scripts/deps.sh bench
	@scripts/bench.sh $(BUILD)

# Each fuzzer for so many seconds.
fuzz:
	@scripts/deps.sh
	@scripts/fuzz.sh $(SECONDS)

# The tests on aarch64, emulated.
aarch64:
	@scripts/deps.sh
	@[ -f build-gcc/build.ninja ] || meson setup build-gcc >/dev/null
	@ninja -C build-gcc --quiet
	@scripts/aarch64.sh build-gcc

# Restartable sequences of aarch64, on Debian's kernel in an emulated machine. Some minutes.
aarch64-system:
	@scripts/aarch64-system.sh

# Each mutant of the core against the tests: hours. Results are kept in the build directory.
mutants: complete
	@scripts/deps.sh test
	@scripts/mutants.py $(BUILD)

# The kernel module, on Debian's kernels in an emulator; fetches them once, 300 MB. Half an hour.
kernel:
	@scripts/kernel.sh

# The same on kernels of our own, with lockdep, KASAN, KCSAN, or without a count of preemption: each
# is built once, from Debian's source, in some 10 minutes of a processor.
kernel-full:
	@scripts/kernel.sh full

# The tests of liburcu, Knot DNS and BIND, from Debian's source packages, on anyrcu: 25 minutes.
foreign:
	@scripts/deps.sh foreign
	@tests/foreign/run.sh

# Some 70 programs of Debian's at work under the lock validator; a dozen of them are in "make test".
lockdep-programs: complete
	@tests/lockdep-programs.sh $(BUILD)/tools/anyrcu/anyrcu . all

# Debian packages, in the build directory; some minutes.
deb:
	@scripts/deb.sh $(BUILD)/deb

# The packages, installed by apt into a new system that has nothing else, and used; as root.
deb-install: deb
	@scripts/deps.sh deb-install
	@tests/deb-install.sh $(BUILD)/deb

# The documentation as HTML, in the build directory; and in a browser, as wide as a phone.
site:
	@scripts/deps.sh site
	@scripts/site.py . $(BUILD)/site
	@scripts/site-check.py $(BUILD)/site

site-check: site
	@scripts/deps.sh site-check
	@scripts/site-check.py --browser $(BUILD)/site

coverage:
	@scripts/deps.sh
	@scripts/coverage.sh

install: $(BUILD)/build.ninja
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@ninja -C $(BUILD) --quiet
	@meson install -C $(BUILD) --quiet
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then ldconfig; fi

clean:
	rm -rf $(BUILD) build-*

.PHONY: all complete run run-all test torture interrupt bench fuzz aarch64 aarch64-system mutants \
	kernel kernel-full foreign lockdep-programs deb deb-install site site-check coverage \
	install clean
