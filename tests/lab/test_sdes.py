"""RTP at the PBX, SRTP in the cloud: what is said of keys, by real peers; and
whether they understand each other after it."""

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import pytest

import checks
import lab
import test_inflight
from conftest import SHARED, close_shared, make_world, need_daemon
from lab import NODES, vip, wait_for
from sdes import Sdes, crypto_lines
from sipcall import Answer, CallFailed

PROFILE = """
sdes-profile "sdes1" {
	crypto-list = {AES_CM_128_HMAC_SHA1_80}
	%s
	allow-insecure-keying = enabled
}

media-sec-policy "cloud" {
	inbound { mode = srtp  profile = sdes1 }
	outbound { mode = srtp  profile = sdes1 }
}
"""


def config(options="", mode="srtp"):
    text = (Path(__file__).parent / "sbcd.conf").read_text()
    return text.replace('realm "cloud" {',
                        'realm "cloud" {\n\tmedia-sec-policy = cloud') + \
        (PROFILE % options).replace("mode = srtp", f"mode = {mode}")


def secured(tmp_path_factory, options="", media=False, mode="srtp"):
    need_daemon()
    close_shared()
    conf = tmp_path_factory.mktemp("conf") / "sbcd.conf"
    conf.write_text(config(options, mode))
    w = make_world(tmp_path_factory, "sdes", conf=str(conf))
    w.conf = conf
    w.peers(media=media)
    w.sdes = Sdes()
    for key, ua in w.ua.items():
        if key.startswith("cloud"):
            ua.sdes = w.sdes
    return w


@pytest.fixture
def shared_sdes(tmp_path_factory):
    if not SHARED or not hasattr(SHARED[0], "sdes"):
        close_shared()
        SHARED.append(secured(tmp_path_factory))
    yield SHARED[0]


@pytest.fixture
def w(shared_sdes):
    for ua in shared_sdes.ua.values():
        ua.answer = Answer()
    yield shared_sdes
    shared_sdes.hang_up_rest()
    shared_sdes.assert_no_calls()
    checks.sane(shared_sdes)
    checks.topology_hidden(shared_sdes)
    plain_at_the_pbx(shared_sdes)


def plain_at_the_pbx(w):
    for key, ua in w.ua.items():
        for entry in list(ua.log):
            if entry.sent or not key.startswith("core"):
                continue
            assert not re.search("crypto|SAVP|inline", str(entry.msg)), \
                str(entry.msg)


def of_cloud(pair):
    return next(leg for leg in pair if leg.ua.name == "cloud-ua")


def log_of(w, node):
    return (w.lab.node_dir(node) / "sbcd.log").read_text(errors="replace")


# ---- calls -----------------------------------------------------------------

@pytest.mark.parametrize("frm", ["core", "cloud"])
def test_call(w, frm):
    pair = w.establish(1, frm=frm)[0]
    leg = of_cloud(pair)
    [(tag, suite, key, params)] = crypto_lines(leg.sdp_received)
    assert (tag, suite, params) == (1, w.sdes.suite, [])
    # It goes on with a hold, asked for by either side.
    for mine in pair:
        for way in ("sendonly", "sendrecv"):
            assert mine.reinvite(way).status == 200
            assert leg.sdes_theirs == key
    w.hang_up([pair])


@pytest.mark.parametrize("frm", ["core", "cloud"])
def test_delayed_offer(w, frm):
    call = w.place(frm=frm, media=False).established()
    assert not call.invite.body
    callee = w.ua[lab.OTHER[frm]].wait_call(call.user)
    wait_for(lambda: callee.acks, 5, "ACK")
    pair = (call, callee)
    assert of_cloud(pair).sdes_theirs
    for mine in pair:
        assert mine.reinvite().status == 200
    w.hang_up([pair])


@pytest.mark.parametrize("sdp,code,rule", [
    ("m=audio 40000 RTP/AVP 0\r\n", 302, "media-sec-policy inbound is srtp"),
    ("m=audio 40000 RTP/SAVP 0\r\n", 399, "RTP/SAVP without a=crypto"),
    ("m=audio 40000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
     "inline:QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB UNAUTHENTICATED_SRTP"
     "\r\n", 399, "UNAUTHENTICATED_SRTP while srtp-auth is enabled"),
    ("m=audio 40000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_32 "
     "inline:QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB\r\n", 399,
     "crypto suite is not in crypto-list"),
    ("m=audio 40000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
     "inline:c2hvcnQ=\r\n", 399, "no base64 of the suite's length"),
])
def test_refused_offer_names_the_rule(w, sdp, code, rule):
    head = ("v=0\r\no=- 1 1 IN IP4 10.20.0.50\r\ns=-\r\n"
            "c=IN IP4 10.20.0.50\r\nt=0 0\r\n")
    resp = w.ua["cloud"].request(
        "INVITE", f"sip:{w.user()}@{vip('cloud')}", (vip("cloud"), 5060),
        headers=[("Content-Type", "application/sdp"),
                 ("Contact", "<sip:x@10.20.0.50>")],
        body=(head + sdp).encode())
    assert resp.status == 488
    assert resp.get("Warning").startswith(f"{code} "), resp.get("Warning")
    assert rule in resp.get("Warning")
    line = config().splitlines().index('sdes-profile "sdes1" {') + 1
    wait_for(lambda: re.search(
        f"event=media-refused .* agent=o365 .* sdes-profile=sdes1 "
        f"profile-line={line} why=.*{re.escape(rule)}",
        log_of(w, w.active)), 5, "a line in the log")


