"""Calls through the pair while nothing breaks."""

import re

import pytest

import checks
from lab import ADDR, OTHER, vip, wait_for
from sipcall import Answer, CallFailed
from sipmsg import sdp_media


@pytest.fixture
def w(shared_world):
    """User agents on both sides; afterwards nothing is left of any call."""
    world = shared_world
    world.peers()
    for ua in world.ua.values():
        ua.answer = Answer()
    yield world
    try:
        checks.sane(world)
        checks.topology_hidden(world)
        checks.nothing_left(world)
    finally:
        world.hang_up_rest()
        world.forget_media()
        for key in list(world.ua):
            world.ua.pop(key).close()


BOTH = pytest.mark.parametrize("frm", ["core", "cloud"])


@BOTH
def test_basic_call(w, frm):
    pairs = w.establish(4, frm=frm)
    for caller, callee in pairs:
        near = sdp_media(caller.sdp_received)
        far = sdp_media(callee.sdp_received)
        assert near[0] == vip(frm) and far[0] == vip(OTHER[frm])
        for _, port, _ in (near, far):
            assert 20000 <= port < 40000 and port % 2 == 0
        assert caller.call_id != callee.call_id
        shown = w.calls(w.active)
    assert shown["count"] == 4
    assert {c["state"] for c in shown["calls"]} == {"established"}
    w.media_reset()
    totals = w.listen(2)
    assert sum(t["lost"] for t in totals.values()) == 0
    assert sum(t["foreign"] for t in totals.values()) == 0
    assert sum(t["source_changes"] for t in totals.values()) == 0
    w.hang_up(pairs)


def test_standby_knows_the_calls(w):
    active, standby = w.settled()
    pairs = w.establish(3)
    wait_for(lambda: w.calls(standby)["count"] == 3, 2, "calls on standby")
    ids = [{c["id"] for c in w.calls(n)["calls"]} for n in (active, standby)]
    assert ids[0] == ids[1]
    w.hang_up(pairs)


@BOTH
def test_show_call(w, frm):
    pairs = w.establish(1, frm=frm)
    call = w.calls(w.active)["calls"][0]
    shown = w.lab.sbcctl(w.active, "show", "call", call["id"])
    text = str(shown)
    for side in ("core", "cloud"):
        assert ADDR[side, 4] in text and vip(side) in text
    w.hang_up(pairs)


def test_rtcp_is_relayed(w):
    pairs = w.establish(1)
    for leg in pairs[0]:
        wait_for(lambda c=leg: w.streams()[c.stream]["rtcp"]["sr"] >= 2, 5,
                 "sender reports")
        seen = w.streams()[leg.stream]["rtcp"]
        assert seen["malformed"] == 0
    w.hang_up(pairs)


@BOTH
def test_tcp_caller(w, frm):
    w.more_peers(transport="tcp")
    pairs = w.establish(2, frm=f"{frm}-tcp", transport="tcp")
    w.hang_up(pairs)


@BOTH
def test_tcp_callee(w, frm):
    w.more_peers(transport="tcp")
    pairs = w.establish(2, frm=frm, to=f"{OTHER[frm]}-tcp", prefix="tcp")
    for _, callee in pairs:
        assert callee.invite.get("Via").startswith("SIP/2.0/TCP")
    w.hang_up(pairs)


@BOTH
def test_ipv6_both_sides(w, frm):
    w.more_peers(family=6, transport="udp")
    pairs = w.establish(2, frm=f"{frm}-6", to=f"{OTHER[frm]}-6", family=6,
                        prefix="six")
    for caller, callee in pairs:
        assert sdp_media(caller.sdp_received)[0] == vip(frm, 6)
        assert sdp_media(callee.sdp_received)[0] == vip(OTHER[frm], 6)
    w.hang_up(pairs)


def test_ipv4_caller_ipv6_callee(w):
    w.more_peers(family=6, transport="udp")
    pairs = w.establish(2, to="cloud-6", prefix="six")
    w.media_reset()
    totals = w.listen(1)
    assert sum(t["lost"] for t in totals.values()) == 0
    w.hang_up(pairs)


def hold_and_resume(w, pair):
    """Hold and resume by each side in turn, seen in the media."""
    for mine, other in (pair, pair[::-1]):
        assert mine.reinvite("sendonly").status == 200
        assert "a=sendonly" in other.sdp_received
        wait_for(lambda m=mine: silence(w, m) > 200, 5, "held")
        assert silence(w, other) < 200, "music on hold passes"
        assert mine.reinvite("inactive").status == 200
        wait_for(lambda o=other: silence(w, o) > 200, 5, "inactive")
        assert mine.reinvite("sendrecv").status == 200
        w.wait_media([pair])


