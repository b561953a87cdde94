/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The bytes of pending objects whose size the deferral gave (the sized functions).
 *
 * One word holds the sum, and in its upper bits the era: the number of forks that led to the
 * process that last set the word. A deferral reads the era, stores its object, and adds to the sum
 * if the era is still the same. A drainer moves its cursor past the object and then subtracts,
 * whatever the era is:
 *
 *     deferral:  era;  store the object;   word += bytes if word has era
 *     drainer:   move the cursor;          word -= bytes
 *     child:     the first thread that takes the lock counts the stored objects' bytes, and then
 *                sets the word, with the new era
 *
 * The sum must not stay above zero when nothing is pending, as flood control would then never end.
 * It cannot, because each addition is followed by a subtraction:
 *
 * - The deferral adds inside its read-side section, and the object becomes ready after a grace
 *   period that waits for that section.
 * - An object that the child counted was stored before the word had the new era. So its deferral
 *   read an older era, and does not add its bytes again. (The deferring thread exists in the child:
 *   it is the forking thread, whose handler forked between the two steps, or one that the child has
 *   started.)
 * - The child does not count objects that the surviving thread has taken as a drainer: that thread
 *   may move its cursor at any time, and subtracts for everything that it has taken.
 *
 * After a fork the sum may be too low, by the objects that the survivor had taken and by those that
 * were deferred while the child counted. It never goes below zero, and is correct again once it has
 * reached zero.
 *
 * The word is written in any context, by cmpxchg, and by the child that counts, by a store.
 */
#include <defer/defer.h>
#include <port/port.h>

#define SUM ((UINT64_C(1) << 48) - 1)

static uint64_t word;

uint64_t defer_era(void)
{
	return load(&word) & ~SUM;
}

uint64_t defer_bytes_pending(void)
{
	return load(&word) & SUM;
}

void defer_bytes_add(uint64_t era, uint64_t bytes)
{
	uint64_t old = load(&word), sum;

	do {
		if ((old & ~SUM) != era)
			return;
		sum = (old & SUM) + bytes;
		if (sum > SUM) /* a caller has given wrong sizes */
			sum = SUM;
	} while (!__atomic_compare_exchange_n(&word, &old, era | sum, true, __ATOMIC_SEQ_CST,
					      __ATOMIC_RELAXED));
	count_max(&defer_stats.pending_bytes_high, sum);
}

void defer_bytes_subtract(uint64_t bytes)
{
	uint64_t old = load(&word), sum;

	do {
		sum = old & SUM;
	} while (!__atomic_compare_exchange_n(&word, &old, old - (bytes < sum ? bytes : sum), true,
					      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
}

void defer_bytes_counted(uint32_t forks, uint64_t bytes)
{
	store(&word, (uint64_t)forks << 48 | bytes);
}

/*
 * For an object in the chain, the only place for its bytes is the upper bits of the word for its
 * function. Bit 63 marks that bytes are there; the 15 bits below hold them, rounded up, as a 10-bit
 * number and a 5-bit shift. If a function uses these bits itself, its bytes are not counted.
 * Addresses in the kernel have all 16 bits set, which encodes no number of bytes up to
 * DEFER_OBJECT_BYTES_MAX.
 */
#define SIZED (UINT64_C(1) << 63)
#define MANTISSA 1023u

uintptr_t defer_chain_func(uintptr_t func, uint64_t bytes)
{
	unsigned shift = 0;

	if (!bytes || func & ~SUM)
		return func;
	while (((bytes - 1) >> shift) + 1 > MANTISSA)
		shift++;
	return SIZED | (uint64_t)shift << 58 | (((bytes - 1) >> shift) + 1) << 48 | func;
}

uint64_t defer_chain_bytes(uintptr_t *func)
{
	uint64_t f = *func;

	if (!(f & SIZED) || f >> 48 == 0xffff)
		return 0;
	*func = f & SUM;
	return (f >> 48 & MANTISSA) << (f >> 58 & 31);
}
