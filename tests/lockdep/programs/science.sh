# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Numbers, genomes, chess and solids.

# genome: a made-up one, and pieces of it to find in it.
genome() {
	/usr/bin/python3 - <<'END'
import random
random.seed(7)
genome = "".join(random.choices("ACGT", k=200000))
open("genome.fa", "w").write(">one\n" + genome + "\n")
with open("reads.fq", "w") as f:
    for n in range(8000):
        at = random.randrange(len(genome) - 150)
        f.write("@%d\n%s\n+\n%s\n" % (n, genome[at:at + 150], "I" * 150))
END
}

run_bwa() {
	genome
	bwa index genome.fa 2>log
	$watch bwa mem -t 4 genome.fa reads.fq 2>log | grep -v '^@PG' | cksum
}

run_minimap2() {
	genome
	$watch minimap2 -t 4 -K 200k -x sr genome.fa reads.fq 2>log | cksum
}

run_samtools() {
	genome
	minimap2 -a -x sr genome.fa reads.fq 2>log >reads.sam
	$watch samtools sort --no-PG -@ 3 -m 1M -o reads.bam reads.sam 2>log
	$watch samtools index -@ 3 reads.bam
	$watch samtools view -@ 3 reads.bam | cksum
}

run_stockfish() {
	printf '%s\n' 'setoption name Threads value 4' 'go depth 9' >moves
	{ cat moves; sleep 2; echo quit; } | $watch stockfish | grep -c '^bestmove'
}

run_numpy() {
	OPENBLAS_NUM_THREADS=4 OMP_NUM_THREADS=4 $watch /usr/bin/python3 - <<'END'
import numpy, threading
def work(n, results):
    a = numpy.arange(360000, dtype=float).reshape(600, 600) % (n + 7)
    results[n] = int((a @ a.T).sum())
    results[n] += int(round(abs(numpy.linalg.solve(a + 600 * numpy.eye(600), a)).sum()))
results = {}
threads = [threading.Thread(target=work, args=(n, results)) for n in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print(sorted(results.items()))
END
}

run_octave() {
	OPENBLAS_NUM_THREADS=4 OMP_NUM_THREADS=4 $watch octave-cli --norc --quiet --eval '
		a = reshape(mod(0:249999, 17), 500, 500); b = a * a'"'"';
		printf("%d\n", sum(b(:))); [q, r] = qr(a + 500 * eye(500));
		printf("%.3f\n", norm(q * r - a - 500 * eye(500)) < 1e-6);
		printf("%.6f\n", sum(abs(fft(1:4096))));'
}

run_r() {
	OPENBLAS_NUM_THREADS=4 OMP_NUM_THREADS=4 $watch R --vanilla -s -e '
		a <- matrix(0:249999 %% 17, 500); cat(sum(a %*% t(a)), "\n")
		cat(sum(unlist(parallel::mclapply(1:8, function(n) sum(sort(n:9999)),
			mc.cores = 2))), "\n")
		cat(round(det(crossprod(a[1:5, 1:5]) + diag(5)), 3), "\n")'
}

run_openscad() {
	cat >solid.scad <<'END'
difference() {
	cube(20, center = true);
	for (a = [0, 90]) rotate([a, a, 0]) cylinder(r = 6, h = 30, center = true, $fn = 24);
}
END
	$watch openscad -q -o solid.stl solid.scad
	sort solid.stl | cksum
}
