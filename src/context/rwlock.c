/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The lock for readers and writers is a count of readers, two bits, and a queue, which is itself a
 * lock: a raw one, or one that sleeps. A writer acquires the queue before it waits, and releases it
 * when it releases the lock. So writers acquire the lock in the queue's order, threads that wait in
 * the queue lend the writer their priority, and at most one thread waits for the state. The writer
 * sets WAITING, which sends new readers to the queue, waits for the present readers to leave, and
 * turns WAITING into WRITER. A reader that has acquired the queue knows that there is no writer,
 * and increments the count. Only readers in the hard part of a handler do not queue: they wait
 * until WRITER is clear and ignore WAITING, as the interrupted code may be the very reader that the
 * writer waits for.
 */
#include <context/lock.h>

static const struct anyrcu_lock_type rwlock_type = { "rwlock", ANYRCU_WAIT_CONFIG, 0 };

#define WAITING 1u
#define WRITER 2u
#define READER 4u

void anyrcu_rwlock_init_class(anyrcu_rwlock_t *lock, const char *name,
			      const struct anyrcu_lock_class_key *key)
{
	store(&lock->state, 0);
	store(&lock->queue.raw.word, 0);
	lockdep(init, lock, &rwlock_type, name, key, CALLER);
}

/* Become a reader if none of @bits is set. */
static inline bool read_try(anyrcu_rwlock_t *lock, uint32_t bits)
{
	uint32_t old = load(&lock->state);

	while (!(old & bits))
		if (__atomic_compare_exchange_n(&lock->state, &old, old + READER, true,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return port_acquire(&lock->state), true;
	return false;
}

static noinline void read_wait(anyrcu_rwlock_t *lock)
{
	if (context_signals) {
		for (unsigned round = 0; !read_try(lock, WRITER); round++)
			lock_wait_round(round);
		return;
	}
	lock_either(&lock->queue);
	__atomic_fetch_add(&lock->state, READER, __ATOMIC_ACQUIRE);
	port_acquire(&lock->state);
	lock_either_unlock(&lock->queue);
}

void anyrcu_rwlock_read_lock(anyrcu_rwlock_t *lock)
{
	spinning_enter();
	acquire(lock, &rwlock_type, context_signals ? ANYRCU_LOCK_RECURSIVE_READ : ANYRCU_LOCK_READ,
		0, CALLER);
	if (unlikely(!read_try(lock, WAITING | WRITER)))
		read_wait(lock);
}

bool anyrcu_rwlock_read_trylock(anyrcu_rwlock_t *lock)
{
	spinning_enter();
	if (!read_try(lock, WAITING | WRITER)) {
		spinning_exit();
		return false;
	}
	acquire(lock, &rwlock_type, ANYRCU_LOCK_READ | ANYRCU_LOCK_TRY, 0, CALLER);
	return true;
}

void anyrcu_rwlock_read_unlock(anyrcu_rwlock_t *lock)
{
	lockdep(release, lock, CALLER);
	port_release(&lock->state);
	if (__atomic_fetch_sub(&lock->state, READER, __ATOMIC_RELEASE) == (READER | WAITING) &&
	    context_rt())
		port_wake_one(&lock->state);
	spinning_exit();
}

void anyrcu_rwlock_write_lock(anyrcu_rwlock_t *lock)
{
	uint32_t readers;

	spinning_enter();
	acquire(lock, &rwlock_type, ANYRCU_LOCK_WRITE, 0, CALLER);
	lock_either(&lock->queue);
	__atomic_fetch_or(&lock->state, WAITING, __ATOMIC_RELAXED);
	for (unsigned round = 0; !cmpxchg(&lock->state, WAITING, WRITER); round++) {
		readers = load(&lock->state);
		if (!context_rt())
			lock_wait_round(round);
		else if (readers != WAITING)
			port_wait(&lock->state, readers, 0);
	}
	port_acquire(&lock->state);
}

bool anyrcu_rwlock_write_trylock(anyrcu_rwlock_t *lock)
{
	spinning_enter();
	if (lock_either_try(&lock->queue)) {
		if (cmpxchg(&lock->state, 0, WRITER)) {
			port_acquire(&lock->state);
			acquire(lock, &rwlock_type, ANYRCU_LOCK_WRITE | ANYRCU_LOCK_TRY, 0, CALLER);
			return true;
		}
		lock_either_unlock(&lock->queue);
	}
	spinning_exit();
	return false;
}

void anyrcu_rwlock_write_unlock(anyrcu_rwlock_t *lock)
{
	lockdep(release, lock, CALLER);
	port_release(&lock->state);
	__atomic_fetch_and(&lock->state, ~WRITER, __ATOMIC_RELEASE);
	lock_either_unlock(&lock->queue);
	spinning_exit();
}
