"""The status of certificates by OCSP, and session tickets over a take-over.

The responder is `openssl ocsp` on the witness, which the nodes reach by their
own network; what it says is in an index that tests write.
"""

import os
import ssl
import tempfile
from pathlib import Path

import pytest

import checks
from certs import Workshop, for_the_workers, openssl
from conftest import close_shared, make_world, need_daemon
from lab import NODES, wait_for
from netlab import WITNESS
from test_tls import PEER, SBC, count_of, options, plain, show_tls
from tlspeer import Tls

PORT = 8899
URL = f"http://10.99.1.3:{PORT}"

PROFILE = """
tls-profile "{name}" {{
	end-entity-certificate = "{cert.pem}"
	private-key = "{cert.key}"
	trusted-ca-certificates = {{"{root.single}"}}
	mutual-authenticate = enabled
	tls-version = {version}
	cert-status-check = enabled
	ignore-dead-responder = {ignore}
}}

session-agent "cloud-tls" {{
	realm = cloud
	host = "{peer}"
	address = "10.20.0.52"
	transport = tls
	tls-profile = "{name}"
}}

local-policy {{
	from-realm = core
	to = "tls*"
	next-hop = "cloud-tls"
}}
"""


class Responder:
    """Answers for certificates of one issuer as its index says."""

    def __init__(self, world, issuer):
        self.w, self.issuer = world, issuer
        self.index = Path(world.dir) / "ocsp.index"
        self.tool = None

    def say(self, **status):
        """Serials by status V or R; who is not named is unknown."""
        self.stop()
        lines = [f"{'V' if s == 'V' else 'R'}\t491231235959Z\t"
                 f"{'' if s == 'V' else '240101000000Z'}\t{serial}\tunknown"
                 f"\t/CN={serial}\n" for serial, s in status.items()]
        self.index.write_text("".join(lines))
        self.tool = self.w.tool(
            WITNESS, ["openssl", "ocsp", "-port", PORT, "-nmin", "5",
                      "-index", self.index, "-CA", self.issuer.single,
                      "-rsigner", self.issuer.single,
                      "-rkey", self.issuer.key], name="ocsp")
        wait_for(self.listens, 10, "the responder")

    def listens(self):
        res = self.w.lab.run(WITNESS, ["ss", "-Hltn", f"sport = :{PORT}"],
                             check=False)
        return res.stdout.strip()

    def stop(self):
        if self.tool:
            self.tool.stop()
        self.tool = None


def serial(cert):
    out = openssl("x509", "-in", cert.single, "-noout", "-serial").stdout
    return out.decode().strip().split("=")[1]


def config(shop, ignore, version):
    text = (Path(__file__).parent / "sbcd.conf").read_text()
    at = text.index("port tcp { }", text.index('sip-interface "cloud"'))
    text = text[:at] + "port tls { tls-profile = edge }\n\t" + text[at:]
    return text + PROFILE.format(
        name="edge", cert=shop.sbc, root=shop.root, peer=PEER["cloud"],
        version=version, ignore="enabled" if ignore else "disabled")


@pytest.fixture(scope="module")
def shop():
    """Every end has a certificate that names the responder."""
    with tempfile.TemporaryDirectory(prefix="sbc-ocsp-") as directory:
        os.chmod(directory, 0o755)
        made = Workshop(directory)
        both = "serverAuth,clientAuth"
        made.root = made.make("root", ca=True)
        made.sbc = made.make("sbc", made.root, names=[SBC], eku=both,
                             ocsp=URL)
        for_the_workers(made.sbc)
        made.cloud = made.make("cloud", made.root, names=[PEER["cloud"]],
                               eku=both, ocsp=URL)
        made.mute = made.make("mute", made.root, names=[PEER["cloud"]],
                              eku=both)
        yield made


@pytest.fixture
def world(request, tmp_path_factory, shop):
    need_daemon()
    close_shared()
    conf = tmp_path_factory.mktemp("conf") / "sbcd.conf"
    ignore, version = getattr(request, "param", (False, "tlsv12"))
    conf.write_text(config(shop, ignore, version))
    w = make_world(tmp_path_factory, "ocsp", conf=str(conf))
    w.conf, w.shop = conf, shop
    w.responder = Responder(w, shop.root)
    try:
        assert w.settled() == NODES
        yield w
        checks.sane(w)
    finally:
        w.responder.stop()
        w.close()


def worlds(*which, ids):
    """Each (ignore-dead-responder, tls-version)."""
    return pytest.mark.parametrize("world", which, indirect=True, ids=ids)


def attempt(w, cert, session=None):
    """(what the pair answers to OPTIONS or None, session, resumed)"""
    ctx = Tls(cert, [w.shop.root], SBC).client()
    # A session is of a context.
    if session:
        ctx = session[0]
    try:
        with ctx.wrap_socket(plain(w), server_hostname=SBC,
                             session=session and session[1]) as sock:
            sock.sendall(options("cloud"))
            got = sock.recv(65536)
            return got or None, (ctx, sock.session), sock.session_reused
    except (ssl.SSLError, OSError):
        return None, None, False


def answered(w, cert, **kwargs):
    got, session, resumed = attempt(w, cert, **kwargs)
    return got is not None and b" 200 " in got, session, resumed


def known(w, node):
    return w.lab.sbcctl(node, "show", "redundancy")["records"].get("ocsp", 0)


