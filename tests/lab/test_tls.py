"""SIP over mutual TLS: calls, refusals with their reasons, take-overs."""

import contextlib
import datetime
import os
import re
import socket
import ssl
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

import checks
from certs import Workshop, for_the_workers
from conftest import SHARED, close_shared, make_world, need_daemon
from lab import SIDES, vip, wait_for
from sipcall import Answer
from sipua import netns_socket
from test_inflight import power_loss_at_every_point
from tlspeer import Tls

SBC, PEER = "sbc.example.net", {"core": "cucm.example.net",
                                "cloud": "um.example.net"}

PROFILE = """
tls-profile "{name}" {{
	end-entity-certificate = "{cert.pem}"
	private-key = "{cert.key}"
	trusted-ca-certificates = {{"{trusted.single}"}}
	mutual-authenticate = enabled
	{options}
}}
"""

AGENT = """
session-agent "{name}" {{
	realm = {realm}
	host = "{host}"
	address = "{address}"
	transport = tls
	tls-profile = "{profile}"
	ping-interval = {ping}
}}

local-policy {{
	from-realm = {other}
	to = "{to}"
	next-hop = "{name}"
	other-methods = {{NOTIFY, OPTIONS, MESSAGE}}
}}
"""


def config(shop, options="", agents=True, ping=10):
    """The lab's, with TLS on both sides and agents by TLS at .51."""
    text = (Path(__file__).parent / "sbcd.conf").read_text()
    text = text.replace('port tcp { }',
                        'port tcp { }\n\tport tls { tls-profile = edge }')
    for hop in ("cucm", "o365"):
        text = text.replace(f'next-hop = "{hop}"\n',
                            f'next-hop = "{hop}"\n\tother-methods = '
                            "{NOTIFY, OPTIONS, MESSAGE}\n")
    text += PROFILE.format(name="edge", cert=shop.sbc, trusted=shop.root,
                           options=options)
    if not agents:
        return text
    for side, other in (("core", "cloud"), ("cloud", "core")):
        text += AGENT.format(
            name=f"{side}-tls", realm=side, other=other, profile="edge",
            host=PEER[side], ping=ping, to="tls*",
            address="10.10.0.52" if side == "core" else "10.20.0.52")
    return text + AGENT.format(
        name="cloud-wrong", realm="cloud", other="core", profile="edge",
        host="wrong.example.net", ping=0, to="wrong*", address="10.20.0.53")


def workshop(directory):
    shop = Workshop(directory)
    shop.root = shop.make("root", ca=True)
    shop.other_root = shop.make("other-root", ca=True)
    between = shop.make("between", shop.root, ca=True)
    both = "serverAuth,clientAuth"
    shop.sbc = shop.make("sbc", between, names=[SBC], eku=both)
    for side, name in PEER.items():
        setattr(shop, side, shop.make(side, between, names=[name], eku=both))
    for_the_workers(shop.sbc)
    return shop


def tls_world(tmp_path_factory, shop, media=True, **kwargs):
    need_daemon()
    close_shared()
    conf = tmp_path_factory.mktemp("conf") / "sbcd.conf"
    conf.write_text(config(shop, **kwargs))
    w = make_world(tmp_path_factory, "tls", conf=str(conf))
    w.conf, w.shop = conf, shop
    w.peers(media=media)
    tls = {side: Tls(getattr(shop, side), [shop.root], SBC) for side in PEER}
    w.more_peers(transport="tls", last=52, tls=tls)
    return w


@pytest.fixture(scope="session")
def shop():
    """Where the workers, who are not root, find it."""
    with tempfile.TemporaryDirectory(prefix="sbc-certs-") as directory:
        os.chmod(directory, 0o755)
        yield workshop(directory)


@pytest.fixture
def shared_tls(tmp_path_factory, shop):
    if not SHARED or not hasattr(SHARED[0], "shop"):
        close_shared()
        SHARED.append(tls_world(tmp_path_factory, shop))
    yield SHARED[0]


