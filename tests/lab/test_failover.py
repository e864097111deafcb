"""Calls, media and roles while one thing after the other dies.

Bounds are those of the design, doubled where a loaded test machine may be
slow; the bench reports what is really reached.
"""

import os
import signal
import time
from pathlib import Path

import pytest

import checks
from conftest import close_shared, make_world
from lab import NODES, VIP, vip, wait_for
from sipcall import Answer
from test_calls import hold_and_resume, wrong_port

CRASH_GAP_MS = 600
KEEPER_GAP_MS = 300
MEDIA_WORKER_GAP_MS = 1000


@pytest.fixture
def w(world):
    """Peers on both sides, an observer on the switch, checks at the end."""
    world.peers()
    world.watch = world.observer()
    world.before = checks.footprint(world)
    yield world
    checks.sane(world)
    checks.topology_hidden(world)


def gap_of(totals):
    return max(t["longest_gap"]["ms"] for t in totals.values())


def lost(totals):
    return sum(t["lost"] for t in totals.values())


def no_crosstalk(totals):
    for side, t in totals.items():
        assert t["foreign"] == 0, (side, t)
        assert t["source_changes"] == 0, (side, t)
        assert t["malformed"] == 0, (side, t)


def fail_over(w, pairs, what="power", limit_ms=CRASH_GAP_MS, listen_s=5):
    """Kill something on the active node; the standby takes over all calls."""
    active, standby = w.settled()
    w.media_reset()
    w.lab.kill(active, what)
    w.wait_role(standby, "ACTIVE", 5)
    w.wait_media(pairs)
    totals = w.listen(listen_s)
    no_crosstalk(totals)
    print(f"{what}: longest gap {gap_of(totals):.0f} ms, lost "
          f"{lost(totals)} of {sum(t['expected'] for t in totals.values())}")
    assert gap_of(totals) < limit_ms, totals
    assert w.calls(standby)["count"] == len(pairs)
    return active, standby


def owns(w, node):
    """True while the node has a virtual MAC or address."""
    return any(w.lab.run(node, ["ip", "-br", what, "show", "dev", side],
                         check=False).stdout.lower().find(mine) >= 0
               for side in ("core", "cloud")
               for what, mine in (("link", VIP[side]["mac"]),
                                  ("addr", VIP[side]["addr"][0] + "/"),
                                  ("addr", VIP[side]["addr"][1] + "/")))


def new_call_works(w):
    pairs = w.establish(1)
    w.hang_up(pairs)


def rejoin(w, node):
    w.lab.start(node)
    return w.settled(30)


def test_power_loss(w):
    pairs = w.establish(25) + w.establish(25, frm="cloud")
    dead, _ = fail_over(w, pairs)
    new_call_works(w)
    rejoin(w, dead)
    checks.one_owner(w.watch)
    w.hang_up(pairs)
    checks.nothing_left(w)


@pytest.mark.slow
def test_power_loss_and_a_minute_of_media(w):
    pairs = w.establish(25) + w.establish(25, frm="cloud")
    dead, alive = fail_over(w, pairs, listen_s=0)
    w.media_reset()
    totals = w.listen(60)
    assert lost(totals) == 0, totals
    w.hang_up(pairs)
    rejoin(w, dead)
    checks.nothing_left(w, {alive: w.before[alive]})


def test_keeper_killed(w):
    pairs = w.establish(20)
    dead, standby = fail_over(w, pairs, "keeper", KEEPER_GAP_MS)
    wait_for(lambda: not owns(w, dead), 1, f"{dead} has let go")
    checks.one_owner(w.watch)
    w.lab.start(dead)
    assert w.settled(30) == (standby, dead)
    new_call_works(w)
    w.hang_up(pairs)
    checks.nothing_left(w)


def test_custom_timing_takes_over_before_a_fast_lease_ends(tmp_path_factory):
    """Whose silence is below the lease of `fast` decides before that."""
    close_shared()
    w = make_world(tmp_path_factory, "tight", timing="tight")
    w.peers()
    pairs = w.establish(10)
    active, standby = w.settled()
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 5)
    w.wait_media(pairs)
    report = wait_for(lambda: [
        r for r in w.lab.sbcctl(standby, "show", "failovers")["failovers"]
        if r["complete"]], 15, "a complete report")[0]
    assert 80 <= report["decided-after"] < 220, report
    w.hang_up(pairs)
    checks.nothing_left(w)
    w.close()


