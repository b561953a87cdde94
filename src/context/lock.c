/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Locks.
 *
 * The raw spinlock. Its word:
 *
 *     63                                   8 7          0
 *    | address of the last waiter, or 0     | LOCKED    |
 *
 * Zero: free; one cmpxchg takes it. Otherwise join the queue: a waiter's entry is a few words on
 * its stack, so handlers may nest to any depth, and no allocation can fail. The last waiter's
 * address is in the word; each waiter stores its own address in the entry before it. Only the first
 * waiter in the queue waits until LOCKED is cleared: no other thread can take the lock meanwhile,
 * as all others find the word not zero. It takes the lock by setting LOCKED, and makes the next
 * waiter first. Then nothing refers to its entry any more: the waiter before it made its last
 * access when it made this one first, the waiter behind it has stored its address (for which this
 * one has waited), and the word holds another address or none.
 *
 * Attack: a handler comes between any two instructions of a waiter, and takes another lock. It
 * queues with its own entry; only neighbours in the queue access the interrupted waiter's entry,
 * and at worst they wait longer. If the handler takes the same lock it waits for itself, as it
 * would if the lock were held: locks of handlers must be taken with their signal blocked.
 *
 * The release is a store to the byte of LOCKED: the rest of the word belongs to joining waiters. (A
 * join is a cmpxchg on the whole word, which fails if the byte has changed.)
 *
 * The holder, or the next waiter in the queue, may be preempted, which nothing can prevent here. A
 * waiter that spins too long yields the CPU; see lock_wait_round().
 *
 * Sleeping locks have one word. Under rt it is the holder's number and whether others wait, in the
 * kernel's format for priority inheritance; otherwise 0, LOCKED, or CONTENDED (Drepper, "Futexes
 * are tricky", mutex 2). The model does not change once a lock has been used, and so neither does
 * the format.
 */
#include <context/lock.h>

/* ---- the validator ---- */

static const struct anyrcu_lock_type raw_type = { "raw_spinlock", ANYRCU_WAIT_SPIN, 0 };
static const struct anyrcu_lock_type spin_type = { "spinlock", ANYRCU_WAIT_CONFIG, 0 };
static const struct anyrcu_lock_type mutex_type = { "mutex", ANYRCU_WAIT_SLEEP, 0 };

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

void lock_wait_round(unsigned round)
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

	return __atomic_compare_exchange_n(&lock->word, &unlocked, LOCKED, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static noinline void raw_wait(anyrcu_raw_spinlock_t *lock)
{
	struct waiter me = { 0 }, *other;
	uint64_t old = load(&lock->word);

	port_atomic(&me, sizeof(me));
	/* Releases our entry, and acquires that of the waiter before us. */
	while (!__atomic_compare_exchange_n(&lock->word, &old, waiter_word(&me) | (old & LOCKED),
					    true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		;
	other = (struct waiter *)(uintptr_t)(old >> 8);
	if (other) {
		store_release(&other->next, &me);
		for (unsigned round = 0; !load_acquire(&me.first); round++)
			lock_wait_round(round);
	}
	for (unsigned round = 0; (old = load(&lock->word)) & LOCKED; round++)
		lock_wait_round(round);
	/*
	 * If no waiter is behind us, the queue ends with us. (Acquire: pairs with the last holder's
	 * release.)
	 */
	if (old == waiter_word(&me) &&
	    __atomic_compare_exchange_n(&lock->word, &old, LOCKED, false, __ATOMIC_ACQUIRE,
					__ATOMIC_RELAXED))
		return;
	__atomic_fetch_or(&lock->word, LOCKED, __ATOMIC_ACQUIRE);
	for (unsigned round = 0; !(other = load_acquire(&me.next)); round++)
		lock_wait_round(round);
	store_release(&other->first, 1);
}

static inline void raw_lock(anyrcu_raw_spinlock_t *lock)
{
	if (unlikely(!raw_try(lock)))
		raw_wait(lock);
	port_acquire(lock);
}

static inline void raw_unlock(anyrcu_raw_spinlock_t *lock)
{
	port_release(lock);
/* The sanitizer treats a store as the end of the releases of joining waiters. */
#if defined(__SANITIZE_THREAD__)
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

/* Does the word have the kernel's format, with the holder's number? */
static inline bool inherits(void)
{
	return context_model() == MODEL_RT;
}

static bool sleeping_try(uint32_t *word)
{
	uint32_t unlocked = 0;

	return __atomic_compare_exchange_n(word, &unlocked, inherits() ? context_tid() : LOCKED,
					   false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
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
		/*
		 * pairs with that in sleeping_unlock(): the kernel orders it too, but
		 * ThreadSanitizer does not see that
		 */
		load_acquire(word);
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

	port_release(word);
	if (!inherits()) {
		if (__atomic_exchange_n(word, 0, __ATOMIC_RELEASE) == CONTENDED)
			port_wake_one(word);
		return;
	}
	held = context_tid();
	if (!__atomic_compare_exchange_n(word, &held, 0, false, __ATOMIC_RELEASE,
					 __ATOMIC_RELAXED)) {
		__atomic_fetch_or(word, 0, __ATOMIC_RELEASE);
		err = port_pi_unlock(word);
		if (err)
			pi_refused(word, err);
	}
}

/* ---- anyrcu_raw_spinlock_t ---- */

void anyrcu_raw_spin_init_class(anyrcu_raw_spinlock_t *lock, const char *name,
				const struct anyrcu_lock_class_key *key)
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
	port_acquire(lock);
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

void lock_either(anyrcu_spinlock_t *lock)
{
	if (context_rt())
		sleeping_lock(&lock->futex);
	else
		raw_lock(&lock->raw);
	port_acquire(lock);
}

bool lock_either_try(anyrcu_spinlock_t *lock)
{
	bool taken = context_rt() ? sleeping_try(&lock->futex) : raw_try(&lock->raw);

	if (taken)
		port_acquire(lock);
	return taken;
}

void lock_either_unlock(anyrcu_spinlock_t *lock)
{
	if (context_rt())
		sleeping_unlock(&lock->futex);
	else
		raw_unlock(&lock->raw);
}

void anyrcu_spin_init_class(anyrcu_spinlock_t *lock, const char *name,
			    const struct anyrcu_lock_class_key *key)
{
	store(&lock->raw.word, 0);
	lockdep(init, lock, &spin_type, name, key, CALLER);
}

static inline void spin_lock(anyrcu_spinlock_t *lock, unsigned subclass, const void *ip)
{
	spinning_enter();
	acquire(lock, &spin_type, ANYRCU_LOCK_WRITE, subclass, ip);
	lock_either(lock);
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
	if (!lock_either_try(lock)) {
		spinning_exit();
		return false;
	}
	acquire(lock, &spin_type, ANYRCU_LOCK_TRY, 0, CALLER);
	return true;
}

static inline void spin_unlock(anyrcu_spinlock_t *lock, const void *ip)
{
	lockdep(release, lock, ip);
	lock_either_unlock(lock);
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

void anyrcu_mutex_init_class(anyrcu_mutex_t *lock, const char *name,
			     const struct anyrcu_lock_class_key *key)
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
	port_acquire(lock);
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
	port_acquire(lock);
	acquire(lock, &mutex_type, ANYRCU_LOCK_TRY, 0, CALLER);
	return true;
}

void anyrcu_mutex_unlock(anyrcu_mutex_t *lock)
{
	lockdep(release, lock, CALLER);
	sleeping_unlock(&lock->futex);
}
