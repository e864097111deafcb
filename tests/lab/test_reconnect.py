"""Who becomes active connects to every session agent by TCP or TLS at once."""

import socket
import threading
import time

import pytest

from conftest import close_shared
from lab import NODES, SIDES, wait_for
from sipua import netns_socket
from test_tls import shop, show_tls, tls_world  # noqa: F401 (a fixture)

AGENTS = ["core-tcp", "cloud-tcp", "core-tls", "cloud-tls"]  # never pinged
HALF = {"sbc-a": range(32768, 46884), "sbc-b": range(46884, 61000)}


class Slammed:
    """An agent's port that takes a connection and ends it at once."""

    def __init__(self, side, host, port):
        self.times = []
        self.sock = netns_socket(f"/run/netns/{SIDES[side]}", socket.AF_INET,
                                 socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((host, port))
        self.sock.listen(16)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            self.times.append(time.monotonic())
            conn.close()

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


@pytest.fixture
def quiet(tmp_path_factory, shop):  # noqa: F811
    w = tls_world(tmp_path_factory, shop, ping=0)
    w.more_peers()
    try:
        yield w
    finally:
        w.close()
        close_shared()


def theirs(w, agent):
    """Connections of ours, as the agent sees them: (port, connection)."""
    return {c.peer[1]: c for c in w.ua[agent].connections() if not c.mine}


def test_every_agent_has_a_connection_after_a_take_over(quiet):
    """Before there is anything to send, and it is the one that is used: from
    the node's own half of the ports, with no call's help."""
    w, seen = quiet, set()
    slammed = Slammed("cloud", "10.20.0.53", 5061)  # agent cloud-wrong
    try:
        for _ in range(2):
            active, standby = w.settled(30)
            seen |= {p for a in AGENTS for p in theirs(w, a)}
            w.lab.kill(active, "power")
            w.wait_role(standby, "ACTIVE", 10)
            began, slammed.times = time.monotonic(), []
            for agent in AGENTS:
                wait_for(lambda a=agent: set(theirs(w, a)) - seen, 1.5,
                         f"{agent} is connected to")
            took = time.monotonic() - began
            print(f"all within {1000 * took:.0f} ms of ACTIVE")
            assert took < 1.5
            new = {p for a in AGENTS for p in theirs(w, a)} - seen
            assert len(new) == len(AGENTS), new
            assert new <= set(HALF[standby]), (standby, new)
            wait_for(lambda n=standby: {
                c["agent"] for c in show_tls(w, n)["connections"]
                if c["state"] == "open"} >= {"core-tls", "cloud-tls"}, 2,
                "handshakes are done")
            pairs = [w.establish(1, frm=f, to=t, prefix=p)[0] for f, t, p in
                     (("core", "cloud-tls", "tls"),
                      ("core", "cloud-tcp", "tcp"))]
            w.hang_up(pairs)
            assert {p for a in AGENTS for p in theirs(w, a)} - seen == new
            # Nobody there: each wait is twice the one before.
            wait_for(lambda: len(slammed.times) >= 6, 10, "it is asked again")
            gaps = [b - a for a, b in zip(slammed.times, slammed.times[1:])]
            assert all(b > 1.4 * a for a, b in zip(gaps, gaps[1:])), gaps
            w.lab.start(active)
    finally:
        slammed.close()
    assert set(w.lab.roles()) == set(NODES)
