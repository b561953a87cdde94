#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# A copy of src/context/lock.c or rwlock.c with a mistake in it, which the tests of locks must find.
# usage: lock-break.sh MISTAKE SOURCE COPY
# Fails where there is nothing to change.
set -eu

case $1 in
taken-in-two) # a raw lock is taken by a load and a store
	mistake='/^static inline bool raw_try(/,/^}/{/^\t\t.*__ATOMIC_RELAXED);/d; '\
's/return __atomic.*/if (load(\&lock->word))\n\t\treturn false;\n\tport_yield(0);\n'\
'\tstore(\&lock->word, LOCKED + unlocked);\n\treturn true;/}' ;;
first-does-not-wait) # the first in the queue takes the lock while it is held
	mistake='s/(old = load(&lock->word)) & LOCKED; round++/'\
'(old = load(\&lock->word)) == 0; round++/' ;;
all-are-first) # who joins the queue does not wait for the one before
	mistake='s/!load_acquire(&me.first); round++/false; round++/' ;;
last-is-first) # waiters take the lock as they find it
	mistake='s/^\t\traw_wait(lock);/'\
'\t\twhile (!raw_try(lock))\n\t\t\t(void)raw_wait, port_yield(0);/' ;;
futex-in-two) # a lock that sleeps is taken by a load and a store
	mistake='/^static bool sleeping_try(/,/^}/s/return __atomic.*/'\
'if (load(word))\n\t\treturn false;\n\tport_yield(0);\n'\
'\tstore(word, inherits() ? context_tid() : LOCKED + unlocked);\n\treturn true;/;'\
'/^static bool sleeping_try(/,/^}/{/__ATOMIC_RELAXED);/d}' ;;
readers-ignore-writers)
	mistake='s/while (!(old & bits))/while (true)/' ;;
writers-ignore-readers)
	mistake='s/!cmpxchg(&lock->state, WAITING, WRITER); round++/'\
'__atomic_fetch_add(\&lock->state, WRITER - WAITING, __ATOMIC_SEQ_CST), false; round++/' ;;
writers-starve) # a writer that waits does not send readers to the queue
	mistake='s/read_try(lock, WAITING | WRITER)/read_try(lock, WRITER)/' ;;
signals-let-in) # the irqsave forms block nothing
	mistake='s/uint64_t former = port_signals_block();/uint64_t former = 0;/; '\
's/port_signals_restore(former);/(void)former;/' ;;
nothing-inherited) # the holder does not inherit
	mistake='s/return context_model() == MODEL_RT;/return false;/' ;;
esac
sed "$mistake" "$2" >"$3"
if cmp -s "$2" "$3"; then
	echo "$2: nothing to break for $1" >&2
	exit 1
fi