@pytest.fixture
def w(shared_tls):
    for ua in shared_tls.ua.values():
        ua.answer = Answer()
    yield shared_tls
    shared_tls.hang_up_rest()
    shared_tls.assert_no_calls()
    checks.sane(shared_tls)
    checks.topology_hidden(shared_tls)


def show_tls(w, node):
    return w.lab.sbcctl(node, "show", "tls")


# ---- calls -----------------------------------------------------------------

CASES = [("core", "cloud-tls", "tls"), ("cloud-tls", "core", "c"),
         ("core-tls", "cloud-tls", "tls"), ("cloud-tls", "core-tls", "tls"),
         ("core-tls", "cloud", "c"), ("cloud", "core-tls", "tls")]


@pytest.mark.parametrize("frm,to,prefix", CASES)
def test_call(w, frm, to, prefix):
    pair = w.establish(1, frm=frm, to=to, prefix=prefix)[0]
    for leg in pair:
        assert leg.reinvite().status == 200
        assert leg.request("INFO").status == 200
    w.wait_media([pair])
    w.hang_up([pair])
    pair = w.establish(1, frm=frm, to=to, prefix=prefix)[0]
    assert pair[1].bye(10).status == 200
    for leg in pair:
        leg.wait("ended", timeout=10)


# ---- outside calls ---------------------------------------------------------

LAMP = [("Event", "message-summary"), ("Subscription-State", "terminated"),
        ("Content-Type", "application/simple-message-summary")]


def outside(w, frm, user, method="NOTIFY", timeout=20):
    ua, side = w.ua[frm], frm.split("-")[0]
    port = 5061 if ua.transport == "tls" else 5060
    uri = f"sip:{user}@{vip(side)}"
    body = b"Messages-Waiting: yes\r\n" if method == "NOTIFY" else b""
    return ua.request(method, uri, (vip(side), port), timeout=timeout,
                      headers=LAMP if method == "NOTIFY" else [], body=body)


@pytest.mark.parametrize("frm,to,prefix", CASES)
@pytest.mark.parametrize("method", ["NOTIFY", "OPTIONS"])
def test_outside_of_calls(w, frm, to, prefix, method):
    """The lamp of a phone: from the voice mail system to the PBX."""
    user = w.user(prefix)
    w.ua[to].accepts = {"NOTIFY", "OPTIONS"}
    assert outside(w, frm, user, method).status == 200
    [got] = [m for m in w.ua[to].received(method) if user in m.uri]
    if method == "NOTIFY":
        assert got.get("Event") == "message-summary"
        assert got.body == b"Messages-Waiting: yes\r\n"
    w.ua[to].accepts = {"OPTIONS"}
    user = w.user(prefix)
    want = 405 if method == "NOTIFY" else 200
    assert outside(w, frm, user, method).status == want


def test_outside_of_calls_what_no_policy_passes(w):
    user = w.user("tls")
    assert outside(w, "core", user, "PUBLISH").status == 405


# ---- a 302 ------------------------------------------------------------------

def redirecting(w, user, to):
    """The cloud's agents send this call on: to another port of theirs, where a
    worker listens."""
    if "cloud-worker" not in w.ua:
        w.add_ua("cloud", "10.20.0.52", port=5072, key="cloud-worker",
                 transport="tls", media_base=46000,
                 tls=Tls(w.shop.cloud, [w.shop.root], SBC, port=5066))
        w.add_ua("cloud", "10.20.0.50", port=5066, key="cloud-worker-udp",
                 media_base=47000)
    away = Answer(ring=0, code=302, headers=[("Contact", f"<sip:{user}@{to}>")])
    for key in ("cloud", "cloud-tls"):
        w.ua[key].answer = away


REDIRECTS = [("tls", "um.example.net:5066;transport=tls", "cloud-worker"),
             ("tls", "10.20.0.52:5066;transport=tls", "cloud-worker"),
             ("c", "10.20.0.50:5066", "cloud-worker-udp")]


