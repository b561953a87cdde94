#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# The tree is as clang-format makes it of it, and no line of any text in it ends beyond column 100.
# usage: format.sh SOURCE_DIR
set -eu
cd "$1"
python3 - <<'END'
import os
import re
import subprocess
import sys

# What is not written here, or by a tool.
EXCEPT = re.compile(r"LICENSES/|bench/results/|tests/abi/|.*\.(abi|png|svg)$")
C = (".c", ".h", ".hpp", ".cpp")


def names():
    git = subprocess.run(["git", "ls-files", "-z"], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL)
    if git.returncode == 0 and git.stdout:
        return git.stdout.decode().split("\0")[:-1]
    found = []
    for where, directories, files in os.walk("."):
        directories[:] = [d for d in directories if not d.startswith((".", "build"))]
        found += [os.path.relpath(os.path.join(where, f), ".") for f in files]
    return found


def long_lines(name, text):
    """But for C's messages, which are searched for, and Markdown's tables and literal blocks."""
    literal = False
    for number, line in enumerate(text.split("\n"), 1):
        literal ^= line.startswith("```")
        message = name.endswith(C) and '"' in line and not re.match(r"\s*(/?\*|//)", line)
        table = name.endswith(".md") and (literal or line.startswith("|"))
        if len(line.expandtabs()) > 100 and not message and not table:
            yield f"{name}:{number}: ends at column {len(line.expandtabs())}"


long = []
for name in sorted(names()):
    if not EXCEPT.match(name) and os.path.isfile(name):
        with open(name, "rb") as file:
            data = file.read()
        if b"\0" not in data:
            long += long_lines(name, data.decode())
print(*long, sep="\n", end="\n" if long else "")
fits = "\t" + "x" * 92
wide = [("a.sh", fits + '"'), ("a.md", fits + "|"), ("a.c", "\t * " + fits + '"')]
if list(long_lines("a.sh", fits)) or not all(list(long_lines(*w)) for w in wide):
    sys.exit("a line that is too long was not found")
sys.exit(bool(long))
END
# Another version makes something else of the same rules.
case $(clang-format --version 2>/dev/null) in
*'version 14.'*) ;;
*)
	echo "clang-format 14 is not here"
	exit 77
	;;
esac
files()
{
	# Assembler is laid out by hand.
	find src include tools tests examples bench kernel -name '*.[ch]' |
		grep -vE '^src/port/posix/(port/(aarch64|x86_64)/|vfork\.c)'
}
if ! files | xargs clang-format --dry-run -Werror; then
	exit 1
fi
printf 'int f( void ){return 0;}\n' >"${TMPDIR:-/tmp}/format.$$.c"
if clang-format --dry-run -Werror "--style=file:.clang-format" "${TMPDIR:-/tmp}/format.$$.c" \
	2>/dev/null; then
	echo "a line that is not formatted was not found"
	rm -f "${TMPDIR:-/tmp}/format.$$.c"
	exit 1
fi
rm -f "${TMPDIR:-/tmp}/format.$$.c"
