#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Programs of Debian's that are built for liburcu, as they are installed, on anyrcu: each is
# started, used, and asked whether its answers are right; and the statistics say whether its
# deferrals went through anyrcu. "scripts/deps.sh urcu" installs them.
# usage: urcu-programs.sh ANYRCU knotd|lttng|xfs|gdnsd|multipathd|glusterd
set -eu
anyrcu=$(realpath "$1")
program=$2
dir=$(mktemp -d)
pid=
failed=0
export HOME="$dir" LTTNG_HOME="$dir" LC_ALL=C

finish()
{
	# Only what this script has started, and that by its number.
	[ -z "$pid" ] || { kill "$pid" 2>/dev/null && wait "$pid" || true; }
	rm -rf "$dir"
}
trap finish EXIT

fail()
{
	echo "urcu-programs.sh: $program: $*"
	failed=1
}

# need PROGRAM...: or the test is left out.
need()
{
	for p; do
		command -v "$p" >/dev/null || {
			echo "no $p here: scripts/deps.sh urcu installs it"
			exit 77
		}
	done
}

# start ARG...: in the background, on anyrcu.
start()
{
	"$anyrcu" urcu --json="$dir/json" -- "$@" >"$dir/out" 2>"$dir/err" &
	pid=$!
}

# until_true SECONDS COMMAND...
until_true()
{
	i=$(($1 * 10))
	shift
	until "$@" >/dev/null 2>&1; do
		i=$((i - 1))
		[ $i -gt 0 ] || {
			fail "in vain: $*: $(tail -n 5 "$dir/err" "$dir/out")"
			return 1
		}
		sleep 0.1
	done
}

# ended [STATUS]: it has come to its end by itself.
ended()
{
	got=0
	wait "$pid" || got=$?
	pid=
	[ "$got" = "${1:-0}" ] || fail "exit status $got: $(tail -n 5 "$dir/err" "$dir/out")"
}

# deferred PROGRAM FLAVOUR CALLBACKS: at least so many went through anyrcu, in pages,
# and what was not left behind was invoked.
deferred()
{
	python3 - "$dir/json" "$@" <<'PYTHON' || fail "the statistics: $(cat "$dir/json")"
import json, sys
rows = [r for r in json.load(open(sys.argv[1]))
        if r["program"] == sys.argv[2] and r["flavour"] == sys.argv[3]]
assert sum(r["callbacks"] for r in rows) >= int(sys.argv[4])
for r in rows:
    assert r["page"] == r["callbacks"] and r["chain"] == 0
    assert r["invoked"] + r["left"] == r["callbacks"]
    if r["invoked"]: # or it has ended before its first grace period
        assert r["gp_done"] > 0 and r["pending_high"] > 0
print(rows)
PYTHON
}

# ---- knotd: queries, dynamic updates and reloads at a time ----

ask() { kdig +short +retry=3 @127.0.0.1 -p 5399 "$@"; }
answers() { [ "$(ask "$1" A)" = "$2" ]; }