@pytest.mark.parametrize("prefix,contact,worker", REDIRECTS)
def test_redirected_call(w, prefix, contact, worker):
    user = w.user(prefix)
    redirecting(w, user, contact)
    w.ua[worker].answer = Answer()
    call = w.place(user, headers=[("Diversion", "<sip:77@example.org>")])
    call.established(20)
    callee = w.ua[worker].wait_call(user)
    # Whose mailbox it is must get there, too.
    assert callee.invite.get("Diversion", "").startswith("<sip:77@")
    wait_for(lambda: callee.acks, 10, "ACK")
    w.wait_media([(call, callee)])
    for leg in (call, callee):
        assert leg.reinvite().status == 200
    w.hang_up([(call, callee)])


@pytest.mark.parametrize("contact", ["192.0.2.1:5066;transport=tls",
                                     "10.20.0.99", "um.example.org"])
def test_redirected_to_nobody_we_know(w, contact):
    """A peer's word sends no call to strangers: it is refused, or goes to the
    peer itself, which sends it on for ever."""
    user = w.user("tls")
    redirecting(w, user, contact)
    call = w.place(user, media=False)
    call.wait("failed", timeout=20)
    assert call.final.status == 302
    assert len([m for m in w.ua["cloud-tls"].received("INVITE")
                if user in m.uri]) <= 6


# ---- who is refused, and what is said of it --------------------------------

def wrong_certificates(shop):
    """Each wrong in one way, by the reason that is to be said."""
    eku, name = "serverAuth,clientAuth", [PEER["cloud"]]
    now, year = datetime.datetime.utcnow(), datetime.timedelta(days=365)
    between = shop.cloud.issuer
    return {
        "no-certificate": None,
        "unknown-ca": shop.make("stranger", shop.other_root, names=name,
                                eku=eku),
        "expired": shop.make("expired", between, names=name, eku=eku,
                             start=now - 3 * year, days=730),
        "not-yet-valid": shop.make("early", between, names=name, eku=eku,
                                   start=now + year, days=730),
        "name": shop.make("misnamed", between, names=["um.example.org"],
                          eku=eku),
        "purpose": shop.make("server-only", between, names=name,
                             eku="serverAuth"),
    }


OPTION = {"no-certificate": "mutual-authenticate",
          "unknown-ca": "trusted-ca-certificates", "expired": "",
          "not-yet-valid": "", "name": "tls-names", "purpose": "peer-eku",
          "version": "tls-version", "not-tls": "", "truncated": "",
          "closed-at-certificate": "end-entity-certificate",
          "timeout": "", "oversized": ""}


def plain(w, side="cloud"):
    """A connection to the pair's TLS port, without TLS."""
    sock = netns_socket(f"/run/netns/{SIDES[side]}", socket.AF_INET,
                        socket.SOCK_STREAM)
    sock.settimeout(10)
    sock.connect((vip(side), 5061))
    return sock


def options(side, branch="z9hG4bKx"):
    return (f"OPTIONS sip:{vip(side)} SIP/2.0\r\n"
            f"Via: SIP/2.0/TLS 10.20.0.52:5061;branch={branch}\r\n"
            "Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\n"
            f"To: <sip:{vip(side)}>\r\nCall-ID: {branch}\r\n"
            "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n").encode()


def attempt(w, tls, side="cloud", ctx=None):
    """What the pair answers to OPTIONS; None: it would not have us."""
    ctx = ctx or tls.client()
    try:
        with ctx.wrap_socket(plain(w, side), server_hostname=SBC) as sock:
            sock.sendall(options(side))
            return sock.recv(65536) or None
    except (ssl.SSLError, OSError):
        return None


def failures(w, node, reason):
    return [f for f in show_tls(w, node)["failures"] if f["reason"] == reason]


def explained(w, node, reason, seen):
    """One more of these, with the option that would change it."""
    found = wait_for(lambda: [f for f in failures(w, node, reason)
                              if f["count"] > seen], 10, f"{reason} noted")
    [f] = found
    assert f["option"] == OPTION[reason], f
    text = w.conf.read_text()
    written = f["option"] and f"\t{f['option']} =" in text
    line = text.splitlines()[f["line"] - 1]
    assert (f["option"] if written else "tls-profile") in line, (f, line)
    log = (w.lab.node_dir(node) / "sbcd.log").read_text(errors="replace")
    assert re.search(f"event=tls-failed .*reason={reason} rule=", log), reason


