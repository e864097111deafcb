"""Every invariant that chaos.py judges after a fault can fail: one thing at a
time is wrong with an otherwise quiet pair, and it must be blamed by name. CDRs
have a test of their own in selftest.py."""

import sys
import time
from pathlib import Path
from types import SimpleNamespace as Fake

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lab"),
                str(HERE.parent / "peers")]
import chaos   # noqa: E402
import faults  # noqa: E402
import load    # noqa: E402
import watch   # noqa: E402

CRASH = faults.Fault("power-active", [("power", "active")], 600, True)
CUT = faults.Fault("cut-ha-link", [("cut", "active", "ha1", "both")], 200)
KILL_SIP = faults.Fault("kill-sip-active", [("kill", "active", "sip")], 200)
PLANNED = faults.Fault("switchover", [("switchover",)], 200, False, True)


def quiet_run(fault):
    """A run in which `fault` went as it should; n2 is active after it."""
    run = object.__new__(chaos.Run)
    run.blamed = []
    run.clock = time.monotonic()
    run.say = lambda text: None
    run.judge = Fake(blame=lambda name, text, when=None, sipp=False:
                     run.blamed.append(name))
    run.epoch = 2 if fault in (CRASH, PLANNED) else 1
    run.world = Fake(
        lab=Fake(redundancy=lambda node: {"epoch": run.epoch,
                                          "role": "ACTIVE" if node == "n2"
                                          else "STANDBY"}),
        settled=lambda timeout: ("n2", "n1"),
        media_totals=lambda: {"core": {"foreign": 0, "malformed": 0,
                                       "source_changes": 0}})
    run.load = Fake(gaps=lambda: [20, 30], deaf=list, lost_rtp=list,
                    srtp_trouble=list, lost_packets=list, take_trouble=list, tcp_lost=[],
                    sipp_trouble=list, forget_messages=lambda: None)
    run.owners = Fake(news=list, owner=lambda side: "n2")
    run.stall = Fake(worst_ms=lambda since: 5)
    run.watch = Fake(has_addresses=lambda *_: False, refused=lambda *_: [],
                     messages=lambda *_: [], quantile=watch.quantile)
    run.score = watch.Score("1", True)
    return run


def blamed(fault, spoil=None, now=("n2", "n1")):
    run = quiet_run(fault)
    if spoil:
        spoil(run)
    run.look(fault, 1, now, 0, time.time() - 1)
    return set(run.blamed)


def returns(owner, name, value):
    """A sabotage: what the fake `owner` of the run says from now on."""
    return lambda run: setattr(getattr(run, owner), name, lambda *_: value)


def each_is_noticed():
    for fault in (CRASH, CUT, PLANNED):
        assert not blamed(fault), (fault.kind, blamed(fault))
    old = time.time() - 600
    for fault, spoil, name in (
            (CRASH, returns("owners", "news", [("m", 0.1, "")]), "one-owner"),
            (CUT, returns("owners", "news", [("m", 101, "")]), "one-owner"),
            (CRASH, returns("owners", "owner", "n1"), "one-owner"),
            (CRASH, returns("watch", "has_addresses", True), "one-owner"),
            (CRASH, returns("load", "deaf", ["leg"]), "established"),
            (CRASH, returns("load", "lost_rtp", [("leg", "BYE")]),
             "established"),
            (CRASH, returns("load", "gaps", [20, 606]), "gap"),
            (PLANNED, returns("load", "lost_packets", [("leg", 1)]),
             "lossless"),
            (CRASH, returns("load", "srtp_trouble", ["reused 1"]), "srtp"),
            (CRASH, lambda run: setattr(run, "epoch", 1), "exercised"),
            (CRASH, returns("load", "take_trouble",
                            [("in-dialog", old, "481")]), "in-dialog"),
            (CRASH, lambda run: run.load.tcp_lost.append((old, "leg")),
             "in-dialog"),
            (CRASH, returns("load", "sipp_trouble",
                            [("short", old, "CSeq went back")]), "in-dialog"),
            (CRASH, returns("load", "sipp_trouble",
                            [("hold", old, "Aborting")]), "in-dialog"),
            (CRASH, returns("load", "sipp_trouble",
                            [("ring", old, "Aborting")]), "ringing"),
            (CRASH, returns("load", "sipp_trouble",
                            [("short", old, "Aborting")]), "set-up"),
            (CUT, returns("watch", "refused", [time.time()]), "clean"),
            (CRASH, returns("watch", "messages", ["10.0.0.1"]), "clean"),
            (CRASH, returns("world", "media_totals", {"core": {
                "foreign": 1, "malformed": 0, "source_changes": 0}}),
             "clean")):
        got = blamed(fault, spoil)
        assert got == {name}, (fault.kind, name, got)
    # It was handed over while we looked, and well.
    assert not blamed(CUT, now=("n1", "n2"))
    assert blamed(CUT, returns("watch", "has_addresses", True),
                  now=("n1", "n2")) == {"one-owner"}
    # Within the bound of a cut that heals: nothing.
    assert not blamed(CUT, returns("owners", "news", [("m", 99, "")]))


