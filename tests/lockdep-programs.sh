#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Programs of Debian's at work with the validator preloaded: they do what they do without it, and
# nothing is reported that is not true. What is known and true is in docs/lockdep-findings.md.
# usage: lockdep-programs.sh ANYRCU SOURCE_DIR
set -eu
anyrcu=$(realpath "$1")
here=$(cd "$2/tests/lockdep" && pwd)
"$2/scripts/deps.sh" lockdep
dir=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || :; rm -rf "$dir"' EXIT
cd "$dir"
failed=0

fail() {
	echo "lockdep-programs.sh: $*"
	failed=1
}

# both NAME FUNCTION: run it without the validator and with it.
# FUNCTION runs its program behind $watch.
both() {
	watch=
	"$2" >"$1.bare" 2>&1 || fail "$1 does not work here: $(tail -n 3 "$1.bare")"
	watch="$anyrcu lockdep --json --stats --output=$dir/$1.reports --"
	got=0
	"$2" >"$1.watched" 2>&1 || got=$?
	[ "$got" = 0 ] || fail "$1: exit status $got"
	cmp -s "$1.bare" "$1.watched" ||
		fail "$1 does otherwise: $(diff "$1.bare" "$1.watched" | head -n 10)"
	look "$1" || fail "$1"
}

# look NAME: it was watched, took locks, and nothing was found.
look() {
	/usr/bin/python3 - "$1.reports" "$1" <<'END'
import json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
for report in events[:-1]:
    print(report["text"])
summary = events[-1]
print("%s: %d reports, %d processes" % (sys.argv[2], summary["reports"], summary["processes"]))
watched = any(p["classes"] for p in summary["counts"])
sys.exit(len(events) != 1 or summary["lost"] != 0 or not watched)
END
}

# until CONDITION...: for ten seconds.
until_true() {
	for _ in $(seq 100); do
		if "$@" >/dev/null 2>&1; then
			return 0
		fi
		sleep 0.1
	done
	echo "$* does not come true"
	return 1
}

# The server is a child of the tool, if that is there, and a signal to the tool is passed on.
stop() {
	kill -"$1" "$server"
	wait "$server"
	server=
}

run_xz() {
	$watch xz -T2 -1 --block-size=1MiB -c data >data.xz
	$watch xz -T2 -dc data.xz | cksum
	cksum <data.xz
}

run_zstd() {
	$watch zstd -q -T2 -9 -c data >data.zst
	$watch zstd -q -dc data.zst | cksum
	cksum <data.zst
}

run_python() {
	$watch /usr/bin/python3 "$here/threads.py"
}

run_sqlite() {
	rm -f rows.db
	$watch ./sqlite rows.db
}

run_redis() {
	$watch redis-server --port 0 --unixsocket "$dir/redis" --save '' --io-threads 2 \
		--io-threads-do-reads yes >redis.log 2>&1 &
	server=$!
	until_true redis-cli -s redis ping
	redis-benchmark -s redis -t set,get,incr,lpush,lrange_100,mset -n 20000 -P 4 -c 30 \
		-q >/dev/null 2>&1
	redis-cli -s redis dbsize
	redis-cli -s redis bgsave
	until_true [ -s dump.rdb ]
	redis-cli -s redis flushall async
	redis-cli -s redis dbsize
	stop TERM
	rm -f dump.rdb
}

run_memcached() {
	rm -f memcached
	$watch memcached -u "$(id -un)" -s "$dir/memcached" -t 4 -m 64 \
		-o slab_reassign,slab_automove,lru_crawler,lru_maintainer &
	server=$!
	until_true [ -S memcached ]
	/usr/bin/python3 "$here/load.py" memcached memcached
	stop TERM
}

run_nginx() {
	rm -f nginx
	$watch nginx -p "$dir" -c "$dir/nginx.conf" -e nginx.log &
	server=$!
	until_true [ -S nginx ]
	/usr/bin/python3 "$here/load.py" http nginx
	kill -HUP "$(cat nginx.pid)"
	sleep 0.5
	/usr/bin/python3 "$here/load.py" http nginx
	kill -QUIT "$(cat nginx.pid)"
	wait "$server"
	server=
}

seq 1500000 >data
mkdir www
for i in $(seq 20); do
	head -c $((i * 30000)) data >"www/$i"
done
cat >nginx.conf <<END
user $(id -un) $(id -gn);
pid nginx.pid;
worker_processes 2;
daemon off;
thread_pool readers threads=4;
events { worker_connections 256; }
http {
	access_log off;
	aio threads=readers;
	sendfile off;
	directio 4k;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	server { listen unix:$dir/nginx; root $dir/www; }
}
END
${CC:-cc} -O2 -g -pthread -o sqlite "$here/sqlite.c" -lsqlite3

for name in xz zstd python sqlite redis memcached nginx; do
	both $name run_$name
done
exit $failed