run_knotd()
{
	need knotd knotc kdig knsupdate
	mkdir "$dir/zones"
	cat >"$dir/conf" <<CONF
server:
    rundir: "$dir"
    listen: 127.0.0.1@5399
    udp-workers: 2
    tcp-workers: 2
    background-workers: 2
database:
    storage: "$dir"
control:
    listen: "$dir/control"
acl:
  - id: here
    address: 127.0.0.1
    action: [update, transfer]
template:
  - id: default
    storage: "$dir/zones"
    file: "%s.zone"
    acl: here
zone:
  - domain: example.com
  - domain: example.net
CONF
	for zone in example.com example.net; do
		cat >"$dir/zones/$zone.zone" <<ZONE
\$ORIGIN $zone.
\$TTL 60
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
www A 192.0.2.1
ZONE
	done
	start knotd -c "$dir/conf"
	until_true 20 answers www.example.com 192.0.2.1 || return 0
	(
		while [ ! -e "$dir/enough" ]; do
			answers www.example.com 192.0.2.1 && answers www.example.net 192.0.2.1 ||
				echo wrong >>"$dir/wrong"
			echo asked >>"$dir/asked"
		done
	) &
	asker=$!
	for i in $(seq 60); do
		printf 'server 127.0.0.1 5399\nzone example.com\n%s\nsend\n' \
			"update add h$i.example.com 60 A 192.0.2.$i" |
			knsupdate >"$dir/update" 2>&1 || fail "update $i: $(cat "$dir/update")"
		[ $((i % 6)) -ne 0 ] || {
			sed -i "s/hostmaster [0-9]*/hostmaster $((i + 1))/; s/^last.*//" \
				"$dir/zones/example.net.zone"
			echo "last A 192.0.2.$i" >>"$dir/zones/example.net.zone"
			knotc -s "$dir/control" zone-reload example.net >/dev/null
			knotc -s "$dir/control" reload >/dev/null
		}
	done
	until_true 20 answers last.example.net 192.0.2.60 || true
	for i in 1 30 60; do
		answers h$i.example.com 192.0.2.$i || fail "h$i is not there after its update"
	done
	[ "$(ask example.com AXFR +tcp | grep -c '192\.0\.2\.')" = 61 ] ||
		fail "the transferred zone has not 61 addresses"
	: >"$dir/enough"
	wait "$asker"
	[ ! -e "$dir/wrong" ] ||
		fail "wrong answers: $(wc -l <"$dir/wrong") of $(wc -l <"$dir/asked")"
	[ "$(wc -l <"$dir/asked")" -ge 5 ] || fail "hardly any queries beside the updates"
	knotc -s "$dir/control" stop >/dev/null
	ended
	deferred knotd memb 60
}

# ---- lttng-sessiond and the consumer that it starts, with traced programs ----

run_lttng()
{
	need lttng-sessiond lttng babeltrace2
	echo '#include <lttng/tracef.h>' | cc -E - >/dev/null 2>&1 || {
		echo "no lttng/tracef.h here"
		exit 77
	}
	! lttng --no-sessiond list >/dev/null 2>&1 || { echo "there is a session daemon"; exit 77; }
	cat >"$dir/traced.c" <<'CODE'
#include <lttng/tracef.h>
int main(void)
{
	for (int i = 0; i < 1000; i++)
		tracef("event %d of ours", i);
	return 0;
}
CODE
	cc "$dir/traced.c" -o "$dir/traced" -llttng-ust -ldl
	start lttng-sessiond --no-kernel
	until_true 20 lttng --no-sessiond list || return 0
	for session in one two three; do
		lttng --no-sessiond create $session --output="$dir/$session" >/dev/null
		lttng --no-sessiond enable-event -u -a >/dev/null
		lttng --no-sessiond start >/dev/null
		"$dir/traced" & "$dir/traced"
		wait $!
		lttng --no-sessiond destroy >/dev/null
		n=$(babeltrace2 "$dir/$session" | grep -c 'event .* of ours' || true)
		[ "$n" = 2000 ] || fail "session $session has $n events, not 2000"
	done
	kill "$pid"
	ended
	deferred lttng-sessiond memb 50
	deferred lttng-consumerd memb 5
}

# ---- mkfs.xfs and xfs_repair ----

run_xfs()
{
	need mkfs.xfs xfs_repair xfs_db
	image=$dir/image
	# A prototype, so that there are files: its lines are the name, then mode, owner and group,
	# then the file.
	{
		echo /nothing
		echo 0 0
		echo d--755 0 0
		for i in $(seq 200); do
			echo "f$i ---644 0 0 $0"
		done
		echo '$'
	} >"$dir/prototype"
	truncate -s 4G "$image"
	start mkfs.xfs -q -d agcount=32 -p "$dir/prototype" "$image"
	ended
	deferred mkfs.xfs memb 32
	xfs_repair -n "$image" >/dev/null 2>&1 || fail "what mkfs.xfs has made is not clean"
	# The same with damage: two of the headers of allocation groups, and a free-space root.
	for ag in 3 17; do
		xfs_db -x -c "agf $ag" -c 'write -d freeblks 1' "$image" >/dev/null 2>&1
		xfs_db -x -c "agi $ag" -c 'write -d count 7' "$image" >/dev/null 2>&1
	done
	! xfs_repair -n "$image" >/dev/null 2>&1 || fail "the damage is not seen"
	start xfs_repair "$image"
	ended
	deferred xfs_repair memb 32
	xfs_repair -n "$image" >/dev/null 2>&1 || fail "what xfs_repair has repaired is not clean"
	[ "$(xfs_db -r -c 'sb 0' -c 'p icount' "$image")" != 'icount = 0' ] ||
		fail "the files are gone"
}

