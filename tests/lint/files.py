#!/usr/bin/env python3
"""Names of tracked files, each followed by a NUL: files.py c|shell

"shell" goes by the name's end or by the first line.
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from csource import tracked  # noqa: E402

SHEBANG = re.compile(rb"#! ?(/usr)?/bin/(env )?(ba|da)?sh\b")


def is_shell(name):
    if name.endswith(".sh"):
        return True
    with open(name, "rb") as f:
        return bool(SHEBANG.match(f.readline(64)))


def main():
    if sys.argv[1] == "c":
        names = tracked(".", "*.c", "*.h")
    else:
        names = filter(is_shell, tracked("."))
    for name in names:
        sys.stdout.write(name + "\0")


if __name__ == "__main__":
    main()