def count_of(w, node, reason):
    return sum(f["count"] for f in failures(w, node, reason))


def good(w):
    return Tls(w.shop.cloud, [w.shop.root], SBC)


def test_peers_that_are_refused(w):
    active, _ = w.settled()
    for reason, cert in wrong_certificates(w.shop).items():
        seen = count_of(w, active, reason)
        assert attempt(w, Tls(cert, [w.shop.root], SBC)) is None, reason
        explained(w, active, reason, seen)
        assert b" 200 " in attempt(w, good(w)), reason


def test_chain_without_what_leads_to_the_root(w):
    active, _ = w.settled()
    lone = SimpleNamespace(pem=w.shop.cloud.single, key=w.shop.cloud.key)
    seen = count_of(w, active, "unknown-ca")
    assert attempt(w, Tls(lone, [w.shop.root], SBC)) is None
    explained(w, active, "unknown-ca", seen)


def test_certificates_without_end(w):
    """More than 64 KB of them are not read."""
    active, _ = w.settled()
    big = w.shop.make("big", w.shop.cloud.issuer, eku="serverAuth,clientAuth",
                      names=[PEER["cloud"]] + [f"host-{i}.example.net"
                                               for i in range(4000)])
    assert big.single.stat().st_size > 64 * 1024
    seen = count_of(w, active, "oversized")
    assert attempt(w, Tls(big, [w.shop.root], SBC)) is None
    explained(w, active, "oversized", seen)
    assert b" 200 " in attempt(w, good(w))


def test_version_that_is_not_ours(w):
    active, _ = w.settled()
    seen = count_of(w, active, "version")
    ctx = good(w).client()
    ctx.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ctx.minimum_version = ctx.maximum_version = ssl.TLSVersion.TLSv1_1
    assert attempt(w, None, ctx=ctx) is None
    explained(w, active, "version", seen)


def test_no_tls_at_all(w):
    active, _ = w.settled()
    seen = count_of(w, active, "not-tls")
    with plain(w) as sock:
        sock.sendall(options("cloud"))
        while sock.recv(4096):
            pass
    explained(w, active, "not-tls", seen)


def hello(w):
    """The first flight of a client."""
    out = ssl.MemoryBIO()
    obj = good(w).client().wrap_bio(ssl.MemoryBIO(), out, server_hostname=SBC)
    with pytest.raises(ssl.SSLWantReadError):
        obj.do_handshake()
    return out.read()


