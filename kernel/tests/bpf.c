// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * bpf=1: until the module is removed, BPF programs may call anyrcu_test_bpf_defer(), which defers
 * an object in whatever context the program runs in. attach.c has the programs.
 */
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/module.h>
#include <linux/preempt.h>

#include "test.h"

#define MANY 20000

/* kernels before 6.9 */
#ifndef BTF_KFUNCS_START
#define BTF_KFUNCS_START(name) BTF_SET8_START(name)
#define BTF_KFUNCS_END(name) BTF_SET8_END(name)
#endif
#ifndef __bpf_kfunc
#define __bpf_kfunc __used noinline
#endif
#ifndef __bpf_kfunc_start_defs
#define __bpf_kfunc_start_defs() \
	__diag_push();           \
	__diag_ignore_all("-Wmissing-prototypes", "called by BPF programs")
#define __bpf_kfunc_end_defs() __diag_pop()
#endif

static struct objects objects;
static atomic_t in_irq, irqs_off, in_task;

__bpf_kfunc_start_defs();

__bpf_kfunc void anyrcu_test_bpf_defer(void)
{
	if (objects_defer(&objects))
		atomic_inc(in_hardirq() ? &in_irq : irqs_disabled() ? &irqs_off : &in_task);
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(kfuncs)
BTF_ID_FLAGS(func, anyrcu_test_bpf_defer)
BTF_KFUNCS_END(kfuncs)

static const struct btf_kfunc_id_set set = { .owner = THIS_MODULE, .set = &kfuncs };

int bpf_start(void)
{
	int error = objects_make(&objects, MANY);

	return error ?: register_btf_kfunc_id_set(BPF_PROG_TYPE_TRACING, &set);
}

void bpf_stop(void)
{
	bool good = objects_settle(&objects) && atomic_read(&in_irq) && atomic_read(&irqs_off) &&
		    atomic_read(&in_task);

	pr_info("bpf: %s, deferred in hard interrupts: %d, with interrupts off: %d, in tasks: %d\n",
		good ? "complete" : "INCOMPLETE", atomic_read(&in_irq), atomic_read(&irqs_off),
		atomic_read(&in_task));
	objects_free(&objects);
}
