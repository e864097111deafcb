"""Wall clocks that are wrong, differ, and are set: deadlines and times in
records travel between the nodes, and no call may notice."""

import time

import pytest

import checks
from conftest import close_shared, make_world, need_daemon
from lab import NODES, wait_for
from sipcall import Answer
from test_cdr import assert_once, wait_cdrs

DAY = 86400


@pytest.fixture
def w(tmp_path_factory):
    need_daemon()
    close_shared()
    world = make_world(tmp_path_factory, "clocks", clocks=True)
    world.peers()
    yield world
    checks.sane(world)
    world.close()


def skew(w, node):
    return [d for d in w.lab.sbcctl(node, "show", "health")["deductions"]
            if d["name"] == "clock"]


def ringing(w, n):
    """Calls that ring until somebody says so."""
    w.ua["cloud"].answer = Answer(code=0)
    calls = [w.place() for _ in range(n)]
    for call in calls:
        call.wait("early")
    w.ua["cloud"].answer = Answer()
    return calls


@pytest.mark.parametrize("off_s", [DAY, -DAY])
def test_heir_with_another_clock(w, off_s):
    """Born with a clock a day off, it takes over calls of every state."""
    active, standby = w.settled()
    w.lab.set_clock(standby, off_s)
    w.lab.kill(standby, "keeper")
    w.lab.start(standby)
    w.settled(30)
    for node in NODES:
        wait_for(lambda n=node: skew(w, n), 10, f"{node}: an alarm")
    begun = time.monotonic()
    pairs = w.establish(6)
    rings = ringing(w, 3)
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 10)
    w.wait_media(pairs)
    # No timer has run out: what rang rings on ...
    w.listen(3)
    for call in rings:
        assert call.state == "early", call
        w.ua["cloud"].wait_call(call.user).accept()
        call.established(10)
    # ... and none stands still: an unanswered request is repeated.
    fresh = w.establish(2)
    w.lab.start(active)
    w.settled(30)
    lasted = {c.call_id: time.monotonic() - begun for c, _ in pairs}
    w.hang_up(pairs + fresh)
    for call in rings:
        assert call.bye(10).status == 200
    for node in NODES:
        cdrs = wait_cdrs(w, node, [c.call_id for c, _ in pairs])
        assert_once(w, node)
        for call_id, seconds in lasted.items():
            got = cdrs[call_id]["duration_ms"] / 1000
            # The pair's clock runs at most a tenth wrong.
            assert abs(got - seconds) < 0.1 * seconds + 3, cdrs[call_id]
            assert cdrs[call_id]["failovers"] == 1
    w.lab.set_clock(standby, 0)
    for node in NODES:
        wait_for(lambda n=node: not skew(w, n), 10, f"{node}: no alarm")
    checks.nothing_left(w)


@pytest.mark.parametrize("off_s", [3600, -3600])
def test_clock_set_under_calls(w, off_s):
    """Set on the active, it goes on; so does who takes over from it."""
    active, standby = w.settled()
    pairs = w.establish(6)
    rings = ringing(w, 3)
    w.media_reset()
    w.lab.set_clock(active, off_s)
    w.listen(3)
    w.hang_up(w.establish(2))
    assert w.settled() == (active, standby)
    for what in ("sip", "media"):
        w.lab.kill(active, what)
        w.settled(30)
    w.wait_media(pairs)
    assert all(call.state == "early" for call in rings)
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 10)
    w.wait_media(pairs)
    for call in rings:
        w.ua["cloud"].wait_call(call.user).accept()
        call.established(10)
    w.lab.start(active)
    w.settled(30)
    w.lab.sbcctl(standby, "switchover")
    assert w.settled() == (active, standby)
    w.lab.set_clock(active, 0)
    w.listen(2)
    w.hang_up(pairs)
    for call in rings:
        assert call.bye(10).status == 200
    for node in NODES:
        wait_cdrs(w, node, [c.call_id for c, _ in pairs])
        assert_once(w, node)
    checks.nothing_left(w)
