#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""Each link and anchor inside the site leads somewhere; with --browser, in Chromium: no page is
wider than a phone's window, and each image is shown. A page that is made wrong must be found first.

usage: site-check.py [--browser] SITE_DIR
"""
import functools
import html
import html.parser
import http.server
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import urllib.parse

WIDTH = 390

# Opens each page in a frame of a phone's width and says what is wrong with it. What may be scrolled
# by itself is in an element that says so.
BROWSER = """<!DOCTYPE html><title>check</title><style>body{margin:0}</style>
<iframe id="frame" style="width:WIDTHpx;height:844px;border:0"></iframe><pre id="found"></pre>
<script>
const pages = PAGES, frame = document.getElementById("frame"), found = {};
function look(page) {
	const said = [], doc = frame.contentDocument, root = doc.documentElement;
	if (root.scrollWidth > WIDTH) {
		said.push("is " + root.scrollWidth + " pixels wide");
		for (const e of doc.body.querySelectorAll("*"))
			if (!e.closest("pre, table") && e.getBoundingClientRect().right > WIDTH)
				said.push(e.tagName + " " + e.textContent.trim().slice(0, 60));
	}
	for (const image of doc.images)
		if (!image.naturalWidth)
			said.push("does not show " + image.getAttribute("src"));
	if (!getComputedStyle(doc.querySelector("main") || doc.body).maxWidth.endsWith("px"))
		said.push("has no style");
	if (said.length)
		found[page] = said.slice(0, 5);
}
function next(i) {
	if (i == pages.length) {
		document.getElementById("found").textContent =
			"RESULT" + JSON.stringify({ looked: i, found });
		return;
	}
	frame.onload = () => { look(pages[i]); next(i + 1); };
	frame.src = pages[i];
}
next(0);
</script>"""


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.anchors = set()
        self.links = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value)
            if name in ("href", "src"):
                self.links.append(value)


def links(site):
    """What is wrong with the links, a line each; and the number of links."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    wrong = []
    count = 0
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            count += 1
            name, _, anchor = urllib.parse.unquote(link).partition("#")
            target = pathlib.Path(os.path.normpath(path.parent / name)) if name else path
            if not target.is_file():
                wrong.append(f"{path.relative_to(site)}: {link} does not exist")
            elif anchor and anchor not in pages[target].anchors:
                wrong.append(f"{path.relative_to(site)}: {link}: no such anchor")
    return wrong, count


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def browse(site, pages):
    """What Chromium finds wrong with @pages: a map of pages to lists."""
    check = BROWSER.replace("WIDTH", str(WIDTH)).replace("PAGES", json.dumps(pages))
    (site / "check.html").write_text(check, encoding="utf-8")
    server = http.server.ThreadingHTTPServer(("localhost", 0),
                                             functools.partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    check_url = urllib.parse.urlunsplit(
        ("http", f"localhost:{server.server_port}", "/check.html", "", ""))
    with tempfile.TemporaryDirectory() as profile:
        said = subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
             "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", f"--user-data-dir={profile}", "--virtual-time-budget=600000",
             "--dump-dom", check_url],
            capture_output=True, text=True, timeout=280, check=False)
    server.shutdown()
    (site / "check.html").unlink()
    result = re.search(r"RESULT(\{.*\})</pre>", said.stdout)
    if not result:
        sys.exit(f"site-check.py: Chromium did not end\n{said.stderr[-2000:]}")
    result = json.loads(html.unescape(result[1]))
    assert result["looked"] == len(pages)
    return result["found"]


def finds_mistakes(browser):
    """The check itself: a page with each mistake, all of which it must find."""
    with tempfile.TemporaryDirectory() as made:
        site = pathlib.Path(made)
        (site / "wrong.html").write_text(
            '<main style="max-width:1px"><p id="here"><a href="#here">right</a>'
            '<a href="none.html"></a><a href="#nowhere"></a><img src="none.png" width=5 height=5>'
            '<div style="width:500px">wide</div></main>', encoding="utf-8")
        wrong, _ = links(site)
        assert len(wrong) == 3, wrong
        if browser:
            found = browse(site, ["wrong.html"])["wrong.html"]
            for mistake in ("pixels wide", "does not show"):
                assert any(mistake in said for said in found), found


def main():
    browser = "--browser" in sys.argv
    site = pathlib.Path(sys.argv[-1]).resolve()
    finds_mistakes(browser)
    wrong, count = links(site)
    pages = sorted(str(path.relative_to(site)) for path in site.rglob("*.html"))
    if browser:
        for page, said in browse(site, pages).items():
            wrong.append(f"{page} " + "; ".join(said))
    for line in wrong:
        print(line)
    print(f"{len(pages)} pages, {count} links, {len(wrong)} wrong")
    sys.exit(bool(wrong) or not count)


main()
