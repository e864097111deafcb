"""Indexes of SRTP where they are easily used twice: wraps inside a gap, new
sources, and what anybody can send to the plain side. srtpwatch has the last
word after each test."""

import os
import random
import re
import socket
import struct
import time

import pytest

from lab import vip, wait_for
from sipua import netns_socket
from test_bad_input import counters, grew, rtp, sock
from test_failover import lost
from test_sdes import log_of
from test_srtp import authentic, crash, w, world  # noqa: F401

STRIDE = 2500  # numbers a source may jump over and still be believed


def tx(world, leg):
    return world.streams()[leg.stream]["tx"]


def wind(world, legs, seq):
    """Their next packets have this number, reached in steps that a receiver
    can follow."""
    for leg in legs:
        while True:
            now = tx(world, leg)
            ahead = (seq - now["rtp_seq"]) & 0xffff
            last = ahead <= STRIDE
            leg.ua.media.cmd("set", id=leg.stream, seq=seq if last else
                             (now["rtp_seq"] + STRIDE) & 0xffff)
            if last:
                break
            wait_for(lambda a=leg, b=now: tx(world, a)["next_seq"] >
                     b["next_seq"] + 4, 5, "packets after the jump")


def of(pair, side):
    return next(leg for leg in pair if leg.ua.name == f"{side}-ua")


# ---- wraps ------------------------------------------------------------------

def test_wrap_inside_the_gap(w):  # noqa: F811
    """At ROC 0, 1 and 2: the last packet before the crash has another ROC
    than the first one after it."""
    pairs = w.establish(2) + w.establish(2, frm="cloud")
    legs = [leg for pair in pairs for leg in pair]
    w.wait_media(pairs)
    for _ in range(3):
        active, standby = w.settled(30)
        # 100 ms before its wrap; the standby is told of the jumps.
        wind(w, legs, 65400)
        wait_for(lambda: min(tx(w, leg)["rtp_seq"] for leg in legs) >= 65520
                 or min(tx(w, leg)["rtp_seq"] for leg in legs) < 100, 10,
                 "shortly before the wrap")
        w.lab.kill(active, "power")
        w.wait_role(standby, "ACTIVE", 10)
        w.wait_media(pairs)
        w.listen(1)
        w.lab.start(active)
        w.settled(30)
    w.media_reset()
    authentic(w.listen(2))
    assert w.srtp.report()["roc_max"] >= 2
    w.hang_up(pairs)


# ---- just before the crash ----------------------------------------------------

def test_new_source_just_before_the_crash(w):  # noqa: F811
    pairs = w.establish(3)
    legs = [leg for pair in pairs for leg in pair]
    for _ in range(2):
        for leg in legs:
            leg.ua.media.cmd("set", id=leg.stream,
                             ssrc=random.getrandbits(31))
        dead, _ = crash(w)
        w.wait_media(pairs)
        w.listen(1)
        w.lab.start(dead)
    w.settled(30)
    w.media_reset()
    authentic(w.listen(2))
    w.hang_up(pairs)


def test_new_key_just_before_the_crash(w):  # noqa: F811
    pairs = w.establish(3) + w.establish(2, frm="cloud")
    for _ in range(2):
        for pair in pairs:
            leg = of(pair, "cloud")
            leg.sdes_key = None
            assert leg.reinvite("sendrecv").status == 200
        dead, _ = crash(w)
        w.wait_media(pairs)
        w.listen(1)
        w.lab.start(dead)
    w.settled(30)
    w.media_reset()
    authentic(w.listen(2))
    w.hang_up(pairs)


# ---- what anybody can send ------------------------------------------------------

class Forger:
    """Sends as if it were the other end of a leg's media."""

    def __init__(self, leg):
        self.leg = leg
        self.sock = netns_socket(leg.ua.netns, socket.AF_INET,
                                 socket.SOCK_RAW, socket.IPPROTO_RAW)
        mine = next(s for s in leg.ua.media.report()["streams"]
                    if s["id"] == leg.stream)
        (self.src, self.sport), (self.dst, self.dport) = (
            mine[k].rsplit(":", 1) for k in ("local", "remote"))
        self.ssrc = mine["tx"]["ssrc"]

    def rtp(self, seq, ssrc=None, size=160):
        data = struct.pack("!BBHII", 0x80, 0, seq & 0xffff, seq * 160 &
                           0xffffffff, self.ssrc if ssrc is None else ssrc)
        self._send(data + os.urandom(size), 0)

    def rtcp(self, ssrc=None):
        """A receiver report without a block."""
        self._send(struct.pack("!BBHI", 0x80, 201, 1, self.ssrc
                               if ssrc is None else ssrc), 1)

    def _send(self, data, more):
        """more: 1 for RTCP's ports."""
        sport, dport = int(self.sport) + more, int(self.dport) + more
        udp = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64,
                         17, 0, socket.inet_aton(self.src),
                         socket.inet_aton(self.dst))
        self.sock.sendto(ip + udp, (self.dst, 0))

    def close(self):
        self.sock.close()


