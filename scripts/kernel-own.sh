# SPDX-License-Identifier: MIT OR GPL-2.0-only
# shellcheck shell=sh disable=SC2046,SC2086,SC2154
# Kernels of our own, which judge what Debian's do not: a part of scripts/kernel.sh.
own_kernels="lockdep lockdep-rt none kasan kcsan"

# fragments NAME: of kernel/configs, for one of our own kernels
fragments()
{
	case $1 in
	lockdep) echo base full lockdep ;;
	lockdep-rt) echo base rt lockdep ;;
	none) echo base none ;;
	kasan) echo base full kasan ;;
	kcsan) echo base full kcsan ;;
	*) echo "kernel: no kernel $1" >&2; exit 2 ;;
	esac
}

# build NAME [--cached]: into the cache; or is it there?
build()
{
	scripts/kernel-build.sh "$cache" ${2:-} "own-$1" $(fragments "$1")
}

# reported KERNEL POLICY MISTAKE TEST REPORT: lockdep reports the policy in this test, naming the
# module; or REPORT is "silent". One boot: lockdep reports once.
reported()
{
	boot "$1${3:+-$3}" "$1" "drain=1 parameters=policy=$2 only=policy_$4"
	is=$(grep -oE '(BUG|WARNING): [A-Za-z][a-z ]*[a-z]' "$log" | head -n 1)
	if [ -z "$is" ] && sound "$1"; then
		is=silent
	elif ! grep -q '\[anyrcu\]' "$log"; then
		is="not reported of the module: $is"
	fi
	echo "$1, policy=$2${3:+ with $3}: $4: $is;$(shares)"
	if [ "$is" = "$5" ]; then
		passed=$((passed + 1))
	else
		fail "$1, policy=$2 $3, $4: \"$5\" was expected of lockdep; $log"
	fi
}

# own NAME: the tests on one of our own kernels, which is in the cache; and what it was built for
own()
{
	kernel=own-$1
	module "$kernel" || { fail "$kernel: the module does not build"; return; }
	# KCSAN delays accesses in a loop, of which single-stepping interrupts each instruction.
	tests "$kernel" "$([ "$1" != kcsan ] || echo except=step)"
	redirected "$kernel" ""
	case $1 in
	lockdep | lockdep-rt) judged 'BUG: Invalid wait context' ;;
	none) [ "$short" ] || not_counted ;;
	esac
}

# judged REPORT: lockdep on $kernel is silent on policies that are right, and reports the wrong ones
# where they are wrong
judged()
{
	policy "$kernel" drain=1 nolocks
	reported "$kernel" raw_variants "" raw "$1"
	[ -z "$short" ] || return 0
	policy "$kernel" drain=1 preemptible
	policy "$kernel" drain=1 rt_off
	for context in task spinlock variant; do
		reported "$kernel" raw_variants "" $context silent
	done
	reported "$kernel" raw_variants "" irq "$1"
	reported "$kernel" raw_variants "" nmi 'WARNING: inconsistent lock state'
	# rt_off allocates nothing where lockdep would see it. With this mistake it does, as on
	# kernels without lockdep.
	module "$kernel" RT_UNSEEN || { fail "$kernel: the module does not build"; return; }
	for context in task spinlock; do
		reported "$kernel" rt_off RT_UNSEEN $context silent
	done
	for context in raw variant irq; do
		reported "$kernel" rt_off RT_UNSEEN $context "$1"
	done
	reported "$kernel" rt_off RT_UNSEEN nmi 'WARNING: inconsistent lock state'
}

# not_counted: preemptible() knows nothing in $kernel, so its policy gets no page anywhere; and what
# the other policies get
not_counted()
{
	policies "$kernel" "" >"$out/shares"
	cat "$out/shares"
	if grep policy=preemptible "$out/shares" | grep -q '[1-9][0-9]*%'; then
		fail "$kernel: policy=preemptible got pages"
	else
		passed=$((passed + 1))
	fi
}

# own_all [NAME...]: build these, or all, and test on each
own_all()
{
	scripts/deps.sh kernel-build || skip "what builds kernels cannot be installed"
	[ $# != 0 ] || set -- $own_kernels
	for name; do
		if build "$name" >"$out/build-$name" 2>&1; then
			own "$name"
		else
			tail "$out/build-$name"
			fail "own-$name: the kernel does not build"
		fi
	done
}

# own_cached: test on those that are in the cache, and say which are not
own_cached()
{
	absent=
	for name in $own_kernels; do
		if build "$name" --cached; then
			own "$name"
		else
			absent="$absent $name"
		fi
	done
	[ -z "$absent" ] || echo "kernel: left out, for \"make kernel-full\" to build:$absent"
}
