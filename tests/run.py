#!/usr/bin/env python3
"""Runs the stages of `make test` and counts their tests.

usage: run.py --build DIR STAGE...    stages: lint unit asan tsan fuzz lab
    lab-asan lab-tsan chaos all; lab-tsan is not part of all

Every stage prints what it ran; output of what failed is shown in full. A test
program (unit, asan, tsan) or lab case that fails runs once more, alone, when
all others are through: a machine that stalls for a second breaks a timing,
not the product. Each that needed the second try is named at once and again at
the end. The last line is always "N passed, N failed"; the exit code is 1 when
a test failed or when a stage ran nothing.
"""
import argparse
import glob
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RETRY_MAX = 12  # more failures than that are no hiccup
STAGES = ["lint", "unit", "asan", "tsan", "fuzz", "lab", "lab-asan", "chaos"]
# How many test programs or labs at a time. Labs mostly wait; those that measure
# time, or load the machine, have it for themselves.
SIDE_BY_SIDE = 2
ALONE = ["chaos", "clock", "failover", "fence", "lab_itself", "leaks", "mixed",
         "split", "stress"]
# Where unit tests run threads of ours (hasync/cpg.c's needs a corosync).
TSAN_MODULES = ["base", "keeper", "media"]
# Hostile bytes, every kind of call, and one of each kind of take-over.
LAB_SANITIZED = ["tests/lab/test_bad_input.py", "tests/lab/test_calls.py"] + [
    f"tests/lab/test_failover.py::test_{case}" for case in
    ("power_loss", "keeper_killed", "sip_worker_killed",
     "media_worker_killed", "ringing_call_is_answered_after_failover")]


class Totals:
    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.bad = []
        self.second = []

    def second_try(self, name):
        print(f"  second try passed: {name}", flush=True)
        self.second.append(name)

    def add(self, name, passed, failed):
        self.passed += passed
        self.failed += failed
        if failed:
            self.bad.append(f"{name} ({failed})")


def run(cmd, timeout, env=None):
    """(exit code, output); a time-out is exit code 124."""
    try:
        p = subprocess.run(cmd, cwd=TOP, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=timeout, env=env)
        return p.returncode, p.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as e:
        out = (e.stdout or b"").decode(errors="replace")
        return 124, out + f"\ntimed out after {timeout} s\n"


def show(name, ok, seconds, note=""):
    print(f"  {'ok  ' if ok else 'FAIL'} {name} ({seconds:.1f} s) {note}",
          flush=True)


def stage_lint(args, totals):
    for path in sorted(glob.glob(f"{TOP}/tests/lint/*.sh")):
        t = time.monotonic()
        rc, out = run(["bash", path], 300)
        name = os.path.basename(path)
        show(name, rc == 0, time.monotonic() - t)
        if rc:
            print(out)
        totals.add("lint/" + name, int(rc == 0), int(rc != 0))


def cmocka(binary, name, env=None):
    """(tests passed, tests failed) of one test program."""
    t = time.monotonic()
    rc, out = run([binary], 300, env)
    passed = sum(int(n) for n in
                 re.findall(r"\[  PASSED  \] (\d+) test", out))
    failed = sum(int(n) for n in
                 re.findall(r"\[  FAILED  \] [^\n]*?(\d+) test\(s\)", out))
    if rc and not failed:
        failed = 1
    if not rc and not passed:
        failed = 1
        out += "\nran no test\n"
    show(name, not failed, time.monotonic() - t, f"{passed} tests")
    if failed:
        print(out)
    return passed, failed


def unit_programs(modules=("*",)):
    """Names below the build directory."""
    return [os.path.relpath(src, f"{TOP}/tests")[:-2] for m in modules
            for src in sorted(glob.glob(f"{TOP}/tests/unit/{m}/test_*.c"))]