def silence(w, call):
    return w.streams()[call.stream]["rx"]["silence_ms"]


@BOTH
def test_hold_and_resume(w, frm):
    pairs = w.establish(1, frm=frm)
    hold_and_resume(w, pairs[0])
    w.hang_up(pairs)


def test_held_side_is_not_heard(w):
    """Who goes on sending into a hold is not relayed."""
    pairs = w.establish(1)
    caller, callee = pairs[0]
    assert caller.reinvite("sendonly").status == 200
    w.media["cloud"].cmd("set", id=callee.stream, send=True)
    wait_for(lambda: silence(w, caller) > 300, 5, "it is not relayed")
    assert silence(w, callee) < 100
    assert caller.reinvite("sendrecv").status == 200
    w.wait_media(pairs)
    w.hang_up(pairs)


def test_media_goes_where_it_comes_from(w):
    """Symmetric media: the SDP names a port nobody listens to."""
    pairs = w.establish(1, edit=wrong_port)
    assert "m=audio 29000" in pairs[0][0].invite.sdp
    w.hang_up(pairs)


def wrong_port(sdp):
    return re.sub(rb"m=audio \d+", b"m=audio 29000", sdp)


def test_many_reinvites_keep_the_port(w):
    pairs = w.establish(1)
    caller, callee = pairs[0]
    port = sdp_media(caller.sdp_received)
    for way in ("sendonly", "sendrecv") * 5:
        assert caller.reinvite(way).status == 200
        assert sdp_media(caller.sdp_received)[:2] == port[:2]
    w.wait_media(pairs)
    w.hang_up(pairs)


def test_reinvite_refused_keeps_the_call(w):
    pairs = w.establish(1)
    caller, callee = pairs[0]
    callee.reinvite_answer = 488
    assert caller.reinvite("sendonly").status == 488
    callee.reinvite_answer = 200
    assert caller.reinvite("sendrecv").status == 200
    w.wait_media(pairs)
    w.hang_up(pairs)


def test_early_media(w):
    w.ua["cloud"].answer = Answer(ring=183, ring_sdp=True, code=0)
    call = w.place("early1")
    call.wait("early")
    callee = w.ua["cloud"].wait_call("early1")
    wait_for(lambda: call.stream and 0 <= silence(w, call) < 100, 5,
             "caller hears early media")
    callee.accept()
    call.established()
    w.wait_media([(call, callee)])
    w.hang_up([(call, callee)])


@BOTH
def test_cancel(w, frm):
    callee_ua = w.ua[OTHER[frm]]
    callee_ua.answer = Answer(code=0)
    user = w.user()
    call = w.place(user, frm)
    call.wait("early")
    assert call.cancel().status == 200
    call.wait("failed")
    assert call.final.status == 487
    callee = callee_ua.wait_call(user)
    wait_for(lambda: callee.cancelled and callee.acks, 5,
             "CANCEL and ACK at the callee")


def test_cancel_crosses_the_answer(w):
    """Whoever wins, both sides end in the same state."""
    w.ua["cloud"].answer = Answer(code=0)
    for i in range(10):
        user = w.user()
        call = w.place(user)
        callee = w.ua["cloud"].wait_call(user)
        call.wait("early")
        # Both start before either is delivered.
        done = [w.loop.post(callee._accept()),
                w.loop.post(call._cancel(10))]
        for d in done:
            d.result(15)
        call.wait("failed", "established", timeout=10)
        if call.state == "established":
            assert call.bye().status == 200
        callee.wait("ended", "failed", timeout=10)
        w.forget_media()
        for leg in (call, callee):
            leg.stream = None


def test_bye_crosses_bye(w):
    for pair in w.establish(10):
        byes = [w.loop.post(leg._bye(10, ())) for leg in pair]
        assert [b.result(15).status for b in byes] == [200, 200]


def test_bye_crosses_reinvite(w):
    for caller, callee in w.establish(5):
        re = w.loop.post(caller._reinvite("sendonly", 10, None))
        bye = w.loop.post(callee._bye(10, ()))
        assert bye.result(15).status == 200
        assert re.result(15).status in (200, 481, 487, 500, 503)
        caller.wait("ended")


