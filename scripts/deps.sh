#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Install what building, running and testing need, quietly and only where it is missing (Debian and its kin).
# usage: deps.sh [test | coverage | lockdep | urcu]	what the tests, coverage, or the programs that lockdep and urcu are tried on need
#						beside what building and running need
set -eu

case "${1:-}" in
test) packages='spin libclang-rt-14-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user' ;;
coverage) packages='gcovr' ;;
lockdep) packages='redis-server redis-tools memcached nginx-light libsqlite3-dev xz-utils zstd python3 valgrind' ;;
urcu) packages='knot knot-dnsutils gdnsd lttng-tools liblttng-ust-dev babeltrace2 xfsprogs multipath-tools glusterfs-server iproute2
python3' ;;
*) packages='gcc clang libc6-dev meson ninja-build pkg-config libcmocka-dev liburcu-dev libck-dev
libjansson-dev zlib1g-dev libdw-dev systemtap-sdt-dev libseccomp-dev man-db' ;;
esac

missing=
for p in $packages; do
	dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing="$missing $p"
done
[ -z "$missing" ] && exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
	sudo=sudo
fi
echo "installing:$missing" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! { $sudo apt-get -qq update && $sudo apt-get -qq -y --no-install-recommends install $missing; } >"$log" 2>&1; then
	cat "$log" >&2
	exit 1
fi