def run_unit(args, build, label, programs, totals, env=None):
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        seen = dict(zip(programs, pool.map(
            lambda p: cmocka(f"{TOP}/{build}/{p}", label + p, env),
            programs)))
    bad = [p for p, (_, failed) in seen.items() if failed]
    if 0 < len(bad) <= RETRY_MAX and not args.first:
        for p in bad:
            print(f"  second try: {label}{p}", flush=True)
            again = cmocka(f"{TOP}/{build}/{p}", label + p, env)
            if not again[1]:
                totals.second_try(label + p)
                seen[p] = again
    for p, (passed, failed) in seen.items():
        totals.add(label + p, passed, failed)


def sanitized(args, san, programs, totals, env):
    rc, out = run(["make", "--no-print-directory", "-j2", f"SAN={san}"] +
                  [f"build-{san}/{p}" for p in programs], 1200)
    if rc:
        print(out)
        totals.add(f"{san} build", 0, 1)
        return
    run_unit(args, f"build-{san}", f"{san} ", programs, totals, env)


def stage_unit(args, totals):
    run_unit(args, args.build, "", unit_programs(), totals)


def stage_asan(args, totals):
    sanitized(args, "asan", unit_programs(), totals,
              dict(os.environ, ASAN_OPTIONS="detect_leaks=1",
                   UBSAN_OPTIONS="print_stacktrace=1"))


def stage_tsan(args, totals):
    sanitized(args, "tsan", unit_programs(TSAN_MODULES), totals,
              dict(os.environ, TSAN_OPTIONS="halt_on_error=1"))


def fuzz(args, name):
    """Runs one target; True: nothing found."""
    corpus = f"{TOP}/tests/fuzz/corpus/{name}"
    work = f"{TOP}/build-fuzz/corpus/{name}"
    os.makedirs(work, exist_ok=True)
    t = time.monotonic()
    rc, out = run([f"{TOP}/build-fuzz/fuzz/{name}",
                   f"-max_total_time={args.seconds}", "-timeout=5",
                   "-rss_limit_mb=2048", "-verbosity=0",
                   f"-artifact_prefix={TOP}/build-fuzz/{name}-",
                   work] + ([corpus] if os.path.isdir(corpus) else []),
                  args.seconds + 120)
    show(name, rc == 0, time.monotonic() - t)
    if rc:
        print(out[-8000:])
    return rc == 0


def stage_fuzz(args, totals):
    names = [os.path.basename(src)[:-2]
             for src in sorted(glob.glob(f"{TOP}/tests/fuzz/fuzz_*.c"))]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for name, ok in zip(names, pool.map(lambda n: fuzz(args, n), names)):
            totals.add(name, int(ok), int(not ok))


def pytest_lab(args, build, targets, extra):
    """{test id: passed} of one pytest run over the lab; a run that ended badly
    without a test that failed is one itself, "pytest ..."."""
    tag = re.sub(r"\W+", "-", targets[0]) if len(targets) == 1 else "lab"
    report = f"{TOP}/{build}/{tag}.xml"
    if os.path.exists(report):
        os.unlink(report)
    cmd = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
           "--tb=short", "-x" if args.first else "-ra",
           f"--junitxml={report}", *targets]
    env = dict(os.environ, SBC_BUILD=f"{TOP}/{build}", **extra)
    p = subprocess.Popen(cmd, cwd=TOP, env=env, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT)
    try:
        out, _ = p.communicate(timeout=args.lab_timeout)
        rc = p.returncode
    except subprocess.TimeoutExpired:
        p.terminate()
        out, _ = p.communicate()
        out += f"\ntimed out after {args.lab_timeout} s\n".encode()
        rc = 124
    print(out.decode(errors="replace"), end="", flush=True)
    seen = {}
    if os.path.exists(report):
        for case in ET.parse(report).getroot().iter("testcase"):
            if case.find("skipped") is not None:
                continue
            path = case.get("classname").replace(".", "/") + ".py"
            name = f"{path}::{case.get('name')}"
            bad = (case.find("failure") is not None or
                   case.find("error") is not None)
            seen[name] = seen.get(name, True) and not bad
    if (rc and all(seen.values())) or not seen:
        seen[f"pytest {' '.join(targets)}"] = False
    return seen


