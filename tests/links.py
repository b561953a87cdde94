#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""Each link of a Markdown page to a file of the tree, and to a heading, leads there, and each page
of the manual names only pages that there are. First on pages with a link to nowhere, which must be
found.

usage: links.py SOURCE_DIR
"""
import pathlib
import re
import sys
import tempfile
import urllib.parse


def prose(text):
    """Without comments, blocks and spans of code."""
    return re.sub(r"<!--.*?-->|^```.*?^```|`[^`\n]*`", "", text, flags=re.S | re.M)


def anchors(text):
    """The identifiers that headings have."""
    headings = re.findall(r"^#+ +(.*)", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), re.M)
    headings = [re.sub(r"\]\(.*?\)", "", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")
            for heading in headings}


def wrong_links(root):
    """A line for each, and how many there are in all."""
    wrong = []
    count = 0
    pages = [path for path in root.rglob("*.md")
             if not path.relative_to(root).parts[0].startswith(("build", "."))]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)\s]*)\)", prose(text)):
            if re.match(r"[a-z]+:", link):
                continue
            count += 1
            name, _, anchor = urllib.parse.unquote(link).partition("#")
            target = page.parent / name if name else page
            if not target.resolve().is_relative_to(root) or not target.exists():
                wrong.append(f"{page.relative_to(root)}: {link} does not exist")
            elif anchor and anchor not in anchors(target.read_text(encoding="utf-8")):
                wrong.append(f"{page.relative_to(root)}: {link}: no such heading")
    manual = root / "docs/man"
    for page in manual.iterdir():
        text = page.read_text(encoding="utf-8")
        for name, section in re.findall(r"^\.BR (anyrcu[\w\\-]*) \((\d)\)", text, re.M):
            count += 1
            name = name.replace("\\-", "-")
            if not (manual / f"{name}.{section}").exists():
                wrong.append(f"{page.name}: {name}({section}) does not exist")
    return wrong, count


def finds_mistakes():
    with tempfile.TemporaryDirectory() as made:
        root = pathlib.Path(made).resolve()
        (root / "docs/man").mkdir(parents=True)
        (root / "docs/man/anyrcu_a.3").write_text(".BR anyrcu_a (3)\n.BR anyrcu_b (3)\n",
                                                  encoding="utf-8")
        (root / "a.md").write_text("# A `b`, (c)\n`[no](link)` [right](#a-b-c) [wrong](b.md) "
                                   "[wrong](#b) [right](docs)\n```\n[no](link)\n```\n",
                                   encoding="utf-8")
        wrong, count = wrong_links(root)
        assert len(wrong) == 3 and count == 6, (wrong, count)


finds_mistakes()
found, links = wrong_links(pathlib.Path(sys.argv[1]).resolve())
for line in found:
    print(line)
sys.exit(bool(found) or links < 100)
