"""A standby that hangs costs a bounded wait, an alarm, and nothing else.

A message that must not be lost leaves when the standby has the record of it,
or 20 ms later. Setting up a call takes three of these waits: INVITE, 180, 200.
"""

import contextlib
import os
import signal
import statistics

import pytest

import checks
from lab import wait_for
from sipcall import Answer

COMMITS, BOUND_MS = 3, 20
# What a loaded machine may add to the slowest of a few dozen calls.
SLACK_MS = 300
CALLS = 40


def setup_ms(call):
    """From the INVITE sent to its 200 received."""
    log = [e for e in list(call.ua.log) if e.msg.call_id == call.call_id]
    sent = next(e.time for e in log if e.sent and e.msg.method == "INVITE")
    done = next(e.time for e in log if e.msg.status == 200 and
                e.msg.cseq[1] == "INVITE")
    return (done - sent) * 1000


def measure(w, what):
    """Set-up times of calls placed one after the other, ascending."""
    times = []
    for _ in range(CALLS):
        pairs = w.establish(1, media=False)
        times.append(setup_ms(pairs[0][0]))
        w.hang_up(pairs)
    times.sort()
    print(f"{what}: call set-up p50 {statistics.median(times):.1f} ms, "
          f"p90 {times[CALLS * 9 // 10]:.1f} ms, max {times[-1]:.1f} ms")
    return times


class Stopped:
    """Processes of a node that do not run for a while."""

    def __init__(self, w, node, *what):
        self.pids = [w.lab.pid_of(node, name) for name in what]

    def __enter__(self):
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)

    def __exit__(self, *exc):
        for pid in self.pids:
            # A media worker that stands still is replaced.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@pytest.fixture
def w(world):
    world.peers()
    for ua in world.ua.values():
        ua.answer = Answer(after=0)
    yield world
    checks.sane(world)


def deductions(w, node):
    return {d["name"] for d in
            w.lab.sbcctl(node, "show", "health")["deductions"]}


def log_of(w, node):
    return (w.lab.node_dir(node) / "sbcd.log").read_text(errors="replace")


@pytest.mark.slow
@pytest.mark.parametrize("what", [("keeper",), ("corosync",),
                                  ("sip", "media")], ids="-".join)
def test_standby_hangs(w, what):
    active, standby = w.settled()
    epoch = w.lab.redundancy(active)["epoch"]
    measure(w, "warming up")
    healthy = measure(w, "healthy")
    before = w.establish(1)
    with Stopped(w, standby, *what):
        hurt = measure(w, f"standby's {'+'.join(what)} stopped")
        meanwhile = w.establish(5, frm="cloud")
        if what != ("sip", "media"):
            wait_for(lambda: not w.lab.redundancy(active)["in-sync"], 5,
                     "the standby is not in sync")
            wait_for(lambda: deductions(w, active) & {"sync", "peer"}, 5,
                     f"an alarm: {deductions(w, active)}")
            assert "event=sync in-sync=no" in log_of(w, active)
        assert w.lab.redundancy(active)["role"] == "ACTIVE"
    assert hurt[-1] < healthy[-1] + COMMITS * BOUND_MS + SLACK_MS
    # Nobody goes on waiting for one who does not answer.
    assert statistics.median(hurt) < (statistics.median(healthy) +
                                      BOUND_MS)
    # It catches up, and can be relied upon.
    assert w.settled(30) == (active, standby)
    assert w.lab.redundancy(active)["epoch"] == epoch
    wait_for(lambda: not deductions(w, active) & {"sync", "peer"}, 10,
             f"the alarm is over: {deductions(w, active)}")
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 5)
    w.wait_media(before + meanwhile)
    assert w.calls(standby)["count"] == len(before + meanwhile)
    w.hang_up(before + meanwhile)
    checks.nothing_left(w)
