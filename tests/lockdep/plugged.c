/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* A plug-in with one lock, by the name LOCK; two such plug-ins have it at the same place. */
#include <pthread.h>

pthread_mutex_t LOCK = PTHREAD_MUTEX_INITIALIZER;

void inside(pthread_mutex_t *outer);
void outside(pthread_mutex_t *inner);

void inside(pthread_mutex_t *outer)
{
	pthread_mutex_lock(outer);
	pthread_mutex_lock(&LOCK);
	pthread_mutex_unlock(&LOCK);
	pthread_mutex_unlock(outer);
}

void outside(pthread_mutex_t *inner)
{
	pthread_mutex_lock(&LOCK);
	pthread_mutex_lock(inner);
	pthread_mutex_unlock(inner);
	pthread_mutex_unlock(&LOCK);
}
