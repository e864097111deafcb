#!/usr/bin/env python3
"""Every lint check must go red where it should, and only there.

Each case is a small tree: files, the check, and the "file:line" its output
must begin with; None means that the check must pass.
"""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
HEAD = "/*\n * %s - a thing.\n *\n * Layer: sip.\n */\n"
GUARD = "#ifndef %s\n#define %s\n\n#endif\n"
LONG = "int f(void)\n{\n" + "\tf();\n" * 77 + "}\n"
INIT = "static int a[] = {\n" + "\t1,\n" * 99 + "};\n"


def header(stem, guard):
    return HEAD % stem + GUARD % (guard, guard)


CASES = (
    # layers
    ("layers", {"sbcd/sip/a.c": '#include "sbcd/call/b.h"\n'}, None),
    ("layers", {"sbcd/call/a.c": '\n#include "sbcd/sip/b.h"\n'},
     "sbcd/call/a.c:2:"),
    ("layers", {"sbcd/sip/a.c": '#include "sbcd/media/b.h"\n'},
     "sbcd/sip/a.c:1:"),
    ("layers", {"sbcd/base/a.h": '#include "sbcd/config/b.h"\n'},
     "sbcd/base/a.h:1:"),
    ("layers", {"sbcd/keeper/a.c": '#include "sbcd/cli/b.h"\n'},
     "sbcd/keeper/a.c:1:"),
    ("layers", {"sbcd/main.c": '#include "sbcd/keeper/b.h"\n'}, None),
    ("layers", {"sbcd/new/a.c": "\n"}, "sbcd/new/a.c:1:"),
    ("layers", {"sbcd/sip/a.c": '#include "a.h"\n'}, "sbcd/sip/a.c:1:"),
    ("layers", {"sbcd/sip/a.c": '#include "../base/a.h"\n'},
     "sbcd/sip/a.c:1:"),
    ("layers", {"sbcd/sip/a.c": '#include "tests/x.h"\n'},
     "sbcd/sip/a.c:1:"),
    ("layers", {"hasync/a.c": '#include "sbcd/base/log.h"\n'},
     "hasync/a.c:1:"),
    ("layers", {"netif/a.c": '#include "hasync/key.h"\n'}, "netif/a.c:1:"),
    ("layers", {"sbcd/call/a.c": "#include <sofia-sip/nta.h>\n"},
     "sbcd/call/a.c:1:"),
    ("layers", {"sbcd/sip/a.c": "#include <sofia-sip/nta.h>\n"}, None),
    ("layers", {"sbcd/keeper/a.c": "#  include <corosync/cpg.h>\n"},
     "sbcd/keeper/a.c:1:"),
    ("layers", {"sbcd/keeper/a.c": "#include <netlink/netlink.h>\n"},
     "sbcd/keeper/a.c:1:"),
    ("layers", {"hasync/a.c": 'int f(void)\n{\n\tprintf("x");\n}\n'},
     "hasync/a.c:3:"),
    ("layers", {"netif/a.c": 'int f(void)\n{\n\tfputs("x", f);\n'
                '\tfprintf(stderr, "x");\n}\n'}, "netif/a.c:4:"),
    ("layers", {"netif/a.c": "/* printf(x) */\nint f(void)\n{\n"
                '\tsnprintf(b, 1, "printf(");\n\tstatic_x = 1;\n}\n'}, None),
    ("layers", {"hasync/a.c": "static int counter;\n"}, "hasync/a.c:1:"),
    ("layers", {"hasync/a.c": "\nint counter = 1;\n"}, "hasync/a.c:2:"),
    ("layers", {"hasync/a.c": "struct x *list[4];\n"}, "hasync/a.c:1:"),
    ("layers", {"hasync/a.c": "static struct x y = {\n\t1,\n};\n"},
     "hasync/a.c:1:"),
    ("layers", {"hasync/a.c": "static const char *name = 0;\n"
                "static const struct x t[2][2] = {\n};\n"
                "struct x;\nint f(int a);\nstatic int f(int a)\n{\n"
                "\tint b = a;\nout:\n\treturn b;\n}\n"}, None),
    # size
    ("size", {"a.c": LONG.replace("\tf();\n", "", 1) + INIT}, None),
    ("size", {"a.c": LONG.replace("\tf();\n", "\tf();\n" * 2, 1)},
     "a.c:1: f()"),
    ("size", {"a.c": "\n\nstatic int\n" + LONG.replace(
        "void", "void (*cb)(int),\n\tint b").replace(
        "\tf();\n", "\tif (a) {\n\t}\n", 1)}, "a.c:4: f()"),
    ("size", {"a.c": "\n" * 801}, "a.c:801: 801 lines"),
    ("size", {"a.py": "\n" * 800}, None),
    # comments
    ("comments", {"a.c": 'f("http://x", \'"\'); /* // */\n'}, None),
    ("comments", {"a.c": "\nf(); // x\n"}, "a.c:2:"),
    ("comments", {"a.h": "/* TO" "DO: x */\n"}, "a.h:1:"),
    ("comments", {"a.py": "\n# FIX" "ME\n"}, "a.py:2:"),
    # headers
    ("headers", {"sbcd/sip/a.h": header("a", "SBCD_SIP_A_H")}, None),
    ("headers", {"netif/a.h": header("netif/a", "NETIF_A_H")}, None),
    ("headers", {"sbcd/sip/a.h": GUARD % (("SBCD_SIP_A_H",) * 2)},
     "sbcd/sip/a.h:1:"),
    ("headers", {"sbcd/sip/a.h": header("a", "A_H")}, "sbcd/sip/a.h:6:"),
    ("headers", {"sbcd/sip/a.h": header("a", "SBCD_SIP_A_H").replace(
        "Layer", "Player")}, "sbcd/sip/a.h:1:"),
    # format
    ("format", {"a.c": "int f(void)\n{\n\treturn 1;\n}\n"}, None),
    ("format", {"a.c": "int f(void)\n{\n    return 1;\n}\n"}, "a.c:2:"),
    # shell
    ("shell", {"a.sh": '#!/bin/sh\necho "$1"\n'}, None),
    ("shell", {"a.sh": "#!/bin/sh\n\nrm $1\n"}, "a.sh:3:"),
    ("shell", {"bin/tool": "#!/usr/bin/env bash\nrm $1\n"}, "bin/tool:2:"),
    ("shell", {"bin/tool": "#!/usr/bin/env python3\nrm $1\n"}, None),
)


def run(check, files):
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        with open(os.path.join(HERE, "../../.clang-format"),
                  encoding="utf-8") as f, \
                open(os.path.join(root, ".clang-format"), "w",
                     encoding="utf-8") as g:
            g.write(f.read())
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
        subprocess.run(["git", "add", "."], cwd=root, check=True)
        p = subprocess.run(["bash", f"{HERE}/{check}.sh", root],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return p.returncode, p.stdout.decode()


def main():
    bad = 0
    for i, (check, files, want) in enumerate(CASES):
        rc, out = run(check, files)
        if out.startswith("skipped"):
            continue
        ok = rc == 0 and not out if want is None else \
            rc != 0 and out.startswith(want)
        if not ok:
            bad += 1
            print(f"selftest.py:{i}: {check} on {list(files)}: want "
                  f"{want}, got exit {rc}:\n{out}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
