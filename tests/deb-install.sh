#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# A new user's first hour with the Debian packages, in a fresh system that has nothing else: install
# them by apt, compile README's first program by README's command, run it, and try the tool. Takes
# some minutes, as the system is downloaded. As root.
# usage: deb-install.sh DIR_OF_PACKAGES		made by "make deb"
set -eu
debs=$(realpath "$1")
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "deb-install: only root can make a system to install into"; exit 77; }
command -v debootstrap >/dev/null || { echo "deb-install: debootstrap is missing"; exit 77; }
dir=$(mktemp -d)
root=$dir/root
log=$dir/log
finish()
{
	umount "$root/proc" 2>/dev/null || true
	rm -rf --one-file-system "$dir"
}
trap finish EXIT

# step WHAT COMMAND...
step()
{
	what=$1
	shift
	"$@" >"$log" 2>&1 && return
	tail -n 30 "$log"
	echo "deb-install: $what failed"
	exit 1
}

# inside COMMAND: by sh in the new system, as a user would type it
inside()
{
	DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$root" sh -euc "cd /root && $1"
}

# says WHAT COMMAND: COMMAND's output contains WHAT
says()
{
	inside "$2" >"$log" 2>&1 || true
	grep -q "$1" "$log" && return
	tail -n 30 "$log"
	echo "deb-install: \"$2\" does not say \"$1\""
	exit 1
}

. /etc/os-release
step "a new system" debootstrap --variant=minbase "$VERSION_CODENAME" "$root"
mount -t proc proc "$root/proc" || { echo "deb-install: /proc cannot be mounted here"; exit 77; }
cp "$debs"/*.deb "$root/root"
rm -f "$root"/root/*dbgsym*.deb
# README's first program is its first block of C.
awk '/^```c$/ && !seen { seen = on = 1; next } /^```$/ { on = 0 } on' README.md \
	>"$root/root/first.c"

step "apt install of the packages" inside \
	'apt-get -qq update && apt-get -qq -y --no-install-recommends install ./*.deb'
if inside 'command -v cc pkg-config' >/dev/null; then
	echo "deb-install: the system was not bare"
	exit 1
fi
step "apt install of a compiler" inside \
	'apt-get -qq -y --no-install-recommends install gcc g++ libc6-dev pkg-config'
says '^version 14$' 'cc first.c $(pkg-config --cflags --libs anyrcu) && ./a.out'
says '^version 14$' \
	'cc -static first.c -o first-static $(pkg-config --static --cflags --libs anyrcu) &&'\
' ./first-static'
cat >"$root/root/bank.c" <<'CODE'
#include <pthread.h>
#include <unistd.h>
static pthread_mutex_t accounts = PTHREAD_MUTEX_INITIALIZER, journal = PTHREAD_MUTEX_INITIALIZER;
static void *deposit(void *arg)
{
	pthread_mutex_lock(&accounts);
	pthread_mutex_lock(&journal);
	pthread_mutex_unlock(&journal);
	pthread_mutex_unlock(&accounts);
	return arg;
}
static void *rotate(void *arg)
{
	sleep(1);
	pthread_mutex_lock(&journal);
	pthread_mutex_lock(&accounts);
	pthread_mutex_unlock(&accounts);
	pthread_mutex_unlock(&journal);
	return arg;
}
int main(void)
{
	pthread_t t[2];

	pthread_create(&t[0], NULL, deposit, NULL);
	pthread_create(&t[1], NULL, rotate, NULL);
	pthread_join(t[0], NULL);
	return pthread_join(t[1], NULL);
}
CODE
cat >"$root/root/call.c" <<'CODE'
#include <stdio.h>
#include <urcu.h>
static struct rcu_head head;
static void called(struct rcu_head *h)
{
	puts("called");
}
int main(void)
{
	rcu_register_thread();
	call_rcu(&head, called);
	rcu_barrier();
	rcu_unregister_thread();
}
CODE
says 'possible circular locking dependency' \
	'cc -g bank.c -o bank && timeout 300 anyrcu lockdep -- ./bank'
says '^called$' 'cc call.c $(pkg-config --cflags --libs anyrcu-urcu) && ./a.out'
says 'anyrcu' 'anyrcu --version'
says 'usage\|Usage' 'anyrcu help'
step "removal" inside 'apt-get -qq -y remove libanyrcu-dev anyrcu libanyrcu-urcu0 libanyrcu0'
if find "$root/usr" -name '*anyrcu*' | grep -v /var/; then
	echo "deb-install: these files are left"
	exit 1
fi
echo "deb-install: passed"
