"""The SIP peers of the tests, against each other, without the product."""

import socket
import subprocess

import pytest

from certs import Workshop, rsa
from lab import ADDR, OTHER, build_dir, make_router, wait_for
from sdes import Sdes
from sipua import Answer, CallFailed
from tlspeer import v2_hello


@pytest.fixture(scope="module")
def direct(tmp_path_factory):
    """Both sides reach each other through a plain router."""
    from conftest import make_world
    w = make_world(tmp_path_factory, "direct", daemon=False)
    make_router(w)
    for side in ("core", "cloud"):
        w.rtptool(side)
    yield w
    w.close()


@pytest.fixture
def uas(direct):
    direct.peers()
    yield direct
    for key in list(direct.ua):
        ua = direct.ua.pop(key)
        ua.close()
        assert not ua.errors, ua.errors
    for media in direct.media.values():
        media.cmd("remove", all=True)


def place(w, user, frm="core", family=4, **kwargs):
    call = w.ua[frm].call(user, (ADDR[OTHER[frm], family], 5060), **kwargs)
    return call


@pytest.mark.parametrize("transport,family", [("udp", 4), ("tcp", 4),
                                              ("udp", 6), ("tcp", 6)])
def test_call_with_media(uas, transport, family):
    for ua in uas.ua.values():
        ua.close()
    uas.ua.clear()
    uas.peers(transport=transport, family=family)
    call = place(uas, "1", family=family).established()
    peer = uas.ua["cloud"].wait_call("1")
    wait_for(lambda: peer.acks, 5, "ACK")
    uas.wait_media([(call, peer)])
    assert call.reinvite("sendonly").status == 200
    wait_for(lambda: uas.streams()[call.stream]["rx"]["silence_ms"] > 150,
             5, "held")
    assert uas.streams()[peer.stream]["rx"]["silence_ms"] < 100
    assert peer.reinvite("sendrecv").status == 200
    uas.wait_media([(call, peer)])
    assert peer.bye().status == 200
    call.wait("ended")
    assert call.ended_by == "remote"
    assert peer.bye().status == 200, "a BYE that crossed is answered too"
    assert call.request("INFO").status == 481


SUITES = ["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32",
          "AES_256_CM_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_32",
          "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"]


@pytest.mark.parametrize("suite", SUITES)
def test_call_with_srtp(uas, suite):
    for ua in uas.ua.values():
        ua.sdes = Sdes(suite)
    call = place(uas, "1").established()
    peer = uas.ua["cloud"].wait_call("1")
    pair = [(call, peer)]
    uas.wait_media(pair)
    assert "RTP/SAVP" in call.sdp_received
    assert call.reinvite().status == 200
    uas.media_reset()
    uas.wait_media(pair)
    wait_for(lambda: uas.streams()[call.stream]["rtcp"]["sr"] > 1, 10, "SR")
    total = uas.media_totals()["core"]
    assert (total["unprotect_failed"], total["rtcp_unprotect_failed"]) == \
        (0, 0)
    # Another key, or none: nothing is heard any more.
    other = Sdes(suite).new_key()
    for keys in (f"{suite} {other}", ""):
        uas.media["core"].cmd("set", id=call.stream, srtp_rx=keys)
        wait_for(lambda: uas.streams()[call.stream]["rx"]["silence_ms"] > 150,
                 5, "deaf")
    assert uas.media_totals()["core"]["unprotect_failed"] > 0
    peer.bye()


def test_failures_and_cancel(uas):
    cloud = uas.ua["cloud"]
    cloud.answer = Answer(code=486)
    with pytest.raises(CallFailed) as err:
        place(uas, "busy").established()
    assert err.value.status == 486
    cloud.answer = Answer(code=0)
    call = place(uas, "cancel")
    call.wait("early")
    assert call.cancel().status == 200
    call.wait("failed")
    assert call.final.status == 487
    assert cloud.wait_call("cancel").cancelled
    assert uas.ua["core"].request(
        "OPTIONS", f"sip:{ADDR['cloud', 4]}",
        (ADDR["cloud", 4], 5060)).status == 200


