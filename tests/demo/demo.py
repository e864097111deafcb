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
sys.path[:0] = [str(TOP / "tests/lab"), str(TOP / "tests/peers")]

from telling import Clock, gap_line, gaps, logs_if_it_fails  # noqa: E402


def parse_args():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--build", default="build")
    ap.add_argument("--calls", type=int, default=60)
    ap.add_argument("--listen", type=int, default=20,
                    help="seconds to listen after the crash")
    return ap.parse_args()


def by_kind(secure, plain):
    """What to call each leg's way: [(name, calls), ...]"""
    return [("core  -> cloud, SRTP", [b for _, b in secure]),
            ("cloud -> core,  SRTP", [a for a, _ in secure]),
            ("core  -> cloud, RTP", [b for _, b in plain]),
            ("cloud -> core,  RTP", [a for a, _ in plain])]


def kept(streams, pairs):
    """Calls whose both legs hear their peer now."""
    def hears(call):
        return 0 <= streams[call.stream]["rx"]["silence_ms"] < 200
    return sum(hears(a) and hears(b) for a, b in pairs)


def report_gaps(streams, kinds):
    for name, calls in kinds:
        print(gap_line(name, gaps(streams, calls)))


def unauthentic(streams):
    """Packets that the SRTP receivers at the peers did not believe."""
    return sum(s["rx"].get("unprotect_failed", 0) for s in streams.values())


def lost(streams):
    return sum(s["rx"]["lost"] for s in streams.values())


def show_roles(world):
    for node, role in sorted(world.lab.roles().items()):
        print(f"  {node}: {role}")


def crash(world, pairs, kinds, clock, listen):
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
    report_gaps(streams, kinds)
    print(f"  SRTP packets that failed authentication: {unauthentic(streams)}")
    clock.say(f"starting {active} again")
    world.lab.start(active)
    world.settled(40)
    show_roles(world)
    return n


def switchover(world, pairs, kinds, clock):
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
    report_gaps(streams, kinds)
    print(f"  SRTP packets that failed authentication: {unauthentic(streams)}")
    world.settled(40)
    show_roles(world)
    return kept(streams, pairs), lost(streams)


def calls(office, n, clock):
    """Half of them by TLS and SRTP in the cloud, half by UDP and RTP."""
    secure = office.up(n - n // 2)
    plain = office.plain(n // 2)
    clock.say(f"{len(secure)} calls from the PBX (UDP, RTP) to the cloud by "
              "TLS and SRTP")
    clock.say(f"{len(plain)} calls from the PBX to a provider by UDP and RTP; "
              "50 packets/s both ways")
    return secure + plain, by_kind(secure, plain)


def main():
    args = parse_args()
    os.environ["SBC_BUILD"] = str((TOP / args.build).resolve())
    from office import Office  # after SBC_BUILD is known
    clock = Clock()
    clock.say("two nodes, their switch and their peers in namespaces")
    with tempfile.TemporaryDirectory(prefix="sbc-demo-") as tmp:
        office = Office(tmp)
        world = office.w
        with logs_if_it_fails(office):
            active, standby = world.settled(30)
            clock.say(f"{active} is ACTIVE, {standby} is STANDBY and in sync")
            pairs, kinds = calls(office, args.calls, clock)
            n1 = crash(world, pairs, kinds, clock, args.listen)
            n2, dropped = switchover(world, pairs, kinds, clock)
            clock.say("ending every call by BYE, from alternating sides")
            world.hang_up(pairs)
            world.assert_no_calls()
            clock.say(f"{len(pairs)} calls ended, each BYE answered 200; "
                      "no call left on either node")
            reused = office.watch.check()
            print(f"  SRTP indexes used twice, on the ports of both nodes: "
                  f"{reused or 'none'}")
    ok = n1 == n2 == args.calls and not dropped and not reused
    print(f"RESULT: {'all calls kept' if ok else 'FAILED'}: "
          f"{n1}/{args.calls} over the power loss, "
          f"{n2}/{args.calls} over the switchover, "
          f"{dropped} packets lost in the switchover")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