def test_reinvite_glare(w):
    """Both re-INVITE at once: 491 for one or both, and the call goes on."""
    pairs = w.establish(1)
    again = [w.loop.post(leg._reinvite("sendrecv", 10, None))
             for leg in pairs[0]]
    seen = sorted(a.result(15).status for a in again)
    assert set(seen) <= {200, 491, 500}, seen
    assert pairs[0][0].reinvite("sendrecv").status == 200
    w.wait_media(pairs)
    w.hang_up(pairs)


@pytest.mark.parametrize("code", [400, 404, 480, 486, 488, 500, 503, 600,
                                  603])
def test_reject_is_passed_on(w, code):
    w.ua["cloud"].answer = Answer(code=code)
    with pytest.raises(CallFailed) as err:
        w.place().established()
    assert err.value.status == code


def test_redirect_does_not_show_the_other_side(w):
    """Who is no session agent is not followed to, nor told to the caller."""
    stranger = ADDR["cloud", 4].replace(".50", ".99")
    w.ua["cloud"].answer = Answer(code=302, headers=[
        ("Contact", f"<sip:else@{stranger}:5070>")])
    with pytest.raises(CallFailed) as err:
        w.place().established()
    assert 300 <= err.value.status < 700


def test_no_provisional_answer(w):
    w.ua["cloud"].answer = Answer(ring=0, after=0.7)
    pairs = w.establish(1)
    w.hang_up(pairs)


def test_options(w):
    for frm in ("core", "cloud"):
        resp = w.ua[frm].request("OPTIONS", f"sip:{vip(frm)}",
                                 (vip(frm), 5060))
        assert resp.status == 200
        assert "INVITE" in resp.get("Allow", "")
        resp = w.ua[frm].request("OPTIONS", f"sip:{vip(frm)};transport=tcp",
                                 (vip(frm), 5060), transport="tcp")
        assert resp.status == 200


def test_pair_pings_its_agents(w):
    w.wait_agents_up(timeout=25)


@pytest.mark.parametrize("method", ["BYE", "INFO", "INVITE", "UPDATE"])
def test_unknown_dialog(w, method):
    core = w.ua["core"]
    resp = core.request(method, f"sip:x@{vip('core')}", (vip("core"), 5060),
                        headers=[("To", f"<sip:x@{vip('core')}>;tag=none")])
    assert resp.status == 481


def test_stray_cancel(w):
    core = w.ua["core"]
    assert core.request("CANCEL", f"sip:x@{vip('core')}",
                        (vip("core"), 5060)).status == 481


def test_unsupported_method(w):
    resp = w.ua["core"].request("PUBLISH", f"sip:x@{vip('core')}",
                                (vip("core"), 5060))
    assert resp.status == 405
    assert "INVITE" in resp.get("Allow", "")
    resp = w.ua["core"].request("FLY", f"sip:x@{vip('core')}",
                                (vip("core"), 5060))
    assert resp.status in (405, 501)


def refused(w, status, **kwargs):
    call = w.place(**kwargs)
    call.wait("failed")
    assert call.final.status == status, str(call.final)
    assert not w.ua["cloud"].calls, "it was passed on"
    return call.final


def test_unsupported_body(w):
    resp = refused(w, 415, sdp=b"<x/>",
                   headers=[("Content-Type", "application/xml")])
    assert "application/sdp" in resp.get("Accept", "")


def test_unsupported_extension(w):
    resp = refused(w, 420, headers=[("Require", "teleport")])
    assert "teleport" in resp.get("Unsupported", "")


@pytest.mark.parametrize("sdp", [
    b"v=0\r\nnonsense\r\n",
    b"v=0\r\no=- 1 1 IN IP4 10.10.0.50\r\ns=-\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0\r\n",
    b"v=0\r\no=- 1 1 IN IP4 10.10.0.50\r\ns=-\r\nc=IN IP4 10.10.0.50\r\n"
    b"t=0 0\r\nm=audio 99999 RTP/AVP 0\r\n",
], ids=["no-sdp", "no-address", "port-range"])
def test_unacceptable_sdp(w, sdp):
    resp = refused(w, 488, sdp=sdp)
    assert resp.get("Warning"), "a reason is given"


def test_too_many_hops(w):
    refused(w, 483, headers=[("Max-Forwards", "0")])


def test_hops_count_down(w):
    pairs = w.establish(1, headers=[("Max-Forwards", "30")], media=True)
    hops = int(pairs[0][1].invite.get("Max-Forwards"))
    assert hops < 30
    w.hang_up(pairs)


