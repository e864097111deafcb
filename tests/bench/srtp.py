#!/usr/bin/env python3
"""CPU time of SRTP per packet of 172 bytes, each suite with each engine, and
how many times faster than libsrtp2 that is in the same run.

usage: srtp.py [--build DIR] [--sessions N] [--ms N]
"""
import argparse
import json
import os
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
SUITES = 6


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--build", default="build")
    ap.add_argument("--sessions", type=int, default=1000)
    ap.add_argument("--ms", type=int, default=200)
    args = ap.parse_args()
    binary = f"{args.build}/unit/media/bench_srtp"
    subprocess.run(["make", "-s", f"B={args.build}", binary], cwd=TOP,
                   check=True)
    print(f"SRTP, {args.sessions} sessions, ns of CPU per packet")
    print("  suite                    engine     protect unprotect"
          "   packets/s  times libsrtp2")
    for suite in range(1, SUITES + 1):
        env = dict(os.environ, SUITE=str(suite), MS=str(args.ms),
                   SESSIONS=str(args.sessions))
        p = subprocess.run([binary], cwd=TOP, env=env, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if p.returncode:
            sys.exit(f"bench_srtp failed:\n{p.stdout}")
        for r in json.loads(p.stdout)["rows"]:
            print(f"  {r['suite']:24} {r['engine']:9} {r['protect-ns']:8.0f}"
                  f"  {r['unprotect-ns']:8.0f}  {r['packets-s']:10.0f}"
                  f"   {r['protect-ratio']:5.1f} {r['unprotect-ratio']:5.1f}",
                  flush=True)


if __name__ == "__main__":
    main()
