/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A plugin for QEMU: counts instructions and modelled misses of data caches, by phase. The emulated
 * program marks where a phase begins by an instruction that does nothing, see there. Before the
 * first mark nothing is counted, nor slowed down; from then on all accesses go through the model,
 * of 32 KiB and 1 MiB, those of the kernel's other work and of interrupts too.
 *
 * For one emulated CPU. Instructions are not fetched through the model. There is no prefetch in it,
 * and no time. The package of QEMU has no header: what is used of its interface is declared here,
 * from its documentation.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernel/tests/mark.h"
#include "model.h"

#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { NO_REGS = 0, READ_WRITE = 3 };
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
					   void (*cb)(uint64_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*cb)(unsigned vcpu, void *arg), int flags,
					    void *arg);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
				      void (*cb)(unsigned vcpu, uint32_t info, uint64_t vaddr,
						 void *arg),
				      int flags, int rw, void *arg);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*cb)(uint64_t id, void *arg), void *arg);
void qemu_plugin_reset(uint64_t id, void (*cb)(uint64_t id));
void qemu_plugin_outs(const char *text);

EXPORT int qemu_plugin_version = 1;

#define PLACES 65536 /* a power of two */

struct place {
	uint64_t pc;
	uint32_t misses[MARK_PHASES];
};

static struct {
	uint64_t id;
	bool on;
	unsigned phase;
	uint64_t instructions[MARK_PHASES], l1[MARK_PHASES], l2[MARK_PHASES];
	struct place place[PLACES]; /* where the second level was missed; open addressing */
	struct caches caches;
} sim;

static void on_translate(uint64_t id, struct qemu_plugin_tb *tb);
static void say(uint64_t id, void *arg);

/* A reset takes all of them away. */
static void begin(uint64_t id)
{
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	qemu_plugin_register_atexit_cb(id, say, NULL);
}

static void on_mark(unsigned vcpu, void *arg)
{
	(void)vcpu;
	sim.phase = (uintptr_t)arg;
	if (!sim.on) {
		sim.on = true;
		qemu_plugin_reset(sim.id, begin); /* translate all anew */
	}
}

static void on_instruction(unsigned vcpu, void *arg)
{
	(void)vcpu, (void)arg;
	sim.instructions[sim.phase]++;
}

static void missed_at(uint64_t pc)
{
	for (size_t i = pc * 0x9e3779b97f4a7c15 >> 48;; i++) {
		struct place *p = &sim.place[i % PLACES];

		if (!p->pc)
			p->pc = pc;
		if (p->pc == pc) {
			p->misses[sim.phase]++;
			return;
		}
	}
}

static void on_access(unsigned vcpu, uint32_t info, uint64_t address, void *arg)
{
	unsigned missed = caches_access(&sim.caches, address);

	(void)vcpu, (void)info;
	sim.l1[sim.phase] += missed > 0;
	sim.l2[sim.phase] += missed > 1;
	if (missed > 1)
		missed_at((uintptr_t)arg);
}

static bool is_mark(const struct qemu_plugin_insn *insn, uint32_t *number)
{
	const unsigned char *data = qemu_plugin_insn_data(insn);

	if (qemu_plugin_insn_size(insn) != 7 || memcmp(data, "\x0f\x1f\x80", 3) != 0)
		return false;
	memcpy(number, data + 3, sizeof(*number));
	*number -= MARK_BASE;
	return *number < MARK_PHASES;
}

static void on_translate(uint64_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint32_t number;

		if (is_mark(insn, &number))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark, NO_REGS,
							       (void *)(uintptr_t)number);
		if (!sim.on)
			continue;
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_instruction, NO_REGS, NULL);
		qemu_plugin_register_vcpu_mem_cb(insn, on_access, NO_REGS, READ_WRITE,
						 (void *)(uintptr_t)qemu_plugin_insn_vaddr(insn));
	}
}

/* The place with most misses in this phase. */
static const struct place *worst(unsigned phase)
{
	const struct place *w = &sim.place[0];

	for (unsigned i = 1; i < PLACES; i++)
		if (sim.place[i].misses[phase] > w->misses[phase])
			w = &sim.place[i];
	return w;
}

static void say(uint64_t id, void *arg)
{
	(void)id, (void)arg;
	for (unsigned i = 1; i < MARK_PHASES; i++) {
		const struct place *w = worst(i);
		char text[200];

		if (!sim.instructions[i])
			continue;
		snprintf(text, sizeof(text),
			 "cachesim: phase %u instructions %" PRIu64 " l1 %" PRIu64 " l2 %" PRIu64
			 " worst %" PRIx64 " %" PRIu32 "\n",
			 i, sim.instructions[i], sim.l1[i], sim.l2[i], w->pc, w->misses[i]);
		qemu_plugin_outs(text);
	}
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	(void)info, (void)argc, (void)argv;
	sim.id = id;
	if (!caches_make(&sim.caches, 32 << 10, 1 << 20))
		return -1;
	begin(id);
	return 0;
}
