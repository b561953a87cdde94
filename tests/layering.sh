#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Each layer includes only those below it, and the core no header of libc but the freestanding ones.
# usage: layering.sh SOURCE_DIR
set -eu
cd "$1"
bad=0

# allow DIR PATTERN: what the files of a layer may include.
allow()
{
	found=$(grep -nE '^#[[:space:]]*include' $(find "$1" -name '*.[ch]' -o -name '*.hpp') |
		grep -vE "include <($2)>" || true)
	if [ -n "$found" ]; then
		echo "$1 may not include:"
		echo "$found"
		bad=1
	fi
}

free='stddef\.h|stdint\.h|stdbool\.h|stdatomic\.h|limits\.h'
public='anyrcu/[a-z/]+\.h'
allow src/base "$free|anyrcu/inline/reader\.h"
allow src/port/port.h "base/[a-z]+\.h|port/platform\.h|sys/sdt\.h"
allow src/port/process.h "port/port\.h"
allow src/pages "$free|base/.*|port/(port|process)\.h|pages/.*|anyrcu/page\.h"
allow src/gp "$free|base/.*|port/(port|process|event)\.h|gp/.*|anyrcu/(rcu|config)\.h"
allow src/context "$free|base/.*|port/(port|process)\.h|lockdep/lockdep\.h|pages/pages\.h"\
'|context/.*|anyrcu/(context|lock|rcu)\.h'
allow src/cache "$free|base/.*|port/(port|process)\.h|port/magazine\.h|gp/gp\.h"\
'|cache/.*|anyrcu/(cache|page|rcu)\.h'
allow src/store "$free|base/.*|port/port\.h|port/append\.h|pages/pages\.h|store/.*|anyrcu/defer\.h"
allow src/defer "$free|base/.*|port/(port|process|event|exchange)\.h|lockdep/lockdep\.h"\
'|pages/pages\.h|gp/gp\.h|cache/cache\.h|context/context\.h|store/store\.h'\
'|defer/.*|anyrcu/(defer|config|page)\.h'
allow src/domain "$free|base/.*|port/(port|process|event)\.h|pages/pages\.h|gp/gp\.h"\
'|store/store\.h|domain/.*|anyrcu/(domain|page)\.h'
allow src/data "$free|base/.*|port/(port|process)\.h|pages/pages\.h|gp/gp\.h"\
'|anyrcu/(list|hash|defer|page)\.h'
allow include/anyrcu/linux.h 'linux/(build_bug|stddef|types)\.h|anyrcu/linux-stats\.h'
allow include/anyrcu/linux-stats.h 'linux/types\.h'
for part in $(ls -d include/anyrcu/*.h include/anyrcu/inline | grep -v /linux); do
	allow "$part" "$free|$public|signal\.h|valgrind/helgrind\.h"
done
# C++'s own library, and the headers that it is made of.
allow include/anyrcu/rcu.hpp "atomic|cstddef|exception|memory|new|type_traits|utility|$public"
# The interface of liburcu includes what that does, but nothing of how anyrcu works inside.
allow include/anyrcu/compat "$free|anyrcu/(rcu|inline/api|inline/reader)\.h|urcu[a-z/._-]*"\
'|assert\.h|errno\.h|poll\.h|pthread\.h|stdlib\.h|sys/syscall\.h|time\.h|unistd\.h'

# The check itself must be able to fail.
if ! printf '#include <stdio.h>\n' | grep -vE "include <($free)>" >/dev/null; then
	echo "the check lets everything through"
	bad=1
fi
exit $bad
