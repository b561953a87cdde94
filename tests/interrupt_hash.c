// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Hash tables in the process that is interrupted: see interrupt_scene.c. All elements that are told
 * about have one hash value, so that handlers change the links that the operation changes.
 */
#include "interrupt.h"
#include <anyrcu/anyrcu.h>
#include <string.h>

#define VISITS 80
#define STAY 4
#define SAME 5 /* the hash value */

struct item {
	int key;
	int seen, removed; /* by a walk; by how many callers */
	struct anyrcu_hash_node node;
};

static struct anyrcu_hash *table;
static struct item subject = { .key = 1 }, replacement = { .key = 1 };
static struct item stay[STAY]; /* there all the time */
static struct item behind[VISITS]; /* of which each handler removes one, right behind the subject */
static struct item guest[VISITS]; /* of which each handler adds one */
static struct item other[200]; /* with other hash values, to make the table grow */
static int nbehind, nother;
static volatile int nvisits, winners;
static bool contest; /* handlers do to the subject what the operation does */
static struct anyrcu_hash_node *there;
static bool answer;
static int stay_found, subject_found;

static struct item *item(struct anyrcu_hash_node *node)
{
	return anyrcu_container_of(node, struct item, node);
}

static bool match(const struct anyrcu_hash_node *node, const void *key)
{
	return item((struct anyrcu_hash_node *)node)->key == *(const int *)key;
}

/* ---- the operations ---- */

void op_hash_add(void)
{
	anyrcu_hash_add(table, &subject.node, SAME);
}

void op_hash_unique(void)
{
	there = anyrcu_hash_add_unique(table, &subject.node, SAME, match, &subject.key);
}

void op_hash_replace(void)
{
	answer = anyrcu_hash_replace(table, &subject.node, &replacement.node);
}

void op_hash_del(void)
{
	answer = anyrcu_hash_del(table, &subject.node);
}

void op_hash_find(void)
{
	struct item *i;

	anyrcu_read_lock();
	anyrcu_hash_for_each_possible(i, table, SAME, node)
	{
		stay_found += i >= stay && i < stay + STAY;
		subject_found += i->key == 1;
	}
	anyrcu_read_unlock();
}

/* ---- what a handler does ---- */

static bool always_there(enum op op)
{
	return op == HASH_REPLACE || op == HASH_FIND;
}

static const char *look(enum op op)
{
	int stays = 0, subjects = 0;
	struct item *i;

	anyrcu_hash_for_each_possible(i, table, SAME, node)
	{
		stays += i >= stay && i < stay + STAY;
		subjects += i->key == 1;
	}
	if (stays != STAY)
		return "a handler does not find an element once that is there all the time";
	if (subjects > 1 || (always_there(op) && !contest && !subjects))
		return "a handler finds two elements of a key, or none";
	return NULL;
}

static const char *change(enum op op, int n)
{
	struct anyrcu_hash_node *found;

	if (n < nbehind && !anyrcu_hash_del(table, &behind[nbehind - 1 - n].node))
		return "a handler cannot remove an element";
	guest[n].key = contest && op == HASH_UNIQUE ? 1 : 2000 + n;
	found = anyrcu_hash_add_unique(table, &guest[n].node, SAME, match, &guest[n].key);
	if (found && (guest[n].key != 1 || item(found)->key != 1))
		return "a handler's element is there already";
	guest[n].removed = found != NULL;
	winners += !found && guest[n].key == 1;
	if (contest && (op == HASH_DEL || op == HASH_REPLACE))
		subject.removed += anyrcu_hash_del(table, &subject.node);
	return NULL;
}

const char *hash_visit(enum op op)
{
	const char *why;
	int n = nvisits++;

	if (!table)
		return NULL;
	if (n >= VISITS)
		return "more handlers than there is room for";
	anyrcu_read_lock();
	why = look(op) ?: change(op, n) ?: look(op);
	anyrcu_read_unlock();
	return why;
}

/* ---- what is checked ---- */

bool hash_used(void)
{
	return table;
}

