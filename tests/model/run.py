#!/usr/bin/env python3
"""Checks the failover model exhaustively (spin), and that each protection is
needed: without the lease, the fence or the epochs a counterexample must come.

usage: run.py [--table] [--long] [NAME...]

--table only compares role_table.pml with hasync/role.c (needs no spin).
The work is done in build-model/; a counterexample is printed tick by tick.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
WORK = f"{TOP}/build-model"
MEMORY_MB = 8000
# (name, defines, must it hold)
LONG = ["LEASE=4", "SILENCE=3", "JITTER=2"]  # a lease above the silence
CRASHES, STOPS, PAUSES, CUTS, VOTES = 1, 2, 4, 8, 16
RUNS = [
    ("without the lease", ["NO_LEASE"], False),
    ("without the fence", ["NO_FENCE"], False),
    ("without the epochs", ["NO_EPOCH"], False),
    ("a longer lease, not awaited", LONG + ["NO_LEASE_WAIT"], False),
    ("one fault at a time", [], True),
    ("one fault at a time, with a witness", ["WITNESS"], True),
    ("one fault at a time, a longer lease", LONG, True),
    ("one fault at a time, a longer lease, with a witness",
     LONG + ["WITNESS"], True),
    ("liveness", ["LIVE"], True),
    ("liveness, with a witness", ["LIVE", "WITNESS"], True),
]


def pair(name, kinds, *defines):
    RUNS.append((f"two faults at a time: {name}",
                 ["FAULTS=2", f"KINDS={kinds}", *defines], True))


pair("crashes, cuts", CRASHES | CUTS)
pair("pauses, cuts", PAUSES | CUTS)
pair("stops, cuts", STOPS | CUTS)
pair("crashes, stops, pauses", CRASHES | STOPS | PAUSES)
pair("crashes, the witness", CRASHES | VOTES, "WITNESS")
pair("stops, the witness", STOPS | VOTES, "WITNESS")
pair("pauses, the witness", PAUSES | VOTES, "WITNESS")
pair("crashes, cuts, a longer lease", CRASHES | CUTS, *LONG)
pair("pauses, cuts, a longer lease", PAUSES | CUTS, *LONG)

# All kinds at once: 56 million states, 6 GB.
LONG_RUNS = [
    ("two faults at a time", ["FAULTS=2"], True),
]


def sh(cmd, **kw):
    return subprocess.run(cmd, cwd=WORK, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **kw)


def table_is_current():
    os.makedirs(WORK, exist_ok=True)
    cc = sh(["cc", "-std=c11", "-D_GNU_SOURCE", f"-I{TOP}",
             f"{HERE}/print_table.c", f"{TOP}/hasync/role.c", "-o",
             "print_table"])
    if cc.returncode:
        print(cc.stdout)
        return False
    now = sh(["./print_table"]).stdout
    with open(f"{HERE}/role_table.pml") as f:
        if f.read() == now:
            return True
    with open(f"{WORK}/role_table.pml", "w") as f:
        f.write(now)
    print("tests/model/role_table.pml is not the table of hasync/role.c: "
          "check the model against the new one (build-model/role_table.pml)")
    return False


def replay(defines):
    """The shortest counterexample that a small stack finds, if one does."""
    live = ["-a", "-f"] if "LIVE" in defines else []
    for depth in (400, 2000, 10000):
        if os.path.exists(f"{WORK}/failover.pml.trail"):
            os.unlink(f"{WORK}/failover.pml.trail")
        sh(["./pan", f"-m{depth}"] + live)
        if os.path.exists(f"{WORK}/failover.pml.trail"):
            break
    else:
        print("  (too long to print)")
        return
    out = sh(["spin"] + [f"-D{d}" for d in defines] +
             ["-t", "-T", "failover.pml"]).stdout
    keep = [l for l in out.splitlines() if re.match(r"\s*([01]:|--)", l) or
            "assertion" in l]
    print("\n".join(keep[-90:]))


def check(name, defines, holds):
    for f in os.listdir(WORK):
        if f.startswith("pan") or f.startswith("failover.pml"):
            os.unlink(f"{WORK}/{f}")
    for f in ("failover.pml", "role_table.pml"):
        shutil.copy(f"{HERE}/{f}", WORK)
    start = time.monotonic()
    live = "LIVE" in defines
    out = sh(["spin", "-a"] + [f"-D{d}" for d in defines] +
             ["failover.pml"])
    cc = sh(["gcc", "-O3", "-w", "-DNOREDUCE", "-DNOBOUNDCHECK",
             f"-DMEMLIM={MEMORY_MB}", "-o", "pan", "pan.c"] +
            (["-DNFAIR=2"] if live else ["-DSAFETY"]))
    if out.returncode or cc.returncode:
        print(out.stdout[-2000:], cc.stdout[-2000:])
        return False
    # A short counterexample first: without one, everything.
    for depth in (["400"] if not holds else []) + ["30000000"]:
        res = sh(["./pan", f"-m{depth}"] + (["-a", "-f"] if live else []))
        if os.path.exists(f"{WORK}/failover.pml.trail"):
            break
    found = os.path.exists(f"{WORK}/failover.pml.trail")
    complete = not re.search(r"search not completed|max search depth|"
                             r"out of memory|memory limit", res.stdout)
    states = re.search(r"(\d[\d.e+]*) states, stored", res.stdout)
    memory = re.search(r"([\d.]+)\s+total actual memory", res.stdout)
    ok = found if not holds else (complete and not found)
    print(f"  {'ok  ' if ok else 'FAIL'} {name}: "
          f"{'a counterexample' if found else 'none'}"
          f"{'' if complete or found else ', NOT COMPLETE'}, "
          f"{states and states[1]} states, {memory and memory[1]} MB, "
          f"{time.monotonic() - start:.0f} s", flush=True)
    if found and holds:
        print(re.search(r"pan:\d*:? ?(.*)", res.stdout)[0])
        replay(defines)
    return ok


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--table", action="store_true")
    p.add_argument("--long", action="store_true",
                   help="and what takes more than ten minutes")
    p.add_argument("only", nargs="*")
    args = p.parse_args()
    passed = failed = 0

    def count(ok):
        nonlocal passed, failed
        passed, failed = passed + bool(ok), failed + (not ok)

    count(table_is_current())
    if not args.table:
        for name, defines, holds in RUNS + LONG_RUNS * args.long:
            if not args.only or any(o in name for o in args.only):
                count(check(name, defines, holds))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
