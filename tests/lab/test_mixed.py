"""A pair of two releases: they replicate, fail over and are upgraded.

Each test names what sbc-a and sbc-b run; sbc-a is active first. "previous" is
N-1, "newer" N+1, for which today's is N-1: see versions.py. The calls are of
every kind: UDP and TCP, both ways, held, ringing.
"""

import os
import re

import pytest

import checks
import versions
from conftest import close_shared, make_world, need_daemon
from lab import NODES, build_dir, wait_for
from sipcall import Answer
from test_calls import hold_and_resume
from test_failover import CRASH_GAP_MS, gap_of, lost, no_crosstalk

NEWER_FIELD = 4711  # tests/wire/newer.patch


def binary(release):
    """None is this build's."""
    if release == "today":
        return None
    try:
        return getattr(versions, release)()
    except versions.NoHistory as why:
        pytest.skip(str(why))


def runs(w, node, release):
    """The node's processes are of that release and no other."""
    want = os.path.realpath(binary(release) or build_dir() / "bin/sbcd")
    for what in ("keeper", "guard", "sip", "media"):
        exe = os.readlink(f"/proc/{w.lab.pid_of(node, what)}/exe")
        assert exe == want, (node, what, exe)


def pairs_of(*which):
    return pytest.mark.parametrize("world", which, indirect=True,
                                   ids=["-".join(p) for p in which])


@pytest.fixture
def world(request, tmp_path_factory):
    need_daemon()
    releases = dict(zip(NODES, request.param))
    binaries = {n: binary(r) for n, r in releases.items()}
    close_shared()
    w = make_world(tmp_path_factory, "mixed",
                   binaries={n: b for n, b in binaries.items() if b})
    try:
        w.peers()
        w.more_peers(transport="tcp")
        w.watch = w.observer()
        assert w.settled() == NODES
        for node, release in releases.items():
            runs(w, node, release)
        yield w
        checks.sane(w)
        checks.topology_hidden(w)
        checks.one_owner(w.watch)
        nobody_stumbled(w)
    finally:
        w.close()


def nobody_stumbled(w):
    """What the other release says kills nothing, and all of it is read."""
    for node in NODES:
        text = (w.lab.node_dir(node) / "sbcd.log").read_text(errors="replace")
        for bad in ("unknown wire version", "malformed frame",
                    "unknown command", r"event=\S*refused",
                    r"signal=(?!9|15|0)"):
            found = re.search(rf"^.*{bad}.*$", text, re.M)
            assert not found, f"{node}: {found[0]}"


class Calls:
    """Established, held and ringing ones, over whatever happens."""

    def __init__(self, w):
        self.w = w
        self.ringing = []
        self.up = (w.establish(4) + w.establish(4, frm="cloud") +
                   w.establish(2, frm="core-tcp", to="cloud-tcp",
                               prefix="tcp", transport="tcp") +
                   w.establish(2, frm="cloud-tcp", to="core-tcp",
                               prefix="tcp", transport="tcp"))
        self.held = w.establish(1)[0]
        assert self.held[0].reinvite("inactive").status == 200
        for leg in self.held:
            leg.close_media()
        self.ring()

    def ring(self):
        """One by UDP, one by TCP."""
        for frm, to, kwargs in (("core", "cloud", {}),
                                ("cloud-tcp", "core-tcp",
                                 {"transport": "tcp"})):
            ua = self.w.ua[to]
            before, ua.answer = ua.answer, Answer(code=0)
            user = self.w.user("tcp" if kwargs else "c")
            call = self.w.place(user, frm, **kwargs)
            call.wait("early", timeout=20)
            ua.answer = before
            self.ringing.append((call, ua, user))

    def answer(self):
        """What rings is answered where it rang, and rang once."""
        for call, ua, user in self.ringing:
            callee = ua.wait_call(user)
            callee.accept()
            pair = (call.established(20), callee)
            self.w.wait_media([pair])
            self.up.append(pair)
            assert len([c for c in ua.all_calls() if c.user == user]) == 1
        self.ringing = []

    def listen(self, seconds=3):
        """Every call that is up hears both its sides for so long."""
        self.w.wait_media(self.up)
        totals = self.w.listen(seconds)
        no_crosstalk(totals)
        return totals

    def count(self):
        return len(self.up) + len(self.ringing) + 1

    def end(self):
        """They can still do everything, and end from either side."""
        w = self.w
        for pair in (self.up[0], self.up[8]):
            hold_and_resume(w, pair)
        assert self.held[1].reinvite("inactive").status == 200
        w.hang_up(self.up + [self.held], timeout=20)
        checks.nothing_left(w)


def crash(w, calls):
    """Power loss of the active: (dead, new active)."""
    active, standby = w.settled(30)
    w.media_reset()
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 5)
    totals = calls.listen()
    print(f"{standby} took over: gap {gap_of(totals):.0f} ms")
    assert gap_of(totals) < CRASH_GAP_MS, totals
    assert w.calls(standby)["count"] == calls.count()
    calls.answer()
    return active, standby


def switch(w, calls):
    """Planned: nothing is lost. (old active, new active)"""
    active, standby = w.settled(30)
    w.media_reset()
    w.lab.switchover()
    w.wait_role(standby, "ACTIVE", 5)
    totals = calls.listen()
    assert lost(totals) == 0, totals
    assert w.settled(30) == (standby, active)
    return active, standby


MIXED = pairs_of(("previous", "today"), ("today", "previous"),
                 ("newer", "today"), ("today", "newer"))