def test_corosync_killed_on_the_active(w):
    """Without its cluster engine a node may go on or hand over, not both."""
    pairs = w.establish(10)
    active, standby = w.settled()
    w.media_reset()
    w.lab.kill(active, "corosync")
    w.wait_media(pairs)
    totals = w.listen(5)
    assert gap_of(totals) < CRASH_GAP_MS
    roles = list(w.lab.roles().values())
    assert roles.count("ACTIVE") == 1, roles
    checks.one_owner(w.watch)
    w.lab.start(active)
    w.settled(30)
    w.hang_up(pairs)
    checks.nothing_left(w)


def unchanged(w, before):
    """Same roles, same epoch: nobody has failed over."""
    after = {n: w.lab.redundancy(n) for n in NODES}
    for node in NODES:
        for key in ("role", "epoch"):
            assert after[node][key] == before[node][key], (before, after)


def test_sip_worker_killed(w):
    pairs = w.establish(20)
    active, standby = w.settled()
    before = {n: w.lab.redundancy(n) for n in NODES}
    old = w.lab.pid_of(active, "sip")
    w.media_reset()
    w.lab.kill(active, "sip")
    wait_for(lambda: w.lab.pid_of(active, "sip") not in (old, None), 3,
             "a new SIP worker")
    totals = w.listen(3)
    assert lost(totals) == 0, totals
    no_crosstalk(totals)
    unchanged(w, before)
    hold_and_resume(w, pairs[0])
    new_call_works(w)
    w.hang_up(pairs)
    checks.nothing_left(w)


@pytest.mark.slow
def test_sip_worker_hangs(w):
    """Stopped, not dead: nobody but the keeper can notice."""
    pairs = w.establish(5)
    active, _ = w.settled()
    old = w.lab.pid_of(active, "sip")
    os.kill(old, signal.SIGSTOP)
    w.media_reset()
    wait_for(lambda: w.lab.pid_of(active, "sip") not in (old, None), 20,
             "a new SIP worker")
    assert lost(w.listen(1)) == 0
    new_call_works(w)
    w.hang_up(pairs)


def test_both_nodes_stand_still(w):
    """As on a host that pauses: the lease runs out under calls being set up.

    What the shut gate drops is sent again; nobody answers 503 for it.
    """
    pairs = w.establish(2)
    keepers = [w.lab.pid_of(n, "keeper") for n in NODES]
    for pid in keepers:
        os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: all(s["rx"]["silence_ms"] > 300
                             for s in w.streams().values()), 10, "silence")
        users = [w.user() for _ in range(5)]
        calls = [w.place(u) for u in users]
        byes = [w.loop.post(pairs[0][0]._bye(20, ()))]
        heard = w.streams()[pairs[1][0].stream]["rx"]["silence_ms"]
        wait_for(lambda: w.streams()[pairs[1][0].stream]["rx"]["silence_ms"]
                 > heard + 300, 10, "a moment more")
    finally:
        for pid in keepers:
            os.kill(pid, signal.SIGCONT)
    pairs = pairs[1:] + [(c.established(20), w.ua["cloud"].wait_call(c.user))
                         for c in calls]
    assert [b.result(25).status for b in byes] == [200]
    w.wait_media(pairs, 10)
    w.settled(30)
    w.hang_up(pairs)
    checks.one_owner(w.watch)


def test_sip_worker_killed_while_a_call_rings(w):
    w.ua["cloud"].answer = Answer(code=0)
    user = w.user()
    call = w.place(user)
    call.wait("early")
    active, _ = w.settled()
    old = w.lab.pid_of(active, "sip")
    w.lab.kill(active, "sip")
    wait_for(lambda: w.lab.pid_of(active, "sip") not in (old, None), 3,
             "a new SIP worker")
    callee = w.ua["cloud"].wait_call(user)
    callee.accept()
    call.established()
    w.wait_media([(call, callee)])
    w.hang_up([(call, callee)])
    checks.nothing_left(w)