def test_refused_answer_ends_both_sides(w):
    ua = w.ua["cloud"]
    ua.answer = Answer(sdp=b"v=0\r\no=- 1 1 IN IP4 10.20.0.50\r\ns=-\r\n"
                           b"c=IN IP4 10.20.0.50\r\nt=0 0\r\n"
                           b"m=audio 40000 RTP/AVP 0\r\n")
    call = w.place()
    with pytest.raises(CallFailed) as err:
        call.established()
    assert err.value.status == 488
    callee = ua.wait_call(call.user)
    callee.wait("ended")
    assert callee.acks == 1 and callee.ended_by == "remote"
    assert "RTP/SAVP was offered" in callee.end_reason


def test_sipp(w):
    """Another implementation at both ends; it looks at every offer."""
    sides = {key: w.ua.pop(key) for key in list(w.ua)}
    for ua in sides.values():
        ua.close()
    server = w.sipp("cloud", "uas_srtp", "-d", 200, "-mp", 34000)
    wait_for(lambda: w.listens("cloud", 5060), 5, "SIPp listens")
    client = w.sipp("core", "uac", "-d", 200, "-mp", 30000, "-timeout", 60,
                    "-timeout_error", "-s", "c1", calls=50, rate=25,
                    target=f"{vip('core')}:5060")
    try:
        assert client.wait(90) == 0, client.errors() + server.errors()
    finally:
        client.stop()
        server.stop()
        w.peers(media=False)
        w.ua["cloud"].sdes = w.sdes


# ---- lesson 3 of the field report ------------------------------------------

def hint_line():
    lines = config("srtp-auth = disabled").splitlines()
    return lines.index("\tsrtp-auth = disabled") + 1


def test_strict_peer(tmp_path_factory):
    """UNAUTHENTICATED_SRTP is answered 488, and we say whose fault it is."""
    w = secured(tmp_path_factory, "srtp-auth = disabled")
    try:
        call = w.place()
        with pytest.raises(CallFailed) as err:
            call.established()
        assert err.value.status == 488
        offer = w.ua["cloud"].wait_call(call.user).invite.sdp
        assert crypto_lines(offer)[0][3] == ["UNAUTHENTICATED_SRTP"]
        wait_for(lambda: re.search(
            "event=offer-refused .* agent=o365 status=488 .* "
            "sdes-profile=sdes1 profile-line=\\d+ option=srtp-auth "
            f"option-line={hint_line()} ", log_of(w, w.active)), 5,
            "a line in the log")
        # Whoever is tolerant gets a call.
        w.sdes.strict = False
        w.hang_up(w.establish(1))
    finally:
        w.close()


def test_check_finds_it_before_any_call(tmp_path):
    conf = tmp_path / "sbcd.conf"
    text = config("srtp-auth = disabled")
    conf.write_text(text.replace(
        'host = "10.20.0.50"',
        'host = "1a2b.um.outlook.com"\n\taddress = "10.20.0.50"'))
    res = subprocess.run(
        [lab.build_dir() / "bin/sbcctl", "config", "check", conf],
        capture_output=True, text=True, check=False)
    assert res.returncode == 0, res.stderr
    assert f"{conf}:{hint_line() + 1}: warning: " in res.stderr
    assert "srtp-auth = enabled" in res.stderr
    conf.write_text(config("srtp-auth = enabled"))
    res = subprocess.run(
        [lab.build_dir() / "bin/sbcctl", "config", "check", conf],
        capture_output=True, text=True, check=False)
    assert (res.returncode, res.stderr) == (0, "")


# ---- keys, and who may see them --------------------------------------------

def said_of(w, node):
    """All that a node has written or answers, but for packets."""
    root = w.lab.node_dir(node)
    for path in root.rglob("*"):
        if path.is_file() and path.name != "sbcd.conf":
            yield str(path), path.read_bytes().decode("latin1")
    for what in ("redundancy", "calls", "interfaces", "counters", "health",
                 "failovers", "config"):
        yield what, json.dumps(w.lab.sbcctl(node, "show", what,
                                            check=False))
    for call in w.calls(node)["calls"]:
        yield "call", json.dumps(w.lab.sbcctl(node, "show", "call",
                                              call["id"]))


