#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""The documentation as static HTML: the Markdown by pandoc, the manual by mandoc, and the files
that they link to.

A file of the tree has the same place in the site: docs/kernel.md is docs/kernel.html,
docs/man/anyrcu.7 is docs/man/anyrcu.7.html, a source is itself with .html added, a directory has an
index.html.

usage: site.py SOURCE_DIR SITE_DIR
"""
import html
import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse

SOURCE = pathlib.Path(sys.argv[1]).resolve()
SITE = pathlib.Path(sys.argv[2])
TEMPLATE = (SOURCE / "docs/site/page.html").read_text(encoding="utf-8")
IMAGES = (".svg", ".png")
# Set by main(): the name of each page of the manual, "anyrcu_free.3", to the page that has its
# text, "anyrcu_call.3".
MANUAL = {}


def place(path):
    """The place in the site of what has this path in the tree."""
    if path == "README.md":
        return "index.html"
    if (SOURCE / path).is_dir():
        return f"{path}/index.html"
    if path.startswith("docs/man/"):
        return f"docs/man/{MANUAL[os.path.basename(path)]}.html"
    if path.endswith(".md"):
        return path[:-3] + ".html"
    return path if path.endswith(IMAGES) else path + ".html"


def write(where, title, body):
    root = "../" * where.count("/")
    text = TEMPLATE.replace("$title$", html.escape(title))
    text = text.replace("$root$", root).replace("$body$", body)
    path = SITE / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def relink(body, path, wanted):
    """The links of a page that was made of @path lead to places in the site; what they name is
    added to @wanted."""
    def to_place(match):
        target = html.unescape(match[2])
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        name, _, anchor = target.partition("#")
        named = os.path.normpath(os.path.join(os.path.dirname(path), urllib.parse.unquote(name)))
        wanted.add(named)
        relative = os.path.relpath(place(named), os.path.dirname(place(path)) or ".")
        return f'{match[1]}="{html.escape(relative + ("#" + anchor if anchor else ""))}"'
    return re.sub(r'\b(href|src)="([^"]*)"', to_place, body)


def manual_links(body, path, pattern):
    """What @pattern finds, a name and perhaps a section, is a link where there is such a page."""
    def link(match):
        page = MANUAL.get(f"{match['name']}.{match.groupdict().get('section') or '3'}")
        if page is None or path == f"docs/man/{page}":
            return match[0]
        relative = os.path.relpath(f"docs/man/{page}.html", os.path.dirname(path) or ".")
        return f'<a href="{relative}">{match[0]}</a>'
    return re.sub(pattern, link, body)


def markdown(path, wanted):
    body = subprocess.run(["pandoc", "-f", "gfm", "-t", "html5", "--no-highlight", "--wrap=none",
                           SOURCE / path],
                          check=True, capture_output=True, text=True).stdout
    title = re.search(r"<h1[^>]*>(.*?)</h1>", body, re.S)
    # A link inside a link is none.
    parts = re.split(r"(<a .*?</a>|<pre.*?</pre>)", relink(body, path, wanted), flags=re.S)
    parts[::2] = [manual_links(part, path, r"<code>(?P<name>anyrcu_\w+)(\(\))?</code>")
                  for part in parts[::2]]
    write(place(path), re.sub("<.*?>", "", html.unescape(title[1])) if title else path,
          "".join(parts))


def manual(name):
    """Returns what the index says of a page: its names, and what they do."""
    path = f"docs/man/{name}"
    body = subprocess.run(["mandoc", "-Thtml", "-Ofragment", SOURCE / path], check=True,
                          capture_output=True, text=True).stdout
    body = manual_links(body, path, r"<b>(?P<name>[\w.-]+)</b>\s*\((?P<section>\d)\)")
    write(place(path), name, body)
    said = re.search(r'id="NAME".*?<p class="Pp">(.*?)</p>', body, re.S)[1]
    return re.sub(r"\s+", " ", said).partition(" - ")[::2]


def manual_index():
    rows = []
    for name in sorted(set(MANUAL.values()), key=lambda page: (page[-1] == "3", page)):
        names, does = manual(name)
        rows.append(f'<dt><a href="{name}.html">{names}</a> ({name[-1]})</dt><dd>{does}</dd>')
    write("docs/man/index.html", "Manual", "<h1>Manual</h1>\n<dl>\n" + "\n".join(rows) + "\n</dl>")


def listing(path, names):
    def link(name):
        where = os.path.relpath(place(f"{path}/{name}"), path)
        return f'<li><a href="{html.escape(where)}">{html.escape(name)}</a></li>'

    rows = "\n".join(link(name) for name in names)
    write(f"{path}/index.html", path, f"<h1>{path}</h1>\n<ul>\n{rows}\n</ul>")


def directory(path):
    """Adds a directory; returns the paths of its files."""
    names = sorted(entry.name for entry in (SOURCE / path).iterdir() if entry.is_file())
    listing(path, names)
    return [f"{path}/{name}" for name in names]


def file(path):
    if path.endswith(IMAGES):
        (SITE / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SOURCE / path, SITE / path)
    else:
        text = (SOURCE / path).read_text(encoding="utf-8")
        write(place(path), path, f"<h1>{html.escape(path)}</h1>\n<pre>{html.escape(text)}</pre>")


def guides():
    """The index of docs: each page by its title."""
    rows = []
    for path in (sorted((SOURCE / "docs").glob("*.md")) +
                 sorted((SOURCE / "docs/design").glob("*.md"))):
        title = re.search(r"^# (.*)", path.read_text(encoding="utf-8"), re.M)[1]
        where = os.path.relpath(place(str(path.relative_to(SOURCE))), "docs")
        rows.append(f'<li><a href="{where}">{html.escape(title)}</a></li>')
    write("docs/index.html", "Guides and design",
          "<h1>Guides and design</h1>\n<ul>\n" + "\n".join(rows) + "\n</ul>")


def main():
    shutil.rmtree(SITE, ignore_errors=True)
    for page in (SOURCE / "docs/man").iterdir():
        target = re.search(r"^\.so man\d/(\S+)", page.read_text(encoding="utf-8"), re.M)
        MANUAL[page.name] = target[1] if target else page.name
    SITE.mkdir(parents=True)
    shutil.copy(SOURCE / "docs/site/style.css", SITE / "style.css")
    manual_index()
    guides()
    made = {"docs", "docs/man"} | {f"docs/man/{name}" for name in MANUAL}
    wanted = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "examples"}
    wanted |= {str(path.relative_to(SOURCE)) for path in (SOURCE / "docs").rglob("*.md")}
    while wanted - made:
        path = min(wanted - made)
        made.add(path)
        if not (SOURCE / path).exists():
            sys.exit(f"site.py: {path} is linked to, and does not exist")
        if (SOURCE / path).is_dir():
            wanted.update(directory(path))
        elif path.endswith(".md"):
            markdown(path, wanted)
        else:
            file(path)


main()