def test_media_worker_killed(w):
    pairs = w.establish(20)
    active, standby = w.settled()
    before = {n: w.lab.redundancy(n) for n in NODES}
    w.media_reset()
    w.lab.kill(active, "media")
    w.wait_media(pairs)
    totals = w.listen(3)
    assert gap_of(totals) < MEDIA_WORKER_GAP_MS, totals
    no_crosstalk(totals)
    unchanged(w, before)
    new_call_works(w)
    w.hang_up(pairs)
    checks.nothing_left(w)


def test_media_worker_hangs(w):
    """Its threads stand still: noticed within a second, not by the ping's
    ten."""
    pairs = w.establish(5)
    active, standby = w.settled()
    before = {n: w.lab.redundancy(n) for n in NODES}
    old = w.lab.pid_of(active, "media")
    os.kill(old, signal.SIGSTOP)
    wait_for(lambda: w.lab.pid_of(active, "media") not in (old, None), 8,
             "a new media worker")
    w.wait_media(pairs)
    unchanged(w, before)
    new_call_works(w)
    w.hang_up(pairs)
    checks.nothing_left(w)


def test_sip_worker_killed_again_and_again(w):
    """From outside, also while it is told of its calls: no call is given up
    for it, as it would be if the calls were what killed it."""
    pairs = w.establish(20)
    active, standby = w.settled()
    w.lab.kill(standby, "power")
    old = None
    for _ in range(8):
        wait_for(lambda: w.lab.pid_of(active, "sip") not in (old, None), 10,
                 "a new SIP worker")
        old = w.lab.pid_of(active, "sip")
        try:
            os.kill(old, signal.SIGKILL)
        except ProcessLookupError:
            pass
    wait_for(lambda: w.lab.pid_of(active, "sip") not in (old, None), 10,
             "a new SIP worker")
    new_call_works(w)
    assert w.calls(active)["count"] == len(pairs)
    w.wait_media(pairs)
    w.lab.start(standby)
    w.settled(30)
    w.hang_up(pairs)
    checks.nothing_left(w)


@pytest.mark.parametrize("what", ["sip", "media"])
def test_worker_of_the_standby_killed(w, what):
    pairs = w.establish(5)
    active, standby = w.settled()
    before = {n: w.lab.redundancy(n) for n in NODES}
    old = w.lab.pid_of(standby, what)
    w.media_reset()
    w.lab.kill(standby, what)
    wait_for(lambda: w.lab.pid_of(standby, what) not in (old, None), 3,
             "a new worker")
    assert lost(w.listen(2)) == 0
    unchanged(w, before)
    fail_over(w, pairs)
    w.hang_up(pairs)


def test_keeper_of_the_standby_killed(w):
    """The active is alone at once, and asks its gateways: nothing changes."""
    pairs = w.establish(5)
    active, standby = w.settled()
    before = w.lab.redundancy(active)
    w.media_reset()
    w.lab.kill(standby, "keeper")
    assert lost(w.listen(3)) == 0
    now = w.lab.redundancy(active)
    assert (now["role"], now["epoch"]) == ("ACTIVE", before["epoch"])
    w.lab.start(standby)
    assert w.settled(30) == (active, standby)
    fail_over(w, pairs)
    w.hang_up(pairs)
    checks.one_owner(w.watch)


def test_guard_killed(w):
    """The guard comes back, and then does its work."""
    pairs = w.establish(2)
    active, standby = w.settled()
    old = w.lab.pid_of(active, "guard")
    w.lab.kill(active, "guard")
    wait_for(lambda: w.lab.pid_of(active, "guard") not in (old, None), 3,
             "a new guard")
    new = w.lab.pid_of(active, "guard")
    wait_for(lambda: w.lab.run(active, ["test", "-d", f"/proc/{new}"],
                               check=False).returncode == 0, 2, "it runs")
    fail_over(w, pairs, "keeper", KEEPER_GAP_MS)
    wait_for(lambda: not owns(w, active), 1, f"{active} has let go")
    w.hang_up(pairs)