def test_retransmission(uas):
    """A lossy network changes nothing but the time."""
    uas.ua["cloud"].answer = Answer(after=0.0)
    uas.lab.cut("sbc-core:core:loss=30")
    try:
        for i in range(5):
            call = place(uas, f"lossy{i}").established(32)
            peer = uas.ua["cloud"].wait_call(f"lossy{i}")
            wait_for(lambda c=peer: c.acks, 32, "ACK")
            assert call.bye(timeout=32).status == 200
    finally:
        uas.lab.heal("all")
    sent = [e.msg for e in uas.ua["core"].log if e.sent]
    assert len(sent) > 15, "nothing was repeated"


@pytest.mark.parametrize("transport", ["u1", "t1"])
@pytest.mark.parametrize("uac,uas_", [("uac", "uas"),
                                      ("uac_recv_bye", "uas_bye"),
                                      ("uac_hold", "uas_hold"),
                                      ("uac_cancel", "uas_cancel")])
def test_sipp_scenarios(direct, uac, uas_, transport):
    server = direct.sipp("cloud", uas_, "-d", 100, "-mp", 34000, calls=5,
                         transport=transport)
    wait_for(lambda: direct.listens("cloud", 5060, transport), 5,
             "SIPp listens")
    client = direct.sipp("core", uac, "-d", 100, "-mp", 30000,
                         "-timeout", "20", "-timeout_error", calls=5,
                         rate=10, transport=transport,
                         target=f"{ADDR['cloud', 4]}:5060")
    assert client.wait(30) == 0, client.errors()
    assert server.wait(30) == 0, server.errors()


# ---- an SSLv2-format hello, against OpenSSL's own server --------------------

@pytest.fixture(scope="module")
def rsa_shop(tmp_path_factory):
    shop = Workshop(tmp_path_factory.mktemp("certs"))
    shop.root = shop.make("root", ca=True, key=rsa())
    shop.other = shop.make("other", ca=True, key=rsa())
    for name, issuer in (("server", shop.root), ("client", shop.root),
                         ("stranger", shop.other)):
        setattr(shop, name, shop.make(name, issuer, key=rsa()))
    return shop


def s_server(shop, version, port):
    return subprocess.Popen(
        ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-rev",
         "-cert", shop.server.pem, "-key", shop.server.key, "-Verify", "3",
         "-verify_return_error", "-CAfile", shop.root.single,
         f"-{version.replace('v1', '1').replace('12', '1_2')}",
         "-cipher", "ALL:@SECLEVEL=0"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)


def begin(port, version, cert):
    def connect():
        try:
            return socket.create_connection(("127.0.0.1", port), 5)
        except OSError:
            return None
    sock = wait_for(connect, 10, "s_server listens")
    with sock:
        return v2_hello(build_dir() / "bin/v2hello", sock, version, cert)


@pytest.mark.parametrize("version", ["tlsv1", "tlsv12"])
def test_v2_hello(rsa_shop, version):
    port = 15061 if version == "tlsv1" else 15062
    server = s_server(rsa_shop, version, port)
    try:
        proc, ours = begin(port, version, rsa_shop.client)
        with ours:
            ours.settimeout(20)
            for text in (b"SNOITPO", b"x" * 9000, b"KCA"):
                ours.sendall(text + b"\n")
                got = b""
                while not got.endswith(b"\n"):
                    got += ours.recv(4096) or b"closed\n"
                assert got == text[::-1] + b"\n"
        assert proc.communicate(timeout=20)[1] == b"open\n"
        assert proc.returncode == 0
        # A server that is not content with us says so.
        proc, ours = begin(port, version, rsa_shop.stranger)
        ours.close()
        assert b"alert" in proc.communicate(timeout=20)[1]
    finally:
        server.kill()
        server.communicate()
