"""The lessons of the field report: each mistake is refused, explained with the
line that would change it, found by `config check` where it can be, and all of
it again with the active node killed in the middle."""

import time

import pytest

import checks
from conftest import close_shared, need_daemon
from lab import NODES, wait_for
from office import UM, Office
from sipcall import Answer, CallFailed

RINGING = Answer(code=0)


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    need_daemon()
    close_shared()
    o = Office(tmp_path_factory.mktemp("office"))
    o.owners = o.w.observer()
    yield o
    o.close()


@pytest.fixture
def o(office):
    yield office
    office.um.tls.v2 = None
    for node in NODES:
        if office.w.lab.roles()[node] is None:
            office.w.lab.start(node)
    office.w.settled(30)
    office.w.hang_up_rest()
    office.w.forget_media()
    office.w.assert_no_calls()
    for ua in (office.um, office.pbx):
        ua.errors.clear()
    assert not office.watch.check(), office.watch.check()
    checks.one_owner(office.owners)


def no_call(o):
    call, _ = o.call()
    call.wait("failed", timeout=40)
    return call.final.status


def works(o, frm="core"):
    """A call with audio that a power loss does not end; who is active."""
    pairs = o.up(2, frm=frm)
    dead, alive = o.power_loss()
    o.w.wait_media(pairs)
    for leg in (leg for pair in pairs for leg in pair):
        assert leg.reinvite(timeout=20).status == 200
    o.w.hang_up(pairs)
    o.power_on(dead)
    return alive


# ---- 1: certificate, trust list, names --------------------------------------

def misnamed(o):
    """The cloud connects to us and does not find our name."""
    with pytest.raises(CallFailed):
        o.lamp(timeout=3)