def test_planned_switchover(w):
    """No packet of 100 streams at random phase is lost, there and back."""
    pairs = w.establish(50)
    for _ in range(4):
        active, standby = w.settled(30)
        w.media_reset()
        w.lab.switchover()
        w.wait_role(standby, "ACTIVE", 5)
        totals = w.listen(3)
        assert lost(totals) == 0, totals
        no_crosstalk(totals)
        assert sum(t["duplicates"] for t in totals.values()) == 0, totals
        wait_for(lambda n=active: not owns(w, n), 2, f"{active} let go")
        assert w.settled(30) == (standby, active)
        new_call_works(w)
    checks.one_owner(w.watch)
    w.hang_up(pairs)
    checks.nothing_left(w, w.before)


def test_switchover_needs_a_peer_in_sync(w):
    active, standby = w.settled()
    w.lab.kill(standby, "power")
    wait_for(lambda: not w.lab.redundancy(active)["peer"]["connected"], 5,
             "the peer is gone")
    res = w.lab.run(active, ["sbcctl", "switchover"], check=False)
    assert res.returncode != 0
    assert w.lab.redundancy(active)["role"] == "ACTIVE"
    assert owns(w, active)


@pytest.mark.slow
def test_standby_rejoins_under_200_calls(w):
    pairs = w.establish(200, timeout=40)
    active, standby = w.settled()
    w.media_reset()
    w.lab.kill(standby, "power")
    wait_for(lambda: not w.lab.redundancy(active)["peer"]["connected"], 5,
             "the standby is gone")
    more = w.establish(5)
    gone, pairs = pairs[:5], pairs[5:]
    w.hang_up(gone)
    assert rejoin(w, standby) == (active, standby)
    totals = w.listen(1)
    assert lost(totals) == 0, "the active never faltered"
    pairs += more
    assert w.calls(standby)["count"] == len(pairs)
    fail_over(w, pairs)
    w.hang_up(pairs)
    rejoin(w, active)
    checks.nothing_left(w)


def test_alone_it_still_works(w):
    active, standby = w.settled()
    w.lab.kill(standby, "power")
    pairs = w.establish(5)
    w.wait_media(pairs)
    w.hang_up(pairs)


def test_cold_start_together(w):
    """Both boot at once: one becomes active, never both."""
    for node in NODES:
        w.lab.kill(node, "power")
    w.lab.start(*NODES)
    first = w.settled(40)
    checks.one_owner(w.watch)
    new_call_works(w)
    # And once more: whoever was active before is it again.
    for node in reversed(NODES):
        w.lab.kill(node, "power")
    w.lab.start(*NODES)
    w.settled(40)
    checks.one_owner(w.watch)
    new_call_works(w)
    assert first[0] in NODES


def test_cold_start_alone(w):
    for node in NODES:
        w.lab.kill(node, "power")
    w.lab.start("sbc-b")
    w.wait_role("sbc-b", "ACTIVE", 30)
    new_call_works(w)


def test_both_directions_before_and_after(w):
    """Hold and resume, from each side, before and after a failover."""
    pairs = w.establish(1) + w.establish(1, frm="cloud")
    for pair in pairs:
        hold_and_resume(w, pair)
    fail_over(w, pairs)
    for pair in pairs:
        hold_and_resume(w, pair)
    w.hang_up(pairs)
    w.hang_up(w.establish(2))


def test_held_call_stays_held(w):
    pairs = w.establish(1)
    caller, callee = pairs[0]
    assert caller.reinvite("inactive").status == 200
    active, standby = w.settled()
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 5)
    assert callee.reinvite("sendrecv").status == 200
    assert caller.reinvite("sendrecv").status == 200
    w.wait_media(pairs)
    w.hang_up(pairs)


def test_silent_latched_peer_is_still_heard_of(w):
    """A muted phone behind NAT gets its media from the new node too."""
    pairs = w.establish(4, edit=wrong_port)
    for caller, _ in pairs:
        w.media["core"].cmd("set", id=caller.stream, send=False)
    # The learned source is replicated at once, and its owner is silent.
    wait_for(lambda: w.streams()[pairs[0][1].stream]["rx"]["silence_ms"] >
             300, 5, "muted")
    active, standby = w.settled()
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 5)
    for caller, _ in pairs:
        wait_for(lambda c=caller: w.streams()[c.stream]["rx"]["silence_ms"] <
                 100, 3, "the muted side hears")
        w.media["core"].cmd("set", id=caller.stream, send=True)
    w.wait_media(pairs)
    w.hang_up(pairs)