@MIXED
def test_power_loss(world):
    """There, and, when the dead node has joined again, back."""
    w = world
    calls = Calls(w)
    dead, _ = crash(w, calls)
    w.lab.start(dead)
    w.settled(30)
    calls.ring()
    crash(w, calls)
    calls.end()


@pairs_of(("previous", "today"), ("newer", "today"))
def test_switchover(world):
    """There and back, as at the half of an upgrade that is thought over."""
    calls = Calls(world)
    switch(world, calls)
    switch(world, calls)
    calls.answer()
    calls.end()


# ---- README, "Rolling upgrade" ----------------------------------------------

def exchange(w, node, release):
    """The release of one node, which is the standby."""
    active = next(n for n in NODES if n != node)
    w.lab.stop(node, "keeper")
    wait_for(lambda: not w.lab.redundancy(active)["peer"]["connected"], 5,
             f"{node} is gone")
    res = w.lab.run(active, ["sbcctl", "switchover"], check=False)
    assert res.returncode == 1, res
    w.lab.set_binary(node, binary(release))
    w.lab.start(node)
    w.settled(30)
    runs(w, node, release)


def upgrade(w, calls, release):
    """Both nodes, one after the other; no packet is lost."""
    active, standby = w.settled(30)
    w.media_reset()
    exchange(w, standby, release)
    assert lost(calls.listen(1)) == 0
    switch(w, calls)
    w.media_reset()
    exchange(w, active, release)
    assert lost(calls.listen(1)) == 0
    assert w.calls(standby)["count"] == calls.count()


@pairs_of(("previous", "previous"))
def test_rolling_upgrade_and_back(world):
    calls = Calls(world)
    upgrade(world, calls, "today")
    calls.answer()
    calls.ring()
    upgrade(world, calls, "previous")
    calls.answer()
    calls.end()


@pairs_of(("packaged", "packaged"))
def test_upgrade_of_packages(world):
    """What two Debian packages install, upgraded in the documented order."""
    calls = Calls(world)
    upgrade(world, calls, "packaged_newer")
    calls.answer()
    crash(world, calls)
    calls.end()


# ---- a release to come ------------------------------------------------------

def wire(w, node):
    """(own, the peer's, in use) version of frames, as a node shows them."""
    red = w.lab.redundancy(node)
    return (red["wire-version"], red["peer"]["wire-version"],
            red["wire-version-in-use"])


@pairs_of(("today", "today"))
def test_upgrade_to_a_release_to_come(world):
    """Every version is shown; the higher frames are used when both can."""
    w = world
    now = w.lab.redundancy("sbc-a")["version"]
    low = w.lab.redundancy("sbc-a")["wire-version"]
    high = low + 1
    calls = Calls(w)
    exchange(w, "sbc-b", "newer")
    red = {n: w.lab.redundancy(n) for n in NODES}
    assert [red[n]["version"] for n in NODES] == [now, "99.0.0"]
    assert [red[n]["peer"]["version"] for n in NODES] == ["99.0.0", now]
    assert wire(w, "sbc-a") == (low, high, low)
    assert wire(w, "sbc-b") == (high, low, low)
    switch(w, calls)
    exchange(w, "sbc-a", "newer")
    assert [wire(w, n) for n in NODES] == [(high, high, high)] * 2
    switch(w, calls)
    exchange(w, "sbc-b", "today")
    assert wire(w, "sbc-a") == (high, low, low)
    calls.answer()
    crash(w, calls)
    calls.end()


def fields(w, node):
    """{call: the field that only the newer release has}, as it reads it."""
    return {c["id"]: w.lab.sbcctl(node, "show", "call", c["id"])["records"]
            ["call"][0]["newer"] for c in w.calls(node)["calls"]}


def of_user(w, node, user):
    return next(c["id"] for c in w.calls(node)["calls"] if user in c["to"])


@pairs_of(("newer", "today"))
def test_what_an_older_node_does_not_know(world):
    """It keeps it until it writes the record anew (record.h); a kind it does
    not know, for ever."""
    w = world
    calls = Calls(w)
    rang = [of_user(w, "sbc-a", user) for _, _, user in calls.ringing]
    before = fields(w, "sbc-a")
    assert len(before) == calls.count() and set(before.values()) == \
        {NEWER_FIELD}
    # Through the older node, which goes on with what rings, and so writes it;
    # the others it only holds. The second leaves one of the new kind (with
    # the report of its take-over).
    switch(w, calls)
    switch(w, calls)
    expected = {c: 0 if c in rang else v for c, v in before.items()}
    assert fields(w, "sbc-a") == expected
    kept = w.lab.redundancy("sbc-a")["records"]["newer"]
    assert kept
    wait_for(lambda: w.lab.redundancy("sbc-b")["records"]["unknown"] == kept,
             5, "the kind it does not know is there")
    # It takes over, and its worker builds the calls once more.
    crash(w, calls)
    w.lab.kill("sbc-b", "sip")
    hold_and_resume(w, calls.up[0])
    w.lab.start("sbc-a")
    w.settled(30)
    assert w.lab.redundancy("sbc-a")["records"]["newer"] == kept
    switch(w, calls)
    expected[of_user(w, "sbc-a", calls.up[0][0].user)] = 0  # re-INVITEs
    assert fields(w, "sbc-a") == expected
    calls.end()


@pairs_of(("today", "newer"))
def test_what_an_older_node_did_not_write(world):
    """The newer release goes on with the default."""
    w = world
    calls = Calls(w)
    assert set(fields(w, "sbc-b").values()) == {0}
    crash(w, calls)
    more = w.establish(1)
    assert sorted(fields(w, "sbc-b").values())[-2:] == [0, NEWER_FIELD]
    calls.up += more
    calls.end()
