#!/bin/busybox sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# The first process of the machine that scripts/kernel.sh boots. From the kernel's command line:
# only=TESTS, except=TESTS, rounds=N of removing the module under load, after a CPU has gone and
# come back, seconds=N of torture, parameters=... of anyrcu.ko, drain=1 for policies.c,
# suspend=1 to suspend the machine in the first of these rounds, symbols=ADDRESS,... to be named,
# hook=1 to redirect the kernel's own deferrals in the tests, and for a moment in each round.
PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t debugfs debug /sys/kernel/debug
trace=/sys/kernel/debug/tracing
# the kernel's per-CPU lists of pages as short as it can have them: see policies.c
case ${only:-} in policy*) echo 1000000 >/proc/sys/vm/percpu_pagelist_high_fraction ;; esac
insmod /anyrcu.ko ${parameters:-}
[ -z "${hook:-}" ] || insmod /anyrcu_hook.ko
for address in $(echo "${symbols:-}" | tr , ' '); do
	awk -v a="$address" \
		'$1 <= a && $1 >= best { best = $1; name = $3 } END { print "symbol", a, name }' \
		/proc/kallsyms
done
insmod /anyrcu_test.ko "only=${only:-}" "except=${except:-}" "rounds=${rounds:-3}" \
	"seconds=${seconds:-3}" "drain=${drain:-0}"
rmmod anyrcu_test
[ -z "${hook:-}" ] || rmmod anyrcu_hook
sed 's/^/# /' /sys/kernel/debug/anyrcu/stats
rmmod anyrcu
# where the kernel knows the modules' types
if [ "${rounds:-0}" != 0 ] && [ -z "${hook:-}" ] && [ -e /bin/attach ]; then
	insmod /anyrcu.ko
	insmod /anyrcu_test.ko bpf=1
	attach
	# the programs keep the module until the kernel has freed them
	for _ in $(seq 100); do
		rmmod anyrcu_test 2>/dev/null && break
		usleep 50000
	done
	rmmod anyrcu
fi
i=0
while [ "$i" -lt "${rounds:-0}" ]; do
	insmod /anyrcu.ko
	# the first time, what happens is traced: a collection, and that its pages are drained
	[ "$i" != 0 ] || echo 1 >$trace/events/anyrcu/enable
	insmod /anyrcu_test.ko load=1 slow=${hook:-0}
	usleep 20000
	# the redirection comes and goes under load; it goes while tasks wait in it, as they get no
	# page
	if [ "${hook:-}" ]; then
		insmod /anyrcu_hook.ko
		usleep 20000
		echo 0 >/sys/module/anyrcu/parameters/page_bytes_max
		usleep 20000
		until [ "$(cat /sys/module/anyrcu_hook/parameters/redirected)" -gt 0 ]; do
			usleep 1000
		done
		rmmod anyrcu_hook && echo "hook: removed"
		echo 67108864 >/sys/module/anyrcu/parameters/page_bytes_max
	fi
	# all shrinkers are asked, until ours has acted
	tries=0
	while [ "$i" = 0 ] && [ "$tries" -lt 200 ]; do
		echo 2 >/proc/sys/vm/drop_caches
		usleep 20000
		grep -q '^shrinks [1-9]' /sys/kernel/debug/anyrcu/stats &&
			echo "shrinker: done" && break
		tries=$((tries + 1))
	done
	# the machine sleeps, until its clock wakes it
	if [ "$i" = 0 ] && [ -n "${suspend:-}" ]; then
		echo +10 >/sys/class/rtc/rtc0/wakealarm
		echo mem >/sys/power/state && echo "suspend: done"
	fi
	# a CPU goes and comes back meanwhile
	echo 0 >/sys/devices/system/cpu/cpu1/online &&
		echo 1 >/sys/devices/system/cpu/cpu1/online && echo "hotplug: done"
	rmmod anyrcu_test
	if [ "$i" = 0 ]; then
		echo 0 >$trace/events/anyrcu/enable
		sed -n 's/.*: anyrcu_\(collect\|drain\): generation=[0-9]* [a-z]*=[1-9].*/\1/p' \
			$trace/trace | sort -u | sed 's/^/trace: /'
	fi
	rmmod anyrcu
	i=$((i + 1))
done
# lockdep judges until its first report, and until it runs out of memory
sed -n 's/^ *debug_locks: *\([01]\)$/lockdep: \1/p' /proc/lockdep_stats 2>/dev/null
echo "anyrcu: end"
# what ends the machine where there is no ACPI, under -no-reboot
reboot -f
