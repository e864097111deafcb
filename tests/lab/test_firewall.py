"""A node's firewall as `sbcctl config firewall` makes it, loaded on both."""

import socket
import struct
import time

import pytest

import checks
from conftest import close_shared
from lab import ADDR, NODES, SIDES, vip, wait_for
from netlab import run
from sipua import netns_socket
from test_fence import checksum, deductions
from test_tls import shop, tls_world  # noqa: F401 (a fixture)

FILES = "/etc/sbcd/sbcd.conf /etc/sbcd/node.conf"
ACK, RST = 0x10, 0x04
LIBERAL = "net.netfilter.nf_conntrack_tcp_be_liberal=1"


def load(w, node, resets=True):
    """As sbcd-firewall.service does it; without `resets` the rules that are
    to be seen at work are left out."""
    rules = w.lab.run(node, ["sh", "-c",
                             f"sbcctl config firewall {FILES}"]).stdout
    assert rules.count("reject with tcp reset") == 4
    if not resets:
        rules = "\n".join(r for r in rules.splitlines() if "reject" not in r)
    path = w.lab.node_dir(node) / "etc-sbcd/firewall.nft"
    path.write_text(rules)
    w.lab.run(node, ["nft", "-f", "/etc/sbcd/firewall.nft"])
    w.lab.run(node, ["sysctl", "-qw", LIBERAL])


@pytest.fixture(scope="module")
def walled(tmp_path_factory, shop):  # noqa: F811
    w = tls_world(tmp_path_factory, shop, ping=0)
    w.more_peers()
    try:
        for node in NODES:
            load(w, node)
        yield w
    finally:
        w.close()
        close_shared()


def cold(w, node):
    """Power again, and the wall before anybody connects."""
    w.lab.start(node)
    load(w, node)
    return w.settled(30)


# ---- segments of connections nobody has any more ----------------------------

def segment(family, ports, seq=1000, ack=2000, flags=ACK):
    head = struct.pack("!HHIIBBHHH", *ports, seq, ack, 0x50, flags, 64, 0, 0)
    if family == 6:
        return head  # the kernel's to sum up
    src, dst = (socket.inet_aton(a) for a in (ADDR["cloud", 4], vip("cloud")))
    pseudo = src + dst + struct.pack("!BBH", 0, 6, len(head))
    return head[:16] + checksum(pseudo + head) + head[18:]


