"""Health, drain and maintenance: when the active node changes on purpose."""

import re
import time

import pytest

import checks
from conftest import close_shared, make_world
from lab import HOSTS, NODES, REPO, wait_for
from sipcall import CallFailed

HOLD_DOWN_S = 6


@pytest.fixture
def world(tmp_path_factory, request):
    """A pair with a short hold-down, and whatever else a test wants."""
    close_shared()
    extra = getattr(request, "param", "")
    text = (REPO / "tests/lab/sbcd.conf").read_text()
    if isinstance(extra, re.Pattern):
        text, extra = extra.sub("}", text), ""
    text = text.replace(
        "timing = fast\n", f"timing = fast\n hold-down = {HOLD_DOWN_S}\n"
        f"{extra}\n", 1)
    conf = tmp_path_factory.mktemp("conf") / "sbcd.conf"
    conf.write_text(text)
    w = make_world(tmp_path_factory, "health", conf=str(conf))
    w.peers()
    w.watch = w.observer()
    yield w
    checks.sane(w)
    checks.one_owner(w.watch)
    w.close()


def lost(totals):
    return sum(t["lost"] for t in totals.values())


def health(w, node):
    return w.lab.sbcctl(node, "show", "health", "--min", "0")


def deductions(w, node):
    return {d["name"] for d in health(w, node)["deductions"]}


def service(w, node):
    return w.lab.redundancy(node)["service"]


def refused(w, node, *args):
    res = w.lab.run(node, ["sbcctl", *args], check=False)
    assert res.returncode == 1, res
    return res.stderr


