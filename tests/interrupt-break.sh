#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# A copy of a source with a mistake in it, which a signal at the wrong instruction brings out.
# usage: interrupt-break.sh MISTAKE SOURCE COPY
# Fails where there is nothing to change.
set -eu

case $1 in
unarmed-sequence)
	mistake='s/movq %%rax, %%fs:8(%\[rseq\])/nop/' ;;
page-taken-in-two)
	mistake='s/(p = xchg(&slot\[at\], NULL))/(store(\&slot[at], NULL), true)/' ;;
pages-counted-in-two)
	mistake='s/__atomic_fetch_add(&s->held, 1, __ATOMIC_RELAXED)/'\
'store(\&s->held, load(\&s->held) + 1)/' ;;
chain-pushed-in-two)
	mistake='s/while (!cmpxchg(&s->chain, head->next, head));'\
'/while (false);\n\tstore(\&s->chain, head);/' ;;
chain-counted-in-two)
	mistake='s/count_add(&defer_stats.chain, 1)/'\
'store(\&defer_stats.chain, load(\&defer_stats.chain) + 1)/' ;;
page-opened-in-two)
	mistake='s/if (!cmpxchg(where, old, p)) {/store(where, p);\n\tif (!p) {/' ;;
section-without-number)
	mistake='s/if (c == 0) {.*/if (false) {/' ;;
objects-claimed-in-two)
	mistake='s/if (__atomic_compare_exchange_n(&c->bump, &old, old + n, .*/if (store'\
'(\&c->bump, old + n), (true ||/' ;;
magazine-popped-in-two)
	mistake='s/if (__atomic_compare_exchange_n(stack, &old, next_tag(old) | load(link_of(m)), '\
'.*/if (store(stack, next_tag(old) | load(link_of(m))), (true/; '\
's/^\t*__ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))$/))/' ;;
element-added-in-two)
	mistake='s/return cmpxchg(&at.prev->next, at.next, (uintptr_t)node);/'\
'store(\&at.prev->next, (uintptr_t)node);\n\treturn true;/' ;;
element-removed-in-two)
	mistake='s/} while (!__atomic_compare_exchange_n(&node->next, &next, marked, .*/} while '\
'(store(\&node->next, marked), false);/; /^[[:space:]]*__ATOMIC_ACQUIRE));$/d' ;;
chain-collected-in-two)
	mistake='s/return load(&s->chain) ? xchg(&s->chain, NULL) : NULL;/'\
'struct anyrcu_head *h = load(\&s->chain);\n\tstore(\&s->chain, NULL);\n\treturn h;/' ;;
page-collected-in-two)
	mistake='s/collect_pages(xchg(where, NULL), list);/{ store(where, NULL); '\
'collect_pages(p, list); }/' ;;
held-written-first)
	mistake='/^\tt->depth++;$/d; s/^\tstore(&h->facts, n->facts);$/&\n\tcompiler_barrier()'\
';\n\tt->depth++;/' ;;
handler-left-first)
	mistake='s/i = &t->interrupted\[t->nesting - 1\];'\
'/i = \&t->interrupted[--t->nesting];\n\tcompiler_barrier();/; /^\tt->nesting--;$/d' ;;
signal-from-outside)
	mistake='s/t->handles = sig ?/t->handles |= sig ?/' ;;
esac
sed "$mistake" "$2" >"$3"
if cmp -s "$2" "$3"; then
	echo "$2: nothing to break for $1" >&2
	exit 1
fi
