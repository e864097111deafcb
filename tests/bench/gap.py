#!/usr/bin/env python3
"""`make bench-gap`: what a crash of the active node costs, stage by stage.

Power loss of the active node again and again, nodes in turn, 50 streams at
random phase. Printed is the distribution of the media gap (the longest time
between two packets of a stream, as its receiver saw it: with 20 ms of audio a
packet it is the hole rounded up) and of each stage as the flight recorder of
the new active has it, counted from the last beat of the old one.
"""
import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/lab"))
sys.path.insert(0, str(TOP / "tests/bench"))
from bench import own_run  # noqa: E402
from netlab import wait_for  # noqa: E402

STAGES = (("suspected-after", "suspected"), ("decided-after", "decided"),
          ("taken-after", "MAC, addresses, gate"),
          ("media-after", "media worker told"),
          ("first-packet-after", "first packet relayed"))
LISTEN_S = 1.0
BEFORE_PACKETS = 15  # of each stream, before the loss


def parse_args():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--build", default="build")
    ap.add_argument("--crashes", type=int, default=30)
    ap.add_argument("--streams", type=int, default=50)
    ap.add_argument("--stress", action="store_true",
                    help="on a machine that is busy otherwise")
    ap.add_argument("--timing", default="fast", help="of the lab: fast, "
                    "relaxed, tight (custom, silence 80 ms, lease 50 ms)")
    ap.add_argument("--limit-ms", type=float, default=0,
                    help="exit 1 when the p99 is above")
    return ap.parse_args()


def percentile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * q))]


def crash(world, pairs):
    """One power loss: ({stage: ms}, [gap of each stream], packets lost)."""
    active, standby = world.settled(30)
    world.media_reset()
    wait_for(lambda: all(s["rx"]["packets"] >= BEFORE_PACKETS
                         for s in world.streams().values()), 10,
             "packets on all streams")
    world.lab.kill(active, "power")
    world.wait_role(standby, "ACTIVE", 10)
    world.wait_media(pairs, 10)
    time.sleep(LISTEN_S)
    rx = [s["rx"] for s in world.streams().values()]

    def report():
        seen = world.lab.sbcctl(standby, "show", "failovers", "1")
        return seen["failovers"][0] if seen["failovers"] and \
            seen["failovers"][0]["complete"] else None
    stages = wait_for(report, 10, "the report of the failover")
    world.lab.start(active)
    return (stages, [r["longest_gap"]["ms"] for r in rx],
            sum(r["lost"] for r in rx))


def row(what, values):
    return (f"| {what} | " + " | ".join(
        f"{percentile(values, q):.0f}" for q in (0, 0.5, 0.99, 1)) + " |")


def table(seen):
    gaps = [g for _, streams, _ in seen for g in streams]
    lines = [f"| {len(seen)} crashes, {len(gaps)} streams, ms | min | p50 | "
             "p99 | max |", "|---|---|---|---|---|"]
    for key, what in STAGES:
        values = [s[key] for s, _, _ in seen if s.get(key) is not None]
        if values:
            lines.append(row(what, values))
    lines.append(row("media gap, all streams", gaps))
    lines.append(row("media gap, worst stream of a crash",
                     [max(streams) for _, streams, _ in seen]))
    return lines, percentile(gaps, 0.99)


def measure(world, crashes, streams):
    world.peers()
    world.settled(30)
    pairs = world.establish(streams // 4) + \
        world.establish(streams // 2 - streams // 4, frm="cloud")
    seen = []
    for n in range(crashes):
        seen.append(crash(world, pairs))
        stages, gaps, lost = seen[-1]
        print(f"  {n + 1:3}: gap {max(gaps):.0f} ms, {lost} packets lost, " +
              ", ".join(f"{what} {stages[key]:.1f}" for key, what in STAGES
                        if stages.get(key) is not None), flush=True)
    return seen


def main():
    args = parse_args()
    own_run()
    os.environ["SBC_BUILD"] = str((TOP / args.build).resolve())
    from lab import World
    from stress import Stress
    with tempfile.TemporaryDirectory(prefix="sbc-gap-") as tmp:
        world = World(tmp, timing=args.timing)
        stress = Stress(tmp) if args.stress else None
        try:
            if stress:
                stress.start()
            seen = measure(world, args.crashes, args.streams)
        finally:
            if stress:
                print("stress:", stress.stop())
            world.close()
    lines, p99 = table(seen)
    print("\n".join(lines))
    return int(bool(args.limit_ms) and p99 > args.limit_ms)


if __name__ == "__main__":
    sys.exit(main())
