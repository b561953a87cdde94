#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Build the kernel module for Debian's kernels, boot each in an emulated machine, and run the tests
# of kernel/tests there.
# Images and headers are fetched once, into $ANYRCU_CACHE (~/.cache/anyrcu).
#
# Prints what failed, and on the last line how many tests passed and failed. Where nothing can be
# fetched: one line, and 77.
# usage: kernel.sh [short | full [KERNEL...] | policies | misses]
#	short: 6.12 alone, 3 rounds of removing the module instead of 100, 3 seconds of torture
#		instead of 60, and no suspend; and those of our own kernels that are in the cache
#	full: our own kernels, or one of them, which are built first: see scripts/kernel-own.sh
#	policies, misses: tables of docs/kernel.md
set -eu
cd "$(dirname "$0")/.."
cache=${ANYRCU_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/anyrcu}/kernel
out=$PWD/build-kernel
passed=0
failed=0

skip()
{
	echo "kernel: $1: the kernel module is not tested"
	exit 77
}

[ "$(uname -m)" = x86_64 ] || skip "this is no x86-64 machine"
scripts/deps.sh kernel || skip "QEMU cannot be installed"
mkdir -p "$cache" "$out"

# fetch KERNEL PATTERN: image and headers of the newest kernel that the pattern finds, unless they
# are there
fetch()
{
	[ -f "$cache/$1/types" ] && return
	version=$(apt-cache search --names-only "^linux-headers-$2\$" |
		sed 's/ .*//; s/^linux-headers-//' | sort -V | tail -1)
	[ -n "$version" ] || return 1
	dir=$cache/$1.new
	rm -rf "$dir"
	mkdir -p "$dir/deb"
	(
		cd "$dir/deb"
		# shellcheck disable=SC2046 # a list of packages
		apt-get -q download "linux-image-$version-unsigned" "linux-headers-$version" \
			$(apt-cache depends "linux-headers-$version" |
				sed -n 's/.*Depends: \(linux-\(headers\|kbuild\)-.*\)/\1/p')
		for deb in linux-headers*.deb linux-kbuild*.deb; do
			dpkg -x "$deb" ..
		done
		dpkg --fsys-tarfile linux-image*.deb | tar -x -C .. ./boot
	) >"$out/fetch-$1" 2>&1 || return 1
	rm -rf "$dir/deb" "${cache:?}/$1"
	# The headers name each other by where they would be installed.
	headers=$dir/usr/src/linux-headers-$version
	sed -i "s,^include /usr/src/,include $cache/$1/usr/src/," "$headers/Makefile"
	echo "$version" >"$dir/version"
	if [ -f "$headers/vmlinux" ]; then
		echo yes
	else
		echo no
	fi >"$dir/types"
	mv "$dir" "$cache/$1"
}

# module KERNEL [MISTAKE]: the modules and the machine's first files, for boot()
module()
{
	name=$1${2:+-$2}
	version=$(cat "$cache/$1/version")
	rm -rf "${out:?}/$name"
	root=$out/$name/root
	mkdir -p "$root/bin" "$root/proc" "$root/sys" "$root/dev"
	cp -r src include kernel "$out/$name"
	make -s -C "$cache/$1/usr/src/linux-headers-$version" M="$out/$name/kernel" \
		ANYRCU_TESTS=1 ANYRCU_BREAK="${2:-}" \
		modules >"$out/$name/log" 2>&1 || { cat "$out/$name/log"; return 1; }
	if grep -i 'warning' "$out/$name/log" |
	   grep -v 'objtool: .*\(falls through\|unexpected end\)'; then
		echo "kernel: $name: warnings"
		return 1
	fi
	cp "$out/$name"/kernel/anyrcu*.ko "$out/$name"/kernel/tests/anyrcu_test.ko "$out/$name/root"
	! knows_types "$1" ||
		${CC:-cc} -O2 -static -o "$out/$name/root/bin/attach" kernel/tests/attach.c
	cp kernel/tests/init.sh "$out/$name/root/init"
	cp "$(command -v busybox)" "$out/$name/root/bin"
	(cd "$out/$name/root" && find . | cpio -o -H newc --quiet | gzip -1) >"$out/$name/initrd"
}

