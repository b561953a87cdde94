# SPDX-License-Identifier: MIT OR GPL-2.0-only
# What a desktop is made of.

run_xvfb() {
	number=$((40 + $$ % 400))
	start Xvfb ":$number" -screen 0 640x480x24 -nolisten tcp -noreset
	until_true xdpyinfo -display ":$number"
	DISPLAY=:$number
	export DISPLAY
	xdpyinfo | grep dimensions
	xsetroot -solid '#203040'
	$watch xterm -geometry 80x24+0+0 -e sh -c 'seq 2000; echo done >finished' &
	client=$!
	xclock -geometry +300+200 &
	clock=$!
	until_true [ -s finished ]
	wait "$client"
	kill "$clock"
	xwd -root -silent | wc -c
	stop TERM
}

run_dbus() {
	cat >bus.conf <<END
<busconfig><type>session</type><listen>unix:path=$dir/bus</listen>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow own="*"/>
<allow eavesdrop="true"/></policy></busconfig>
END
	start dbus-daemon --nofork --config-file=bus.conf
	DBUS_SESSION_BUS_ADDRESS=unix:path=$dir/bus
	export DBUS_SESSION_BUS_ADDRESS
	until_true [ -S bus ]
	for _ in $(seq 10); do
		$watch gdbus call --session -d org.freedesktop.DBus -o /org/freedesktop/DBus \
			-m org.freedesktop.DBus.NameHasOwner org.example
		dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / \
			org.freedesktop.DBus.ListNames | wc -w
	done
	stop TERM
}

run_graphviz() {
	/usr/bin/python3 -c '
print("digraph g {")
for n in range(120):
    print("n%d -> n%d; n%d -> n%d;" % (n, n * 7 % 120, n, n * n % 113))
print("}")' >graph.dot
	for layout in dot neato; do
		$watch $layout -Tplain graph.dot | cksum
	done
	$watch dot -Tpng graph.dot | wc -c
}

run_pulseaudio() {
	start pulseaudio -n --daemonize=no --exit-idle-time=-1 --use-pid-file=no \
		-L "module-null-sink sink_name=none" \
		-L "module-native-protocol-unix socket=$dir/socket auth-anonymous=1"
	until_true pactl -s "unix:$dir/socket" info
	sox -R -n -r 44100 -c 2 tone.wav synth 1 sine 440
	for _ in 1 2 3; do
		$watch paplay -s "unix:$dir/socket" tone.wav &
	done
	$watch paplay -s "unix:$dir/socket" tone.wav
	pactl -s "unix:$dir/socket" list short sinks | cut -f2,3
	sleep 1
	stop TERM
}
