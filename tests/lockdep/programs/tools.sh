# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Tools for programs and files.

run_git() {
	$watch git init -q -b main repo
	cd repo
	git config user.email test@example.test
	git config user.name test
	GIT_AUTHOR_DATE='2020-01-01 00:00 +0000' GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
	export GIT_AUTHOR_DATE GIT_COMMITTER_DATE
	for i in $(seq 60); do
		mkdir -p "d$((i % 7))"
		head -c $((i * 3000)) "$input" | sed "s/7/seven $i/" >"d$((i % 7))/f$i"
	done
	$watch git add .
	$watch git commit -q -m one
	for i in 3 5 8; do
		sed -i 's/9/nine/' "d$((i % 7))/f$i"
		$watch git -c core.preloadIndex=true commit -q -a -m "$i"
	done
	$watch git grep --threads=4 -c 'seven 5' | sort | cksum
	$watch git -c pack.threads=4 repack -q -a -d -f --depth=20 --window=20
	$watch git index-pack --threads=4 -o pack.idx .git/objects/pack/*.pack >../log 2>&1
	$watch git -c pack.threads=4 fsck --no-progress
	$watch git -c index.threads=4 status --short
	$watch git -c checkout.workers=3 -c checkout.thresholdForParallelism=1 clone -q . ../clone
	$watch git -C ../clone log --format=%H | cksum
}

# sources: programs that fit together.
sources() {
	for i in $(seq 12); do
		cat >"part$i.cc" <<END
#include <map>
#include <string>
#include <vector>
int part$i(int n)
{
	std::map<int, std::vector<std::string>> m;
	for (int i = 0; i < n; i++)
		m[i % $i].push_back(std::to_string(i * $i));
	return m.size();
}
END
	done
	{
		for i in $(seq 12); do
			echo "int part$i(int n);"
		done
		printf '#include <stdio.h>\nint main() { int sum = 0;\n'
		for i in $(seq 12); do
			echo "sum += part$i(100);"
		done
		printf 'printf("%%d\\n", sum); }\n'
	} >main.cc
}

run_clang() {
	sources
	for i in 1 2 3; do
		$watch clang++ -O1 -flto=thin -c "part$i.cc"
	done
	printf '%s\n' '#include <stdio.h>' 'int part1(int), part2(int), part3(int);' \
		'int main() { printf("%d\n", part1(9) + part2(9) + part3(9)); }' >all.cc
	$watch clang++ -O1 -flto=thin -c all.cc
	$watch clang++ -flto=thin -fuse-ld=lld -Wl,--threads=4,--thinlto-jobs=4 -o all all.o part?.o
	./all
}

run_gcc() {
	printf '%s\n' 'int twice(int n) { return 2 * n; }' >twice.c
	printf '%s\n' '#include <stdio.h>' 'int twice(int);' \
		'int main(void) { printf("%d\n", twice(21)); }' >main.c
	printf '%s\n\t%s\n' 'main: main.o twice.o' '$(CC) -flto=2 -o $@ $^' '%.o: %.c' \
		'$(CC) -O2 -flto -c $<' >Makefile
	$watch make -s -j3 CC=gcc
	./main
}

run_cmake() {
	sources
	printf '%s\n' 'cmake_minimum_required(VERSION 3.10)' 'project(parts CXX)' \
		'file(GLOB all *.cc)' 'add_executable(parts ${all})' 'enable_testing()' \
		'foreach(n RANGE 1 12)' 'add_test(NAME t${n} COMMAND parts)' 'endforeach()' \
		>CMakeLists.txt
	$watch cmake -G Ninja -S . -B built >log
	$watch cmake --build built --parallel 3 >log
	built/parts
	(cd built && $watch ctest -j4 | grep 'tests passed')
}

run_gdb() {
	printf '%s\n' '#include <pthread.h>' 'int seen;' \
		'static void *work(void *n) { return __sync_fetch_and_add(&seen, 1), n; }' \
		'int main(void) { pthread_t t[4];' 'for (int i = 0; i < 4; i++)' \
		'pthread_create(&t[i], 0, work, 0), pthread_join(t[i], 0);' 'return seen; }' \
		>threads.c
	cc -g -pthread -o threads threads.c
	$watch gdb -q -batch -nx -ex 'set confirm off' -ex 'set worker-threads 4' \
		-ex 'break work if seen == 3' -ex run -ex 'print seen' -ex 'info line work' \
		-ex 'ptype main' -ex continue ./threads 2>/dev/null |
		grep -E '^(\$|type|.Inf.*exited)' |
		sed 's/(process [0-9]*)//'
}

run_cargo() {
	mkdir -p rust/src
	printf '%s\n' '[package]' 'name = "words"' 'version = "0.1.0"' 'edition = "2021"' \
		'[profile.dev]' 'codegen-units = 8' >rust/Cargo.toml
	cat >rust/src/main.rs <<'END'
use std::collections::BTreeMap;
use std::sync::{mpsc, Arc, Mutex};
fn main() {
    let (tx, rx) = mpsc::channel();
    let map = Arc::new(Mutex::new(BTreeMap::new()));
    let threads: Vec<_> = (0..4u64).map(|n| { let (tx, map) = (tx.clone(), map.clone());
        std::thread::spawn(move || { for i in 0..500 { tx.send(n * i).unwrap();
            *map.lock().unwrap().entry(i % 10).or_insert(0u64) += n; } }) }).collect();
    drop(tx);
    println!("{}", rx.iter().sum::<u64>());
    for t in threads { t.join().unwrap(); }
    println!("{:?}", map.lock().unwrap());
}
END
	cd rust
	CARGO_HOME=$dir/cargo $watch cargo build -q --offline -j4
	CARGO_HOME=$dir/cargo $watch cargo run -q --offline
}

run_rsync() {
	mkdir from
	for i in $(seq 50); do
		head -c $((i * 7000)) "$input" >"from/$i"
	done
	$watch rsync -a --checksum-choice=md5 from/ to/
	sed -i 's/5/five/' from/1?
	$watch rsync -a --no-whole-file --delete from/ to/
	diff -r from to && echo equal
}

run_aria2() {
	files
	serve www
	for i in $(seq 20); do
		echo "http://127.0.0.1:$at/$i"
	done >list
	$watch aria2c -q -j5 -s4 -i list -d got --no-conf --async-dns=true
	diff -r www got && echo equal
}

run_curl() {
	files
	serve www
	$watch curl -sf --parallel --parallel-max 6 --create-dirs --output-dir got -o "#1" \
		"http://127.0.0.1:$at/[1-20]" 2>log
	diff -r www got && echo equal
}

run_sysbench() {
	$watch sysbench --threads=8 --events=2000 --time=0 --thread-locks=4 threads run |
		grep 'total number of events'
	$watch sysbench --threads=8 --events=20 --time=0 --mutex-num=64 --mutex-locks=2000 \
		mutex run |
		grep 'total number of events'
	$watch sysbench --threads=4 --events=4000 --time=0 memory run |
		grep -E 'Total operations' | cut -d'(' -f1
}

# What threads, and waits of each kind, may do that few programs do.
run_stress_ng() {
	$watch stress-ng -q --temp-path "$dir" --pthread 2 --pthread-ops 3000 \
		--futex 1 --futex-ops 2000 --sem-sysv 2 --sem-sysv-ops 20000 \
		--pipe 2 --pipe-ops 20000 --eventfd 2 --eventfd-ops 20000 \
		--flock 2 --flock-ops 20000 --lockofd 2 --lockofd-ops 20000 \
		--fork 1 --fork-ops 100 --vfork 1 --vfork-ops 500 --clone 1 --clone-ops 200 \
		--close 1 --close-ops 500 --timer 1 --timer-ops 500
	echo done
}

run_fio() {
	$watch fio --minimal --name=a --thread --numjobs=3 --rw=randrw --size=2m --bs=4k \
		--ioengine=psync --verify=crc32c --directory="$dir" \
		--name=b --thread --rw=write --size=2m \
		--ioengine=posixaio --iodepth=8 >out
	cut -d';' -f3-6 out | cut -d';' -f1,3 | sort
}

run_qemu() {
	for n in 1 2; do
		qemu-img create -q -f qcow2 "disk$n" 16M
	done
	$watch qemu-img convert -m 8 -W -O qcow2 disk1 disk3
	$watch qemu-system-x86_64 -nodefaults -display none -machine q35 \
		-accel tcg,thread=multi \
		-smp 2 -m 64 -qmp "unix:$dir/qmp,server,wait=on" -object iothread,id=io \
		-drive file=disk1,if=none,id=d,aio=threads \
		-device virtio-blk-pci,drive=d,iothread=io \
		-device virtio-rng-pci >log 2>&1 &
	server=$!
	until_true [ -S qmp ]
	/usr/bin/python3 - <<'END'
import json, socket, time
s = socket.socket(socket.AF_UNIX)
s.connect("qmp")
f = s.makefile("rw")
f.readline()
def ask(command, **arguments):
    f.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
    f.flush()
    while "event" in (answer := json.loads(f.readline())):
        pass
    return answer
ask("qmp_capabilities")
print(len(ask("query-cpus-fast")["return"]))
time.sleep(2)
hmp = lambda line: ask("human-monitor-command", **{"command-line": line})["return"].strip()
for line in ("stop", "qemu-io d \"write -P 7 0 1M\"", "cont", "info status", "system_reset"):
    print(line, hmp(line).splitlines()[-1:] if line.startswith("info") else "")
ask("migrate", uri="exec:cat >state")
while ask("query-migrate")["return"].get("status") not in ("completed", "failed"):
    time.sleep(0.2)
print(ask("query-migrate")["return"]["status"])
ask("quit")
END
	ended
}
