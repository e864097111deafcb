"""RTP at the PBX, SRTP in the cloud: audio over failovers, by libsrtp2."""

import os

import pytest

import checks
from conftest import close_shared, make_world, need_daemon
from lab import NODES
from sdes import Sdes
from test_failover import lost
from test_sdes import config, plain_at_the_pbx

SUITES = ["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32",
          "AES_256_CM_HMAC_SHA1_80", "AEAD_AES_256_GCM"]
LISTEN_S = float(os.environ.get("SBC_LISTEN_S", "2"))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    need_daemon()
    close_shared()
    conf = tmp_path_factory.mktemp("conf") / "sbcd.conf"
    conf.write_text(config().replace("{AES_CM_128_HMAC_SHA1_80}",
                                     "{" + ", ".join(SUITES) + "}"))
    world = make_world(tmp_path_factory, "srtp", conf=str(conf))
    world.peers()
    world.watch = world.observer()
    world.srtp = world.srtp_watch()
    yield world
    world.close()


@pytest.fixture
def w(world):
    world.ua["cloud"].sdes = Sdes(watch=world.srtp)
    for node in NODES:
        if world.lab.roles()[node] is None:
            world.lab.start(node)
    world.settled(30)
    world.media_reset()
    yield world
    world.hang_up_rest()
    world.forget_media()
    world.assert_no_calls()
    plain_at_the_pbx(world)
    no_index_twice(world)


def authentic(totals):
    for side, t in totals.items():
        bad = {k: t[k] for k in ("unprotect_failed", "rtcp_unprotect_failed",
                                 "foreign", "malformed", "duplicates",
                                 "streams_never_heard")}
        assert not any(bad.values()), (side, bad)
        assert t["rtcp_received"], (side, "no RTCP")


def no_index_twice(w):
    seen = w.srtp.report()
    assert not w.srtp.check(), w.srtp.check()
    assert seen["rtp"] and seen["rtcp"], seen


def crash(w):
    """Power loss of the active; the other one is active when it returns."""
    active, standby = w.settled(30)
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 10)
    return active, standby


@pytest.mark.parametrize("suite", SUITES)
def test_audio_over_two_power_losses(w, suite):
    """SBC_LISTEN_S: how long is listened after each of them."""
    w.ua["cloud"].sdes.suite = suite
    pairs = w.establish(3) + w.establish(3, frm="cloud")
    w.wait_media(pairs)
    for _ in range(2):
        dead, alive = crash(w)
        w.wait_media(pairs)
        totals = w.listen(LISTEN_S)
        authentic(totals)
        w.lab.start(dead)
    w.settled(30)
    # Nothing is lost but what the gaps took.
    w.media_reset()
    totals = w.listen(2)
    assert lost(totals) == 0, totals
    authentic(w.media_totals())
    w.hang_up(pairs)
    checks.one_owner(w.watch)


def test_ten_crashes_right_after_each_other(w):
    """Each as soon as the dead node is in sync again: what one node reserved
    the next must know."""
    pairs = w.establish(4)
    w.wait_media(pairs)
    for _ in range(10):
        dead, _ = crash(w)
        w.lab.start(dead)
    w.settled(30)
    w.wait_media(pairs)
    authentic(w.listen(3))
    w.hang_up(pairs)


def test_media_worker_killed(w):
    pairs = w.establish(4)
    w.wait_media(pairs)
    active, _ = w.settled()
    for _ in range(3):
        old = w.lab.pid_of(active, "media")
        w.lab.kill(active, "media")
        w.wait_media(pairs)
        authentic(w.listen(1))
        assert w.lab.pid_of(active, "media") != old
    w.hang_up(pairs)


def test_planned_switchover_loses_nothing(w):
    pairs = w.establish(4) + w.establish(4, frm="cloud")
    w.wait_media(pairs)
    w.settled()
    for _ in range(2):
        w.media_reset()
        w.lab.switchover()
        w.settled(20)
        totals = w.listen(1)
        assert lost(totals) == 0, totals
        authentic(totals)
    w.hang_up(pairs)
    checks.one_owner(w.watch)


def test_hold_keeps_the_context(w):
    """The same keys, so the same context, also when it is asked anew."""
    pairs = w.establish(1)
    w.wait_media(pairs)
    for way in ("sendonly", "sendrecv", "recvonly", "sendrecv"):
        for leg in pairs[0]:
            assert leg.reinvite(way).status == 200
    for leg in pairs[0]:
        assert leg.reinvite("sendrecv").status == 200
    w.wait_media(pairs)
    crash(w)
    w.wait_media(pairs)
    authentic(w.listen(1))
    w.hang_up(pairs)
