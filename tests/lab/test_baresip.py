"""baresip, a user agent that is not of our making, as both parties: SIP/TLS and
SRTP in the cloud, UDP and RTP at the PBX. What they hear is looked at."""

import os
import time

import pytest

from baresip import Baresip, heard, tone_gaps
from conftest import close_shared, need_daemon
from lab import SIDES, wait_for
from office import Office

TONES = {"core": 440, "cloud": 1000}
LISTEN_S = int(os.environ.get("SBC_LISTEN", "10"))  # after the power loss
CRASH_GAP_MS = 600


@pytest.fixture
def o(tmp_path_factory):
    need_daemon()
    close_shared()
    tmp = tmp_path_factory.mktemp("baresip")
    office = Office(tmp, peers=False)
    um = office.shop.um
    both = tmp / "um-both.pem"
    both.write_text(um.pem.read_text() + um.key.read_text())
    office.phones = {}

    def start(side, *args, **kwargs):
        office.phones[side] = Baresip(
            lambda argv, name: office.w.tool(SIDES[side], argv, name),
            f"/run/netns/{SIDES[side]}", tmp / side, *args,
            tone=TONES[side], **kwargs)
    try:
        # It connects from whatever address the kernel likes.
        office.w.lab.run("sbc-cloud", ["ip", "route", "add", "10.20.0.10/32",
                                       "dev", "cloud", "src", "10.20.0.50"])
        start("cloud", "10.20.0.50", "um", "10.20.0.10:5061",
              tls=(both, office.shop.root.single))
        start("core", "10.10.0.50", "pbx", "10.10.0.10:5060")
        office.w.settled(30)
        yield office
    finally:
        for phone in office.phones.values():
            phone.close()
        office.close()


def is_heard(phone, tone, seconds):
    """Nothing but the other's tone, and all of it but the gap."""
    [path] = (phone.dir / "heard").glob("*dec*")
    samples = heard(path)
    share, gap_ms = tone_gaps(samples, tone)
    missing_ms = 1000 * seconds - len(samples) / 8
    assert share > 0.98 and gap_ms <= 60, (path, share, gap_ms)
    assert missing_ms < CRASH_GAP_MS, (path, missing_ms)


@pytest.mark.parametrize("frm,to,hangs_up", [
    ("core", "cloud", "core"), ("cloud", "core", "core"),
    ("core", "cloud", "cloud")])
def test_call_over_a_power_loss(o, frm, to, hangs_up):
    caller, callee = o.phones[frm], o.phones[to]
    proxy = "10.10.0.10" if frm == "core" else "10.20.0.10:5061;transport=tls"
    caller.dial(f"sip:{callee.user}@{proxy}")
    callee.wait_event("CALL_ESTABLISHED", 20)
    caller.wait_event("CALL_ESTABLISHED", 20)
    begin = time.monotonic()
    active, standby = o.w.settled(30)
    o.w.lab.kill(active, "power")
    o.w.wait_role(standby, "ACTIVE", 10)
    o.w.lab.start(active)
    o.w.settled(30)
    wait_for(lambda: time.monotonic() > begin + LISTEN_S, LISTEN_S + 30,
             "listened", 0.2)
    seconds = time.monotonic() - begin
    o.phones[hangs_up].hang_up()
    for phone in (caller, callee):
        phone.wait_event("CALL_CLOSED", 40)
    o.w.assert_no_calls(40)
    is_heard(caller, TONES[to], seconds)
    is_heard(callee, TONES[frm], seconds)
