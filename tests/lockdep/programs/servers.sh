# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Servers, each with its own clients, on sockets in the directory or ports of the loopback
# interface.

load() { /usr/bin/python3 "$here/../load.py" "$@"; }

# files: what servers of files serve.
files() {
	mkdir www
	for i in $(seq 20); do
		head -c $((i * 30000)) "$input" >"www/$i"
	done
	chmod 755 . www
}

run_memcached() {
	$watch memcached -u "$(id -un)" -s "$dir/memcached" -t 4 -m 64 \
		-o slab_reassign,slab_automove,lru_crawler,lru_maintainer &
	server=$!
	until_true [ -S memcached ]
	load memcached memcached
	stop TERM
}

run_nginx() {
	files
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
	start nginx -p "$dir" -c "$dir/nginx.conf" -e nginx.log
	until_true [ -S nginx ]
	load http nginx
	kill -HUP "$(cat nginx.pid)"
	sleep 0.5
	load http nginx
	kill -QUIT "$(cat nginx.pid)"
	ended
}

run_apache() {
	files
	at=$(port)
	modules=/usr/lib/apache2/modules
	cat >apache.conf <<END
ServerRoot $dir
ServerName localhost
PidFile $dir/apache.pid
ErrorLog $dir/errors
Listen 127.0.0.1:$at
LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule deflate_module $modules/mod_deflate.so
LoadModule filter_module $modules/mod_filter.so
LoadModule cache_module $modules/mod_cache.so
LoadModule socache_shmcb_module $modules/mod_socache_shmcb.so
LoadModule status_module $modules/mod_status.so
User nobody
Group nogroup
StartServers 2
ServerLimit 3
ThreadsPerChild 8
MaxRequestWorkers 24
DocumentRoot $dir/www
<Directory $dir/www>
	Require all granted
	SetOutputFilter DEFLATE
</Directory>
<Location /status>
	SetHandler server-status
</Location>
END
	start apache2 -f "$dir/apache.conf" -DFOREGROUND
	until_true curl -sf "http://127.0.0.1:$at/1"
	load http "127.0.0.1:$at"
	curl -s "http://127.0.0.1:$at/status?auto" | grep -c '^BusyWorkers'
	kill -USR1 "$(cat apache.pid)"
	sleep 1
	load http "127.0.0.1:$at"
	stop TERM
}

run_haproxy() {
	files
	serve www
	cat >haproxy.conf <<END
global
	nbthread 4
	stats socket $dir/stats level admin
defaults
	mode http
	timeout connect 20s
	timeout client 20s
	timeout server 20s
cache pages
	total-max-size 16
	max-object-size 100000
frontend in
	bind unix@$dir/front
	http-request track-sc0 src table counts
	http-request cache-use pages
	http-response cache-store pages
	compression algo gzip
	default_backend out
backend out
	balance roundrobin
	server a 127.0.0.1:$at check inter 200ms
	server b 127.0.0.1:$at check inter 200ms
backend counts
	stick-table type ip size 100k expire 5s store http_req_rate(1s)
END
	start haproxy -f haproxy.conf -db
	until_true curl -sf --unix-socket front http://x/1
	load http front
	/usr/bin/python3 - <<'END'
import socket
for command in ("disable server out/b", "show info", "show stat", "enable server out/b"):
    s = socket.socket(socket.AF_UNIX)
    s.connect("stats")
    s.sendall(command.encode() + b"\n")
    answer = s.recv(65536).decode()
    print(command, bool(answer))
    for line in answer.splitlines():
        if line.startswith("Pid: "):
            open("pid", "w").write(line[5:])
END
	kill -USR1 "$(cat pid)"
	ended
}