def run_lab(args, label, build, targets, totals, env, together=()):
    """`together`: more targets, that may run side by side."""
    seen = {}
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for more in pool.map(lambda t: pytest_lab(args, build, [t], env),
                             together):
            seen |= more
    seen |= pytest_lab(args, build, targets, env)
    bad = [name for name, ok in seen.items() if not ok and "::" in name]
    if 0 < len(bad) <= RETRY_MAX and not args.first:
        again = pytest_lab(args, build, bad, env)
        for name in bad:
            if again.get(name):
                totals.second_try(f"{label} {name}")
                seen[name] = True
    for name, ok in seen.items():
        if not ok:
            print(f"  FAIL {label} {name}")
    passed = sum(seen.values())
    totals.add(label, passed, len(seen) - passed)


def stage_lab(args, totals):
    rc, out = run(["make", "--no-print-directory", "versions"], 1200)
    print(out, end="", flush=True)
    if rc:
        totals.add("versions", 0, 1)
    files = sorted(os.path.relpath(p, TOP)
                   for p in glob.glob(f"{TOP}/tests/lab/test_*.py"))
    alone = [f"tests/lab/test_{name}.py" for name in ALONE]
    run_lab(args, "lab", args.build, alone, totals, {},
            [f for f in files if f not in alone])


def lab_sanitized(args, san, totals, env):
    rc, out = run(["make", "--no-print-directory", "-j2", f"SAN={san}",
                   "all"], 1200)
    if rc:
        print(out)
        totals.add(f"lab-{san} build", 0, 1)
        return
    run_lab(args, f"lab-{san}", f"build-{san}", LAB_SANITIZED, totals, env)


def stage_lab_asan(args, totals):
    """Leaks are test_leaks.py's: workers may not be traced."""
    lab_sanitized(args, "asan", totals,
                  {"ASAN_OPTIONS": "detect_leaks=0",
                   "UBSAN_OPTIONS": "print_stacktrace=1"})


def stage_lab_tsan(args, totals):
    lab_sanitized(args, "tsan", totals, {"TSAN_OPTIONS": "halt_on_error=1"})


def stage_chaos(args, totals):
    """Two minutes of faults from a fixed seed; each invariant is a test."""
    passed, failed = chaos(args)
    if failed and not args.first:
        print("  chaos: second try", flush=True)
        again = chaos(args)
        if not again[1]:
            passed, failed = again
            totals.second_try("chaos")
    totals.add("chaos", passed, failed)


def chaos(args):
    """(invariants that held, that did not)"""
    p = subprocess.Popen(
        [sys.executable, "tests/chaos/chaos.py", "--build", args.build,
         "--seconds", "120", "--seed", "1", "--scale", "0.25",
         "--allow-sipp", "2"],
        cwd=TOP, stdout=subprocess.PIPE, text=True, errors="replace")
    found = None
    for line in p.stdout:
        found = re.match(r"(\d+) passed, (\d+) failed$", line) or found
        print(line if not found else "", end="", flush=True)
    if p.wait() and not (found and int(found[2])):
        found = None
    return (int(found[1]), int(found[2])) if found else (0, 1)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--build", default="build")
    ap.add_argument("--seconds", type=int, default=10,
                    help="seconds for each fuzz target")
    ap.add_argument("--lab-timeout", type=int, default=2400,
                    help="seconds for one run of pytest")
    ap.add_argument("--first", action="store_true",
                    help="stop the lab stage at the first failure; "
                         "no second try")
    ap.add_argument("stages", nargs="+", choices=STAGES + ["lab-tsan", "all"])
    args = ap.parse_args()
    stages = STAGES if "all" in args.stages else args.stages
    totals = Totals()
    for stage in stages:
        print(f"== {stage}", flush=True)
        t = time.monotonic()
        before = totals.passed + totals.failed
        globals()["stage_" + stage.replace("-", "_")](args, totals)
        if totals.passed + totals.failed == before:
            print(f"  stage {stage} ran no test")
            totals.add(stage, 0, 1)
        print(f"== {stage}: {time.monotonic() - t:.0f} s", flush=True)
    for name in totals.second:
        print(f"second try: {name}")
    for name in totals.bad:
        print(f"failed: {name}")
    print(f"{totals.passed} passed, {totals.failed} failed", flush=True)
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main())