# The peer's TLS closes without an alert, as many do.
MISTAKES = {
    "trusted": ("other_root", no_call, "unknown-ca",
                "trusted-ca-certificates"),
    "misnamed": ("misnamed", misnamed, "closed-at-certificate",
                 "end-entity-certificate"),
    "stranger": ("stranger", no_call, "closed-at-certificate",
                 "end-entity-certificate"),
    "lone": ("lone", no_call, "closed-at-certificate",
             "end-entity-certificate"),
    "host": ("exap.um.outlook.org", no_call, "name", "tls-names"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_lesson_1(o, mistake):
    what, attempt, reason, option = MISTAKES[mistake]
    o.um.tls.trusted = [o.shop.root]
    words = ({"HOST": what} if mistake == "host" else
             {"trusted": o.shop.other_root} if mistake == "trusted" else
             {"cert": getattr(o.shop, what)})
    active, _ = o.configure(**words)
    for _ in range(2):
        attempt(o)
        f = o.explained(active, reason)
        assert f["profile"] == "ToOffice365" and f["option"] == option, f
        assert (f'session-agent "office365"' if mistake == "host" else
                option) in o.line(f["line"]), f
        assert f"option={option} " in o.logged(active, "tls-failed")
        dead, active = o.power_loss()
        attempt(o)
        o.explained(active, reason)
        o.power_on(dead)
    o.configure()
    works(o)


# ---- 3: srtp-auth disabled --------------------------------------------------

def test_lesson_3(o):
    [said] = [x for x in o.check(SRTP_AUTH="disabled") if "488" in x]
    assert "srtp-auth = enabled" in said and "sdes1" in said, said
    active, _ = o.configure(SRTP_AUTH="disabled")
    assert f":{said.split(':')[1]}:" in said
    assert "srtp-auth = disabled" in o.line(int(said.split(":")[1])), said
    assert no_call(o) == 488
    [invite] = o.um.received("INVITE")[-1:]
    assert "UNAUTHENTICATED_SRTP" in invite.sdp
    o.um.sdes.strict = False  # it takes its time to refuse
    call, user = o.call(answer=RINGING, media=True)
    callee = o.um.wait_call(user)
    call.wait("early")
    dead, active = o.power_loss()
    callee.reject(488)
    call.wait("failed", timeout=40)
    assert call.final.status == 488
    o.um.sdes.strict = True
    said = o.logged(active, "offer-refused")
    assert "sdes-profile=sdes1" in said and "option=srtp-auth" in said, said
    line = int(said.split("option-line=")[1].split()[0])
    assert "srtp-auth = disabled" in o.line(line), said
    o.power_on(dead)
    o.configure()
    assert not [x for x in o.check() if "488" in x]
    works(o)
    works(o, frm="cloud")


# ---- 4: a hello in SSLv2's format -------------------------------------------

def test_lesson_4_one_version(o):
    """The cloud's own connections are refused; the call itself goes on."""
    [said] = [x for x in o.check(TLS_VERSION="tlsv12") if "SSLv2" in x]
    assert "tls-version = compatibility" in said, said
    active, _ = o.configure(TLS_VERSION="tlsv12")
    assert "tls-version = tlsv12" in o.line(int(said.split(":")[1])), said
    pairs = o.up()
    for _ in range(2):
        o.begin_with_v2()
        with pytest.raises(CallFailed):
            pairs[0][1].request("INFO", timeout=3)
        with pytest.raises(CallFailed):
            o.lamp(timeout=3)
        f = o.explained(active, "v2-hello")
        assert f["option"] == "tls-version" and "tlsv12" in o.line(f["line"])
        o.w.wait_media(pairs)
        o.begin_as_usual()
        dead, active = o.power_loss()
        o.w.wait_media(pairs)
        o.power_on(dead)
    o.w.hang_up(pairs)


@pytest.mark.parametrize("version", ["tlsv1", "tlsv12"])
def test_lesson_4(o, version):
    """A re-INVITE and a lamp over new connections, and over a power loss."""
    o.configure()
    assert not [x for x in o.check() if "SSLv2" in x]
    pairs = o.up(2) + o.up(1, frm="cloud")
    cloud = [a if a.ua is o.um else b for a, b in pairs]
    o.begin_with_v2(version)
    assert all(leg.reinvite(timeout=20).status == 200 for leg in cloud)
    o.w.wait_media(pairs)
    lamp(o)
    dead, _ = o.power_loss()
    o.w.wait_media(pairs)
    o.um.leave_connections()
    assert all(leg.reinvite(timeout=20).status == 200 for leg in cloud)
    o.w.wait_media(pairs)
    lamp(o)
    o.power_on(dead)
    o.w.hang_up(pairs)


def lamp(o):
    resp, got = o.lamp()
    assert resp.status == 200 and len(got) == 1, resp
    assert got[0].get("Event") == "message-summary"
    body = got[0].body.decode()
    assert "Messages-Waiting: yes\r\n" in body
    # The far side's name stays there.
    assert "Message-Account: sip:" in body and UM not in body, body


def test_lesson_4_power_loss_under_the_re_invite(o):
    o.configure()
    [pair] = o.up()
    leg, pbx = pair[1], pair[0]
    o.begin_with_v2()
    pbx.hold = {"INVITE"}
    future = o.w.loop.post(leg._reinvite(timeout=60))
    pbx.wait_held("INVITE")
    dead, _ = o.power_loss()
    pbx.release()
    assert future.result(60).status == 200
    o.w.wait_media([pair])
    o.power_on(dead)
    o.w.hang_up([pair])


def test_lamp_lit_while_nobody_serves(o):
    o.configure()
    o.begin_with_v2()
    active, standby = o.w.settled(30)
    o.w.lab.kill(active, "power")
    lamp(o)
    o.w.wait_role(standby, "ACTIVE", 10)
    o.power_on(active)


def test_audio_a_minute_after(o):
    """Silence that begins some time after a failover is silence, too."""
    o.configure()
    pairs = o.up(2) + o.up(2, frm="cloud")
    dead, _ = o.power_loss()
    o.w.wait_media(pairs)
    end = time.monotonic() + 60
    o.power_on(dead)
    o.w.media_reset()
    totals = o.w.listen(end - time.monotonic())
    for side, t in totals.items():
        assert not t["unprotect_failed"] and not t["lost"], (side, t)
    o.w.wait_media(pairs)
    o.w.hang_up(pairs)
    wait_for(lambda: all(leg.state == "ended" for p in pairs for leg in p), 5,
             "all calls ended")