def test_two_failovers_under_load(w):
    """Calls come and go throughout; one call sees both failovers."""
    long_call = w.establish(1)
    for _ in range(2):
        pairs = w.establish(20)
        fail = w.settled(30)
        dead, alive = fail_over(w, long_call + pairs)
        assert (dead, alive) == fail
        w.hang_up(pairs)
        w.hang_up(w.establish(5, frm="cloud"))
        rejoin(w, dead)
    w.wait_media(long_call)
    caller, callee = long_call[0]
    hold_and_resume(w, (caller, callee))
    w.hang_up(long_call)
    checks.one_owner(w.watch)
    checks.nothing_left(w)


def with_threads(w, node, threads):
    """As if the node had so many cores."""
    path = w.lab.node_dir(node) / "etc-sbcd/sbcd.conf"
    text = path.read_text()
    assert "media-manager" not in text
    path.write_text(text + f"media-manager {{ threads = {threads} }}\n")
    if w.lab.redundancy(node):
        w.lab.kill(node, "power")
    w.lab.start(node)
    w.settled(30)
    log = (w.lab.node_dir(node) / "sbcd.log").read_text(errors="replace")
    assert f"shards={threads} " in log


def test_nodes_with_different_numbers_of_cores(tmp_path_factory):
    """Both ports of a stream are of one media thread wherever it goes. A call
    within the core has taken two there: from then on the ports of a stream
    have different numbers."""
    close_shared()
    conf = tmp_path_factory.mktemp("conf") / "sbcd.conf"
    text = (Path(__file__).parent / "sbcd.conf").read_text()
    conf.write_text(text + """
local-policy { from-realm = core  to = "within*"  next-hop = "cucm" }
""")
    w = make_world(tmp_path_factory, "cores", conf=str(conf))
    try:
        w.peers()
        active, standby = w.settled()
        with_threads(w, standby, 4)
        within = w.establish(1, to="core", prefix="within")
        pairs = w.establish(12)
        fail_over(w, within + pairs, listen_s=1)
        with_threads(w, active, 3)
        more = w.establish(12, frm="cloud")
        fail_over(w, within + pairs + more, listen_s=1)
        w.hang_up(within + pairs + more)
    finally:
        w.close()


def test_ringing_call_is_answered_after_failover(w):
    w.ua["cloud"].answer = Answer(code=0)
    users = [w.user() for _ in range(5)]
    calls = [w.place(u) for u in users]
    for call in calls:
        call.wait("early")
    active, standby = w.settled()
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 5)
    pairs = []
    for user, call in zip(users, calls):
        callee = w.ua["cloud"].wait_call(user)
        callee.accept()
        pairs.append((call.established(), callee))
    w.wait_media(pairs)
    w.hang_up(pairs)
    assert len(w.ua["cloud"].calls) == 5, "it rang twice"


def test_ringing_call_is_cancelled_after_failover(w):
    w.ua["cloud"].answer = Answer(code=0)
    user = w.user()
    call = w.place(user)
    call.wait("early")
    active, standby = w.settled()
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 5)
    assert call.cancel().status == 200
    call.wait("failed", timeout=15)
    assert call.final.status == 487
    callee = w.ua["cloud"].wait_call(user)
    wait_for(lambda: callee.cancelled, 5, "the callee stops ringing")
    wait_for(lambda: w.calls(standby)["count"] == 0, 40, "no call left")


def test_callee_rejects_after_failover(w):
    w.ua["cloud"].answer = Answer(code=0)
    user = w.user()
    call = w.place(user)
    call.wait("early")
    active, standby = w.settled()
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 5)
    w.ua["cloud"].wait_call(user).reject(486)
    call.wait("failed", timeout=15)
    assert call.final.status == 486


@pytest.mark.parametrize("frm,to,prefix,kwargs", [
    ("core-tcp", "cloud", "c", {"transport": "tcp"}),
    ("core", "cloud-tcp", "tcp", {}),
    ("cloud-tcp", "core-tcp", "tcp", {"transport": "tcp"}),
], ids=["caller", "callee", "both"])
def test_tcp_calls_over_failover(w, frm, to, prefix, kwargs):
    w.more_peers(transport="tcp")
    pairs = w.establish(4, frm=frm, to=to, prefix=prefix, **kwargs)
    fail_over(w, pairs)
    hold_and_resume(w, pairs[0])
    w.hang_up(pairs, timeout=20)


