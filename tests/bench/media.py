#!/usr/bin/env python3
"""CPU of the media worker per relayed packet, over veth, by offered load; then
what SRTP on one side adds to that, by engine.

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

ENGINES = ("ipsec-mb", "openssl", "libsrtp2")
SRTP_RATE = 10000
TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))


def relay(binary, rate, seconds, engine=""):
    env = dict(os.environ, RATE=str(rate), SECONDS=str(seconds),
               ENGINE=engine)
    p = subprocess.run([binary], cwd=TOP, env=env, text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    m = re.search(r"^BENCH (.*)$", p.stdout, re.M)
    if not m:
        sys.exit(f"bench_relay failed:\n{p.stdout}")
    return json.loads(m.group(1))


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
        r = relay(binary, rate, args.seconds)
        print(f"  {rate:9d}   {r['ns-per-packet']:9d}  "
              f"{r['packets-per-batch']:13.1f}   {r['lost']}", flush=True)
    plain = relay(binary, SRTP_RATE, args.seconds)["ns-per-packet"]
    print(f"  RTP and AES_CM_128_HMAC_SHA1_80 at {SRTP_RATE} packets/s\n"
          f"  engine      ns/packet  times plain RTP\n"
          f"  plain RTP   {plain:9d}")
    for engine in ENGINES:
        ns = relay(binary, SRTP_RATE, args.seconds, engine)["ns-per-packet"]
        print(f"  {engine:10}  {ns:9d}  {ns / plain:15.2f}", flush=True)


if __name__ == "__main__":
    main()
