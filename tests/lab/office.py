"""The field report's pair, its peers, and what was set up wrongly there.

    office = Office(tmp)            all is right
    office.configure(TLS_VERSION="tlsv12")
    office.call(), office.lamp()    from the PBX, to it
"""

import os
import re
import tempfile
from pathlib import Path
from types import SimpleNamespace

from certs import Workshop, for_the_workers, rsa
from lab import NODES, World, build_dir, vip, wait_for
from sdes import Sdes
from sipcall import Answer
from tlspeer import Tls

HERE = Path(__file__).resolve().parent
SBC, UM = "sbc.example.net", "exap.um.outlook.com"
LAMP = [("Event", "message-summary"), ("Subscription-State", "terminated"),
        ("Content-Type", "application/simple-message-summary")]
V2_HELLO = build_dir() / "bin/v2hello"


def certificates(directory):
    """RSA, as a client with an SSLv2-format hello needs it."""
    os.chmod(directory, 0o755)
    shop = Workshop(directory)
    shop.root = shop.make("baltimore", ca=True, key=rsa())
    shop.other_root = shop.make("another-root", ca=True, key=rsa())
    between = shop.make("between", shop.root, ca=True, key=rsa())
    both = {"eku": "serverAuth,clientAuth", "key": rsa()}
    shop.sbc = shop.make("external", between, names=[SBC], **both)
    shop.um = shop.make("um", between, names=[UM], **both)
    shop.misnamed = shop.make("misnamed", between,
                              names=["sbc.example.org"], **both)
    shop.stranger = shop.make("stranger", shop.other_root, names=[SBC],
                              **both)
    # Without what leads to the root.
    shop.lone = SimpleNamespace(pem=shop.sbc.single, key=shop.sbc.key)
    for cert in (shop.sbc, shop.misnamed, shop.stranger):
        for_the_workers(cert)
    return shop


class Office:
    def __init__(self, tmp, timing="fast", peers=True):
        self.certs = tempfile.TemporaryDirectory(prefix="sbc-certs-")
        self.shop = certificates(self.certs.name)
        self.conf = Path(tmp) / "sbcd.conf"
        self.conf.write_text(self.text())
        self.w = World(tmp, conf=str(self.conf), timing=timing)
        try:
            if peers:
                self.peers()
        except BaseException:
            self.close()
            raise

    def close(self):
        try:
            self.w.close()
        finally:
            self.certs.cleanup()

    def peers(self):
        w = self.w
        for side in ("core", "cloud"):
            w.rtptool(side)
        self.watch = w.srtp_watch()
        self.pbx = w.add_ua("core", "10.10.0.50", key="core")
        self.pbx.accepts = {"NOTIFY", "OPTIONS"}
        self.um = w.add_ua("cloud", "10.20.0.50", key="cloud",
                           transport="tls", media_base=34000,
                           tls=Tls(self.shop.um, [self.shop.root], SBC))
        self.um.sdes = Sdes(watch=self.watch)
        self.provider = w.add_ua("cloud", "10.20.0.51", key="provider",
                                 media_base=38000)

    # ---- what is set up ----------------------------------------------------

    def text(self, cert=None, trusted=None, **words):
        shop = self.shop
        words = {"TLS_VERSION": "compatibility", "SRTP_AUTH": "enabled",
                 "HOST": UM, "CERTIFICATE": (cert or shop.sbc).pem,
                 "KEY": (cert or shop.sbc).key,
                 "TRUSTED": (trusted or shop.root).single, **words}
        text = (HERE / "office.conf").read_text()
        for word, value in words.items():
            text = text.replace(f"@{word.replace('_', '-')}@", str(value))
        return text

    def configure(self, **words):
        """Both nodes have this configuration, and are up with it."""
        self.conf.write_text(self.text(**words))
        lab = self.w.lab
        for node in NODES:
            lab.stop(node, "keeper")
        for node in NODES:
            path = lab.node_dir(node) / "etc-sbcd/sbcd.conf"
            path.write_text(self.conf.read_text())
        lab.start(*NODES)
        self.um.leave_connections()
        return self.w.settled(30)

    def check(self, **words):
        """What `sbcctl config check` says of it, lines."""
        path = self.conf.with_name("checked.conf")
        path.write_text(self.text(**words))
        out = self.w.lab.run("sbc-a", ["sbcctl", "config", "check", path],
                             check=False)
        return (out.stdout + out.stderr).splitlines()

    def line(self, number):
        return self.conf.read_text().splitlines()[number - 1]

    # ---- what is done ------------------------------------------------------

    def call(self, frm="core", answer=None, **kwargs):
        """One call, on its way: (caller, number)."""
        user = self.w.user()
        callee = self.um if frm == "core" else self.pbx
        callee.answer = answer or Answer()
        return self.w.place(user, frm=frm, **kwargs), user

    def up(self, n=1, frm="core"):
        """Calls with audio both ways, between the PBX and the cloud."""
        for ua in (self.um, self.pbx):
            ua.answer = Answer()
        return self.w.establish(n, frm=frm)

    def plain(self, n=1):
        """Calls with audio both ways, from the PBX to the provider."""
        return self.w.establish(n, to="provider", prefix="p")

    def lamp(self, timeout=20):
        """The cloud lights a phone's lamp: the answer, and what the PBX got."""
        user = self.w.user()
        body = ("Messages-Waiting: yes\r\n"
                f"Message-Account: sip:{user}@{UM}\r\n")
        resp = self.um.request(
            "NOTIFY", f"sip:{user}@{vip('cloud')}", (vip("cloud"), 5061),
            timeout=timeout, headers=LAMP, body=body.encode())
        return resp, [m for m in self.pbx.received("NOTIFY") if user in m.uri]

    def begin_with_v2(self, version="tlsv12"):
        """The cloud's next connection, which it needs at once."""
        self.um.tls.v2 = (V2_HELLO, version)
        self.um.leave_connections()

    def begin_as_usual(self):
        self.um.tls.v2 = None
        self.um.leave_connections()
        self.um.errors.clear()

    def power_loss(self):
        """Of the active node: (dead, active) when the other one serves."""
        active, standby = self.w.settled(30)
        self.w.lab.kill(active, "power")
        self.w.wait_role(standby, "ACTIVE", 10)
        self.um.keep_alive()
        return active, standby

    def power_on(self, node):
        self.w.lab.start(node)
        return self.w.settled(30)

    # ---- what the pair says of it ------------------------------------------

    def failures(self, node):
        return self.w.lab.sbcctl(node, "show", "tls")["failures"]

    def explained(self, node, reason, timeout=15):
        """A handshake that failed so: what `show tls` says of it."""
        return wait_for(lambda: next((f for f in self.failures(node)
                                      if f["reason"] == reason), None),
                        timeout, f"{node} explains {reason}")

    def logged(self, node, event, timeout=15):
        """The last line of this event in a node's log, as fields."""
        def look():
            text = (self.w.lab.node_dir(node) / "sbcd.log").read_text(
                errors="replace")
            lines = [x for x in text.splitlines() if f"event={event} " in x]
            return lines and lines[-1]
        return wait_for(look, timeout, f"{node} logs {event}")
