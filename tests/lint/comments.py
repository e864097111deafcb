#!/usr/bin/env python3
"""No // comments in C, no notes to self anywhere, a head comment in headers.

A header begins with a comment; the product's has a line "Layer: ..." in it.
Then comes an include guard, in the product made of the path.

usage: comments.py line|notes|heads [ROOT]    exit code 1, file:line: text
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from csource import line_comments, read, tracked  # noqa: E402

# Spelt so that this file passes its own check.
NOTES = re.compile(r"\b(TO" r"DO|FIX" r"ME)\b")
C = ("*.c", "*.h")
TEXT = C + ("*.py", "*.sh", "*.mk", "*.md", "Makefile", "*.conf", "*.in",
            "*.service", "*.xml")


def check_line(root):
    for name in tracked(root, *C):
        for line in line_comments(read(root, name)):
            yield name, line, "// comment: write /* */"


def check_notes(root):
    for name in tracked(root, *TEXT):
        for n, line in enumerate(read(root, name).split("\n"), 1):
            m = NOTES.search(line)
            if m:
                yield name, n, f"{m[0]}: file an issue instead"


def head_problem(name, text):
    head = re.match(r"/\*\n(.*?)\*/\n", text, re.S)
    if not head:
        return 1, "begins with no head comment"
    if not name.startswith("tests/") and \
            not re.search(r"^ \* Layer: ", head[1], re.M):
        return 1, 'head comment has no "Layer:" line'
    guard = re.sub(r"[^A-Za-z0-9]", "_", name).upper()
    if name.startswith("tests/"):
        guard = r"\w+_H"
    if not re.search(rf"^#ifndef ({guard})\n#define \1\n", text, re.M):
        return head[0].count("\n") + 1, f"no include guard {guard}"
    return None


def check_heads(root):
    for name in tracked(root, "*.h"):
        problem = head_problem(name, read(root, name))
        if problem:
            yield name, problem[0], problem[1]


CHECKS = {"line": check_line, "notes": check_notes, "heads": check_heads}


def main():
    bad = 0
    root = sys.argv[2] if len(sys.argv) > 2 else "."
    for name, line, text in CHECKS[sys.argv[1]](root):
        print(f"{name}:{line}: {text}")
        bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