run_lighttpd() {
	files
	printf '%s\n' "server.document-root = \"$dir/www\"" "server.bind = \"$dir/front\"" \
		'server.pid-file = "'"$dir"'/lighttpd.pid"' 'server.modules += ( "mod_status" )' \
		'status.status-url = "/status"' >lighttpd.conf
	start lighttpd -D -f lighttpd.conf
	until_true curl -sf --unix-socket front http://x/1
	load http front
	stop TERM
}

run_varnish() {
	files
	serve www
	start varnishd -F -n "$dir/varnish" -a "$dir/front" -b "127.0.0.1:$at" -j none \
		-p thread_pools=2 -p thread_pool_min=20 -s malloc,64m -t 2
	until_true curl -sf --unix-socket front http://x/1
	load http front
	varnishadm -n "$dir/varnish" ban 'req.url ~ 1'
	load http front
	varnishadm -n "$dir/varnish" status
	stop TERM
}

# zone FILE: of example.test.
zone() {
	{
		printf '%s\n' '$ORIGIN example.test.' '$TTL 300' \
			'@ SOA ns.example.test. root.example.test. 1 3600 600 86400 300' \
			'@ NS ns.example.test.' 'ns A 127.0.0.1'
		for i in $(seq 200); do
			echo "host$i A 192.0.2.$i"
		done
	} >"$1"
}

# asks PORT: for what is in the zone.
asks() {
	until_true dig +short +time=1 +tries=1 @127.0.0.1 -p "$1" host1.example.test
	seq 200 | sed 's/.*/host&.example.test A/' >questions
	clients=
	for n in 1 2 3; do
		dig +short +time=10 @127.0.0.1 -p "$1" -f questions >"answers.$n" &
		clients="$clients $!"
	done
	dig +short +tcp +time=10 @127.0.0.1 -p "$1" -f questions | cksum
	wait $clients
	sort answers.? | uniq -c | cksum
}

run_named() {
	zone zone
	at=$(port)
	rndc=$(port)
	rndc-confgen -a -q -c rndc.key 2>log || rndc-confgen -a -c rndc.key 2>log
	cat >named.conf <<END
options {
	directory "$dir";
	pid-file none;
	listen-on port $at { 127.0.0.1; };
	listen-on-v6 { none; };
	recursion no;
	dnssec-validation no;
	session-keyfile "$dir/session.key";
};
include "$dir/rndc.key";
controls { inet 127.0.0.1 port $rndc allow { 127.0.0.1; } keys { rndc-key; }; };
zone "example.test" { type primary; file "zone"; allow-update { 127.0.0.1; }; };
END
	start named -c "$dir/named.conf" -g -n 4
	asks "$at"
	printf '%s\n' "server 127.0.0.1 $at" 'zone example.test.' \
		'update add new.example.test. 60 A 192.0.2.201' send | nsupdate
	dig +short @127.0.0.1 -p "$at" new.example.test
	rndc -k rndc.key -p "$rndc" reload 2>&1
	asks "$at"
	rndc -k rndc.key -p "$rndc" stop
	ended
}

run_knotd() {
	mkdir zones
	zone zones/example.test.zone
	at=$(port)
	cat >knot.conf <<END
server:
    rundir: "$dir"
    listen: 127.0.0.1@$at
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
    dnssec-signing: on
zone:
  - domain: example.test
END
	start knotd -c knot.conf
	asks "$at"
	printf '%s\n' "server 127.0.0.1 $at" 'zone example.test.' \
		'update add new.example.test. 60 A 192.0.2.201' send | nsupdate
	until_true new_one
	knotc -s control reload
	asks "$at"
	knotc -s control stop
	ended
}

new_one() { dig +short @127.0.0.1 -p "$at" new.example.test | grep -q .; }

