"""SIP over mutual TLS: calls, refusals with their reasons, take-overs."""

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

import checks
from certs import Workshop
from conftest import SHARED, close_shared, make_world, need_daemon
from lab import NODES, vip, wait_for
from sipcall import Answer
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
	{options}
}}

local-policy {{
	from-realm = {other}
	to = "tls*"
	next-hop = "{name}"
}}
"""


def config(shop, options="", agents=True, ping=10):
    """The lab's, with TLS on both sides and agents by TLS at .51."""
    text = (Path(__file__).parent / "sbcd.conf").read_text()
    text = text.replace('port tcp { }',
                        'port tcp { }\n\tport tls { tls-profile = edge }')
    text += PROFILE.format(name="edge", cert=shop.sbc, trusted=shop.root,
                           options=options)
    if not agents:
        return text
    # Instead of those by TCP at the same addresses.
    for side, other in (("core", "cloud"), ("cloud", "core")):
        text += AGENT.format(
            name=f"{side}-tls", realm=side, other=other, profile="edge",
            host=PEER[side], ping=ping, options="",
            address="10.10.0.52" if side == "core" else "10.20.0.52")
    return text


def workshop(directory):
    shop = Workshop(directory)
    shop.root = shop.make("root", ca=True)
    shop.other_root = shop.make("other-root", ca=True)
    between = shop.make("between", shop.root, ca=True)
    both = "serverAuth,clientAuth"
    shop.sbc = shop.make("sbc", between, names=[SBC], eku=both)
    for side, name in PEER.items():
        setattr(shop, side, shop.make(side, between, names=[name], eku=both))
    # The workers read them as somebody else.
    shop.sbc.key.chmod(0o644)
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
