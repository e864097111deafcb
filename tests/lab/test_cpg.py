"""hasync/cpg.c against a real corosync, by haprobe, without the daemon."""

import json
import os
import signal
import subprocess
import time

import pytest

from lab import alive, wait_for

NODE_ID = {"sbc-a": 1, "sbc-b": 2}
FRAME_MAX = 65536


class Probe:
    def __init__(self, world, node, node_id=None, group="sbcd:test"):
        argv = world.lab.argv(node, ["haprobe", "cpg",
                                     node_id or NODE_ID[node], group])
        self.path = world.dir / f"probe-{node}-{time.monotonic_ns()}.log"
        with open(self.path, "w") as out:
            self.proc = subprocess.Popen(argv, stdin=subprocess.PIPE,
                                         stdout=out, text=True)

    def events(self, kind=None):
        """Those of whole lines so far."""
        lines = self.path.read_text().split("\n")[:-1]
        evs = [json.loads(line) for line in lines]
        return [e for e in evs if kind in (None, e["event"])]

    def last(self, kind):
        evs = self.events(kind)
        return evs[-1] if evs else None

    def tell(self, line):
        self.proc.stdin.write(line + "\n")
        self.proc.stdin.flush()

    def stats(self):
        n = len(self.events("stats"))
        self.tell("stats")
        return wait_for(lambda: self.events("stats")[n:], 5, "stats")[0]

    def wait_members(self, self_, peer, timeout=10):
        def settled():
            e = self.last("members")
            return e and (e["self"], e["peer"]) == (self_, peer) and e
        return wait_for(settled, timeout, f"members {self_} {peer}")

    def wait_received(self, who, count, timeout=30):
        return wait_for(lambda: (s := self.stats())[f"from{who}"] >= count
                        and s, timeout, f"{count} frames from {who}")

    def close(self, sig=None):
        if self.proc.poll() is None:
            if sig:
                self.proc.send_signal(sig)
            self.proc.stdin.close()
        return self.proc.wait(10)


@pytest.fixture
def probes(bare):
    started = []

    def start(node, **kwargs):
        started.append(Probe(bare, node, **kwargs))
        return started[-1]
    yield start
    for p in started:
        if p.proc.poll() is None:
            p.proc.kill()
            p.proc.wait()


@pytest.fixture
def pair(probes):
    a = probes("sbc-a")
    a.wait_members(True, False)
    b = probes("sbc-b")
    for p in (a, b):
        p.wait_members(True, True)
    return a, b


def test_first_comes_alone_then_both_see_each_other(probes):
    a = probes("sbc-a")
    assert a.wait_members(True, False)["left"] == "never"
    assert a.last("link")["up"]
    wait_for(lambda: a.last("quorum"), 5, "quorum")
    assert a.last("quorum")["quorate"]
    b = probes("sbc-b")
    assert b.wait_members(True, True)["left"] == "not"
    a.wait_members(True, True)
    # The same ring on both sides and in the quorum's words.
    assert len({p.last(k)["ring"] for p in (a, b)
                for k in ("members", "quorum")}) == 1


def test_frames_arrive_whole_and_in_order(pair):
    a, b = pair
    for size, n in ((8, 2000), (200, 2000), (4096, 1000), (FRAME_MAX, 200)):
        before = b.stats()
        first = before["from1"] + 1
        for p in pair:
            p.tell(f"send {n} {size} {first}")
        for p in pair:
            for who in (1, 2):
                s = p.wait_received(who, first + n - 1)
                assert s["bad"] == 0
        assert b.stats()["bytes"] - before["bytes"] == 2 * n * size
    for p in pair:
        assert p.stats()["lost"] == 0 and p.stats()["queued"] == 0


def test_too_large_is_refused(pair):
    a, b = pair
    a.tell(f"send 1 {FRAME_MAX + 1}")
    assert wait_for(lambda: a.last("refused"), 5, "refused")["error"] == \
        os.strerror(90)
    a.tell("send 1 8 1")
    assert b.wait_received(1, 1)["bytes"] == 8