run_unbound() {
	at=$(port)
	{
		printf '%s\n' 'server:' " directory: \"$dir\"" ' chroot: ""' ' username: ""' \
			' num-threads: 4' " interface: 127.0.0.1@$at" ' do-daemonize: no' \
			' use-syslog: no' ' local-zone: "example.test." static' ' pidfile: ""'
		for i in $(seq 200); do
			echo " local-data: \"host$i.example.test. A 192.0.2.$i\""
		done
		printf '%s\n' 'remote-control:' ' control-enable: yes' ' control-use-cert: no' \
			" control-interface: $dir/control"
	} >unbound.conf
	start unbound -d -c unbound.conf
	asks "$at"
	unbound-control -c unbound.conf local_data new.example.test. A 192.0.2.201
	dig +short @127.0.0.1 -p "$at" new.example.test
	unbound-control -c unbound.conf reload
	asks "$at"
	unbound-control -c unbound.conf stop
	ended
}

run_squid() {
	files
	own squid
	serve www
	through=$(port)
	cat >squid.conf <<END
http_port 127.0.0.1:$through
http_access allow all
cache_effective_user nobody
cache_effective_group nogroup
cache_dir aufs $dir/squid/cache 64 4 4
cache_log $dir/squid/cache.log
access_log none
pid_filename $dir/squid/pid
coredump_dir $dir/squid
pinger_enable off
shutdown_lifetime 1 second
END
	squid -N -f "$dir/squid.conf" -z >log 2>&1
	rm -f squid/pid
	start squid -N -f "$dir/squid.conf"
	until_true curl -sf -x "http://127.0.0.1:$through" "http://127.0.0.1:$at/1"
	for _ in 1 2 3; do
		curl -sf -x "http://127.0.0.1:$through" --parallel --output-dir got \
			--create-dirs -o "#1" "http://127.0.0.1:$at/[1-20]" 2>>log
		diff -r www got && echo equal
	done
	stop TERM
}

run_mosquitto() {
	printf '%s\n' "listener 0 $dir/mqtt" 'allow_anonymous true' "user $(id -un)" >mosquitto.conf
	start mosquitto -c mosquitto.conf
	until_true mosquitto_pub --unix mqtt -t ready -m yes
	$watch mosquitto_sub --unix mqtt -t 'numbers/#' -q 1 -C 2000 >got &
	client=$!
	until_true mosquitto_pub --unix mqtt -t ready -m yes
	sleep 1
	seq 2000 | mosquitto_pub --unix mqtt -t numbers/all -q 1 -l
	wait "$client"
	cksum <got
	stop TERM
}

run_rsyslogd() {
	cat >rsyslog.conf <<END
module(load="imuxsock" SysSock.Use="off")
module(load="imfile")
input(type="imuxsock" Socket="$dir/log-in")
global(workDirectory="$dir")
template(name="plain" type="string" string="%msg%\n")
main_queue(queue.workerThreads="4" queue.workerThreadMinimumMessages="10")
action(type="omfile" file="$dir/out1" template="plain" asyncWriting="on" flushInterval="1"
	queue.type="LinkedList" queue.workerThreads="2")
action(type="omfile" file="$dir/out2" template="plain" queue.type="FixedArray")
END
	start rsyslogd -n -i "$dir/rsyslogd.pid" -f rsyslog.conf
	until_true [ -S log-in ]
	for n in 1 2 3 4; do
		seq "$n" 4 4000 | sed 's/^/number /' | logger -u log-in -t test &
	done
	until_true numbers_are_in
	kill -HUP "$(cat rsyslogd.pid)"
	sleep 0.3
	kill -TERM "$(cat rsyslogd.pid)"
	ended
	for out in out1 out2; do
		sort "$out" | grep number | cksum
	done
}
numbers_are_in() { [ "$(cat out1 out2 | grep -c number)" = 8000 ]; }

