"""Inputs and records that crash a worker: refused, buried, on both nodes."""

import os
import signal
import socket
import time

import pytest

import checks
import lab
from conftest import close_shared, make_world
from lab import NODES, vip, wait_for
from sipua import netns_socket
from test_cdr import wait_report

HOOK = b"X-SBC-Test"


def test_the_product_has_no_hooks():
    """What crashes on demand is in the binary made for it and nowhere else."""
    assert HOOK in (lab.build_dir() / "hooks/bin/sbcd").read_bytes()
    for path in (lab.build_dir() / "bin").iterdir():
        assert HOOK not in path.read_bytes(), path


@pytest.fixture
def world(tmp_path_factory):
    """A pair that crashes on demand, with calls up."""
    close_shared()
    w = make_world(tmp_path_factory, "poison", hooks=True)
    w.peers()
    w.watch = w.observer()
    yield w
    checks.sane(w)
    checks.one_owner(w.watch)
    w.close()


def text(what, n=0, via="UDP", extra="X-SBC-Test: crash-parse\r\n"):
    return (f"OPTIONS sip:{vip('core')} SIP/2.0\r\n"
            f"Via: SIP/2.0/{via} 10.10.0.50:5099;branch=z9hG4bK{what}{n}\r\n"
            f"From: <sip:a@10.10.0.50>;tag=1\r\nTo: <sip:{vip('core')}>\r\n"
            f"Call-ID: {what}-{n}\r\nCSeq: 1 OPTIONS\r\n"
            f"Max-Forwards: 70\r\n{extra}Content-Length: 0\r\n\r\n"
            ).encode()


def sock(kind=socket.SOCK_DGRAM):
    s = netns_socket("/run/netns/sbc-core", socket.AF_INET, kind)
    s.bind(("10.10.0.50", 5099 if kind == socket.SOCK_DGRAM else 0))
    s.settimeout(5)
    if kind == socket.SOCK_STREAM:
        s.connect((vip("core"), 5060))
    return s


def sip_pid(w, node):
    return w.lab.pid_of(node, "sip")


def crashes(w, node):
    return w.lab.sbcctl(node, "show", "counters")["keeper"]["sip_crashes"]


def refused(w, node):
    return w.lab.sbcctl(node, "show", "counters")["workers"][
        "sip_rx_quarantined"]


def answers(w):
    """The active's SIP worker is there and serves."""
    def ask():
        try:
            return w.ua["core"].request("OPTIONS", f"sip:{vip('core')}",
                                        (vip("core"), 5060),
                                        timeout=1).status == 200
        except Exception:
            return False
    wait_for(ask, 20, "an answer to OPTIONS")


def is_refused(w, node, data):
    """Sent again, it does nothing but count."""
    before, was = refused(w, node), crashes(w, node)
    with sock() as s:
        s.sendto(data, (vip("core"), 5060))
        wait_for(lambda: refused(w, node) > before, 10, "it is refused")
    answers(w)
    assert crashes(w, node) == was


def lost(totals):
    return sum(t["lost"] for t in totals.values())


def crash(w, node, data):
    was = crashes(w, node)
    with sock() as s:
        s.sendto(data, (vip("core"), 5060))
        wait_for(lambda: crashes(w, node) > was, 10, "it crashes")
    answers(w)


def test_by_udp_on_both_nodes(world):
    w, poison = world, text("poison")
    pairs = w.establish(10)
    active, standby = w.settled()
    w.media_reset()
    crash(w, active, poison)
    is_refused(w, active, poison)
    # One byte more than nothing in common is another message.
    with sock() as s:
        s.sendto(text("fine", extra=""), (vip("core"), 5060))
        assert s.recv(4096).startswith(b"SIP/2.0 200")
    assert lost(w.listen(1)) == 0
    w.settled()
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 5)
    answers(w)
    is_refused(w, standby, poison)
    assert crashes(w, standby) == 0
    w.wait_media(pairs)
    w.hang_up(pairs + w.establish(1))
    # And a node that was not there when it happened.
    w.lab.start(active)
    w.settled(30)
    w.lab.sbcctl(standby, "switchover")
    answers(w)
    is_refused(w, active, poison)
    checks.nothing_left(w)


def test_killed_from_outside_is_not_poison(world):
    """kill -9 of a worker that reads a message says nothing about it; that it
    hangs while it does is noticed, and says all."""
    w = world
    hang = text("hang", extra="X-SBC-Test: hang-parse\r\n")
    fine = text("fine", extra="")
    pairs = w.establish(5)
    active, _ = w.settled()
    w.media_reset()

    def hangs():
        try:
            s.sendto(fine, (vip("core"), 5060))
            return not s.recv(4096)
        except socket.timeout:
            return True
    with sock() as s:
        s.settimeout(1)
        s.sendto(hang, (vip("core"), 5060))
        wait_for(hangs, 10, "no answer")
        os.kill(sip_pid(w, active), signal.SIGKILL)
        wait_for(lambda: crashes(w, active) == 1, 10, "it is dead")
        answers(w)
        s.sendto(hang, (vip("core"), 5060))
        wait_for(lambda: crashes(w, active) == 2, 20, "found hanging")
        answers(w)
    assert refused(w, active) == 0
    is_refused(w, active, hang)
    assert lost(w.listen(1)) == 0
    w.hang_up(pairs)
    checks.nothing_left(w)