# boot NAME KERNEL WORDS: boot with these words on the command line; what it says is in $log
boot()
{
	log=$out/log-$1-$(echo "$3" | tr -c 'a-z0-9_\n' -)
	for _ in 1 2 3; do
		# shellcheck disable=SC2086 # a list of words
		timeout $limit qemu-system-x86_64 $machine -m 1024 \
			-nographic -nodefaults -no-reboot -serial stdio \
			-kernel "$cache/$2/boot/vmlinuz-$(cat "$cache/$2/version")" \
			-initrd "$out/$1/initrd" \
			-append "$console panic=-1 oops=panic nowatchdog $3" \
			</dev/null 2>"$log.err" | tr -d '\r' >"$log" || true
		# One boot in 25 ends before the module is there.
		grep -q 'anyrcu: loading' "$log" && return
	done
}

fail()
{
	echo "kernel: $1"
	failed=$((failed + 1))
}

# has KERNEL OPTION: the kernel was built with it
has()
{
	grep -q "^CONFIG_$2=y" "$cache/$1/usr/src/linux-headers-$(cat "$cache/$1/version")/.config"
}

# knows_types KERNEL: its headers come with the types that BPF programs need; 6.1's do not
knows_types()
{
	grep -q yes "$cache/$1/types" 2>/dev/null
}

