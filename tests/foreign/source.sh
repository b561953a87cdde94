# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Read by the scripts beside it.

# fetch PACKAGE DIR [backport]: unpack the source package that belongs to this release of Debian
# into DIR; as a backport, the newest of the release and its backports, as its authors released it:
# without Debian's changes. The system's lists of packages are left as they are: most systems have
# none of source packages.
fetch()
{
	[ -d "$2" ] && return
	state=$(realpath "$(dirname "$2")")/apt
	mkdir -p "$state/sources" "$state/lists/partial"
	backports=
	only=
	if [ "${3:-}" = backport ]; then
		release=$(. /etc/os-release && echo "$VERSION_CODENAME")
		backports="/^Suites:/s/\$/ /; s/^Suites:.* $release .*/&$release-backports/
			/^deb-src .* $release /{p; s/ $release / $release-backports /}"
		only=--tar-only
	fi
	for list in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
		[ -f "$list" ] || continue
		sed "s/^Types:.*/Types: deb-src/; s/^deb /deb-src /; $backports" "$list" \
			>"$state/sources/$(basename "$list")"
	done
	[ ! -f "$state/sources/sources.list" ] ||
		mv "$state/sources/sources.list" "$state/sources/main.list"
	cat >"$state/conf" <<CONF
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$state/sources";
Dir::State::lists "$state/lists";
APT::Sandbox::User "root";
CONF
	export APT_CONFIG="$state/conf"
	(
		cd "$state"
		apt-get -qq update && apt-get -qq --download-only $only source "$1"
	) >"$state/log" 2>&1 &&
		unpack "$1" "$2" >>"$state/log" 2>&1 || {
		cat "$state/log"
		echo "foreign: the source of $1 cannot be had"
		return 1
	}
	unset APT_CONFIG
}

# unpack PACKAGE DIR: for fetch
unpack()
{
	if [ -z "$only" ]; then
		dpkg-source --no-check -x "$state/$1"_*.dsc "$2"
		return
	fi
	mkdir -p "$2.part"
	tar -x --strip-components=1 -C "$2.part" -f "$state/$1"_*.orig.tar.* && mv "$2.part" "$2"
}

# libdir PREFIX: where anyrcu's libraries are
libdir()
{
	PKG_CONFIG_PATH=$(dirname "$(find "$1" -name anyrcu.pc)") \
		pkg-config --variable=libdir anyrcu
}

# say_why COMMAND...: says what it has said if it fails, and ends
say_why()
{
	"$@" >"$dir/log" 2>&1 && return
	tail -n 50 "$dir/log"
	echo "foreign: failed: $*"
	exit 1
}