def what_a_failover_excuses():
    """Its time and no more; a repeated BYE some seconds more."""
    def bye(when):
        return lambda run: setattr(run.load, "sipp_trouble", lambda: [
            ("short", when(), "BYE answered 481")])

    def tcp(when):
        return lambda run: run.load.tcp_lost.append((when(), "leg"))

    def refused(when):
        return lambda run: returns("watch", "refused", [when()])(run)

    assert not blamed(CRASH, refused(time.time))
    assert blamed(CRASH, refused(lambda: time.time() + 2)) == {"clean"}
    for what in (bye, tcp):
        assert not blamed(CRASH, what(time.time)), what
        assert not blamed(KILL_SIP, what(time.time)), what
        assert blamed(CUT, what(time.time)) == {"in-dialog"}, what
        assert blamed(CRASH, what(lambda: time.time() + 5)) == \
            {"in-dialog"}, what
    assert not blamed(CRASH, bye(lambda: time.time() + 2))
    assert blamed(CRASH, tcp(lambda: time.time() + 2)) == {"in-dialog"}


def refused_connections_are_known():
    class Said(str):
        when = 7
    mine = [Said("send to x: ConnectionRefusedError(111, \"Connect call "
                 "failed ('10.10.0.10', 5060)\")"),
            Said("ConnectionRefusedError: [Errno 111] refused"),
            Said("[Errno 104] Connection reset by peer")]
    other = [Said("SDP with no RTP/SAVP"), Said("CSeq 111 after 113")]
    ua = Fake(errors=mine + other)
    assert watch.refused(Fake(ua={"core": ua})) == [7, 7, 7]
    assert ua.errors == other


def srtp_is_noticed():
    quiet = {"unprotect_failed": 0, "rtcp_unprotect_failed": 0}
    fine = {"reused": 0, "unknown": 0, "capture_drops": 0, "reuses": [],
            "unknowns": []}
    mine = load.Load(Fake(media_totals=lambda: {"cloud": mine.total}), "1")
    mine.srtp = Fake(report=lambda: mine.seen)

    def said(total=None, seen=None):
        mine.total, mine.seen = {**quiet, **(total or {})}, \
            {**fine, **(seen or {})}
        return len(list(mine.srtp_trouble()))
    assert not said()
    for what in quiet:
        assert said(total={what: 1}) == 1, what
    for what in ("reused", "unknown", "capture_drops"):
        assert said(seen={what: 1}) == 1, what
        # Once, not at every look.
        assert said(seen={what: 1}) == 0, what
        assert said() == 0


def leg(state, status=200):
    return Fake(state=state, call_id="c", bye=lambda t: Fake(status=status),
                wait=lambda *_, **__: None, close_media=lambda: None)


def one_leg_is_noticed():
    for states, status, name in (
            (("established", "ended"), 200, "one-legged"),
            (("ended", "established"), 200, "one-legged"),
            (("established", "established"), 481, "in-dialog"),
            (("established", "established"), 200, None),
            (("ended", "ended"), 200, None)):
        mine = load.Load(None, "1")
        bad = mine._hang_up([leg(s, status) for s in states])
        assert [b[0] for b in bad] == ([name] if name else []), (states, bad)


def leaks_are_noticed():
    foot = {"sockets": {("udp", ""): 2, ("tcp", "ESTAB"): 1},
            "fds": {"sip": 9, "media": 5}, "maps": {"flows": 0}}

    def said(now, raises=False):
        def nothing_left(world, timeout):
            if raises:
                raise watch.LabError("a call is left")
        was, watch.checks = watch.checks, Fake(
            footprint=lambda world: {"n1": now}, nothing_left=nothing_left)
        try:
            run = Fake(lab=Fake(run=lambda *_, **__: Fake(stdout="")))
            return list(watch.leaks(run, {"n1": foot}, timeout=0.1))
        finally:
            watch.checks = was
    assert not said(foot), said(foot)
    assert said(foot, raises=True)
    for change in ({"sockets": {("udp", ""): 3, ("tcp", "ESTAB"): 1}},
                   {"fds": {"sip": 9, "media": 6}}, {"maps": {"flows": 1}}):
        assert said({**foot, **change}), change


def a_pair_that_does_not_come_back_is_noticed():
    run = quiet_run(CRASH)
    run.args, run.lab = Fake(witness=False), watch

    def settled(seconds):
        raise watch.LabError("no STANDBY")
    run.world.settled = settled
    assert run.settle() is None and run.blamed == ["redundant-again"]


def main():
    for test in (each_is_noticed, what_a_failover_excuses, srtp_is_noticed,
                 refused_connections_are_known,
                 one_leg_is_noticed, leaks_are_noticed,
                 a_pair_that_does_not_come_back_is_noticed):
        test()


if __name__ == "__main__":
    main()