static int walk(void)
{
	struct item *i;
	int n = 0;

	anyrcu_read_lock();
	anyrcu_hash_for_each(i, table, node)
	{
		i->seen++;
		n++;
	}
	anyrcu_read_unlock();
	return n;
}

/* An item that must be seen @times; where that is never, nothing may lead to it from here on. */
static bool seen(struct item *i, int times)
{
	bool right = i->seen == times;

	if (!times)
		memset(&i->node, 0xff, sizeof(i->node));
	return right;
}

static bool all_seen(enum op op)
{
	bool right = true, in = op != HASH_DEL;

	if (op == HASH_UNIQUE)
		in = !there;
	if (op == HASH_REPLACE)
		in = false;
	right &= seen(&subject, in);
	right &= seen(&replacement, op == HASH_REPLACE && answer);
	for (int i = 0; i < STAY; i++)
		right &= seen(&stay[i], 1);
	for (int i = 0; i < nbehind; i++)
		right &= seen(&behind[i], i < nbehind - nvisits);
	for (int i = 0; i < nvisits; i++)
		right &= seen(&guest[i], !guest[i].removed);
	for (int i = 0; i < nother; i++)
		right &= seen(&other[i], !other[i].removed);
	return right;
}

const char *hash_check(enum op op)
{
	int n;

	if (!table)
		return NULL;
	if (op == HASH_UNIQUE && winners + !there != 1)
		return "of several that add a key not one has succeeded";
	if ((op == HASH_DEL || op == HASH_REPLACE) && subject.removed + answer != 1)
		return "of several that remove an element not one has succeeded";
	if (op == HASH_FIND && (stay_found != STAY || subject_found != 1))
		return "a lookup does not find an element once that is there all the time";
	anyrcu_synchronize();
	n = walk();
	if (n != (int)anyrcu_hash_count(table))
		return "elements are counted wrong";
	if (!all_seen(op))
		return "an element is lost, or is there that should not be";
	anyrcu_barrier(); /* resized */
	if (walk() != n)
		return "an element is lost, or is there that should not be, after a resize";
	anyrcu_hash_destroy(table, NULL);
	table = NULL;
	return NULL;
}

/* ---- the states ---- */

static void make(enum op op, int n)
{
	table = anyrcu_hash_create(0);
	for (int i = 0; i < STAY; i++)
		anyrcu_hash_add(table, &stay[i].node, SAME);
	for (nbehind = 0; nbehind < n; nbehind++)
		anyrcu_hash_add(table, &behind[nbehind].node, SAME);
	if (op != HASH_ADD && op != HASH_UNIQUE)
		anyrcu_hash_add(table, &subject.node, SAME);
}

static void hash_table(enum op op)
{
	make(op, VISITS);
}

static void hash_contest(enum op op)
{
	contest = true;
	make(op, VISITS);
}

static void others(int n)
{
	for (; nother < n; nother++)
		anyrcu_hash_add(table, &other[nother].node, SAME + 1 + nother);
}

/* One more is one more than there are buckets. */
static void hash_grows(enum op op)
{
	make(op, 8);
	others(64 - 8 - STAY);
}

/* One less is less than an eighth of the buckets. */
static void hash_shrinks(enum op op)
{
	make(op, 8);
	others(200);
	anyrcu_barrier();
	for (int i = 0; anyrcu_hash_count(table) > anyrcu_hash_buckets(table) / 8; i++)
		other[i].removed = anyrcu_hash_del(table, &other[i].node);
}

#define ADDS (BIT(HASH_ADD) | BIT(HASH_UNIQUE))
#define REMOVES (BIT(HASH_DEL) | BIT(HASH_REPLACE))

const struct state hash_states[] = {
	{ "a hash table", ADDS | REMOVES | BIT(HASH_FIND), .prepare = hash_table },
	{ "a hash table, and all do the same", BIT(HASH_UNIQUE) | REMOVES, .prepare = hash_contest,
	  .each = true },
	{ "a hash table that is to grow", ADDS, .prepare = hash_grows },
	{ "a hash table that is to shrink", BIT(HASH_DEL), .prepare = hash_shrinks },
};
const int nhash_states = sizeof(hash_states) / sizeof(hash_states[0]);
