#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Install what building, running and testing need, quietly and only where it is missing (Debian and
# its kin); beside that, what the tests, the machine of aarch64, the plots, coverage, the Debian
# packages, the tests of the kernel module, kernels of our own, the documentation as HTML and its
# test, or the programs that lockdep and urcu are tried on need.
# usage: deps.sh [test | aarch64-system | bench | bench-lockdep | coverage | deb | deb-install |
#                 foreign | kernel | kernel-build | lockdep | lockdep-programs | site |
#                 site-check | urcu]
set -eu

case "${1:-}" in
test) packages='valgrind spin clang-format libclang-rt-14-dev gcc-aarch64-linux-gnu
libc6-dev-arm64-cross qemu-user gcc-riscv64-linux-gnu libc6-dev-riscv64-cross musl-tools
libglib2.0-dev abigail-tools debhelper lintian' ;;
coverage) packages='gcovr' ;;
kernel-build) packages='gcc make flex bison bc libelf-dev xz-utils' ;;
aarch64-system) packages='qemu-system-arm cpio' ;;
kernel) packages='qemu-system-x86 busybox-static cpio make dwarves' ;;
site) packages='pandoc mandoc python3' ;;
site-check) packages='chromium' ;;
bench) packages='gnuplot-nox python3' ;;
deb) packages='debhelper lintian libck-dev libdw-dev libjansson-dev liburcu-dev meson pkg-config
systemtap-sdt-dev valgrind g++' ;;
deb-install) packages='debootstrap' ;;
foreign) packages='dpkg-dev make gcc pkg-config libjansson-dev liburcu-dev libgnutls28-dev
libedit-dev liblmdb-dev libcap-dev libcmocka-dev libnghttp2-dev libssl-dev libuv1-dev' ;;
lockdep) packages='redis-server redis-tools memcached nginx-light libsqlite3-dev xz-utils zstd pigz
git clang lld python3 valgrind' ;;
bench-lockdep) packages='redis-server redis-tools memcached nginx-light wrk libsqlite3-dev valgrind
python3' ;;
lockdep-programs) packages='pbzip2 lbzip2 plzip pixz p7zip-full ffmpeg x264 x265 aom-tools dav1d
svt-av1 gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good imagemagick
graphicsmagick webp sox povray tesseract-ocr tesseract-ocr-eng fonts-dejavu-core bwa minimap2
samtools stockfish python3-numpy octave r-base-core openscad apache2 curl haproxy lighttpd varnish
bind9 bind9-dnsutils knot unbound squid mosquitto mosquitto-clients rsyslog bsdutils slapd
ldap-utils tor transmission-daemon transmission-cli stunnel4 openssl postgresql mariadb-server
rocksdb-tools ruby guile-3.0 sbcl erlang-base nodejs openjdk-17-jdk-headless gcc make cmake
ninja-build gdb cargo rustc rsync aria2 sysbench fio stress-ng qemu-system-x86 qemu-utils xvfb
xterm x11-apps x11-utils x11-xserver-utils dbus libglib2.0-bin graphviz pulseaudio
pulseaudio-utils' ;;
urcu) packages='knot knot-dnsutils gdnsd lttng-tools liblttng-ust-dev babeltrace2 xfsprogs
multipath-tools glusterfs-server iproute2 python3' ;;
*) packages='gcc g++ clang libc6-dev meson ninja-build pkg-config libcmocka-dev liburcu-dev
libck-dev libjansson-dev zlib1g-dev libdw-dev systemtap-sdt-dev libseccomp-dev man-db' ;;
esac

missing=
for p in $packages; do
	dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed ||
		missing="$missing $p"
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
if ! { $sudo apt-get -qq update &&
	$sudo apt-get -qq -y --no-install-recommends install $missing; } >"$log" 2>&1; then
	cat "$log" >&2
	exit 1
fi
