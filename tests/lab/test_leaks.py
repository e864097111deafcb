"""What a thousand calls leave behind on both nodes, seen from outside: the
kernel's sockets and BPF maps, descriptors, and the memory of each process."""

import pytest

import checks
from lab import NODES, wait_for

pytestmark = pytest.mark.slow

CALLS, RATE = 1000, 100
RTP_CALLS = 20
# One small record kept a call is more than this. The keeper's heap stays as
# large as its largest moment, which differs by a megabyte from round to round;
# the records of a call that stay are three.
GROWTH_MAX_KB = {"sip": 400, "media": 400, "keeper": 2500}


def tombstones(world):
    return sum(world.lab.sbcctl(n, "show", "redundancy")["records"]
               ["tombstones"] for n in NODES)


def a_thousand_calls(world):
    """SIPp calls by UDP beside calls with RTP by TCP, then silence."""
    uas = world.sipp("cloud", "uas", "-mp", 34000)
    wait_for(lambda: world.listens("cloud", 5060), 5, "SIPp listens")
    uac = world.sipp("core", "uac", "-d", 500, "-mp", 30000,
                     target="10.10.0.10:5060", calls=CALLS, rate=RATE)
    pairs = world.establish(RTP_CALLS, frm="core-tcp", to="cloud-tcp",
                            transport="tcp",
                            prefix="tcp")
    world.hang_up(pairs)
    world.forget_media()
    assert uac.wait(120) == 0, uac.errors()
    uas.stop()
    checks.nothing_left(world)
    # A minute after its end the last trace of a call is gone: transactions
    # after 32 s, tombstones after 60 s.
    wait_for(lambda: not tombstones(world), 100, "no tombstone is left", 0.5)


def test_nothing_leaks_over_a_thousand_calls(world):
    for side in ("core", "cloud"):
        world.rtptool(side)
    world.more_peers(transport="tcp")
    # The first round fills caches and pools; the second must find its room.
    a_thousand_calls(world)
    before = checks.footprint(world)
    a_thousand_calls(world)
    checks.nothing_left(world, before)
    for node, was in before.items():
        def grown(n=node, w=was):
            now = checks.footprint(world)[n]["pss"]
            return {p: now[p] - w["pss"][p] for p in now
                    if now[p] > w["pss"][p] + GROWTH_MAX_KB[p]}
        wait_for(lambda: not grown(), 20,
                 f"{node} grows by less than {GROWTH_MAX_KB} KB over "
                 f"{CALLS} calls", 1)