run_slapd() {
	mkdir base
	cat >slapd.conf <<END
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile $dir/slapd.pid
threads 8
database mdb
suffix "dc=test"
rootdn "cn=admin,dc=test"
rootpw word
directory $dir/base
index objectClass,uid eq
END
	printf 'dn: dc=test\nobjectClass: domain\ndc: test\n\n' >people
	for i in $(seq 300); do
		printf '%s\n' "dn: uid=u$i,dc=test" 'objectClass: inetOrgPerson' "uid: u$i" \
			"cn: user $i" "sn: $i" ''
	done >>people
	at="ldapi://$(echo "$dir/ldap" | sed 's,/,%2F,g')"
	start slapd -d 0 -f slapd.conf -h "$at"
	until_true [ -S ldap ]
	until_true ldapsearch -x -H "$at" -b '' -s base
	ldapadd -x -H "$at" -D cn=admin,dc=test -w word -f people | grep -c adding
	for i in 1 2 3 4; do
		ldapsearch -x -LLL -H "$at" -b dc=test '(uid=u1*)' cn >"found$i" &
	done
	ldapsearch -x -LLL -H "$at" -b dc=test '(uid=u*)' cn | cksum
	printf 'dn: uid=u7,dc=test\nchangetype: delete\n' |
		ldapmodify -x -H "$at" -D cn=admin,dc=test -w word
	ldapsearch -x -LLL -H "$at" -b dc=test '(sn=7)' | wc -l
	stop TERM
	cat found? | cksum
}

run_tor() {
	own tor
	chmod 700 tor
	socks=$(port)
	touch torrc
	unprivileged tor -f "$dir/torrc" --defaults-torrc "$dir/torrc" --DataDirectory "$dir/tor" \
		--DisableNetwork 1 --SocksPort "$socks" --ControlSocket "$dir/tor/control" \
		--CookieAuthentication 0 --NumCPUs 4 --Log "notice stdout"
	until_true [ -S tor/control ]
	/usr/bin/python3 - <<'END'
import socket
s = socket.socket(socket.AF_UNIX)
s.connect("tor/control")
f = s.makefile("rw")
for command in ('AUTHENTICATE ""', "GETCONF NumCPUs", "ADD_ONION NEW:BEST Port=80",
                "SIGNAL RELOAD", "SIGNAL NEWNYM", "SIGNAL SHUTDOWN"):
    f.write(command + "\r\n")
    f.flush()
    while (line := f.readline())[3:4] == "-":
        pass
    print(command, line.strip())
END
	ended
}

run_transmission() {
	mkdir seeds gets
	cp "$input" seeds/numbers
	transmission-create -o numbers.torrent -t http://127.0.0.1:9/announce seeds/numbers >log
	rpc=$(port)
	start transmission-daemon -f -g "$dir/state" -w "$dir/seeds" -p "$rpc" -r 127.0.0.1 -T \
		--no-portmap --no-dht --no-lpd -P "$(port)"
	until_true transmission-remote "$rpc" -l
	transmission-remote "$rpc" -a numbers.torrent >>log
	transmission-remote "$rpc" -t 1 -v >>log
	until_true all_there
	transmission-remote "$rpc" -t 1 -i | grep -E 'Name|Percent|Pieces'
	stop TERM
}
all_there() { transmission-remote "$rpc" -t 1 -i | grep -q 'Percent Done: 100%'; }

run_stunnel() {
	files
	openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 30 -keyout key.pem \
		-out cert.pem 2>log
	serve www
	tls=$(port)
	printf '%s\n' 'foreground = yes' 'pid =' '[web]' "accept = 127.0.0.1:$tls" \
		"connect = 127.0.0.1:$at" "cert = $dir/cert.pem" "key = $dir/key.pem" >stunnel.conf
	start stunnel4 "$dir/stunnel.conf"
	until_true curl -skf "https://127.0.0.1:$tls/1"
	for i in $(seq 20); do
		curl -skf "https://127.0.0.1:$tls/$i" >"got$i" &
	done
	until_true all_got
	cat got? got?? | cksum
	stop TERM
}
all_got() { [ "$(cat got? got?? | wc -c)" = "$(cat www/* | wc -c)" ]; }
