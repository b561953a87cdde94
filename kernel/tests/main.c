// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Runs the tests when it is loaded, all or those that only= names, and reports in KTAP. */
#include <linux/module.h>
#include <linux/string.h>

#include "test.h"

static char *only = "";
module_param(only, charp, 0444);
MODULE_PARM_DESC(only, "run the tests whose name begins so");

static char *except = "";
module_param(except, charp, 0444);
MODULE_PARM_DESC(except, "run no tests whose name begins so");

static bool load;
module_param(load, bool, 0444);
MODULE_PARM_DESC(load, "run no tests, but defer until the module is removed");

bool slow;
module_param(slow, bool, 0444);
MODULE_PARM_DESC(slow, "with load=1, some callbacks take a second");

static bool bpf;
module_param(bpf, bool, 0444);
MODULE_PARM_DESC(bpf, "run no tests, but let BPF programs defer until the module is removed");

unsigned int rounds = 3;
module_param(rounds, uint, 0444);
MODULE_PARM_DESC(rounds, "rounds of the storm of refusals");

unsigned int seconds = 3;
module_param(seconds, uint, 0444);
MODULE_PARM_DESC(seconds, "how long torture lasts");

bool drain;
module_param(drain, bool, 0444);
MODULE_PARM_DESC(drain, "tests of policies take the module's pages away meanwhile");

static const struct test {
	const char *name;
	bool (*run)(char *note);
} tests[] = {
	{ "task", test_task },
	{ "softirq", test_softirq },
	{ "spinlock", test_spinlock },
	{ "raw_spinlock", test_raw_spinlock },
	{ "hard_timer", test_hard_timer },
	{ "hard_irq_work", test_hard_irq_work },
	{ "threaded_irq", test_threaded_irq },
	{ "headless", test_headless },
	{ "mightsleep", test_mightsleep },
	{ "free_forms", test_free_forms },
	{ "mixed", test_mixed },
	{ "chain", test_chain },
	{ "refused", test_refused },
	{ "refusal_storm", test_refusal_storm },
	{ "exhausted", test_exhausted },
	{ "pages", test_pages },
	{ "readers", test_readers },
	{ "hook", test_hook },
	{ "policy_task", test_policy_task },
	{ "policy_spinlock", test_policy_spinlock },
	{ "policy_raw", test_policy_raw },
	{ "policy_variant", test_policy_variant },
	{ "policy_irq", test_policy_irq },
#ifdef CONFIG_X86
	{ "policy_nmi", test_policy_nmi },
	{ "misses", test_misses },
	{ "nmi", test_nmi },
	{ "nmi_storm", test_nmi_storm },
	{ "torture", test_torture },
	{ "step_fast", test_step_fast },
	{ "step_open", test_step_open },
	{ "step_mixed", test_step_mixed },
	{ "step_chain", test_step_chain },
	{ "step_free", test_step_free },
	{ "step_pages", test_step_pages },
	{ "step_refused", test_step_refused },
#endif
};

/* Not a part of the whole, but by name: see there. */
static bool wanted(const struct test *test)
{
	if (*except && strstarts(test->name, except))
		return false;
	return *only ? strstarts(test->name, only) :
		       !strstarts(test->name, "policy") && !strstarts(test->name, "misses") &&
			       !strstarts(test->name, "hook");
}

static int __init anyrcu_test_start(void)
{
	unsigned int n = 0, at = 0;

	for (int i = 0; i < ARRAY_SIZE(tests); i++)
		n += wanted(&tests[i]);
	if (load)
		return load_start();
	if (bpf)
		return bpf_start();
	pr_info("KTAP version 1\n1..%u\n", n);
	for (int i = 0; i < ARRAY_SIZE(tests); i++) {
		char note[NOTE] = "";
		bool good;

		if (!wanted(&tests[i]))
			continue;
		good = tests[i].run(note);
		pr_info("%s %u %s # %s\n", good ? "ok" : "not ok", ++at, tests[i].name, note);
	}
	return 0;
}

static void __exit anyrcu_test_stop(void)
{
	if (load)
		load_stop();
	if (bpf)
		bpf_stop();
}

module_init(anyrcu_test_start);
module_exit(anyrcu_test_stop);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("Tests of anyrcu");
