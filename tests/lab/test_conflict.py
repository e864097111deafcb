"""A stranger on a service network answers for the pair's addresses."""

import ipaddress
import socket
import struct

import pytest

import checks
from lab import NODES, wait_for
from test_health import deductions, epochs, unchanged, world  # noqa: F401
from sipua import netns_socket

STRANGER = bytes.fromhex("525400000009")
VIP = "10.10.0.10"
VIP6 = "fd00:10::10"
ARP, IPV6 = 0x0806, 0x86dd


def claim_v4():
    ip = ipaddress.ip_address(VIP).packed
    return (b"\xff" * 6 + STRANGER + struct.pack("!HHHBBH", ARP, 1, 0x0800, 6,
                                                  4, 2) +
            STRANGER + ip + b"\xff" * 6 + ip)


def claim_v6():
    """An unsolicited advertisement to all nodes."""
    ip = ipaddress.ip_address(VIP6).packed
    to = ipaddress.ip_address("ff02::1").packed
    body = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + ip + b"\x02\x01" + \
        STRANGER
    pseudo = ip + to + struct.pack("!II", len(body), 58) + body
    total = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo))
    total = (total & 0xffff) + (total >> 16)
    check = ~((total & 0xffff) + (total >> 16)) & 0xffff
    body = body[:2] + struct.pack("!H", check) + body[4:]
    return (bytes.fromhex("333300000001") + STRANGER +
            struct.pack("!H", IPV6) +
            struct.pack("!IHBB", 0x60000000, len(body), 58, 255) + ip + to +
            body)


def announcements(sock, seconds):
    """Gratuitous ARP for VIP that reaches the PBX's network."""
    ip = ipaddress.ip_address(VIP).packed
    seen = []

    def heard():
        while True:
            try:
                f = sock.recv(2048)
            except BlockingIOError:
                return bool(seen)
            if f[12:14] == b"\x08\x06" and f[28:32] == ip == f[38:42]:
                seen.append(f[22:28])

    wait_for(heard, seconds, "the address is announced")
    return seen


@pytest.fixture
def wire(world):  # noqa: F811
    s = netns_socket("/run/netns/sbc-core", socket.AF_PACKET,
                     socket.SOCK_RAW)
    s.bind(("core", 3))    # every kind of frame
    s.setblocking(False)
    yield s
    s.close()


def conflicts(w, node):
    shown = w.lab.sbcctl(node, "show", "interfaces")["interfaces"]
    return {c["address"]: c["mac"] for i in shown for c in i["conflicts"]}


@pytest.mark.parametrize("address, frame", [(VIP, claim_v4),
                                            (VIP6, claim_v6)],
                         ids=["arp", "nd"])
def test_a_stranger_claims_our_address(world, wire, address, frame):  # noqa: F811
    """It is named on both nodes, defended, and moves nothing."""
    w = world
    w.settled(30)
    pairs = w.establish(2)
    before = epochs(w)
    while True:    # what is announced for other reasons
        try:
            wire.recv(2048)
        except BlockingIOError:
            break
    assert all(not conflicts(w, n) for n in NODES)
    wire.send(frame())
    for node in NODES:
        wait_for(lambda n=node: conflicts(w, n) ==
                 {address: "52:54:00:00:00:09"}, 10, f"{node} names it")
        wait_for(lambda n=node: "address-conflict" in deductions(w, n), 10,
                 f"{node} says so")
    assert b"\x02\x5b\xc0\x00\x01\x01" in announcements(wire, 10)
    unchanged(w, before, 2)
    w.media_reset()
    w.wait_media(pairs)
    w.hang_up(pairs)
    checks.nothing_left(w)