def reset_after(w, family, port, timeout=1.0):
    """Seconds until a segment to this port of ours is answered by a reset of
    just that connection; None: it is not."""
    af = socket.AF_INET if family == 4 else socket.AF_INET6
    ours = 5061
    with netns_socket(f"/run/netns/{SIDES['cloud']}", af, socket.SOCK_RAW,
                      socket.IPPROTO_TCP) as sock:
        if family == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, 7, 16)  # IPV6_CHECKSUM
        sock.bind((ADDR["cloud", family], 0))
        began = time.monotonic()
        sock.sendto(segment(family, (ours, port)), (vip("cloud", family), 0))
        while (left := began + timeout - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                data, frm = sock.recvfrom(2048)
            except socket.timeout:
                break
            tcp = data[(data[0] & 15) * 4:] if family == 4 else data
            src, dst, seq = struct.unpack("!HHI", tcp[:8])
            if (frm[0] == vip("cloud", family) and (src, dst, seq) ==
                    (port, ours, 2000) and tcp[13] & RST):
                return time.monotonic() - began
    return None


@pytest.mark.parametrize("family", [4, 6])
def test_segment_of_a_dead_connection_is_reset(walled, family):
    """To a port of ours, and to one that the dead node had connected from. Not
    so without the rules: a port that is not open says nothing."""
    active, _ = walled.settled()
    for port in (5060, 40001, 50001):
        took = reset_after(walled, family, port)
        assert took is not None and took < 0.1, (port, took)
    load(walled, active, resets=False)
    try:
        for port in (40001, 50001):
            assert reset_after(walled, family, port) is None, port
    finally:
        load(walled, active)
    assert reset_after(walled, family, 40001) < 0.1


# ---- what is open, what is closed -------------------------------------------

def answers(netns, to, timeout=0.7):
    """open, closed (a reset) or silent."""
    af = socket.AF_INET6 if ":" in to[0] else socket.AF_INET
    with netns_socket(f"/run/netns/{netns}", af, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect(to)
            return "open"
        except socket.timeout:
            return "silent"
        except ConnectionRefusedError:
            return "closed"


def test_closed_but_for_what_is_configured(walled):
    w = walled
    active, _ = w.settled()
    for side, family in (("core", 4), ("cloud", 4), ("cloud", 6)):
        at = vip(side, family)
        assert answers(SIDES[side], (at, 5060)) == "open"
        assert answers(SIDES[side], (at, 5061)) == "open"
        for port in (22, 80, 5420, 20000):
            assert answers(SIDES[side], (at, port)) == "silent", (at, port)
    run(["ip", "-n", active, "link", "add", "mgmt", "type", "veth", "peer",
         "name", "mgmt", "netns", "sbc-w"])
    for netns, address in ((active, "10.98.0.1/24"), ("sbc-w", "10.98.0.2/24")):
        run(["ip", "-n", netns, "addr", "add", address, "dev", "mgmt"])
        run(["ip", "-n", netns, "link", "set", "mgmt", "up"])
    try:
        wait_for(lambda: answers("sbc-w", ("10.98.0.1", 22)) == "closed", 5,
                 "management: nothing listens at 22 here, but one may ask")
        assert answers("sbc-w", ("10.98.0.1", 2222)) == "silent"
        ha = {"sbc-a": "10.99.1.1", "sbc-b": "10.99.1.2"}[active]
        for port in (22, 5405, 5421):
            assert answers("sbc-w", (ha, port)) == "silent"
    finally:
        run(["ip", "-n", active, "link", "del", "mgmt"])


def test_nodes_hear_each_other_and_their_gateways(walled):
    """Corosync, beats on every path, ARP and neighbour solicitations of both:
    a loss of any of them costs health."""
    w = walled
    cold_both(w)
    wait_for(lambda: not any(deductions(w, n) for n in NODES), 15,
             "perfect health of both")
    end = time.monotonic() + 5
    while time.monotonic() < end:
        for node in NODES:
            assert not deductions(w, node), deductions(w, node)
            assert len(w.lab.members(node)) == 2
            assert all(0 <= p["last-heard-ms"] < 1000 for p in
                       w.lab.redundancy(node)["paths"])


def cold_both(w):
    """What began before the wall stood proves nothing."""
    for node in NODES:
        active, standby = w.settled(30)
        if node == active:
            w.lab.switchover()
            w.wait_role(node, "STANDBY")
            w.settled(30)
        w.lab.kill(node, "power")
        cold(w, node)


# ---- take-over ---------------------------------------------------------------

def test_calls_over_two_power_losses(walled):
    w = walled
    watch = w.observer()
    kinds = [("core", "cloud-tls", "tls"), ("cloud-tls", "core", "c"),
             ("core-tcp", "cloud-tcp", "tcp"), ("cloud-tcp", "core-tcp", "tcp"),
             ("core", "cloud", "c")]
    pairs = [w.establish(1, frm=f, to=t, prefix=p)[0] for f, t, p in kinds]
    for _ in range(2):
        active, standby = w.settled(30)
        # Theirs, and ours.
        old = [c for ua in w.ua.values() for c in ua.connections()]
        assert {c.mine for c in old} == {True, False}
        w.lab.kill(active, "power")
        w.wait_role(standby, "ACTIVE", 10)
        w.wait_media(pairs)
        for ua in w.ua.values():
            ua.keep_alive()
        wait_for(lambda o=old: all(c.lost for c in o), 2,
                 "connections of the dead node are reset")
        for pair in pairs:
            for leg in pair:
                assert leg.reinvite(timeout=20).status == 200
                assert leg.request("INFO", timeout=20).status == 200
        cold(w, active)
    w.hang_up(pairs)
    checks.one_owner(watch)