def closed(s):
    try:
        while s.recv(65536):
            pass
        return True
    except ConnectionError:
        return True
    except socket.timeout:
        return False


def test_by_tcp(world):
    """Its connection is closed; others, and what they say, are not touched."""
    w, poison = world, text("poison", via="TCP")
    pairs = w.establish(5)
    active, _ = w.settled()
    w.media_reset()
    with sock(socket.SOCK_STREAM) as s:
        s.sendall(text("before", via="TCP", extra="") + poison)
        assert closed(s)
    answers(w)
    other = sock(socket.SOCK_STREAM)
    for i in range(3):
        before = refused(w, active)
        with sock(socket.SOCK_STREAM) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.sendall(poison[:40 * i])
            time.sleep(0.05)
            s.sendall(poison[40 * i:])
            assert closed(s)
        wait_for(lambda b=before: refused(w, active) > b, 5, "refused")
        other.sendall(text("fine", i, "TCP", ""))
        assert other.recv(4096).startswith(b"SIP/2.0 200")
    other.close()
    assert crashes(w, active) == 1
    assert lost(w.listen(1)) == 0
    w.hang_up(pairs)
    checks.nothing_left(w)


def test_a_storm_moves_the_calls(world):
    """Three different ones in a minute: the peer may do better."""
    w = world
    pairs = w.establish(5)
    active, standby = w.settled()
    w.media_reset()
    for i in range(3):
        with sock() as s:
            was = crashes(w, active)
            s.sendto(text("storm", i), (vip("core"), 5060))
            wait_for(lambda b=was: crashes(w, active) > b, 10, "it crashes")
        if i < 2:
            answers(w)
    w.wait_role(standby, "ACTIVE", 10)
    answers(w)
    w.wait_media(pairs)
    assert lost(w.listen(1)) == 0
    w.settled(30)
    w.hang_up(pairs)
    checks.nothing_left(w)


def poisoned_call(w, what):
    """A call that the standby cannot build, among five that it can."""
    pairs = w.establish(5)
    active, standby = w.settled()
    caller, callee = w.establish(1, prefix=what + "-")[0]
    wait_for(lambda: crashes(w, standby) > 0, 10, "the standby chokes on it")
    wait_for(lambda: w.settled(), 20, "and goes on")
    w.wait_media(pairs + [(caller, callee)])
    return pairs, caller, callee


def gone(w, told, caller, callee):
    """Both sides were told, or are when they ask; nothing is left of it."""
    for leg in (caller, callee):
        if told:
            leg.wait("ended", timeout=20)
            assert leg.ended_by == "remote"
        else:
            assert leg.bye(10).status == 481
        leg.close_media()


KINDS = pytest.mark.parametrize("what,told", [("crash-call", True),
                                              ("crash-record", False)])


@KINDS
def test_a_record_no_worker_can_replay(world, what, told):
    """The active lives with it until its SIP worker must start again."""
    w = world
    pairs, caller, callee = poisoned_call(w, what)
    active, standby = w.settled()
    roles = w.lab.roles()
    w.media_reset()
    w.lab.kill(active, "sip")
    wait_for(lambda: crashes(w, active) >= (2 if told else 3), 20,
             "its successor dies of it, too")
    answers(w)
    gone(w, told, caller, callee)
    for node in NODES:
        wait_for(lambda n=node: w.calls(n)["count"] == len(pairs), 20,
                 f"{node} has buried it")
    if told:
        assert w.lab.roles() == roles
    # With the kill that was the third death in a minute.
    w.settled(30)
    w.wait_media(pairs)
    w.hang_up(pairs + w.establish(1))
    checks.nothing_left(w)


@KINDS
def test_a_record_only_the_next_active_chokes_on(world, what, told):
    """What cannot be taken over is ended, the rest goes on."""
    w = world
    pairs, caller, callee = poisoned_call(w, what)
    active, standby = w.settled()
    before = crashes(w, standby)
    doomed, = [c["id"] for c in w.calls(active)["calls"] if what in c["to"]]
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 5)
    answers(w)
    gone(w, told, caller, callee)
    wait_for(lambda: w.calls(standby)["count"] == len(pairs), 20,
             "it is buried")
    assert crashes(w, standby) == before
    w.wait_media(pairs)
    # The report of the take-over names it, and no other.
    r, = wait_report(w, standby, 1)
    assert (r["calls"], r["lost"]) == (len(pairs) + 1, 1), r
    assert [c["id"] for c in r["lost-calls"]] == [doomed], r
    assert "died of its records" in r["lost-calls"][0]["reason"], r
    w.lab.start(active)
    w.settled(30)
    w.hang_up(pairs)
    checks.nothing_left(w)


def test_alone_with_three_of_them(world):
    """The third crash in a replay costs every call, and each is told."""
    w = world
    active, standby = w.settled()
    w.lab.kill(standby, "power")
    pairs = w.establish(3) + w.establish(3, prefix="crash-call-")
    w.lab.kill(active, "sip")
    wait_for(lambda: crashes(w, active) >= 4, 20, "three crashes")
    answers(w)
    for pair in pairs:
        gone(w, True, *pair)
    checks.nothing_left(w)
    w.hang_up(w.establish(1))
    w.lab.start(standby)
    w.settled(30)