def test_how_the_peer_left(pair, probes, bare):
    a, b = pair
    b.close()
    assert a.wait_members(True, False)["left"] == "procdown"
    b = probes("sbc-b")
    a.wait_members(True, True)
    b.close(signal.SIGKILL)
    assert a.wait_members(True, False)["left"] == "procdown"
    b = probes("sbc-b")
    a.wait_members(True, True)
    ring = a.last("members")["ring"]
    killed_ms = bare.lab.kill("sbc-b", "corosync")["t_ns"] // 1_000_000
    ev = a.wait_members(True, False)
    assert ev["left"] == "nodedown"
    # Reported with the new ring's number, which is the quorum's too.
    assert ev["ring"] > ring
    wait_for(lambda: a.last("quorum")["ring"] == ev["ring"], 5,
             "quorum of the new ring")
    assert ev["ms"] - killed_ms < 1000
    down = b.wait_members(False, False)
    assert not b.last("link")["up"] and down["left"] == "nodedown"
    # First that corosync is gone, then the members: nobody takes the second
    # for a loss of the peer.
    evs = b.events()
    gone = next(i for i, e in enumerate(evs)
                if e["event"] == "link" and not e["up"])
    assert evs.index(down) == gone + 1


def test_it_comes_back_with_corosync(pair, bare):
    a, b = pair
    bare.lab.kill("sbc-b", "corosync")
    b.wait_members(False, False)
    b.tell("send 1 8")
    assert wait_for(lambda: b.last("refused"), 5, "refused")["error"] == \
        os.strerror(107)
    bare.lab.start("sbc-b", what="corosync")
    for p in pair:
        p.wait_members(True, True, 20)
    assert b.last("link")["up"]
    b.tell("send 100 1000 1")
    assert a.wait_received(2, 100)["bad"] == 0
    # Said once, not at each try.
    assert [e["up"] for e in b.events("link")].count(False) <= 2


def test_a_cut_and_its_healing(pair, bare):
    a, b = pair
    for what in ("sbc-b:ha1", "sbc-b:ha2"):
        bare.lab.cut(what)
    for p in pair:
        assert p.wait_members(True, False)["left"] == "nodedown"
    bare.lab.heal("all")
    for p in pair:
        p.wait_members(True, True, 15)
    assert a.last("members")["ring"] == b.last("members")["ring"]


def test_a_stopped_corosync_does_not_block_the_caller(pair, bare):
    a, b = pair
    pid = bare.lab.pid_of("sbc-a", "corosync")
    os.kill(pid, signal.SIGSTOP)
    try:
        a.tell("send 100000 60000 1")
        # The queue fills, the probe's own loop goes on at once.
        for _ in range(5):
            start = time.monotonic()
            a.stats()
            assert time.monotonic() - start < 0.5
        assert a.stats()["queued"] == 256
        assert a.stats()["again"] > 0
        start = time.monotonic()
        a.close()
        assert time.monotonic() - start < 4
    finally:
        os.kill(pid, signal.SIGCONT)
    assert alive(pid)
    b.wait_members(True, False)


def test_nothing_is_lost_while_the_main_loop_stands_still(pair):
    a, b = pair
    b.tell("stall 1500")
    a.tell("send 20000 500 1")
    s = b.wait_received(1, 20000)
    assert (s["from1"], s["bad"]) == (20000, 0)


def test_a_wrong_node_id_is_told_and_never_joins(probes):
    p = probes("sbc-a", node_id=2)
    ev = wait_for(lambda: p.last("link"), 10, "link")
    assert not ev["up"] and "nodeid" in ev["why"]
    time.sleep(1)
    assert not p.events("members") and len(p.events("link")) == 1


def test_the_last_words_go_out(pair):
    a, b = pair
    b.tell("send 100 1000 1\nquit")
    assert b.proc.wait(5) == 0
    assert a.wait_received(2, 100)["bad"] == 0
