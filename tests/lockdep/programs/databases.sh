# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Stores of data.

run_redis() {
	start redis-server --port 0 --unixsocket "$dir/redis" --save '' --io-threads 2 \
		--io-threads-do-reads yes
	until_true redis-cli -s redis ping
	redis-benchmark -s redis -t set,get,incr,lpush,lrange_100,mset -n 20000 -P 4 -c 30 \
		-q >/dev/null 2>&1
	redis-cli -s redis dbsize
	redis-cli -s redis bgsave
	until_true [ -s dump.rdb ]
	redis-cli -s redis flushall async
	redis-cli -s redis dbsize
	stop TERM
}

run_sqlite() {
	${CC:-cc} -O2 -g -pthread -o sqlite "$here/../sqlite.c" -lsqlite3
	$watch ./sqlite rows.db
}

run_postgres() {
	bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
	own pg
	unprivileged "$bin/initdb" -D pg/data -A trust -U test -N --no-locale
	ended
	unprivileged "$bin/postgres" -D pg/data -k "$dir/pg" -c listen_addresses= -c fsync=off \
		-c max_parallel_workers_per_gather=2 -c min_parallel_table_scan_size=0
	pg="-h $dir/pg -U test"
	until_true psql $pg -c 'select 1' postgres
	$watch "$bin/pgbench" $pg -i -q -s 2 postgres >>log 2>&1
	$watch "$bin/pgbench" $pg -c 8 -j 4 -t 250 postgres | grep 'actually processed'
	psql $pg -At postgres -c 'select count(*), sum(aid::bigint) from pgbench_accounts' \
		-c 'select sum(abalance) = (select sum(delta) from pgbench_history)
			from pgbench_accounts' -c 'vacuum analyze' \
		-c 'create index on pgbench_accounts (bid)' \
		-c 'select bid, count(*) from pgbench_accounts group by bid order by bid'
	kill -INT "$(head -n 1 pg/data/postmaster.pid)"
	ended
}

run_mariadb() {
	mkdir mysql
	mariadb-install-db --no-defaults --datadir="$dir/mysql" --user="$(id -un)" \
		--skip-test-db --auth-root-authentication-method=normal >log 2>&1
	start mariadbd --no-defaults --datadir="$dir/mysql" --user="$(id -un)" --skip-networking \
		--socket="$dir/sql" --pid-file="$dir/sql.pid" --innodb-buffer-pool-size=64M \
		--innodb-flush-log-at-trx-commit=2 --thread-handling=pool-of-threads
	until_true mariadb -S sql -u root -e 'select 1'
	mariadb -S sql -u root -e 'create database d; create table d.t (id int auto_increment
		primary key, a int, b varchar(80), key (a)) engine=innodb;
		create table d.m (id int, primary key (id)) engine=aria'
	clients=
	for n in 1 2 3 4; do
		{
			for i in $(seq 200); do
				echo "begin; insert into t (a, b)"
				echo "values ($i, repeat('x', $i % 80));"
				echo "update t set a = a + 1000"
				echo "where id = last_insert_id(); commit;"
			done
		} | mariadb -S sql -u root d &
		clients="$clients $!"
	done
	wait $clients
	mariadb -S sql -u root -N d -e 'select count(*) from t; insert into m select id from t;
		select count(*) from m; analyze table t; optimize table m; alter table t add c int;
		select sum(length(b)) from t; flush tables'
	mariadb-admin -S sql -u root shutdown
	ended
}

run_rocksdb() {
	$watch db_bench --db="$dir/rocks" --num=20000 --threads=4 --seed=3 \
		--benchmarks=fillrandom,readrandom,overwrite,compact,seekrandom,readwhilewriting \
		--max_background_jobs=4 --write_buffer_size=1000000 --compression_type=none \
		--histogram=0 2>log | grep -oE '^[a-z]+ +: ' | tr -d ' '
	$watch ldb --db="$dir/rocks" scan --hex 2>>log | sort -u | wc -l |
		grep -qx '[0-9]*' && echo scanned
}
