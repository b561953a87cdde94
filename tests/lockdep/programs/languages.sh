# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Languages, with the threads that they have.

run_python() { $watch /usr/bin/python3 "$here/../threads.py"; }

run_perl() {
	$watch perl -Mthreads -Mthreads::shared -MThread::Queue -e '
		my ($todo, $done) = (Thread::Queue->new, Thread::Queue->new);
		my %seen : shared;
		my @threads = map { threads->create(sub {
			while (defined(my $n = $todo->dequeue)) {
				{ lock(%seen); $seen{$n} = 1; cond_signal(%seen); }
				$done->enqueue($n * $n);
			}
		}) } 1..6;
		$todo->enqueue($_) for 1..3000;
		{ lock(%seen); cond_wait(%seen) while keys(%seen) < 3000; }
		$todo->enqueue(undef) for @threads;
		$_->join for @threads;
		my $sum = 0;
		$sum += $done->dequeue for 1..3000;
		print "$sum\n";'
}

run_ruby() {
	$watch ruby -e '
		require "open3"; require "timeout"
		todo, done = Queue.new, SizedQueue.new(50)
		threads = 6.times.map { Thread.new { while n = todo.pop; done << n * n; end } }
		sum = 0
		adder = Thread.new { 3000.times { sum += done.pop } }
		3000.times { |n| todo << n }
		adder.join; 6.times { todo << nil }; threads.each(&:join)
		p sum
		lock, met, count = Mutex.new, ConditionVariable.new, 0
		20.times.map { Thread.new { lock.synchronize { count += 1; met.signal } } }
		lock.synchronize { met.wait(lock) until count == 20 }
		p count, Open3.capture2("cat", stdin_data: "child")[0]
		p((Timeout.timeout(0.2) { sleep } rescue "late"))
		p 3.times.map { |n| Ractor.new(n) { |k| (1..20000).sum * k } }.map(&:take)
		p fork { exit 3 }.then { |pid| Process.wait2(pid)[1].exitstatus }' 2>/dev/null
}