# ---- gdnsd: qsbr readers; it waits by synchronize_rcu() alone: there is nothing to take over ----

run_gdnsd()
{
	need gdnsd gdnsdctl kdig
	mkdir -p "$dir/etc/zones" "$dir/run" "$dir/state"
	{
		echo "options => { listen => 127.0.0.1, dns_port => 5398,"
		echo "	run_dir => \"$dir/run\", state_dir => \"$dir/state\" }"
	} >"$dir/etc/config"
	zone()
	{
		{
			echo '$TTL 60'
			echo "@ SOA ns hostmaster $1 3600 600 900 60"
			echo '@ NS ns'
			echo 'ns A 127.0.0.1'
			echo "www A 192.0.2.$1"
		} >"$dir/etc/zones/example.org"
	}
	serves() { [ "$(kdig +short @127.0.0.1 -p 5398 www.example.org A)" = "192.0.2.$1" ]; }
	zone 1
	start gdnsd -c "$dir/etc" start
	until_true 20 serves 1 || return 0
	for i in $(seq 2 20); do
		zone "$i"
		gdnsdctl -c "$dir/etc" reload-zones >/dev/null 2>&1 || fail "reload $i"
		serves "$i" || fail "reload $i is not served"
	done
	gdnsdctl -c "$dir/etc" stop >/dev/null 2>&1
	ended
	[ "$(cat "$dir/json")" = '[]' ] ||
		fail "gdnsd defers, and this test does not know: $(cat "$dir/json")"
}

# ---- multipathd: a queue of its own for its threads, whose thread it joins at the end ----

# Where the kernel has no device mapper it ends as soon as it has read its configuration,
# as it does without anyrcu.
run_multipathd()
{
	need multipathd
	[ "$(id -u)" = 0 ] || { echo "multipathd needs root"; exit 77; }
	! multipathd show status >/dev/null 2>&1 || { echo "there is a multipathd"; exit 77; }
	alone=0
	if ! grep -qw device-mapper /proc/misc; then
		multipathd -d -s >"$dir/alone" 2>&1 || alone=$?
		start multipathd -d -s
	else
		start multipathd -d -s
		until_true 20 multipathd show status || return 0
		for i in 1 2 3; do
			multipathd reconfigure >/dev/null
			multipathd show config local >"$dir/config"
			grep -q 'polling_interval' "$dir/config" || fail "it shows no configuration"
		done
		multipathd shutdown >/dev/null || true
	fi
	ended $alone
	deferred multipathd memb 2
}

# ---- glusterd: its records of peers, flavour bp ----

run_glusterd()
{
	need glusterd gluster
	[ "$(id -u)" = 0 ] || { echo "glusterd needs root"; exit 77; }
	! ss -Hltn 2>/dev/null | grep -q ':24007 ' || { echo "there is a glusterd"; exit 77; }
	mkdir "$dir/work" "$dir/brick"
	cat >"$dir/volfile" <<VOLFILE
volume management
    type mgmt/glusterd
    option working-directory $dir/work
    option run-directory $dir
    option glusterd-sockfile $dir/socket
    option transport-type socket
    option transport.address-family inet
end-volume
VOLFILE
	gl()
	{
		timeout 600 gluster --mode=script --glusterd-sock="$dir/socket" \
			--log-file="$dir/cli.log" "$@"
	}
	start glusterd -N --volfile="$dir/volfile" --log-file="$dir/log" --pid-file="$dir/pid"
	until_true 30 gl peer status || return 0
	gl volume create one "$(uname -n):$dir/brick" force >/dev/null ||
		fail "no volume: $(tail -n 3 "$dir/cli.log")"
	gl volume info | grep -qx 'Volume Name: one' || fail "the volume is not there"
	# A peer that cannot be reached is taken up, and freed again by call_rcu().
	! timeout 10 gluster --mode=script --glusterd-sock="$dir/socket" --log-file="$dir/cli.log" \
		peer probe 192.0.2.1 >/dev/null 2>&1 || fail "it has found 192.0.2.1"
	gl peer status | grep -qx 'Number of Peers: 0' || fail "the peer has stayed"
	gl volume delete one >/dev/null || fail "the volume cannot be deleted"
	kill "$pid"
	ended 15
	deferred glusterd bp 1
}

run_"$program"
exit $failed
