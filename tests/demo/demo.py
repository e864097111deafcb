#!/usr/bin/env python3
"""`make demo`: the pair in namespaces, real calls, a power loss, a planned
switchover back, and every call ended by BYE from alternating sides.

Prints what happened as it was measured; exit code 1 when a call was lost.
"""
import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/lab"))


def parse_args():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--build", default="build")
    ap.add_argument("--calls", type=int, default=60)
    ap.add_argument("--listen", type=int, default=20,
                    help="seconds to listen after the crash")
    return ap.parse_args()


class Clock:
    def __init__(self):
        self.start = time.monotonic()

    def say(self, text):
        print(f"[{time.monotonic() - self.start:6.1f} s] {text}", flush=True)


def kept(streams, pairs):
    """Calls whose both legs hear their peer now."""
    def hears(call):
        return 0 <= streams[call.stream]["rx"]["silence_ms"] < 200
    return sum(hears(a) and hears(b) for a, b in pairs)


def gaps(streams, calls):
    return sorted(streams[c.stream]["rx"]["longest_gap"]["ms"]
                  for c in calls)


def gap_line(name, ms):
    return (f"  {name:<16} longest gap {ms[-1]:6.1f} ms   "
            f"median {ms[len(ms) // 2]:6.1f} ms   over {len(ms)} streams")


def report_gaps(streams, pairs):
    print(gap_line("cloud -> core", gaps(streams, [a for a, _ in pairs])))
    print(gap_line("core -> cloud", gaps(streams, [b for _, b in pairs])))


def lost(streams):
    return sum(s["rx"]["lost"] for s in streams.values())


def show_roles(world):
    for node, role in sorted(world.lab.roles().items()):
        print(f"  {node}: {role}")


def crash(world, pairs, clock, listen):
    active, standby = world.settled(30)
    world.media_reset()
    time_s = time.monotonic()
    clock.say(f"power loss of {active}: links cut, everything killed")
    world.lab.kill(active, "power")
    world.wait_role(standby, "ACTIVE", 10)
    clock.say(f"{standby} is ACTIVE "
              f"({(time.monotonic() - time_s) * 1000:.0f} ms after the order "
              "to kill, as seen by the CLI)")
    world.wait_media(pairs, 10)
    clock.say(f"listening for {listen} s")
    world.listen(listen)
    streams = world.streams()
    n = kept(streams, pairs)
    print(f"  calls kept: {n} of {len(pairs)}")
    report_gaps(streams, pairs)
    clock.say(f"starting {active} again")
    world.lab.start(active)
    world.settled(40)
    show_roles(world)
    return n


def switchover(world, pairs, clock):
    active, standby = world.settled(30)
    world.media_reset()
    clock.say(f"planned switchover {active} -> {standby}")
    t = time.monotonic()
    world.lab.sbcctl(active, "switchover")
    clock.say(f"done in {(time.monotonic() - t) * 1000:.0f} ms")
    world.wait_role(standby, "ACTIVE", 10)
    world.listen(5)
    streams = world.streams()
    sent = sum(m.report(streams=False)["total"]["sent"]
               for m in world.media.values())
    print(f"  packets lost over {len(streams)} streams: {lost(streams)} "
          f"of {sent}")
    report_gaps(streams, pairs)
    world.settled(40)
    show_roles(world)
    return kept(streams, pairs), lost(streams)


def main():
    args = parse_args()
    os.environ["SBC_BUILD"] = str((TOP / args.build).resolve())
    from lab import World, vip  # after SBC_BUILD is known
    clock = Clock()
    clock.say("two nodes, their switch and their peers in namespaces")
    with tempfile.TemporaryDirectory(prefix="sbc-demo-") as tmp:
        world = World(tmp)
        try:
            active, standby = world.settled(30)
            clock.say(f"{active} is ACTIVE, {standby} is STANDBY and in sync")
            world.peers()
            pairs = world.establish(args.calls)
            clock.say(f"{len(pairs)} calls from {vip('core')} to the cloud "
                      "side, RTP both ways at 50 packets/s")
            n1 = crash(world, pairs, clock, args.listen)
            n2, dropped = switchover(world, pairs, clock)
            clock.say("ending every call by BYE, from alternating sides")
            world.hang_up(pairs)
            world.assert_no_calls()
            clock.say(f"{len(pairs)} calls ended, each BYE answered 200; "
                      "no call left on either node")
        except BaseException:
            for title, text in world.logs():
                print(f"---- {title}\n{text}", file=sys.stderr)
            raise
        finally:
            world.close()
    ok = n1 == n2 == args.calls and not dropped
    print(f"RESULT: {'all calls kept' if ok else 'FAILED'}: "
          f"{n1}/{args.calls} over the power loss, "
          f"{n2}/{args.calls} over the switchover, "
          f"{dropped} packets lost in the switchover")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
