#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# The project as those find it who build and install it: with make, as an ordinary user, into a
# prefix of their own; without what only the tool needs; and as a subproject of meson.
# usage: build.sh SOURCE_DIR
set -eu
src=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"

# Nobody, if we may choose and that one can read the source.
user="setpriv --reuid=65534 --regid=65534 --clear-groups"
if [ "$(id -u)" = 0 ] && $user test -r "$src/meson.build" && $user sh -c "ls $src" >/dev/null; then
	chown 65534 "$dir"
else
	user=
fi
as()
{
	$user env HOME="$dir" "$@" >"$dir/log" 2>&1 || {
		cat "$dir/log"
		echo "failed: $*"
		exit 1
	}
}

# Whoever installs packages, or asks for them, is found out.
mkdir "$dir/fake"
for command in apt-get sudo dpkg-query; do
	printf '#!/bin/sh\necho "$0 $*" >>"%s/called"\nexit 1\n' "$dir" >"$dir/fake/$command"
	chmod 755 "$dir/fake/$command"
done
PATH=$dir/fake:$PATH
export PATH

as make -C "$src" BUILD="$dir/build" PREFIX=/usr/local
as make -C "$src" BUILD="$dir/build" PREFIX="$dir/prefix" install
[ ! -e "$dir/called" ] || { cat "$dir/called"; exit 1; }
[ -z "$(find "$dir/build" -path '*/tests/*.o')" ] || { echo "make has built tests"; exit 1; }
! grep -q -e -Werror "$dir/build/build.ninja" || { echo "warnings are errors for users"; exit 1; }
"$dir/prefix/bin/anyrcu" record -o "$dir/trace" -- true 2>"$dir/said" || {
	cat "$dir/said"
	exit 1
}
[ -s "$dir/trace" ]

as env PKG_CONFIG_LIBDIR=/nonexistent make -C "$src" BUILD="$dir/bare" \
	PREFIX="$dir/bare-prefix" install
grep -q 'the tool, "anyrcu", is left out' "$dir/log" || { cat "$dir/log"; exit 1; }
[ -n "$(find "$dir/bare-prefix" -name libanyrcu.so)" ]
[ ! -e "$dir/bare-prefix/bin/anyrcu" ]

mkdir -p "$dir/user/subprojects"
ln -s "$src" "$dir/user/subprojects/anyrcu"
cp "$src/examples/first.c" "$dir/user"
cat >"$dir/user/meson.build" <<'EOF'
project('user', 'c', default_options: 'c_std=gnu11')
executable('first', 'first.c', dependencies: dependency('anyrcu'))
executable('with_urcu', 'first.c', dependencies: dependency('anyrcu-urcu'), c_args: '-D_GNU_SOURCE')
EOF
[ -z "$user" ] || chown -R -h 65534 "$dir/user"
for how in shared static; do
	as meson setup "$dir/user-$how" "$dir/user" -Danyrcu:default_library=$how \
		--force-fallback-for=anyrcu,anyrcu-urcu
	as ninja -C "$dir/user-$how" first with_urcu
	[ "$("$dir/user-$how/first")" = "reads version 1" ]
done
[ -z "$(ldd "$dir/user-static/first" | grep anyrcu)" ]