def test_keys_are_nowhere(tmp_path_factory):
    w = secured(tmp_path_factory)
    try:
        active, standby = w.settled()
        pairs = w.establish(2) + w.establish(2, frm="cloud")
        w.ua["cloud"].answer = Answer(code=0)
        ringing = w.place()
        ringing.wait("early")
        assert len(w.sdes.keys) >= 9
        w.lab.kill(active, "power")
        w.wait_role(standby, "ACTIVE", 10)
        w.lab.start(active)
        w.settled(30)
        # An input that kills the worker is kept; records are built anew.
        w.lab.kill(w.active, "sip")
        for mine, _ in pairs:
            assert mine.reinvite(timeout=40).status == 200
        ringing.cancel(32)
        w.hang_up(pairs)
        ringing = w.place()
        ringing.wait("early")
        for node in NODES:
            for what, text in said_of(w, node):
                for key in w.sdes.keys:
                    assert key not in text, f"{node}: a key in {what}"
        ringing.cancel()
    finally:
        w.close()


# ---- power loss --------------------------------------------------------------

@pytest.mark.parametrize("frm", ["core", "cloud"])
def test_keys_outlive_the_node(tmp_path_factory, frm):
    """What the peer was told before is what it is told afterwards."""
    w = secured(tmp_path_factory)
    try:
        active, standby = w.settled()
        pairs = w.establish(5, frm=frm)
        before = [of_cloud(pair).sdes_theirs for pair in pairs]
        assert len(set(before)) == 5
        w.lab.kill(active, "power")
        w.wait_role(standby, "ACTIVE", 10)
        for i, pair in enumerate(pairs):
            assert pair[i % 2].reinvite().status == 200
        assert [of_cloud(pair).sdes_theirs for pair in pairs] == before
        w.hang_up(pairs)
        checks.nothing_left(w)
        checks.sane(w)
        plain_at_the_pbx(w)
    finally:
        w.close()


def test_audio_outlives_the_node(tmp_path_factory):
    """Heard at both sides, before and after, without one bad tag."""
    w = secured(tmp_path_factory, media=True)
    try:
        active, standby = w.settled()
        pairs = w.establish(5) + w.establish(5, frm="cloud")
        w.media_reset()
        w.lab.kill(active, "power")
        w.wait_role(standby, "ACTIVE", 10)
        w.wait_media(pairs)
        # New keys of the peer's, and a hold, on the node that took over.
        for pair in pairs[:2]:
            of_cloud(pair).sdes_key = w.sdes.new_key()
            assert of_cloud(pair).reinvite("sendonly").status == 200
            assert of_cloud(pair).reinvite("sendrecv").status == 200
        w.wait_media(pairs)
        for side, total in w.listen(5).items():
            assert (total["unprotect_failed"],
                    total["rtcp_unprotect_failed"]) == (0, 0), (side, total)
            assert total["foreign"] == total["malformed"] == 0, (side, total)
        w.hang_up(pairs)
        checks.nothing_left(w)
        checks.sane(w)
    finally:
        w.close()


PAIR = b"m=audio 0 RTP/AVP 0\r\n"    # the other half of SRTP, turned off


def m_lines(sdp):
    return len(re.findall(r"^m=", sdp, re.M))


def takes_srtp(call):
    call.edit = lambda sdp: sdp + PAIR
    return Answer()


@pytest.mark.parametrize("loss", ["before", "between", "after"])
def test_refused_stream_is_forgotten(tmp_path_factory, loss):
    """A pair of m-lines that the peer refused is none: what it offers next
    follows on what both have agreed to. Power loss before the offer, between
    it and the refusal, and after that."""
    w = secured(tmp_path_factory, "egress-offer-format = "
                "simultaneous-best-effort", mode="any")

    def lose(point):
        if loss == point:
            active, standby = w.settled(30)
            w.lab.kill(active, "power")
            w.wait_role(standby, "ACTIVE", 10)
    try:
        w.ua["cloud"].answer = takes_srtp
        caller, callee = w.establish(1)[0]
        assert m_lines(callee.invite.sdp) == 2
        lose("before")
        callee.reinvite_answer, callee.hold = 488, {"INVITE"}
        caller.edit = lambda sdp: sdp + b"m=audio 33330 RTP/AVP 0\r\n"
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(caller.reinvite, timeout=40)
            [held] = callee.wait_held("INVITE", 20)
            assert m_lines(held.sdp) == 4
            lose("between")
            callee.release()
            assert asked.result().status == 488
        lose("after")
        callee.reinvite_answer = 200
        more = (f"m=audio 44440 RTP/SAVP 0\r\na=crypto:1 {w.sdes.suite} "
                f"inline:{w.sdes.new_key()}\r\n").encode()
        callee.edit = lambda sdp: sdp + PAIR + more
        resp = callee.reinvite(timeout=40)
        assert resp.status == 200, resp
        assert m_lines(resp.sdp) == 3
        assert m_lines(caller.sdp_received) == 2
        w.hang_up([(caller, callee)])
        checks.nothing_left(w)
        checks.sane(w)
        plain_at_the_pbx(w)
    finally:
        w.close()


@pytest.mark.slow
def test_power_loss_at_every_point(tmp_path_factory):
    """All of test_inflight, with keys in every description."""
    w = secured(tmp_path_factory)
    try:
        w.plan, w.lock = {}, Lock()
        test_inflight.power_loss_at_every_point(w, "udp")
        plain_at_the_pbx(w)
    finally:
        w.close()