def test_ipv6_calls_over_failover(w):
    w.more_peers(family=6, transport="udp")
    pairs = w.establish(4, frm="core-6", to="cloud-6", family=6,
                        prefix="six")
    fail_over(w, pairs)
    hold_and_resume(w, pairs[0])
    w.hang_up(pairs)
    active, standby = rejoin(w, [n for n in NODES if n != w.active][0])
    pairs = w.establish(4, frm="cloud-6", to="core-6", family=6,
                        prefix="six")
    w.media_reset()
    w.lab.switchover()
    w.wait_role(standby, "ACTIVE", 5)
    assert lost(w.listen(2)) == 0
    w.hang_up(pairs)


def test_bye_during_the_takeover(w):
    """A BYE sent into the hole is answered by the new active."""
    pairs = w.establish(10)
    active, standby = w.settled()
    byes = []
    w.lab.kill(active, "power")
    for i, (caller, callee) in enumerate(pairs):
        leg = caller if i % 2 else callee
        byes.append(w.loop.post(leg._bye(15, ())))
    assert [b.result(20).status for b in byes] == [200] * 10
    for pair in pairs:
        for leg in pair:
            leg.wait("ended", timeout=15)
    wait_for(lambda: w.calls(standby)["count"] == 0, 40, "no call left")


def test_calls_placed_during_the_takeover(w):
    """An INVITE sent into the hole makes one call, not two."""
    w.settled()
    users = [w.user() for _ in range(10)]
    calls = [w.place(u) for u in users[:5]]
    w.lab.kill(w.active, "power")
    calls += [w.place(u) for u in users[5:]]
    pairs = [(c.established(20), w.ua["cloud"].wait_call(c.user))
             for c in calls]
    w.wait_media(pairs)
    made = [c.user for c in w.ua["cloud"].calls]
    assert sorted(made) == sorted(users), "each rang once"
    w.hang_up(pairs)


def test_announcements(w):
    """The switch and the neighbours learn the new owner at once."""
    pairs = w.establish(1)
    dead, alive = fail_over(w, pairs)
    seen = w.watch.report()["macs"]
    letter = alive[-1]
    for side in ("core", "cloud"):
        port = seen[VIP[side]["mac"]]["ports"][f"{letter}-{side}"]
        assert port["garp"] >= 2, port
        assert port["na"] >= 1, port
    for side in ("core", "cloud"):
        neigh = w.lab.run(f"sbc-{side}", ["ip", "neigh", "show",
                                          vip(side)]).stdout
        assert VIP[side]["mac"] in neigh
    w.hang_up(pairs)


def test_rtp_to_the_old_node_is_not_answered(w):
    """Peers hear no reset and no ICMP while the pair changes over."""
    host = "sbc-core"
    dump = w.tool(host, ["tcpdump", "-lnni", "core", "-c", "100",
                         f"icmp and src {vip('core')} or (tcp[13] & 4 != 0 "
                         f"and src {vip('core')})"], "tcpdump")
    dump.wait_text("listening")
    pairs = w.establish(10)
    active, standby = fail_over(w, pairs, "keeper", KEEPER_GAP_MS)
    w.lab.start(active)
    w.settled(30)
    w.lab.switchover()
    w.wait_role(active, "ACTIVE")
    w.listen(1)
    w.hang_up(pairs)
    assert " > " not in dump.text().split("listening", 1)[1], dump.text()


def test_time_of_role_change(w):
    """The new active says so within the detection time plus a little."""
    active, standby = w.settled()
    start = time.monotonic()
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 5)
    assert time.monotonic() - start < 1.0


def test_agents_reach_both(w):
    """Both user agents are still pinged after a failover."""
    active, standby = w.settled()
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 5)
    for side in ("core", "cloud"):
        n = len(w.ua[side].received("OPTIONS"))
        wait_for(lambda s=side, k=n: len(
            w.ua[s].received("OPTIONS")) > k, 25, f"OPTIONS to {side}", 0.1)
