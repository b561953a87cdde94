/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Threads that share a connection to a database in a file, and the cache of one in memory. usage:
 * sqlite FILE
 */
#include <pthread.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 8, ROWS = 500 };

static sqlite3 *shared;

static void check(sqlite3 *db, int result)
{
	if (result != SQLITE_OK && result != SQLITE_DONE && result != SQLITE_ROW) {
		printf("%s\n", sqlite3_errmsg(db));
		exit(1);
	}
}

static sqlite3 *open_memory(void)
{
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI |
			  SQLITE_OPEN_FULLMUTEX;
	sqlite3 *db;

	check(NULL, sqlite3_open_v2("file:rows?mode=memory&cache=shared", &db, flags, NULL));
	return db;
}

static void *work(void *arg)
{
	sqlite3 *memory = open_memory();
	sqlite3_stmt *s;
	char insert[100];
	int result;

	for (int i = 0; i < ROWS; i++) {
		snprintf(insert, sizeof(insert), "INSERT INTO rows VALUES (%d, %d)",
			 (int)(intptr_t)arg, i);
		check(shared, sqlite3_exec(shared, insert, NULL, NULL, NULL));
		check(shared, sqlite3_prepare_v2(shared, "SELECT count(*) FROM rows WHERE a = ?",
						 -1, &s, NULL));
		sqlite3_bind_int(s, 1, (intptr_t)arg);
		check(shared, sqlite3_step(s));
		sqlite3_finalize(s);
		do
			result = sqlite3_exec(memory, insert, NULL, NULL, NULL);
		while (result == SQLITE_LOCKED || result == SQLITE_BUSY);
		check(memory, result);
	}
	sqlite3_close(memory);
	return NULL;
}

static void show(sqlite3 *db)
{
	sqlite3_stmt *s;

	check(db,
	      sqlite3_prepare_v2(db, "SELECT count(*), sum(a), sum(b) FROM rows", -1, &s, NULL));
	check(db, sqlite3_step(s));
	printf("%d %d %d\n", sqlite3_column_int(s, 0), sqlite3_column_int(s, 1),
	       sqlite3_column_int(s, 2));
	sqlite3_finalize(s);
}

int main(int argc, char **argv)
{
	sqlite3 *memory = open_memory();
	pthread_t threads[THREADS];

	check(NULL, sqlite3_open(argv[argc - 1], &shared));
	check(shared, sqlite3_exec(shared, "PRAGMA synchronous = off; CREATE TABLE rows (a, b)",
				   NULL, NULL, NULL));
	check(memory, sqlite3_exec(memory, "CREATE TABLE rows (a, b)", NULL, NULL, NULL));
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	show(shared);
	show(memory);
	sqlite3_close(shared);
	sqlite3_close(memory);
	return 0;
}