# complaints KERNEL: what it complains of in $log. Of races only those in which we access the
# memory: the kernel has some itself.
complaints()
{
	awk '/BUG: KCSAN/ { race = 1; ours = 0; text = "" }
		race { text = text $0 "\n" }
		race && before ~ /(on cpu|by interrupt)/ && /\[anyrcu/ { ours = 1 }
		race && /=====/ { race = 0; if (ours) printf "%s", text }
		{ before = $0 }
		!race && /BUG:|WARNING:|Oops|Call Trace|INCOMPLETE/' "$log"
	! has "$1" PROVE_LOCKING || grep -q '^lockdep: 1' "$log" ||
		echo "lockdep was off at the end"
}

# sound KERNEL: the machine came to its end, and the kernel has no complaint, by $log
sound()
{
	grep -q '^anyrcu: end' "$log" && [ -z "$(complaints "$1")" ]
}

# tests KERNEL WORDS: all tests pass, and the kernel has no complaint
tests()
{
	suspend=
	[ "$short" ] || ! has "$1" SUSPEND || suspend=suspend=1
	boot "$1" "$1" "$2 rounds=$rounds seconds=$seconds $suspend"
	ok=$(grep -c '\] ok [0-9]' "$log" || true)
	passed=$((passed + ok))
	plan=$(sed -n 's/.*\] 1\.\.//p' "$log")
	if [ "$ok" != "${plan:-none}" ] || ! sound "$1"; then
		fail "$1, $2: $ok of ${plan:-no} tests passed; $log"
		complaints "$1" | head -40
		grep -E '\] (not ok|#)|BUG:|WARNING:|Oops|RIP:|INCOMPLETE' "$log" | head -40
	elif [ "$(grep -c '^trace: ' "$log")" != 2 ]; then
		fail "$1, $2: the tracepoints told nothing; $log"
	elif ! grep -q '^shrinker: done' "$log"; then
		fail "$1, $2: the shrinker was not asked, or did nothing; $log"
	elif knows_types "$1" && ! grep -q 'bpf: complete' "$log"; then
		fail "$1, $2: not all was invoked that BPF programs deferred; $log"
	elif [ "$suspend" ] && ! grep -q '^suspend: done' "$log"; then
		fail "$1, $2: the machine was not suspended; $log"
	elif [ "$(grep -c 'load: complete' "$log")" = "$rounds" ] &&
	     [ "$(grep -c '^hotplug: done' "$log")" = "$rounds" ]; then
		passed=$((passed + 1))
	else
		removed=$(grep -c 'load: complete' "$log" || true)
		fail "$1, $2: removed under load $removed times of $rounds; $log"
	fi
}

# redirected KERNEL WORDS: the kernel's own deferrals are redirected, and under load the redirection
# comes and goes. In one thread of the emulator: with more, a CPU that translates code while another
# one changes it may keep what was there before.
redirected()
{
	has "$1" DYNAMIC_FTRACE_WITH_REGS || return 0
	machine="-accel tcg,thread=single ${machine_of_tests#* * }"
	boot "$1" "$1" "$2 hook=1 only=hook rounds=$rounds"
	machine=$machine_of_tests
	if grep -q '\] ok 1 hook' "$log" && sound "$1" &&
	   [ "$(grep -c 'load: complete' "$log")" = "$rounds" ] &&
	   [ "$(grep -c '^hook: removed' "$log")" = "$rounds" ]; then
		passed=$((passed + 1))
	else
		fail "$1, $2: not all was redirected, or the redirection not removed; $log"
		complaints "$1" | head -20
	fi
}

# caught KERNEL MISTAKE WORDS: single-stepping finds the mistake
caught()
{
	boot "$1-$2" "$1" "$3 only=step_fast"
	if grep -q '\] 1\.\.1$' "$log" && grep -qE 'not ok|BUG:|Oops' "$log"; then
		passed=$((passed + 1))
	else
		fail "$1, $3: the mistake $2 was not found; $log"
	fi
}

# shares: what share of deferrals got a page in each context, in $log
shares()
{
	line='.*\] ok [0-9] policy_\([a-z]*\) # \([0-9]*\) of \([0-9]*\) in pages$'
	sed -n "s/$line/\1 \2 \3/p" "$log" | awk '{ printf " %s %d%%", $1, 100 * $2 / $3 }'
}

# policy KERNEL WORDS POLICY: the share in each context, all lists empty; and the kernel has no
# complaint
policy()
{
	boot "$1" "$1" "$2 parameters=policy=$3 only=policy"
	if grep -q 'not ok' "$log" || ! sound "$1"; then
		fail "$1, $2, $3: $log"
		complaints "$1" | head -20
	else
		passed=$((passed + 1))
	fi
	echo "$1${2:+, $2}, policy=$3:$(shares)"
}

policies()
{
	for policy in nolocks preemptible rt_off raw_variants; do
		policy "$1" "$2" "$policy"
	done
}

# each KERNEL PATTERN WORDS...
each()
{
	kernel=$1
	fetch "$kernel" "$2" || skip "$kernel cannot be fetched"
	shift 2
	module "$kernel" || { fail "$kernel: the module does not build"; return; }
	for words; do
		tests "$kernel" "$words"
		redirected "$kernel" "$words"
	done
}

# counted KERNEL WORDS: run kernel/tests/misses.c under the model of tools/cachesim; its counts are
# in $out/misses, and the names of the worst addresses in $out/symbols
counted()
{
	machine="-accel tcg,thread=single -icount shift=0,sleep=off -smp 1 -cpu max"
	machine="$machine -plugin $out/cachesim.so -d plugin -D $out/misses"
	rm -f "$out/misses"
	# The kernel's tests of its ciphers would run meanwhile.
	words="preempt=full nokaslr cryptomgr.notests"
	boot "$1" "$1" "$words only=misses parameters=delay_us=1000000 $2"
	if ! grep -q '\] ok 1 misses' "$log" || [ ! -s "$out/misses" ]; then
		fail "$1, misses: $log"
		return 1
	fi
	passed=$((passed + 1))
	# Names of the addresses take another boot: the emulator has counted when the kernel is
	# gone.
	rows=$log
	machine=$machine_of_tests
	symbols=$(sed -n 's/.* worst \([0-9a-f]*\) .*/\1/p' "$out/misses" | sort -u | paste -sd ,)
	boot "$1" "$1" "$words only=none symbols=$symbols"
	grep '^symbol ' "$log" >"$out/symbols" || true
}

# said PATTERN NOTE: the rows that the pattern finds, from the counts
said()
{
	sed -n 's/.*# row \([0-9]*\): \(.*\)$/row \1 \2/p' "$rows" | grep "$1" |
		cat "$out/symbols" - "$out/misses" | awk -v note="$2" '
		$1 == "symbol" { symbol[$2] = $3 }
		$1 == "row" { n = $2; sub(/^row [0-9]* /, ""); name[n] = $0 note }
		$1 == "cachesim:" {
			i[$3] = $5; l1[$3] = $7; l2[$3] = $9; pc[$3] = $11; at[$3] = $12
		}
		function say(p) {
			return sprintf("%6d %6.2f %6.2f",
				i[p] / 20000, l1[p] / 20000, l2[p] / 20000)
		}
		END {
			for (n = 0; n < 100; n++)
				if (n in name)
					printf "%-36s %s  %s  (%d of L2 at %s)\n", name[n],
						say(2 * n + 1), say(2 * n + 2),
						at[2 * n + 2], symbol[pc[2 * n + 2]]
		}'
}

# misses KERNEL: what an object takes by each scheme
misses()
{
	${CC:-cc} -O2 -fPIC -shared -fvisibility=hidden -o "$out/cachesim.so" \
		tools/cachesim/plugin.c tools/cachesim/model.c
	counted "$1" "" || return 0
	echo "per object: instructions, misses of L1, of L2; deferring, then until all is invoked"
	said . ""
	counted "$1" hook=1 || return 0
	said by_kfree_rcu ", redirected"
}

# shellcheck source=scripts/kernel-own.sh
. scripts/kernel-own.sh

# Without cmpxchg16b: QEMU 7.2 may leave an address in the flags after one, which an interrupt then
# saves, and returns with a bit for single-stepping that nobody has set.
machine_of_tests="-accel tcg,thread=multi -smp 2,sockets=2 -cpu max,-cx16"
machine=$machine_of_tests
limit=900
console="console=ttyS0 earlyprintk=serial,ttyS0"
short=
[ "${1:-}" != short ] || short=1
rounds=3
seconds=3
if [ "${1:-}" = full ]; then
	shift
	rounds=100
	seconds=60
	limit=3600
	own_all "$@"
	echo "kernel: $passed passed, $failed failed"
	exit $((failed != 0))
fi
if [ "${1:-}" = misses ]; then
	fetch 6.12-cloud '6\.12\.[0-9].*-cloud-amd64' || skip "6.12-cloud cannot be fetched"
	module 6.12-cloud
	misses 6.12-cloud
	echo "kernel: $passed passed, $failed failed"
	exit $((failed != 0))
fi
if [ "${1:-}" = policies ]; then
	for kernel in 6.12-cloud 6.12-rt; do
		fetch "$kernel" "6\.12\.[0-9].*-${kernel#6.12-}-amd64" ||
			skip "$kernel cannot be fetched"
		module "$kernel" || { fail "$kernel: the module does not build"; continue; }
		if [ "$kernel" = 6.12-rt ]; then
			policies "$kernel" ""
		else
			policies "$kernel" preempt=none
			policies "$kernel" preempt=full
		fi
	done
	echo "kernel: $passed passed, $failed failed"
	exit $((failed != 0))
fi
if [ "${1:-}" != short ]; then
	rounds=100
	seconds=60
	each 6.1-cloud '6\.1\.[0-9].*-cloud-amd64' preempt=none preempt=full
fi
each 6.12-cloud '6\.12\.[0-9].*-cloud-amd64' preempt=none preempt=full
if module 6.12-cloud STORE_FIRST; then
	caught 6.12-cloud STORE_FIRST preempt=full
else
	fail "6.12-cloud: the module with a mistake does not build"
fi
each 6.12-rt '6\.12\.[0-9].*-rt-amd64' ""
[ -z "$short" ] || own_cached

echo "kernel: $passed passed, $failed failed"
[ "$failed" = 0 ]
