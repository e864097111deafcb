#!/usr/bin/env python3
"""Sources over 800 lines, C functions over 80.

usage: functions.py [ROOT]    messages are file:line: text, exit code 1
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from csource import blank, read, tracked  # noqa: E402

FILE_MAX = 800
FUNCTION_MAX = 80
SOURCES = ("*.c", "*.h", "*.py", "*.sh")


def functions(text):
    """(name, first line, number of lines) of each function definition.

    A body is what stands between braces at the outermost level after a
    closing parenthesis; its first line is that of the name.
    """
    code = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*",
                  lambda m: re.sub(r"[^\n]", " ", m[0]), blank(text),
                  flags=re.M)
    depth = 0
    start = None
    head = 0
    for m in re.finditer(r"[{};]", code):
        c = m[0]
        if c == "{":
            if depth == 0:
                before = code[head:m.start()]
                name = re.search(r"(\w+)\s*\(", before)
                start = None
                if name and before.rstrip().endswith(")") \
                        and "=" not in before:
                    start = head + name.start()
            depth += 1
        elif c == "}":
            depth -= 1
            if depth == 0:
                if start is not None:
                    first = code.count("\n", 0, start) + 1
                    last = code.count("\n", 0, m.start()) + 1
                    yield code[start:].split("(")[0].strip(), first, \
                        last - first + 1
                    start = None
                head = m.end()
        if depth == 0:
            head = m.end()


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else "."
    bad = 0
    for name in tracked(root, *SOURCES):
        text = read(root, name)
        lines = text.count("\n")
        if lines > FILE_MAX:
            print(f"{name}:{lines}: {lines} lines, at most {FILE_MAX}")
            bad += 1
        if not name.endswith((".c", ".h")):
            continue
        for function, first, length in functions(text):
            if length > FUNCTION_MAX:
                print(f"{name}:{first}: {function}() has {length} lines, "
                      f"at most {FUNCTION_MAX}")
                bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
