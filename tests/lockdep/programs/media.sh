# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Encoders and pictures.

# moving: a short film to encode, as the encoders read it.
moving() {
	ffmpeg -v error -nostdin -f lavfi -i testsrc=duration=2:size=320x240:rate=25 \
		-pix_fmt yuv420p film.y4m
}

# still: a picture, as tools for pictures read it.
still() {
	/usr/bin/python3 -c 'import sys
w, h = 640, 480
sys.stdout.buffer.write(b"P6\n%d %d\n255\n" % (w, h) + bytes(
    v for y in range(h) for x in range(w) for v in (x * y >> 4 & 255, (x ^ y) & 255, x + y & 255)))
' >still.ppm
}

run_ffmpeg() {
	$watch ffmpeg -v error -nostdin -f lavfi -i testsrc=duration=3:size=320x240:rate=25 \
		-f lavfi -i sine=duration=3 -filter_threads 3 -vf scale=400:300,hue=s=0.5 \
		-c:v libx264 -preset veryfast -threads 4 -c:a aac -bitexact film.mkv
	$watch ffmpeg -v error -nostdin -threads 4 -i film.mkv -f framemd5 - | cksum
	for codec in mpeg4 vp9; do
		$watch ffmpeg -v error -nostdin -i film.mkv -an -c:v $codec -threads 4 -t 1 \
			-row-mt 1 -bitexact -f framemd5 - | cksum
	done
}

run_x264() {
	moving
	$watch x264 --quiet --no-progress --threads 4 --preset fast -o film.264 film.y4m 2>log
	cksum <film.264
}

run_x265() {
	moving
	$watch x265 --log-level error --no-progress --pools 4 --frame-threads 3 --preset fast \
		--frames 30 -o film.265 --input film.y4m
	cksum <film.265
}

run_aomenc() {
	moving
	$watch aomenc -q --threads=4 --row-mt=1 --cpu-used=8 --limit=12 -o film.ivf --ivf film.y4m
	$watch dav1d -q --threads 4 -i film.ivf -o - --muxer md5
}

run_svtav1() {
	moving
	$watch SvtAv1EncApp --preset 10 --lp 4 -n 25 -i film.y4m -b film.ivf --progress 0 \
		>log 2>&1
	$watch dav1d -q --threads 4 -i film.ivf -o - --muxer md5
}

run_gstreamer() {
	$watch gst-launch-1.0 -q videotestsrc num-buffers=150 ! video/x-raw,width=160,height=120 ! \
		tee name=t ! queue ! videoconvert ! videoscale ! \
		video/x-raw,width=320,height=240 ! \
		pngenc compression-level=1 ! multifilesink location=frame-%03d.png \
		t. ! queue ! videoflip method=clockwise ! queue ! y4menc ! \
		filesink location=turned \
		audiotestsrc num-buffers=200 ! queue ! audioresample ! audioconvert ! wavenc ! \
		filesink location=sound.wav
	cat frame-*.png turned sound.wav | cksum
	ls frame-*.png | wc -l
}

run_imagemagick() {
	still
	$watch convert still.ppm -blur 0x3 -resize 800x600 -rotate 7 -sharpen 0x1 ppm:- | cksum
	$watch convert still.ppm -define webp:thread-level=1 -quality 50 out.webp
	$watch convert out.webp -colors 16 ppm:- | cksum
}

run_graphicsmagick() {
	still
	$watch gm convert still.ppm -blur 0x3 -resize 800x600 -rotate 7 ppm:- | cksum
	$watch gm convert still.ppm -charcoal 2 -wave 5x40 ppm:- | cksum
}

run_webp() {
	still
	$watch cwebp -quiet -mt -m 6 -alpha_q 50 still.ppm -o out.webp
	$watch dwebp -quiet -mt out.webp -ppm -o - | cksum
	$watch img2webp -lossy still.ppm -d 50 out.webp still.ppm -o moving.webp 2>log
	cksum <moving.webp
}

run_sox() {
	$watch sox --multi-threaded --buffer 131072 -R -n -c 4 -r 44100 out.wav \
		synth 20 sine 300-3000 reverb 50 chorus 0.7 0.9 55 0.4 0.25 2 -t rate 48000
	cksum <out.wav
}

run_povray() {
	cat >scene.pov <<'END'
#version 3.7;
global_settings { assumed_gamma 1 }
camera { location <0, 2, -6> look_at <0, 0, 0> }
light_source { <5, 9, -8> color rgb 1 }
plane { y, -1 pigment { checker color rgb 0.2, color rgb 0.9 } }
#declare N = 0;
#while (N < 12)
  sphere { <4 * cos(N), sin(3 * N), 3 * sin(N)>, 0.6
    pigment { color rgb <N / 12, 1 - N / 12, 0.5> } finish { reflection 0.4 } }
  #declare N = N + 1;
#end
END
	$watch povray +Iscene.pov +Oscene.png +W320 +H240 +WT4 +A0.3 -D -GA >log 2>&1
	/usr/bin/python3 - <<'END'
import struct, zlib
data, at, pixels = open("scene.png", "rb").read(), 8, b""
while at < len(data):
    size, kind = struct.unpack(">I4s", data[at:at + 8])
    pixels += data[at + 8:at + 8 + size] if kind == b"IDAT" else b""
    at += size + 12
print(zlib.crc32(zlib.decompress(pixels)))
END
}

run_tesseract() {
	still
	convert -size 900x200 xc:white -fill black -pointsize 60 -font DejaVu-Sans \
		-annotate +30+120 'Locks are taken in order' text.png
	OMP_THREAD_LIMIT=4 $watch tesseract text.png - 2>log
}
