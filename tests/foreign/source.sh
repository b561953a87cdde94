# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Read by the scripts beside it.

# fetch PACKAGE DIR: unpack the source package that belongs to this release of Debian into DIR. The
# system's lists of packages are left as they are: most systems have none of source packages.
fetch()
{
	[ -d "$2" ] && return
	state=$(realpath "$(dirname "$2")")/apt
	mkdir -p "$state/sources" "$state/lists/partial"
	for list in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
		[ -f "$list" ] || continue
		sed 's/^Types:.*/Types: deb-src/; s/^deb /deb-src /' "$list" \
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
		apt-get -qq update && apt-get -qq --download-only source "$1"
	) >"$state/log" 2>&1 &&
		dpkg-source --no-check -x "$state/$1"_*.dsc "$2" >>"$state/log" 2>&1 || {
		cat "$state/log"
		echo "foreign: the source of $1 cannot be had"
		return 1
	}
	unset APT_CONFIG
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