def unchanged(w, epochs, seconds):
    """Nobody moves for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for node in NODES:
            now = w.lab.redundancy(node)
            assert (now["role"], now["epoch"]) == epochs[node], (node, now)
        time.sleep(0.1)


def epochs(w):
    return {n: (r["role"], r["epoch"]) for n in NODES
            for r in [w.lab.redundancy(n)]}


def test_link_down_on_the_active(world):
    """It hands over, in order, and everything goes on."""
    w = world
    pairs = w.establish(10)
    active, standby = w.settled()
    w.media_reset()
    w.lab.cut(f"{active}:core:carrier")
    w.wait_role(standby, "ACTIVE", 10)
    assert w.lab.redundancy(active)["role"] != "ACTIVE"
    assert "link" in deductions(w, active)
    w.wait_media(pairs)
    lines = w.lab.redundancy(standby)["timeline"]
    assert any("planned" in str(e) or "switchover" in str(e)
               for e in w.lab.redundancy(active)["timeline"]), lines
    w.lab.heal(f"{active}:core:carrier")
    # No fail-back: nobody has asked for one.
    wait_for(lambda: w.settled(), 20, "both well again")
    unchanged(w, epochs(w), HOLD_DOWN_S + 3)
    w.hang_up(pairs + w.establish(1))
    checks.nothing_left(w)


ONE_GATEWAY = re.compile(r', "fd00:[0-9a-f:]+::1"}')


@pytest.mark.parametrize("cut", ["{a}:core", "{a}:core:in", "{a}:core:out"],
                         ids=["cut", "deaf", "mute"])
@pytest.mark.parametrize("world", [ONE_GATEWAY], indirect=True, ids=["one"])
def test_a_network_dies_behind_the_switch(world, cut):
    """The carrier stays; one gateway, and the peer, are heard no more."""
    w = world
    pairs = w.establish(4)
    active, standby = w.settled()
    w.lab.cut(cut.format(a=active))
    w.wait_role(standby, "ACTIVE", 15)
    w.wait_media(pairs)
    assert w.lab.redundancy(active)["role"] != "ACTIVE"
    assert "the peer is healthier" in {
        e["reason"] for e in w.lab.redundancy(active)["timeline"]}
    w.lab.heal("all")
    wait_for(lambda: w.settled(), 20, "both well again")
    unchanged(w, epochs(w), HOLD_DOWN_S + 3)
    w.hang_up(pairs + w.establish(1))
    checks.nothing_left(w)


def test_both_links_down_nobody_moves(world):
    w = world
    pairs = w.establish(3)
    w.settled()
    before = epochs(w)
    w.lab.cut("sbc-core:core:carrier")      # both still see their own
    for node in NODES:
        w.lab.cut(f"{node}:core:carrier")
    for node in NODES:
        wait_for(lambda n=node: "link" in deductions(w, n), 5, "link")
    unchanged(w, before, HOLD_DOWN_S + 3)
    w.lab.heal("all")
    for node in NODES:
        wait_for(lambda n=node: health(w, n)["score"] > 90, 20,
                 "well again")
    unchanged(w, before, 2)
    w.wait_media(pairs, 15)
    w.hang_up(pairs)
    checks.nothing_left(w)


def test_a_flapping_link_moves_the_calls_once(world):
    """First one node's link fails, then, soon, the other's."""
    w = world
    pairs = w.establish(3)
    active, standby = w.settled()
    w.lab.cut(f"{active}:core:carrier")
    w.wait_role(standby, "ACTIVE", 10)
    moved = time.monotonic()
    w.lab.heal(f"{active}:core:carrier")
    wait_for(lambda: health(w, active)["score"] > 90, 20, "well again")
    w.settled()
    w.lab.cut(f"{standby}:core:carrier")
    w.wait_role(active, "ACTIVE", HOLD_DOWN_S + 15)
    assert time.monotonic() - moved > HOLD_DOWN_S - 1
    w.lab.heal("all")
    w.settled()
    w.wait_media(pairs, 15)
    w.hang_up(pairs)
    checks.nothing_left(w)


@pytest.mark.parametrize("world", ['preferred = "sbc-a"'], indirect=True)
def test_fail_back_when_it_is_configured(world):
    w = world
    pairs = w.establish(3)
    if w.settled()[0] != "sbc-a":
        w.lab.switchover()
        w.wait_role("sbc-a", "ACTIVE", 10)
        w.settled()
    w.lab.kill("sbc-a", "power")
    w.wait_role("sbc-b", "ACTIVE", 5)
    w.lab.start("sbc-a")
    w.settled(30)
    w.media_reset()
    w.wait_role("sbc-a", "ACTIVE", HOLD_DOWN_S + 15)
    assert lost(w.listen(1)) == 0
    w.settled()
    w.hang_up(pairs)
    checks.nothing_left(w)


def test_drain_hands_over(world):
    w = world
    pairs = w.establish(5)
    active, standby = w.settled()
    w.media_reset()
    assert w.lab.sbcctl(active, "drain")["service"] == "drain"
    w.wait_role(standby, "ACTIVE", 5)
    assert lost(w.listen(1)) == 0
    w.settled()
    assert "drain" in deductions(w, active)
    w.hang_up(w.establish(2))
    # It survives a restart, and ends by order only.
    w.lab.kill(active, "keeper")
    wait_for(lambda: not w.lab.redundancy(active), 5, "it is gone")
    w.lab.start(active)
    w.settled(30)
    assert service(w, active) == "drain"
    assert w.lab.sbcctl(active, "undrain")["service"] == "in-service"
    wait_for(lambda: health(w, active)["score"] > 90, 5, "well again")
    w.hang_up(pairs)
    checks.nothing_left(w)


def test_drain_alone(world):
    """Nobody to hand over to: no new calls, the others live on."""
    w = world
    pairs = w.establish(3)
    active, standby = w.settled()
    w.lab.kill(standby, "power")
    w.media_reset()
    w.lab.sbcctl(active, "drain")
    for _ in range(2):
        call = w.place(w.user())
        with pytest.raises(CallFailed) as e:
            call.established(10)
        assert e.value.status == 503
        assert int(e.value.response.get("Retry-After")) > 0
        w.lab.kill(active, "sip")       # the next one knows it, too
        wait_for(lambda: "sip-worker" not in deductions(w, active), 10,
                 "a new SIP worker")
        wait_for(lambda: w.ua["core"].request(
            "OPTIONS", "sip:10.10.0.10", ("10.10.0.10", 5060)).status == 200,
            10, "it answers")
    assert w.lab.redundancy(active)["role"] == "ACTIVE"
    assert lost(w.listen(1)) == 0
    w.lab.sbcctl(active, "undrain")
    w.hang_up(pairs + w.establish(1))
    w.lab.start(standby)
    w.settled(30)
    checks.nothing_left(w)


def test_maintenance(world):
    """A standby in maintenance takes over by force only."""
    w = world
    active, standby = w.settled()
    assert "active" in refused(w, active, "maintenance", "on")
    w.lab.sbcctl(standby, "maintenance", "on")
    wait_for(lambda: w.lab.redundancy(active)["peer"]["health"] == 0, 5,
             "the active knows")
    assert "maintenance" in refused(w, active, "switchover")
    assert "maintenance" in refused(w, standby, "switchover")
    assert "maintenance" in refused(w, standby, "drain")
    # A keeper that starts again is still in it.
    w.lab.kill(standby, "keeper")
    wait_for(lambda: not w.lab.redundancy(standby), 5, "it is gone")
    w.lab.start(standby)
    w.settled(30)
    assert service(w, standby) == "maintenance"
    # Even when nobody else is left.
    w.lab.kill(active, "power")
    time.sleep(2)
    assert w.lab.redundancy(standby)["role"] == "STANDBY"
    w.lab.sbcctl(standby, "maintenance", "off")
    w.wait_role(standby, "ACTIVE", 5)
    w.lab.start(active)
    w.settled(30)
    # By force it does, and that ends it.
    w.lab.sbcctl(active, "maintenance", "on")
    wait_for(lambda: w.lab.redundancy(standby)["peer"]["health"] == 0, 5,
             "the active knows")
    w.lab.sbcctl(standby, "switchover", "--force")
    w.wait_role(active, "ACTIVE", 5)
    assert service(w, active) == "in-service"
    w.settled()


def test_cold_start_beside_maintenance(world):
    """The node with the calls is in maintenance: the other one starts."""
    w = world
    active, standby = w.settled()
    w.lab.sbcctl(standby, "maintenance", "on")
    for node in NODES:
        w.lab.stop(node)
    assert HOSTS
    w.lab.start(*NODES)
    w.wait_role(active, "ACTIVE", 30)
    w.settled(30)


def test_switchover_from_either_node(world):
    """Whoever is asked: the active one hands over, to its peer."""
    w = world
    pairs = w.establish(3)
    for where in (0, 1, 0, 1):
        nodes = w.settled(30)
        w.media_reset()
        answer = w.lab.sbcctl(nodes[where], "switchover")
        assert answer["node"] == nodes[where]
        assert answer["active"] == nodes[1]
        w.wait_role(nodes[1], "ACTIVE", 5)
        assert lost(w.listen(0.5)) == 0
    active, standby = w.settled(30)
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 5)
    assert refused(w, standby, "switchover")
    w.lab.start(active)
    w.settled(30)
    w.hang_up(pairs)
    checks.nothing_left(w)