def test_what_the_responder_says(world):
    w = world
    active, standby = w.settled()
    ours, theirs = serial(w.shop.sbc), serial(w.shop.cloud)
    # Nobody there: nobody is believed.
    seen = count_of(w, active, "no-status")
    assert not answered(w, w.shop.cloud)[0]
    assert count_of(w, active, "no-status") > seen
    # Once it is there, after a while.
    w.responder.say(**{ours: "V", theirs: "V"})
    wait_for(lambda: answered(w, w.shop.cloud)[0], 60, "a good certificate")
    # One that names no responder has no status.
    assert not answered(w, w.shop.mute)[0]
    # What was heard is known at the other node too, and outlives this one and
    # the responder.
    wait_for(lambda: known(w, standby) >= 1, 10, "the answer is replicated")
    w.responder.stop()
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 10)
    assert wait_for(lambda: answered(w, w.shop.cloud)[0], 5, "known here too")
    w.lab.start(active)
    w.settled(30)


def test_revoked_and_unknown(world):
    w = world
    active, _ = w.settled()
    for status, reason in (("R", "revoked"), (None, "status-unknown")):
        said = {serial(w.shop.sbc): "V"}
        cert = w.shop.make(f"x-{reason}", w.shop.root, names=[PEER["cloud"]],
                           eku="serverAuth,clientAuth", ocsp=URL)
        if status:
            said[serial(cert)] = status
        w.responder.say(**said)
        for _ in range(2):
            seen = count_of(w, active, reason)
            assert not answered(w, cert)[0]
            assert count_of(w, active, reason) > seen
        [f] = [f for f in show_tls(w, active)["failures"]
               if f["reason"] == reason]
        assert f["option"] == ("" if status else "cert-status-check"), f


@worlds((True, "tlsv12"), ids=["ignoring"])
def test_dead_responder_is_ignored(world):
    w = world
    active, _ = w.settled()
    assert answered(w, w.shop.cloud)[0]
    assert answered(w, w.shop.mute)[0]
    # Not the one that says no.
    cert = w.shop.make("y", w.shop.root, names=[PEER["cloud"]],
                       eku="serverAuth,clientAuth", ocsp=URL)
    w.responder.say(**{serial(cert): "R"})
    seen = count_of(w, active, "revoked")
    assert not answered(w, cert)[0]
    assert count_of(w, active, "revoked") > seen


def test_whom_we_call(world):
    """The pair is the client, and its call waits for what is said."""
    w = world
    active, _ = w.settled()
    w.peers(media=False)
    for last, said in ((0, "R"), (1, "V")):
        cert = w.shop.make(f"z{last}", w.shop.root, names=[PEER["cloud"]],
                           eku="serverAuth,clientAuth", ocsp=URL)
        w.responder.say(**{serial(w.shop.sbc): "V", serial(cert): said})
        ua = w.add_ua("cloud", "10.20.0.52", key="cloud-tls", transport="tls",
                      tls=Tls(cert, [w.shop.root], SBC))
        if said == "V":
            [pair] = w.establish(1, to="cloud-tls", prefix="tls", media=False)
            for leg in pair:
                assert leg.request("INFO").status == 200
            w.hang_up([pair])
        else:
            call = w.place("tls0", media=False)
            call.wait("failed", timeout=40)
            assert not ua.received("INVITE")
            assert [f for f in show_tls(w, active)["failures"]
                    if f["reason"] == "revoked" and
                    f["direction"] == "outbound"]
        ua.close()
        del w.ua["cloud-tls"]


def stapled(w):
    """What `openssl s_client` says that it was shown."""
    res = w.lab.run("sbc-cloud", [
        "timeout", "10", "openssl", "s_client", "-connect", "10.20.0.10:5061",
        "-servername", SBC, "-status", "-CAfile", w.shop.root.single, "-cert",
        w.shop.cloud.pem, "-key", w.shop.cloud.key, "-ign_eof"], check=False)
    return "Cert Status: good" in res.stdout


def test_our_own_is_stapled(world):
    w = world
    w.responder.say(**{serial(w.shop.sbc): "V", serial(w.shop.cloud): "V"})
    wait_for(lambda: stapled(w), 90, "a staple of the active")


@worlds((False, "tlsv12"), (False, "tlsv13"), ids=["tlsv12", "tlsv13"])
def test_ticket_over_a_power_loss(world):
    w = world
    active, standby = w.settled()
    w.responder.say(**{serial(w.shop.sbc): "V", serial(w.shop.cloud): "V"})
    wait_for(lambda: answered(w, w.shop.cloud)[0], 60, "a good certificate")
    ok, session, resumed = answered(w, w.shop.cloud)
    assert ok and not resumed
    assert answered(w, w.shop.cloud, session=session)[2], "on the same node"
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 10)
    ok, _, resumed = wait_for(
        lambda: (lambda r: r if r[0] else None)(
            answered(w, w.shop.cloud, session=session)), 10, "an answer")
    assert ok and resumed, "the other node knows the ticket's key"
    # The SIP worker alone dies.
    os.kill(w.lab.pid_of(standby, "sip"), 9)
    ok, _, resumed = wait_for(
        lambda: (lambda r: r if r[0] else None)(
            answered(w, w.shop.cloud, session=session)), 10, "an answer")
    assert ok and resumed, "nor does its next worker make others"
    w.lab.start(active)
    w.settled(30)
