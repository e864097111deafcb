#!/usr/bin/env python3
"""Applies every small sabotage in tests/mutants/*.patch, one at a time, to a
copy of the tree, builds it, and demands that the test it names turns red. The
test must be green without the sabotage; one that hangs with it is red.

A patch starts with lines before its first "diff" or "---":
    Test: unit hasync/test_role          (a program under tests/unit)
    Test: lab test_failover.py::test_x   (a pytest id under tests/lab)

usage: run.py [NAME...]
"""
import glob
import os
import re
import shutil
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
COPY = f"{TOP}/build-mutants/src"


def sh(cmd, **kw):
    return subprocess.run(cmd, cwd=COPY, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True,
                          errors="replace", **kw)


def sync_copy():
    """The tracked files as they are in the work tree; objects are kept."""
    os.makedirs(COPY, exist_ok=True)
    files = subprocess.run(["git", "ls-files"], cwd=TOP, text=True,
                           stdout=subprocess.PIPE, check=True).stdout.split()
    for f in files:
        src, dst = f"{TOP}/{f}", f"{COPY}/{f}"
        if not os.path.exists(src):
            continue
        if os.path.exists(dst) and open(src, "rb").read() == \
                open(dst, "rb").read():
            continue
        os.makedirs(os.path.dirname(dst), exist_ok=True)
        shutil.copy(src, dst)


def run_test(spec):
    kind, name = spec.split(None, 1)
    if kind == "unit":
        p = sh(["make", "-s", "-j2", f"build/unit/{name}"])
        if p.returncode:
            return None, p.stdout
        cmd, limit_s = [f"build/unit/{name}"], 300
    else:
        p = sh(["make", "-s", "-j2", "all"])
        if p.returncode:
            return None, p.stdout
        cmd = [sys.executable, "-m", "pytest", "-q", "-x", "-p",
               "no:cacheprovider", f"tests/lab/{name}"]
        limit_s = 600
    try:
        p = sh(cmd, timeout=limit_s,
               env=dict(os.environ, SBC_BUILD=f"{COPY}/build"))
    except subprocess.TimeoutExpired:
        return True, "it hangs"
    if kind == "lab" and p.returncode not in (0, 1):
        return None, p.stdout
    return p.returncode != 0, p.stdout


def judge(path, spec, green):
    """"" when the mutant turned its test red, or what was wrong."""
    if spec not in green:
        red, out = run_test(spec)
        if red is not False:
            return f"not green without the mutant\n{out[-3000:]}"
        green.add(spec)
    p = sh(["patch", "-p1", "-s", "-i", path])
    if p.returncode:
        return f"does not apply\n{p.stdout}"
    red, out = run_test(spec)
    sh(["patch", "-p1", "-s", "-R", "-i", path])
    if red is None:
        return f"did not build or run\n{out[-3000:]}"
    return "" if red else f"stayed green\n{out[-3000:]}"


def main():
    names = sys.argv[1:]
    passed = failed = 0
    green = set()
    for path in sorted(glob.glob(f"{TOP}/tests/mutants/*.patch")):
        name = os.path.basename(path)[:-6]
        if names and name not in names:
            continue
        sync_copy()
        spec = re.search(r"^Test: (.+)$", open(path).read(), re.M).group(1)
        wrong = judge(path, spec, green)
        if wrong:
            failed += 1
            print(f"  FAIL {name}: {spec} {wrong}", flush=True)
        else:
            passed += 1
            print(f"  ok   {name}: {spec} turned red", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
