/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TESTS_URCU_EARLY_H
#define TESTS_URCU_EARLY_H

#define EARLY 1000

/* What the constructor of a library has deferred, and how much of it has been invoked. */
extern long early_called, early_deferred;
/* Does the library's own key of pthread_key_create(), made first of all, still have its value? */
int early_key_kept(void);

#endif
