/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Locks.
 *
 * The raw spinlock. Its word:
 *
 *     63                                   8 7          0
 *    | address of the last waiter, or 0     | LOCKED    |
 *
 * Zero: free; one cmpxchg takes it. Otherwise join the queue: a waiter is a few words on the stack of whoever waits, so there is no limit
 * to how deep handlers may nest, and nothing to be had that could be refused. The last waiter's address is in the word; each has told the
 * one before it where it is. The first of the queue alone waits for LOCKED to go: nobody else can take the lock meanwhile, as all others find the
 * word not zero. It takes the lock by LOCKED, makes the next one first, and its words are referred to by nobody any more: the one before
 * it has been told (it made us first), the one behind has told us (we waited for that), and the word names another or nobody.
 *
 * Attack: a handler comes between any two instructions of a waiter, and takes another lock. It queues with words of its own; the interrupted
 * waiter's are only read and written by its neighbours, who at worst wait for it. If it takes the same lock it waits for itself,
 * as it would if the lock were held: handlers' locks are taken with their signal blocked.
 *
 * The release is a store to the byte of LOCKED: the rest of the word belongs to those who join. (A join is a cmpxchg on the whole word, which
 * fails if the byte has changed.)
 *
 * A holder, or the next one in the queue, may have lost its CPU, which here nothing can prevent. Who has waited for so long that this
 * must be so lets go of its own; see wait_round().
 *
 * Locks that sleep have one word: under rt the holder's number and whether others wait, as the kernel has it for priority inheritance;
 * otherwise 0, LOCKED, or CONTENDED (Drepper, "Futexes are tricky", mutex 2). The model, and so which it is, does not change once a lock has
 * been used.
 *
 * The lock for readers and writers is a count of readers, two bits, and a queue, which is itself a lock: a raw one, or one that sleeps. A
 * writer holds the queue from before it waits until it releases: so writers get it in the queue's order, waiters lend a writer their
 * priority, and the state has one waiter at most. It sets WAITING, which sends new readers to the queue, waits for the readers
 * to leave, and turns WAITING into WRITER. A reader that comes to hold the queue has no writer beside it, and counts itself. Only readers in
 * the hard part of a handler do not queue: they wait for WRITER alone, as what they interrupted may be the very reader that WAITING waits for.
 */
#include <anyrcu/lock.h>
#include <context/context.h>
#include <lockdep/lockdep.h>

#define CALLER __builtin_return_address(0)

/* ---- the validator ---- */

static const struct anyrcu_lock_type raw_type = { "raw_spinlock", ANYRCU_WAIT_SPIN, 0 };
static const struct anyrcu_lock_type spin_type = { "spinlock", ANYRCU_WAIT_CONFIG, 0 };
static const struct anyrcu_lock_type rwlock_type = { "rwlock", ANYRCU_WAIT_CONFIG, 0 };
static const struct anyrcu_lock_type mutex_type = { "mutex", ANYRCU_WAIT_SLEEP, 0 };

static inline void acquire(const void *lock, const struct anyrcu_lock_type *type, unsigned how, unsigned subclass, const void *ip)
{
	lockdep(acquire, lock, type, how, subclass, NULL, ip);
}

static inline uint64_t signals_block(void)
{
	uint64_t former = port_signals_block();

	lockdep(signals_blocked, former | port_signals);
	return former;
}

static inline void signals_restore(uint64_t former)
{
	lockdep(signals_blocked, former);
	port_signals_restore(former);
}

/* ---- waiting ---- */

#define SPINS 200

/*
 * Round @round of waiting for another thread without sleeping. As long as that thread has a CPU it will be done before the spinning is; on
 * one CPU it has none.
 */
static void wait_round(unsigned round)
{
	if (round < SPINS && port_ncpus() > 1)
		port_relax();
	else
		port_yield(round < SPINS ? 0 : round - SPINS);
}

/* ---- the lock that spins ---- */

#define LOCKED 1u

struct waiter {
	struct waiter *next;
	uint32_t first;
};

static inline uint64_t waiter_word(const struct waiter *w)
{
	return (uint64_t)(uintptr_t)w << 8;
}

