#!/usr/bin/env python3
"""CPU of the media worker per relayed packet, over veth, by offered load.

usage: media.py [--build DIR] [--seconds N] [RATE...]

The worker alone in network namespaces, with the real steered and raw
sockets; the cost of the receiving softirq is not in it.
"""
import argparse
import json
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--build", default="build")
    ap.add_argument("--seconds", type=int, default=3)
    ap.add_argument("rates", nargs="*", type=int,
                    default=[2000, 10000, 20000, 40000])
    args = ap.parse_args()
    binary = f"{args.build}/unit/media/bench_relay"
    subprocess.run(["make", "-s", f"B={args.build}", binary], cwd=TOP,
                   check=True)
    print("  packets/s   ns/packet  packets/batch   lost")
    for rate in args.rates:
        env = dict(os.environ, RATE=str(rate), SECONDS=str(args.seconds))
        p = subprocess.run([binary], cwd=TOP, env=env, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        m = re.search(r"^BENCH (.*)$", p.stdout, re.M)
        if not m:
            sys.exit(f"bench_relay failed:\n{p.stdout}")
        r = json.loads(m.group(1))
        print(f"  {rate:9d}   {r['ns-per-packet']:9d}  "
              f"{r['packets-per-batch']:13.1f}   {r['lost']}", flush=True)


if __name__ == "__main__":
    main()
