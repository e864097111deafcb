"""Certificates that only one node has: seen on both, and no call is lost by
it. The lab's nodes read the same files, so a node is given its own ones by
mounts over them in its mount namespace."""

import time

import pytest

from certs import for_the_workers
from conftest import close_shared
from lab import NODES, wait_for
from test_tls import SBC, tls_world, shop

__all__ = ["shop"]

PROFILE = "edge"


@pytest.fixture(scope="module")
def world(tmp_path_factory, shop):
    w = tls_world(tmp_path_factory, shop)
    yield w
    w.close()
    close_shared()


@pytest.fixture
def w(world):
    for node in NODES:
        if world.lab.redundancy(node) is None:
            world.lab.start(node)
    for node in NODES:
        wait_for(lambda n=node: sip_answers(world, n), 20, f"{node} answers")
        give(world, node, None)
    both_know(world, differ=False)
    world.settled(30)
    yield world
    world.hang_up_rest()


def sip_answers(w, node):
    return w.lab.redundancy(node) and w.lab.sbcctl(node, "show", "tls",
                                                   check=False)


def give(w, node, cert):
    """This node reads these files from now on; None: those of both."""
    of_both = w.shop.sbc
    for path in (of_both.pem, of_both.key):
        while not w.lab.run(node, ["umount", path], check=False).returncode:
            pass
    if cert:
        for mine, path in ((cert.pem, of_both.pem), (cert.key, of_both.key)):
            w.lab.run(node, ["mount", "--bind", mine, path])
    assert w.lab.sbcctl(node, "cert", "reload")["reloaded"]


def renewed(w):
    cert = w.shop.make(f"sbc-{w.count('renewed')}", w.shop.sbc.issuer,
                       names=[SBC], eku="serverAuth,clientAuth")
    for_the_workers(cert)
    return cert


def fingerprints(w, node):
    """(ours, the peer's) as this node shows them."""
    [p] = [p for p in w.lab.sbcctl(node, "show", "tls")["profiles"]
           if p["name"] == PROFILE]
    return p["fingerprint"], p["peer-fingerprint"]


def told(w, node, differ):
    """Both, once they are known, and as they are to be."""
    both = fingerprints(w, node)
    known = all(len(p) == 16 for p in both)
    return both if known and (both[0] != both[1]) == differ else None


def alarm(w, node):
    health = w.lab.sbcctl(node, "show", "health", check=False)
    return next((d for d in health["deductions"]
                 if d["name"] == "tls-profile"), None)


def said(w, node):
    log = (w.lab.node_dir(node) / "sbcd.log").read_text(errors="replace")
    return log.count('event=sync in-sync=no reason="other certificates"')


def both_know(w, differ):
    for node in NODES:
        ours, peer = wait_for(lambda n=node: told(w, n, differ), 10,
                              f"{node}: fingerprints differ: {differ}")
        wait_for(lambda n=node: w.lab.redundancy(n)["in-sync"] != differ, 5,
                 f"{node}: in-sync is {not differ}")
        if not differ:
            assert not alarm(w, node)
            continue
        why = w.lab.redundancy(node)["sync-reason"]
        assert why.startswith(f"tls-profile {PROFILE}:"), why
        shown = wait_for(lambda n=node: alarm(w, n), 5, "an alarm")
        assert shown["points"] == 0
        for part in (PROFILE, f"{ours} here", f"{peer} there"):
            assert part in shown["why"], shown
    if differ:
        a, b = (fingerprints(w, n) for n in NODES)
        assert a == b[::-1]


def test_rolling_renewal_under_calls(w):
    """Between the two reloads the pair says so, and nothing else happens."""
    active, standby = w.settled()
    before = {n: said(w, n) for n in NODES}
    roles = w.lab.roles()
    pair = w.establish(1, frm="cloud-tls", to="core-tls", prefix="tls")[0]
    conns = w.ua["cloud-tls"].connections()
    new = renewed(w)
    for node in (active, standby):
        both_know(w, differ=node == standby)
        give(w, node, new)
    both_know(w, differ=False)
    assert w.lab.roles() == roles
    for leg in pair:
        assert leg.request("INFO").status == 200
    assert set(conns) <= set(w.ua["cloud-tls"].connections())
    w.wait_media([pair])
    w.hang_up([pair])
    # Each of them once, however long it lasts.
    assert {n: said(w, n) - before[n] for n in NODES} == dict.fromkeys(NODES,
                                                                       1)


def test_people_are_refused_until_they_insist(w):
    active, standby = w.settled()
    give(w, standby, renewed(w))
    both_know(w, differ=True)
    for node in (active, standby):
        with pytest.raises(Exception, match="certificates"):
            w.lab.sbcctl(node, "switchover")
    assert w.active == active
    pair = w.establish(1, frm="cloud-tls", to="core-tls", prefix="tls")[0]
    w.lab.switchover(force=True)
    w.wait_role(standby, "ACTIVE", 10)
    w.wait_media([pair])
    w.hang_up([pair])
    give(w, standby, None)
    w.settled(30)
    both_know(w, differ=False)
    w.lab.switchover()
    w.wait_role(active, "ACTIVE", 10)


def test_drain_waits_for_the_same_certificates(w):
    active, standby = w.settled()
    give(w, standby, renewed(w))
    both_know(w, differ=True)
    w.lab.sbcctl(active, "drain")
    try:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert w.lab.redundancy(active)["role"] == "ACTIVE"
            time.sleep(0.1)
        give(w, standby, None)
        w.wait_role(standby, "ACTIVE", 15)
    finally:
        w.lab.sbcctl(active, "undrain")


@pytest.mark.parametrize("victim", ["active", "standby"])
def test_power_loss_with_other_certificates(w, victim):
    """Calls are saved, with whatever certificate there is; who comes back
    with the files that it had says so again."""
    active, standby = w.settled()
    give(w, active, renewed(w))
    both_know(w, differ=True)
    pair = w.establish(1, frm="cloud-tls", to="core-tls", prefix="tls")[0]
    gone = active if victim == "active" else standby
    w.lab.kill(gone, "power")
    w.wait_role(standby if victim == "active" else active, "ACTIVE", 10)
    w.wait_media([pair])
    for ua in w.ua.values():
        ua.keep_alive()
    for leg in pair:
        assert leg.request("INFO", timeout=20).status == 200
    # A node that is started again has its disk, and no mounts of ours.
    w.lab.start(gone)
    wait_for(lambda: sip_answers(w, gone), 20, f"{gone} answers")
    if victim == "standby":
        both_know(w, differ=True)
        give(w, active, None)
    w.settled(30)
    both_know(w, differ=False)
    w.hang_up([pair])
