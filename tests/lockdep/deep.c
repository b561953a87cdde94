/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* All that it does is deeper in the stack than what opener.c does before main() and after it. */
#include <pthread.h>
#include <stdlib.h>

int opener_has_opened(void);

int main(void)
{
	static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	volatile char room[1 << 16];

	room[0] = 0;
	pthread_mutex_lock(&m);
	pthread_mutex_unlock(&m);
	exit(opener_has_opened() ? room[0] : 1);
}