run_guile() {
	GUILE_AUTO_COMPILE=0 $watch guile -c '
		(use-modules (ice-9 threads) (ice-9 futures) (srfi srfi-1))
		(define m (make-mutex)) (define c (make-condition-variable)) (define n 0)
		(define threads (map (lambda (k) (call-with-new-thread (lambda ()
			(do ((i 0 (+ i 1))) ((= i 500))
				(with-mutex m (set! n (+ n 1)) (signal-condition-variable c)))
			(string-length (make-string 100000 #\a))))) (iota 6)))
		(with-mutex m (let loop () (if (< n 3000)
			(begin (wait-condition-variable c m) (loop)))))
		(display (map join-thread threads)) (newline)
		(gc)
		(display (par-map (lambda (k) (fold + 0 (iota (* 1000 k)))) (iota 20))) (newline)
		(display (touch (future (* 6 7)))) (newline)'
}

run_sbcl() {
	$watch sbcl --noinform --no-sysinit --no-userinit --non-interactive --eval '
		(let* ((m (sb-thread:make-mutex)) (q (sb-thread:make-waitqueue)) (n 0)
		       (threads (loop for k below 4 collect (let ((k k))
				(sb-thread:make-thread (lambda ()
				(loop repeat 200 do
					(make-list 2000)
					(sb-thread:with-mutex (m) (incf n)
						(sb-thread:condition-broadcast q)))
				k))))))
		  (sb-thread:with-mutex (m)
			(loop until (= n 800) do (sb-thread:condition-wait q m)))
		  (gc :full t)
		  (print (mapcar (function sb-thread:join-thread) threads))
		  (print n))'
}

run_erlang() {
	$watch erl +S 4:4 +A 4 -noinput -boot no_dot_erlang -eval '
		Me = self(),
		[spawn(fun() -> file:write_file("f" ++ integer_to_list(N), <<N:80000>>),
			{ok, B} = file:read_file("f" ++ integer_to_list(N)),
			Me ! {N, byte_size(B), erlang:phash2(lists:sort([X * X rem 977 ||
				X <- lists:seq(1, 2000)]))} end) || N <- lists:seq(1, 200)],
		L = lists:sort([receive M -> M end || _ <- lists:seq(1, 200)]),
		io:format("~p ~p~n", [length(L), erlang:phash2(L)]),
		T = ets:new(t, [public, {write_concurrency, true}]),
		Ps = [spawn_monitor(fun() -> [ets:update_counter(T, k, 1, {k, 0}) ||
			_ <- lists:seq(1, 2000)] end) || _ <- lists:seq(1, 8)],
		[receive {_, R, _, _, _} -> ok end || {_, R} <- Ps],
		io:format("~p~n", [ets:lookup(T, k)]), erlang:garbage_collect(), halt(0).'
}

run_node() {
	cat >work.js <<'END'
const { Worker, isMainThread, parentPort, workerData } = require("worker_threads");
const crypto = require("crypto"), zlib = require("zlib"), fs = require("fs");
if (isMainThread) {
  const results = [];
  const later = (n) => new Promise((done) => crypto.pbkdf2("word", "salt" + n, 5000, 32, "sha256",
    (e, key) => done(key.toString("hex"))));
  const packed = (n) => new Promise((done) => zlib.deflate("x".repeat(100000 * n),
    (e, out) => done(out.length)));
  Promise.all([1, 2, 3, 4, 5, 6].map(later)).then((keys) => console.log(keys.join(" ")));
  Promise.all([1, 2, 3, 4].map(packed)).then((sizes) => results.push(...sizes));
  fs.writeFileSync("out", "text");
  fs.readFile("out", "utf8", (e, text) => results.push(text));
  for (let n = 0; n < 3; n++)
    new Worker(__filename, { workerData: n }).on("message", (m) => results.push(m));
  process.on("exit", () => console.log(results.map(String).sort().join(" ")));
} else {
  let list = [];
  for (let i = 0; i < 200000; i++) list.push({ i: i * workerData });
  parentPort.postMessage(list.reduce((sum, o) => sum + o.i, 0));
}
END
	$watch node work.js
}

run_java() {
	cat >Work.java <<'END'
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.concurrent.locks.*;
import java.util.stream.*;

public class Work {
    static synchronized void add(Map<Integer, Integer> map, int n) {
        map.merge(n % 10, 1, Integer::sum);
    }
    public static void main(String[] args) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(6);
        Map<Integer, Integer> map = new TreeMap<>();
        ReentrantReadWriteLock lock = new ReentrantReadWriteLock();
        AtomicLong sum = new AtomicLong();
        List<Future<Integer>> all = new ArrayList<>();
        for (int k = 0; k < 200; k++) {
            final int n = k;
            all.add(pool.submit(() -> {
                add(map, n);
                lock.writeLock().lock();
                try { sum.addAndGet(n); } finally { lock.writeLock().unlock(); }
                return new byte[100000 + n].length;
            }));
        }
        long length = 0;
        for (Future<Integer> f : all) length += f.get();
        pool.shutdown();
        System.out.println(pool.awaitTermination(60, TimeUnit.SECONDS) + " " + map + sum
            + " " + length);
        System.out.println(IntStream.range(0, 200000).parallel().filter(n -> n % 7 == 0).count());
        System.gc();
        Object monitor = new Object();
        Thread waits = new Thread(() -> { synchronized (monitor) {
            try { monitor.wait(60000); }
            catch (InterruptedException e) { System.out.println("interrupted"); } } });
        waits.start();
        waits.interrupt();
        waits.join();
    }
}
END
	$watch javac -d classes Work.java
	ls classes
	for gc in -XX:+UseG1GC -XX:+UseParallelGC -XX:+UseZGC; do
		$watch java -Xmx256m $gc -cp classes Work
	done
}
