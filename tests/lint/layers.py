#!/usr/bin/env python3
"""An include points only down; libraries know nothing of the daemon.

usage: layers.py [ROOT]    messages are file:line: text, exit code 1
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from csource import blank, read, tracked  # noqa: E402

LIBRARIES = ("hasync", "netif")

# module: what it may include besides itself
BELOW = {
    "base": set(),
    "hasync": set(),
    "netif": set(),
    "record": {"base", "hasync"},
    "config": {"base", "record"},
    "call": {"base", "hasync", "record", "config"},
    "sip": {"base", "hasync", "record", "config", "call"},
    "media": {"base", "hasync", "record", "config"},
    "keeper": {"base", "hasync", "netif", "record", "config", "call", "sip",
               "media"},
    "cli": {"base", "hasync", "record", "config", "sip"},
}

# Third-party headers and the one module that may see each.
OWNERS = (
    (r"sofia-sip/", {"sip"}),
    (r"srtp2/|intel-ipsec-mb\.h", {"media"}),
    (r"corosync/", {"hasync"}),
    (r"netlink/|nftables/|libnftnl/", {"netif"}),
    (r"bpf/", {"netif"}),
    (r"confuse\.h", {"config"}),
)

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^">]+)[">]', re.M)
# What a library must not do: it reports by return value and callback.
LOGGING = re.compile(
    r"\b(printf|puts|perror|syslog|vsyslog|vprintf|sd_journal_\w+)\s*\("
    r"|\b(?:f|vf|d|vd)(?:printf|puts)\s*\(\s*std(?:err|out)\b"
    r"|\blog_\w+\s*\(")
# An object at file scope: clang-format puts those, and only those, at column
# 0 together with types and functions.
GLOBAL = re.compile(
    r"^(?!typedef\b|extern\b|struct \w+;|enum \w+;|union \w+;|return\b|goto\b)"
    r"((?:static|_Thread_local|volatile|unsigned|signed|struct|union|enum|"
    r"long|short|const|\w+)[ \t*]+)+"
    r"\**\w+(\[[^\]\n]*\])*[ \t]*(?:;|=)", re.M)


def module_of(path):
    """'sip' of sbcd/sip/x.c, 'hasync' of hasync/x.h, None of the rest."""
    parts = path.split("/")
    if parts[0] in LIBRARIES and len(parts) > 1:
        return parts[0]
    if parts[0] == "sbcd" and len(parts) > 2:
        return parts[1]
    return None


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def check_include(name, module, quote, target):
    if quote == "<":
        for pattern, owners in OWNERS:
            if re.match(pattern, target) and module not in owners:
                return f"<{target}> belongs to {'/'.join(sorted(owners))}"
        return None
    if target.endswith(".skel.h"):
        owner = module_of(re.sub(r"^.*gen/", "", target))
        return None if owner in (module, None) else \
            f'"{target}" belongs to {owner}'
    owner = module_of(target)
    if owner is None:
        if target.startswith("tests/"):
            return f'"{target}": the product includes a test'
        if "/" not in target or target.startswith("."):
            return f'"{target}": write the path from the top'
        return None
    if owner not in BELOW:
        return f'"{target}": unknown module {owner}'
    if owner != module and owner not in BELOW[module]:
        return f'"{target}": {module} may not include {owner}'
    return None


def check_library(name, text):
    code = blank(text)
    for m in LOGGING.finditer(code):
        yield line_of(code, m.start()), \
            f"a library does not log: {m[0].strip()}"
    if not name.endswith(".c") or name.endswith(".bpf.c"):
        return
    for m in GLOBAL.finditer(code):
        if not re.match(r"(?:static\s+)?const\b|static\s+[\w\s]+\*\s*const\b",
                        m[0]) and "const " not in m[0].split("=")[0]:
            yield line_of(code, m.start()), \
                f"a library has no globals: {m[0].strip()}"


def check(root):
    for name in tracked(root, "sbcd/*.c", "sbcd/*.h", "hasync/*.[ch]",
                        "netif/*.[ch]"):
        module = module_of(name)
        text = read(root, name)
        if module is None:
            continue  # sbcd/main.c starts everything
        if module not in BELOW:
            yield name, 1, f"unknown module {module}: give it a layer"
            continue
        # Keeps the quotes of "...": only comments may hide an include.
        for m in INCLUDE.finditer(text):
            problem = check_include(name, module, m[1], m[2])
            if problem:
                yield name, line_of(text, m.start()), problem
        if module in LIBRARIES:
            for line, problem in check_library(name, text):
                yield name, line, problem


def main():
    bad = 0
    for name, line, text in check(sys.argv[1] if len(sys.argv) > 1 else "."):
        print(f"{name}:{line}: {text}")
        bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
