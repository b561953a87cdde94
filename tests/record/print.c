/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Print a trace: a line for the whole, and one for each event. */
#include <stdio.h>
#include <stdlib.h>

#include "trace/trace.h"

int main(int argc, char **argv)
{
	char *error = NULL;
	struct trace *t = argc == 2 ? trace_read(argv[1], &error) : NULL;

	if (!t) {
		fprintf(stderr, "%s\n", error ? error : "usage: print FILE");
		free(error);
		return 1;
	}
	printf("events %zu objects %u threads %u processes %u\n", t->nevents, t->nobjects,
	       t->nthreads, t->nprocesses);
	for (size_t i = 0; i < t->nevents; i++) {
		const struct trace_event *e = &t->events[i];

		if (e->is_free)
			printf("free %u %u\n", e->thread, e->object);
		else
			printf("alloc %u %u %llu\n", e->thread, e->object,
			       (unsigned long long)e->size);
	}
	trace_free(t);
	return 0;
}