static inline bool raw_try(anyrcu_raw_spinlock_t *lock)
{
	uint64_t unlocked = 0;

	return __atomic_compare_exchange_n(&lock->word, &unlocked, LOCKED, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static noinline void raw_wait(anyrcu_raw_spinlock_t *lock)
{
	struct waiter me = { 0 }, *other;
	uint64_t old = load(&lock->word);

	/* Releases what is in our words, and acquires those of the one before us. */
	while (!__atomic_compare_exchange_n(&lock->word, &old, waiter_word(&me) | (old & LOCKED), true, __ATOMIC_ACQ_REL,
					    __ATOMIC_RELAXED))
		;
	other = (struct waiter *)(uintptr_t)(old >> 8);
	if (other) {
		store_release(&other->next, &me);
		for (unsigned round = 0; !load_acquire(&me.first); round++)
			wait_round(round);
	}
	for (unsigned round = 0; (old = load(&lock->word)) & LOCKED; round++)
		wait_round(round);
	/* Nobody behind us: the queue ends with us. (Acquire: pairs with the last holder's release.) */
	if (old == waiter_word(&me) &&
	    __atomic_compare_exchange_n(&lock->word, &old, LOCKED, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	__atomic_fetch_or(&lock->word, LOCKED, __ATOMIC_ACQUIRE);
	for (unsigned round = 0; !(other = load_acquire(&me.next)); round++)
		wait_round(round);
	store_release(&other->first, 1);
}

static inline void raw_lock(anyrcu_raw_spinlock_t *lock)
{
	if (unlikely(!raw_try(lock)))
		raw_wait(lock);
}

static inline void raw_unlock(anyrcu_raw_spinlock_t *lock)
{
#if defined(__SANITIZE_THREAD__) /* which takes a store for the end of what those who join have released */
	__atomic_fetch_and(&lock->word, ~(uint64_t)LOCKED, __ATOMIC_RELEASE);
#else
	const size_t at = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? sizeof(lock->word) - 1 : 0;

	store_release((uint8_t *)&lock->word + at, 0);
#endif
}

/* ---- the lock that sleeps ---- */

#define CONTENDED 2u

static noinline void pi_refused(const void *lock, int err)
{
	if (err == -PORT_EDEADLK)
		port_bug("lock %p is taken by the thread that holds it", lock);
	else if (err == -PORT_ESRCH)
		port_bug("lock %p is waited for, and its holder has ended", lock);
	else
		port_bug("lock %p is released by a thread that does not hold it", lock);
}

/* Is the word the kernel's, with the holder's number? */
static inline bool inherits(void)
{
	return context_model() == MODEL_RT;
}

static bool sleeping_try(uint32_t *word)
{
	uint32_t unlocked = 0;

	return __atomic_compare_exchange_n(word, &unlocked, inherits() ? context_tid() : LOCKED, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static void sleeping_lock(uint32_t *word)
{
	int err;

	if (likely(sleeping_try(word)))
		return;
	if (inherits()) {
		err = port_pi_lock(word);
		if (err)
			pi_refused(word, err);
		load_acquire(word); /* pairs with that in sleeping_unlock(): the kernel orders it too, but ThreadSanitizer does not know */
		return;
	}
	for (int spin = 0; spin < SPINS && port_ncpus() > 1; spin++) {
		port_relax();
		if (!load(word) && sleeping_try(word))
			return;
	}
	while (__atomic_exchange_n(word, CONTENDED, __ATOMIC_ACQUIRE) != 0)
		port_wait(word, CONTENDED, 0);
}

static void sleeping_unlock(uint32_t *word)
{
	uint32_t held;
	int err;

	if (!inherits()) {
		if (__atomic_exchange_n(word, 0, __ATOMIC_RELEASE) == CONTENDED)
			port_wake_one(word);
		return;
	}
	held = context_tid();
	if (!__atomic_compare_exchange_n(word, &held, 0, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
		__atomic_fetch_or(word, 0, __ATOMIC_RELEASE);
		err = port_pi_unlock(word);
		if (err)
			pi_refused(word, err);
	}
}

/* ---- anyrcu_raw_spinlock_t ---- */

void anyrcu_raw_spin_init_class(anyrcu_raw_spinlock_t *lock, const char *name, const struct anyrcu_lock_class_key *key)
{
	store(&lock->word, 0);
	lockdep(init, lock, &raw_type, name, key, CALLER);
}

static inline void raw_spin_lock(anyrcu_raw_spinlock_t *lock, unsigned subclass, const void *ip)
{
	context_enter();
	acquire(lock, &raw_type, ANYRCU_LOCK_WRITE, subclass, ip);
	raw_lock(lock);
}

void anyrcu_raw_spin_lock(anyrcu_raw_spinlock_t *lock)
{
	raw_spin_lock(lock, 0, CALLER);
}

void anyrcu_raw_spin_lock_nested(anyrcu_raw_spinlock_t *lock, unsigned subclass)
{
	raw_spin_lock(lock, subclass, CALLER);
}

bool anyrcu_raw_spin_trylock(anyrcu_raw_spinlock_t *lock)
{
	context_enter();
	if (!raw_try(lock)) {
		context_exit();
		return false;
	}
	acquire(lock, &raw_type, ANYRCU_LOCK_TRY, 0, CALLER);
	return true;
}

static inline void raw_spin_unlock(anyrcu_raw_spinlock_t *lock, const void *ip)
{
	lockdep(release, lock, ip);
	raw_unlock(lock);
	context_exit();
}

void anyrcu_raw_spin_unlock(anyrcu_raw_spinlock_t *lock)
{
	raw_spin_unlock(lock, CALLER);
}

uint64_t anyrcu_raw_spin_lock_irqsave(anyrcu_raw_spinlock_t *lock)
{
	uint64_t flags = signals_block();

	raw_spin_lock(lock, 0, CALLER);
	return flags;
}

void anyrcu_raw_spin_unlock_irqrestore(anyrcu_raw_spinlock_t *lock, uint64_t flags)
{
	raw_spin_unlock(lock, CALLER);
	signals_restore(flags);
}

/* ---- anyrcu_spinlock_t ---- */

/* The lock itself, unknown to the validator. */
static inline void either_lock(anyrcu_spinlock_t *lock)
{
	if (context_rt())
		sleeping_lock(&lock->futex);
	else
		raw_lock(&lock->raw);
}

static inline bool either_try(anyrcu_spinlock_t *lock)
{
	return context_rt() ? sleeping_try(&lock->futex) : raw_try(&lock->raw);
}

static inline void either_unlock(anyrcu_spinlock_t *lock)
{
	if (context_rt())
		sleeping_unlock(&lock->futex);
	else
		raw_unlock(&lock->raw);
}

/* What spins under this model forbids its holder to wait. */
static inline void spinning_enter(void)
{
	if (context_model() == MODEL_FULL)
		context_nest++;
	compiler_barrier();
}

static inline void spinning_exit(void)
{
	compiler_barrier();
	if (context_model() == MODEL_FULL)
		context_nest--;
}

void anyrcu_spin_init_class(anyrcu_spinlock_t *lock, const char *name, const struct anyrcu_lock_class_key *key)
{
	store(&lock->raw.word, 0);
	lockdep(init, lock, &spin_type, name, key, CALLER);
}

static inline void spin_lock(anyrcu_spinlock_t *lock, unsigned subclass, const void *ip)
{
	spinning_enter();
	acquire(lock, &spin_type, ANYRCU_LOCK_WRITE, subclass, ip);
	either_lock(lock);
}

void anyrcu_spin_lock(anyrcu_spinlock_t *lock)
{
	spin_lock(lock, 0, CALLER);
}

void anyrcu_spin_lock_nested(anyrcu_spinlock_t *lock, unsigned subclass)
{
	spin_lock(lock, subclass, CALLER);
}

bool anyrcu_spin_trylock(anyrcu_spinlock_t *lock)
{
	spinning_enter();
	if (!either_try(lock)) {
		spinning_exit();
		return false;
	}
	acquire(lock, &spin_type, ANYRCU_LOCK_TRY, 0, CALLER);
	return true;
}

static inline void spin_unlock(anyrcu_spinlock_t *lock, const void *ip)
{
	lockdep(release, lock, ip);
	either_unlock(lock);
	spinning_exit();
}

void anyrcu_spin_unlock(anyrcu_spinlock_t *lock)
{
	spin_unlock(lock, CALLER);
}

uint64_t anyrcu_spin_lock_irqsave(anyrcu_spinlock_t *lock)
{
	uint64_t flags = signals_block();

	spin_lock(lock, 0, CALLER);
	return flags;
}

void anyrcu_spin_unlock_irqrestore(anyrcu_spinlock_t *lock, uint64_t flags)
{
	spin_unlock(lock, CALLER);
	signals_restore(flags);
}

/* ---- anyrcu_mutex_t ---- */

void anyrcu_mutex_init_class(anyrcu_mutex_t *lock, const char *name, const struct anyrcu_lock_class_key *key)
{
	store(&lock->futex, 0);
	lockdep(init, lock, &mutex_type, name, key, CALLER);
}

void anyrcu_mutex_destroy(anyrcu_mutex_t *lock)
{
	lockdep(destroy, lock, CALLER);
}

static inline void mutex_lock(anyrcu_mutex_t *lock, unsigned subclass, const void *ip)
{
	acquire(lock, &mutex_type, ANYRCU_LOCK_WRITE, subclass, ip);
	sleeping_lock(&lock->futex);
}

void anyrcu_mutex_lock(anyrcu_mutex_t *lock)
{
	mutex_lock(lock, 0, CALLER);
}

void anyrcu_mutex_lock_nested(anyrcu_mutex_t *lock, unsigned subclass)
{
	mutex_lock(lock, subclass, CALLER);
}

bool anyrcu_mutex_trylock(anyrcu_mutex_t *lock)
{
	if (!sleeping_try(&lock->futex))
		return false;
	acquire(lock, &mutex_type, ANYRCU_LOCK_TRY, 0, CALLER);
	return true;
}

void anyrcu_mutex_unlock(anyrcu_mutex_t *lock)
{
	lockdep(release, lock, CALLER);
	sleeping_unlock(&lock->futex);
}

/* ---- anyrcu_rwlock_t ---- */

#define WAITING 1u
#define WRITER 2u
#define READER 4u

void anyrcu_rwlock_init_class(anyrcu_rwlock_t *lock, const char *name, const struct anyrcu_lock_class_key *key)
{
	store(&lock->state, 0);
	store(&lock->queue.raw.word, 0);
	lockdep(init, lock, &rwlock_type, name, key, CALLER);
}

/* Become a reader if none of @bits stands in the way. */
static inline bool read_try(anyrcu_rwlock_t *lock, uint32_t bits)
{
	uint32_t old = load(&lock->state);

	while (!(old & bits))
		if (__atomic_compare_exchange_n(&lock->state, &old, old + READER, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
	return false;
}

static noinline void read_wait(anyrcu_rwlock_t *lock)
{
	if (context_signals) {
		for (unsigned round = 0; !read_try(lock, WRITER); round++)
			wait_round(round);
		return;
	}
	either_lock(&lock->queue);
	__atomic_fetch_add(&lock->state, READER, __ATOMIC_ACQUIRE);
	either_unlock(&lock->queue);
}

void anyrcu_rwlock_read_lock(anyrcu_rwlock_t *lock)
{
	spinning_enter();
	acquire(lock, &rwlock_type, context_signals ? ANYRCU_LOCK_RECURSIVE_READ : ANYRCU_LOCK_READ, 0, CALLER);
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
	if (__atomic_fetch_sub(&lock->state, READER, __ATOMIC_RELEASE) == (READER | WAITING) && context_rt())
		port_wake_one(&lock->state);
	spinning_exit();
}

void anyrcu_rwlock_write_lock(anyrcu_rwlock_t *lock)
{
	uint32_t readers;

	spinning_enter();
	acquire(lock, &rwlock_type, ANYRCU_LOCK_WRITE, 0, CALLER);
	either_lock(&lock->queue);
	__atomic_fetch_or(&lock->state, WAITING, __ATOMIC_RELAXED);
	for (unsigned round = 0; !cmpxchg(&lock->state, WAITING, WRITER); round++) {
		readers = load(&lock->state);
		if (!context_rt())
			wait_round(round);
		else if (readers != WAITING)
			port_wait(&lock->state, readers, 0);
	}
}

bool anyrcu_rwlock_write_trylock(anyrcu_rwlock_t *lock)
{
	spinning_enter();
	if (either_try(&lock->queue)) {
		if (cmpxchg(&lock->state, 0, WRITER)) {
			acquire(lock, &rwlock_type, ANYRCU_LOCK_WRITE | ANYRCU_LOCK_TRY, 0, CALLER);
			return true;
		}
		either_unlock(&lock->queue);
	}
	spinning_exit();
	return false;
}

void anyrcu_rwlock_write_unlock(anyrcu_rwlock_t *lock)
{
	lockdep(release, lock, CALLER);
	__atomic_fetch_and(&lock->state, ~WRITER, __ATOMIC_RELEASE);
	either_unlock(&lock->queue);
	spinning_exit();
}