def test_unknown_sdp_lines_pass(w):
    pairs = w.establish(1, extra=("a=X-vendor:keep me = as I am",
                                  "a=maxptime:40", "b=TIAS:64000"))
    assert "a=X-vendor:keep me = as I am\r\n" in pairs[0][1].sdp_received
    assert "b=TIAS:64000\r\n" in pairs[0][1].sdp_received
    w.hang_up(pairs)


def test_addresses_in_odd_places_are_hidden(w):
    """Whatever names an address of ours stays on our side."""
    pairs = w.establish(
        1, extra=("a=rtcp:30001 IN IP4 10.10.0.59",
                  "a=candidate:1 1 UDP 2130706431 10.10.0.58 30000 typ host",
                  "a=X-note:ask 192.168.77.5", "a=X-note:10.10.0.50"),
        edit=lambda sdp: sdp.replace(b"IN IP4 10.10.0.50\r\ns=call",
                                     b"IN IP4 192.168.77.5\r\ns=call"),
        headers=[("Subject", "from 10.10.0.50"),
                 ("Call-Info", "<http://10.10.0.50/x>"),
                 ("P-Asserted-Identity", "<sip:boss@10.10.0.50>"),
                 ("User-Agent", "PBX at 10.10.0.50")])
    assert pairs[0][0].invite.sdp.count("192.168.77.5") == 2
    assert "192.168.77.5" not in str(pairs[0][1].invite)
    w.hang_up(pairs)


def test_repeated_invite_rings_once(w):
    """The same INVITE twice makes one call."""
    w.ua["cloud"].answer = Answer(code=0)
    user = w.user()
    call = w.place(user)
    call.wait("early")
    for _ in range(3):
        w.ua["core"].send_raw(call.invite.encode(), (vip("core"), 5060))
    w.ua["cloud"].wait_call(user).accept()
    call.established()
    assert [c.user for c in w.ua["cloud"].calls].count(user) == 1
    w.hang_up([(call, w.ua["cloud"].wait_call(user))])


def test_lossy_network(w):
    """Retransmissions on both sides carry calls through 20 % loss."""
    w.lab.cut("sbc-core:core:loss=20")
    w.lab.cut("sbc-cloud:cloud:loss=20")
    try:
        pairs = w.establish(10, timeout=35, media=False)
        for i, pair in enumerate(pairs):
            mine, other = pair if i % 2 else pair[::-1]
            assert mine.bye(timeout=35).status == 200
            other.wait("ended", timeout=35)
    finally:
        w.lab.heal("all")


def test_calls_of_one_call_id(w):
    """Two callers may have chosen the same Call-ID."""
    other = w.add_ua("core", "10.10.0.50", key="core-second", port=5070,
                     media_base=37000)
    ids = [("Call-ID", "same-for-both")]
    calls = [w.place(w.user(), frm, headers=ids)
             for frm in ("core", "core-second")]
    pairs = [(c.established(), w.ua["cloud"].wait_call(c.user))
             for c in calls]
    w.wait_media(pairs)
    w.hang_up(pairs)
    assert other.calls == []


@pytest.mark.parametrize("transport", ["u1", "t1"])
@pytest.mark.parametrize("uac,uas", [("uac", "uas"),
                                     ("uac_recv_bye", "uas_bye"),
                                     ("uac_hold", "uas_hold"),
                                     ("uac_cancel", "uas_cancel")])
def test_sipp(w, uac, uas, transport):
    """50 calls of each kind by another implementation."""
    for key in list(w.ua):
        w.ua.pop(key).close()
    n = 50
    tcp = transport == "t1"
    addr = {s: ADDR[s, 4].replace(".50", ".51" if tcp else ".50")
            for s in ("core", "cloud")}
    # Without a limit: the pair's OPTIONS would count.
    server = w.sipp("cloud", uas, "-d", 200, "-mp", 34000,
                    transport=transport, addr=addr["cloud"])
    wait_for(lambda: w.listens("cloud", 5060, transport), 5, "SIPp listens")
    client = w.sipp("core", uac, "-d", 200, "-mp", 30000, "-timeout", 60,
                    "-timeout_error", "-s", "tcp1" if tcp else "c1",
                    calls=n, rate=25, transport=transport,
                    addr=addr["core"], target=f"{vip('core')}:5060")
    try:
        assert client.wait(90) == 0, client.errors()
    finally:
        client.stop()
        server.stop()
