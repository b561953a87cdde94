#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Programs of Debian's at work with the validator preloaded: they do what they do without it, and
# nothing is reported but what tests/lockdep/programs/table lists and docs/lockdep-findings.md
# explains.
# usage: lockdep-programs.sh ANYRCU SOURCE_DIR [all | NAME...]; without names those of "make test"
set -eu
anyrcu=$(realpath "$1")
source=$(realpath "$2")
shift 2
programs=$source/tests/lockdep/programs
case $# in
0)
	"$source/scripts/deps.sh" lockdep
	set -- $(awk '$2 == "test" { print $1 }' "$programs/table")
	;;
*)
	"$source/scripts/deps.sh" lockdep
	"$source/scripts/deps.sh" lockdep-programs
	[ "$1" != all ] ||
		set -- $(awk '$2 == "test" || $2 == "all" { print $1 }' "$programs/table")
	;;
esac
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
chmod 711 "$dir"
cd "$dir"
seq 1500000 >input
export input="$dir/input"
cat >watch <<END
#!/bin/sh
exec "$anyrcu" lockdep --json --stats --output="\$(mktemp "$dir/reports/XXXXXX")" -- "\$@"
END
chmod +x watch
good=0
failed=

# run NAME HOW: the program's work, in a directory of its own; what it says goes to NAME.HOW.
run() {
	mkdir "$1"
	got=0
	(cd "$1" && exec timeout -k 10 300 sh "$programs/run.sh" "$1") >"$1.$2" 2>&1 || got=$?
	rm -rf "$1"
	[ "$got" = 0 ] || {
		echo "$1, $2: exit status $got"
		tail -n 10 "$1.$2"
		return 1
	}
}

# look NAME: it was watched, took locks, nothing was lost, and nothing was found that is not known.
look() {
	/usr/bin/python3 - "$1" "$programs/table" reports/* <<'END'
import fnmatch, json, sys
name, table, *files = sys.argv[1:]
known = next(line.split()[2:] for line in open(table) if line.split()[:1] == [name])
due = {k for k in known if k[0] != "["}
known = [k.strip("[]") for k in known]
found, classes, processes, bad = set(), 0, 0, 0
for file in files:
    *reports, summary = [json.loads(line) for line in open(file)]
    classes += sum(p["classes"] for p in summary["counts"])
    processes += summary["processes"]
    if not summary["complete"]:
        print(f"{name}: incomplete: {summary}")
        bad += 1
    for report in reports:
        names = [f"{report['rule']}:{lock}" for lock in report["locks"] or [""]]
        hits = {k for k in known for n in names if fnmatch.fnmatchcase(n, k)}
        found |= hits
        if not hits:
            print(f"{name}: {names}\n{report['text']}")
            bad += 1
print(f"{name}: {processes} processes, {classes} classes of locks,",
      f"known reports: {' '.join(sorted(found)) or 'none'}")
for rule in due - found:
    print(f"{name}: no report any more: {rule}")
sys.exit(bad != 0 or not due <= found or classes == 0)
END
}

# both NAME: without the validator and with it.
both() {
	export watch=
	run "$1" bare || return
	rm -rf reports
	mkdir reports
	watch=$dir/watch
	run "$1" watched || return
	cmp -s "$1.bare" "$1.watched" || {
		echo "$1 does otherwise:"
		diff "$1.bare" "$1.watched" | head -n 10
		return 1
	}
	look "$1"
}

for name; do
	if both "$name"; then
		good=$((good + 1))
	else
		failed="$failed $name"
	fi
done
echo "$good of $# programs do what they do, and nothing unknown is reported${failed:+, not$failed}"
[ -z "$failed" ]