def test_closed_in_the_middle(w):
    active, _ = w.settled()
    data = hello(w)
    for part in (1, 5, len(data) // 2, len(data)):
        reason = "truncated" if part < len(data) else "closed-at-certificate"
        seen = count_of(w, active, reason)
        with plain(w) as sock:
            sock.sendall(data[:part])
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass
        explained(w, active, reason, seen)


@pytest.mark.parametrize("part", [0, 60])
def test_slow_handshake_is_ended(w, part):
    active, _ = w.settled()
    seen = count_of(w, active, "timeout")
    with plain(w) as sock:
        sock.sendall(hello(w)[:part])
        while sock.recv(4096):
            pass
    explained(w, active, "timeout", seen)


def test_a_server_that_is_somebody_else(w):
    """Its certificate is good, but not of whom we call."""
    active, _ = w.settled()
    if "cloud-wrong" not in w.ua:
        w.add_ua("cloud", "10.20.0.53", key="cloud-wrong", transport="tls",
                 tls=Tls(w.shop.cloud, [w.shop.root], SBC))
    call = w.place("wrong1", media=False)
    call.wait("failed", timeout=20)
    assert call.final.status in (408, 500, 502, 503, 504), call.final.status
    assert not w.ua["cloud-wrong"].received("INVITE")
    [f] = [f for f in failures(w, active, "name")
           if f["direction"] == "outbound"]
    assert f["agent"] == "cloud-wrong" and f["option"] == "tls-names", f
    section = w.conf.read_text().splitlines()[f["line"] - 1]
    assert 'session-agent "cloud-wrong"' in section


# ---- floods and renewals ---------------------------------------------------

def memory_kb(w, node):
    """What the SIP worker holds."""
    text = Path(f"/proc/{w.lab.pid_of(node, 'sip')}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1])


SOAK = int(os.environ.get("SBC_TLS_SOAK", "400"))  # `make tls-soak`: 10,000


def test_connections_leave_no_memory_behind(w):
    """As many good ones as of junk. What the first ones cost stays."""
    active, _ = w.settled()
    ctx = good(w).client()

    def some(n):
        for _ in range(n):
            with plain(w) as sock:
                sock.sendall(b"0123456789")
            assert attempt(w, None, ctx=ctx)
    some(100)
    seen = [memory_kb(w, active)]
    for part in range(4):
        some(SOAK // 4)
        seen.append(memory_kb(w, active))
        print(f"{(part + 1) * (SOAK // 4)} good and as many of junk: "
              f"{seen[-1]} KB, {seen[-1] - seen[0]:+} KB")
    assert seen[-1] - seen[0] < 2048, seen
    wait_for(lambda: not [c for c in show_tls(w, active)["connections"]
                          if c["peer"].startswith("10.20.0.1:")], 10,
             "connections that were closed are gone")


def test_one_source_cannot_take_all_places(w):
    """100 connections from one address; the rest is for others."""
    active, _ = w.settled()
    refused = w.lab.sbcctl(active, "show", "counters")["workers"][
        "sip_conns_refused"]
    socks = [plain(w) for _ in range(100)]
    try:
        with plain(w) as one_more:
            with contextlib.suppress(ConnectionResetError):
                assert one_more.recv(1) == b""
        assert w.lab.sbcctl(active, "show", "counters")["workers"][
            "sip_conns_refused"] > refused
        w.hang_up(w.establish(1, frm="cloud-tls", to="core", media=False))
    finally:
        for sock in socks:
            sock.close()
    wait_for(lambda: attempt(w, good(w)), 10, "its places are free again")


def test_certificate_renewed_under_a_call(w):
    active, _ = w.settled()
    shop, old = w.shop, {f: f.read_bytes() for f in (w.shop.sbc.pem,
                                                     w.shop.sbc.key)}
    pair = w.establish(1, frm="cloud-tls", to="core", media=False)[0]
    conns = w.ua["cloud-tls"].connections()

    def serial():
        ctx = good(w).client()
        with ctx.wrap_socket(plain(w), server_hostname=SBC) as sock:
            return sock.getpeercert()["serialNumber"]
    first = serial()
    new = shop.make("sbc-new", shop.sbc.issuer, names=[SBC],
                    eku="serverAuth,clientAuth")
    try:
        # Half of a renewal is none.
        shop.sbc.pem.write_bytes(new.pem.read_bytes())
        with pytest.raises(Exception, match="edge"):
            w.lab.sbcctl(active, "cert", "reload")
        assert serial() == first
        shop.sbc.key.write_bytes(new.key.read_bytes())
        assert w.lab.sbcctl(active, "cert", "reload")["reloaded"]
        assert serial() != first
        for leg in pair:
            assert leg.request("INFO").status == 200
        assert set(conns) <= set(w.ua["cloud-tls"].connections())
    finally:
        for path, data in old.items():
            path.write_bytes(data)
        w.lab.sbcctl(active, "cert", "reload")
    w.hang_up([pair])


@pytest.mark.parametrize("options,name", [
    ("tls-version = compatibility", "tls-version"),
    ("end-soon", "certificate")])
def test_alarms_that_stand(tmp_path_factory, shop, options, name):
    """Seen in `show health`, and no reason to move calls. Below TLS 1.2 only
    addresses of session agents are let in."""
    old = SimpleNamespace(**vars(shop))
    if options == "end-soon":
        old.sbc = shop.make("soon", shop.sbc.issuer, names=[SBC], days=9,
                            eku="serverAuth,clientAuth")
        for_the_workers(old.sbc)
        options = ""
    world = tls_world(tmp_path_factory, old, media=False, options=options)
    try:
        active, _ = world.settled()
        alarm = wait_for(lambda: next(
            (d for d in world.lab.sbcctl(active, "show", "health",
                                         check=False)["deductions"]
             if d["name"] == name), None), 20, f"{name} in show health")
        assert alarm["points"] == 0, alarm
        if name == "tls-version":
            assert attempt(world, good(world)) is None
            f = failures(world, active, "stranger")[0]
            assert f["option"] == "tls-version" and f["line"], f
            assert f["peer"].startswith("10.20.0.1:"), f
            world.hang_up(world.establish(1, frm="cloud-tls", to="core",
                                          media=False))
    finally:
        world.close()


# ---- take-over -------------------------------------------------------------

def measured(w, node):
    """The last take-over's report when all is in it."""
    [report] = w.lab.sbcctl(node, "show", "failovers", "1")["failovers"]
    return report if report["complete"] else None


def test_calls_over_two_power_losses(w):
    watch = w.observer()
    kinds = [("core", "cloud-tls", "tls"), ("cloud-tls", "core", "c"),
             ("core-tls", "cloud-tls", "tls")]
    pairs = [w.establish(1, frm=f, to=t, prefix=p)[0] for f, t, p in kinds]
    for _ in range(2):
        active, standby = w.settled(30)
        old = [c for ua in (w.ua["cloud-tls"], w.ua["core-tls"])
               for c in ua.connections()]
        assert old
        w.lab.kill(active, "power")
        w.wait_role(standby, "ACTIVE", 10)
        w.wait_media(pairs)
        # Who sends on a dead connection learns it at once.
        for ua in w.ua.values():
            ua.keep_alive()
        wait_for(lambda o=old: all(c.lost for c in o if c.mine), 5,
                 "connections of the dead node are reset")
        for pair in pairs:
            for leg in pair:
                assert leg.reinvite(timeout=20).status == 200
                assert leg.request("INFO", timeout=20).status == 200
        report = wait_for(lambda s=standby: measured(w, s), 15, "a report")
        assert report["first-tls-after"] > 0, report
        assert {c["agent"] for c in show_tls(w, standby)["connections"]} >= {
            "core-tls", "cloud-tls"}
        w.lab.start(active)
    w.settled(30)
    w.hang_up(pairs)
    checks.one_owner(watch)


def test_redirected_call_rings_over_a_power_loss(w):
    active, standby = w.settled(30)
    user = w.user("tls")
    redirecting(w, user, REDIRECTS[0][1])
    w.ua["cloud-worker"].answer = Answer(code=0)
    call = w.place(user)
    callee = w.ua["cloud-worker"].wait_call(user)
    call.wait("early")
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 10)
    for ua in w.ua.values():
        ua.keep_alive()
    callee.accept()
    call.established(30)
    wait_for(lambda: callee.acks, 30, "ACK")
    w.wait_media([(call, callee)])
    w.hang_up([(call, callee)])
    w.lab.start(active)
    w.settled(30)


def test_lamp_lit_while_nobody_serves(w):
    """The peer repeats it; the next node passes it on once."""
    active, standby = w.settled(30)
    user = w.user("c")
    w.ua["core"].accepts = {"NOTIFY", "OPTIONS"}
    assert outside(w, "cloud-tls", w.user("c")).status == 200
    w.lab.kill(active, "power")
    assert outside(w, "cloud-tls", user, timeout=32).status == 200
    w.wait_role(standby, "ACTIVE", 10)
    assert [m for m in w.ua["core"].received("NOTIFY") if user in m.uri]
    w.lab.start(active)
    w.settled(30)


@pytest.mark.slow
def test_power_loss_at_every_point(tmp_path_factory, shop):
    world = tls_world(tmp_path_factory, shop)
    try:
        power_loss_at_every_point(world, "tls")
    finally:
        world.close()