def test_forged_repeated_and_late_on_the_plain_side(w):  # noqa: F811
    """Every number is sent again with something else in it, before and after
    take-overs, worker deaths and a planned switchover."""
    pairs = w.establish(2)
    legs = [of(pair, "core") for pair in pairs]
    forgers = [Forger(leg) for leg in legs]

    def forge():
        for leg, forger in zip(legs, forgers):
            now = tx(w, leg)["rtp_seq"]
            for back in (0, 1, 2, 3, 50, 126, 127, 128, 129, 1000, 30000):
                forger.rtp(now - back)
            for _ in range(20):
                forger.rtcp()
    for step in ("crash", "worker", "switchover", "crash"):
        forge()
        active, standby = w.settled(30)
        if step == "crash":
            w.lab.kill(active, "power")
            w.wait_role(standby, "ACTIVE", 10)
            w.wait_media(pairs)
            forge()
            w.lab.start(active)
        elif step == "worker":
            w.lab.kill(active, "media")
            w.wait_media(pairs, silence_ms=50)
        else:
            w.lab.switchover()
        w.settled(30)
        w.wait_media(pairs)
        forge()
        print(step, w.srtp.report(), w.media_totals()["cloud"])
    wait_for(lambda: grew({}, counters(w), "srtp_tx_repeated"), 5,
             "repeated numbers refused")
    for forger in forgers:
        forger.close()
    heard = w.media_totals()["cloud"]
    assert not heard["unprotect_failed"], heard
    assert not heard["rtcp_unprotect_failed"], heard
    w.hang_up(pairs)


def test_source_begins_anew_lower_after_hold(w):  # noqa: F811
    """Music on hold and its end, with one SSRC: renumbered, also by the node
    that takes over right then."""
    pairs = w.establish(2)
    legs = [of(pair, "core") for pair in pairs]
    for _ in range(2):
        wait_for(lambda: min(tx(w, leg)["next_seq"] for leg in legs) > 50, 10,
                 "sources that are on record")
        for leg in legs:
            assert leg.reinvite("sendonly").status == 200
            back = (tx(w, leg)["rtp_seq"] - 3000) & 0xffff
            leg.ua.media.cmd("set", id=leg.stream, seq=back)
        for pair in pairs:
            for leg in pair:
                assert leg.reinvite("sendrecv").status == 200
        w.wait_media(pairs)
        dead, _ = crash(w)
        w.wait_media(pairs)
        w.lab.start(dead)
    w.settled(30)
    w.media_reset()
    authentic(w.listen(2))
    w.hang_up(pairs)


KEY30 = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0e"
KEY46 = KEY30 + "HyAhIiMkJSYnKCkqKywtLg=="
S80 = "AES_CM_128_HMAC_SHA1_80"
# One line each that is void, by the rule that is named. More of them, without
# a wire, in tests/unit/sip/test_sdes.c.
VOID = [
    "", "1", f"1 {S80}", f"x {S80} inline:{KEY30}",
    f"1234567890 {S80} inline:{KEY30}",
    f"1 AES_192_CM_HMAC_SHA1_80 inline:{KEY30}", f"1 {S80} uri:{KEY30}",
    f"1 {S80} inline:", f"1 {S80} inline:{KEY30[:-4]}",
    f"1 {S80} inline:{KEY46}", f"1 AES_256_CM_HMAC_SHA1_80 inline:{KEY30}",
    f"1 AEAD_AES_256_GCM inline:{KEY46}", f"1 {S80} inline:!{KEY30[1:]}",
    f"1 {S80} inline:{KEY30}|2^49", f"1 {S80} inline:{KEY30}|0",
    f"1 {S80} inline:{KEY30}|2^20|1:129", f"1 {S80} inline:{KEY30}|256:1",
    f"1 {S80} inline:{KEY30};inline:{KEY30}",
    f"1 {S80} inline:{KEY30} KDR=1", f"1 {S80} inline:{KEY30} WSH=63",
    f"1 {S80} inline:{KEY30} FEC_ORDER=FEC_SRTP",
    f"1 {S80} inline:{KEY30} UNKNOWN",
    f"1 {S80} inline:{KEY30} WSH=64 WSH=64",
    f"1 AEAD_AES_256_GCM inline:{KEY46[:-4]}o= UNAUTHENTICATED_SRTP",
    f"1 {S80} inline:" + "A" * 4000, "\xff" * 60, "=" * 1000,
]


