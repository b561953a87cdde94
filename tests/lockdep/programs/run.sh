#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Do the work of one program of tests/lockdep/programs/*.sh, in the current directory, and print
# what must be the same with and without the validator. The program runs behind $watch.
# usage: run.sh NAME
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$(pwd)
server=
behind=
export PATH=/usr/bin:/bin:/usr/sbin:/sbin:/usr/games
export HOME="$dir" LC_ALL=C XDG_RUNTIME_DIR="$dir" XDG_CACHE_HOME="$dir/cache"

finish() {
	for pid in $server $behind; do
		kill "$pid" 2>/dev/null || :
	done
}
trap finish EXIT

# start PROGRAM ARG...: in the background; what it prints goes to "log".
start() {
	$watch "$@" >log 2>&1 &
	server=$!
}

# unprivileged PROGRAM ARG...: for servers that refuse to run as root, with their files in "own".
unprivileged() {
	if [ "$(id -u)" = 0 ]; then
		set -- setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"
	fi
	start "$@"
}

# own DIRECTORY: a new one that the server of "unprivileged" may write.
own() {
	mkdir "$1"
	[ "$(id -u)" != 0 ] || chown nobody:nogroup "$1"
}

# stop SIGNAL: the server is a child of the tool, if that is there, and a signal to the tool is
# passed on.
stop() {
	kill -"$1" "$server"
	ended
}

# ended [STATUS]: the server comes to its end.
ended() {
	got=0
	wait "$server" || got=$?
	server=
	[ "$got" = "${1:-0}" ] || {
		echo "exit status $got"
		tail -n 5 log
		return 1
	}
}

# serve DIRECTORY: a server of its files, which is not watched itself, on port $at.
serve() {
	at=$(port)
	(cd "$1" && exec /usr/bin/python3 -m http.server --bind 127.0.0.1 "$at" >/dev/null 2>&1) &
	behind=$!
	until_true curl -sf "http://127.0.0.1:$at/1"
}

# until_true CONDITION...: for half a minute.
until_true() {
	for _ in $(seq 300); do
		if "$@" >/dev/null 2>&1; then
			return 0
		fi
		sleep 0.1
	done
	echo "$* does not come true"
	tail -n 5 log
	return 1
}

# port: one of the loopback interface that nobody has now.
port() {
	/usr/bin/python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

for functions in archives media science servers databases languages tools desktop; do
	. "$here/$functions.sh"
done
"run_$1"
