# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Compressors with threads, and sort.

# packs COMPRESS EXPAND: 10 MB, which come back as they were.
packs() {
	$watch $1 <"$input" >packed
	$watch $2 <packed | cmp - "$input"
	cksum <packed
}

run_xz() { packs 'xz -T2 -1 --block-size=1MiB -c' 'xz -T2 -dc'; }
run_zstd() { packs 'zstd -q -T2 -9 -c' 'zstd -q -dc'; }
run_pigz() { packs 'pigz -p 4 -n -c' 'pigz -dc'; }
run_pbzip2() { packs 'pbzip2 -p4 -b5 -c' 'pbzip2 -p4 -dc'; }
run_lbzip2() { packs 'lbzip2 -n4 -c' 'lbzip2 -n4 -dc'; }
run_plzip() { packs 'plzip -n4 -1 -B1MiB -c' 'plzip -n4 -dc'; }
run_pixz() { packs 'pixz -p4 -1 -t' 'pixz -d -p4'; }

run_7z() {
	for method in LZMA2 PPMd BZip2; do
		$watch 7z a -bd -mmt4 -mx3 -m0=$method "$method.7z" "$input" >log
		$watch 7z t -bd -mmt4 "$method.7z" | grep '^Everything'
		$watch 7z x -bd -mmt4 -so "$method.7z" | cmp - "$input"
	done
}

run_sort() {
	$watch sort --parallel=4 -S 20M -r "$input" | cksum
}