def test_void_lines_beside_running_calls(w):  # noqa: F811
    """Each is refused with its rule, and counted; nobody else hears of it."""
    pairs = w.establish(2) + w.establish(2, frm="cloud")
    w.wait_media(pairs)
    before, asked = counters(w), len(w.ua["core"].received("INVITE"))
    w.media_reset()
    for line in VOID:
        sdp = ("v=0\r\no=- 1 1 IN IP4 10.20.0.50\r\ns=-\r\n"
               "c=IN IP4 10.20.0.50\r\nt=0 0\r\nm=audio 40000 RTP/SAVP 0"
               f"\r\na=crypto:{line}\r\n")
        resp = w.ua["cloud"].request(
            "INVITE", f"sip:{w.user()}@{vip('cloud')}", (vip("cloud"), 5060),
            headers=[("Content-Type", "application/sdp"),
                     ("Contact", "<sip:x@10.20.0.50>")],
            body=sdp.encode("latin1"))
        assert resp.status == 488, line
        assert re.match(r'399 sbc "sdes-profile sdes1: \S', resp.get(
            "Warning", "")), (line, resp.get("Warning"))
    assert grew(before, counters(w), "sip_offers_refused") == len(VOID)
    assert len(w.ua["core"].received("INVITE")) == asked
    totals = w.listen(1)
    authentic(totals)
    assert lost(totals) == 0, totals
    w.hang_up(pairs)


def test_strangers_get_nothing(w):  # noqa: F811
    """RTP bleed: whoever sends to a port of a call from elsewhere, all the time
    and as the first one after a take-over, is not sent what is said there."""
    pairs = w.establish(2) + w.establish(2, frm="cloud")
    w.wait_media(pairs)
    targets = [(leg.ua.name.split("-")[0], Forger(leg))
               for pair in pairs for leg in pair]
    socks = {side: sock(side, host=vip(side).rsplit(".", 1)[0] + ".58")
             for side in ("core", "cloud")}

    def bleed(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for side, forger in targets:
                seq = tx(w, forger.leg)["rtp_seq"]
                for more, data in ((0, rtp(seq, forger.ssrc)),
                                   (1, struct.pack("!BBHI", 0x80, 201, 1,
                                                   forger.ssrc))):
                    socks[side].sendto(data, (forger.dst,
                                              int(forger.dport) + more))
    for _ in range(2):
        before = counters(w)
        bleed(0.5)
        assert grew(before, counters(w), "wrong_source") > 20
        active, standby = w.settled(30)
        w.lab.kill(active, "power")
        bleed(1.5)
        w.wait_role(standby, "ACTIVE", 10)
        w.wait_media(pairs)
        w.lab.start(active)
    w.settled(30)
    for side, s in socks.items():
        s.setblocking(False)
        with pytest.raises(BlockingIOError):
            raise AssertionError(f"{side}: {s.recv(2000)!r}")
        s.close()
    for _, forger in targets:
        forger.close()
    w.media_reset()
    authentic(w.listen(1))
    w.hang_up(pairs)


def test_flood_without_a_right_tag(w):  # noqa: F811
    """Counted, told at a limited rate; the call it hits and the others go
    on."""
    pairs = w.establish(3)
    forger = Forger(of(pairs[0], "cloud"))
    w.wait_media(pairs)
    before, logged = counters(w), len(log_of(w, w.active))
    w.media_reset()
    end, sent = time.monotonic() + 3, 0
    while time.monotonic() < end:
        for _ in range(20):
            forger.rtp(random.getrandbits(16), size=random.randrange(0, 300))
            sent += 1
        time.sleep(0.01)
    forger.close()
    totals = w.listen(1)
    authentic(totals)
    assert lost(totals) == 0, totals
    wait_for(lambda: grown(before, counters(w)) > sent * 0.9, 5,
             "refused packets counted")
    text = log_of(w, w.active)[logged:]
    assert 1 <= text.count("event=srtp-refused") < 30, text
    w.hang_up(pairs)


def grown(before, now):
    return grew(before, now, "media_srtp_rx_(bad_tag|malformed|replayed)")
