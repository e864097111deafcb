"""Call detail records and failover reports: one for each, on both nodes,
whatever dies."""

import csv
import json
import time
from collections import Counter
from datetime import datetime
from threading import Lock

import pytest

import checks
from lab import NODES, wait_for
from sipcall import Answer
from test_inflight import CASES, Running, Stage, run

CDR_DIR = "/var/lib/sbcd/cdr"
# What the lab's own clocks and a loaded machine may differ by.
SLACK_S = 1.0
GAP_SLACK_MS = 100


def read_cdrs(w, node, kind="jsonl"):
    """Every record in a node's files, as dicts with the JSON's names."""
    out = w.lab.run(node, ["sh", "-c", f"cat {CDR_DIR}/cdr*.{kind} "
                           "2>/dev/null || true"]).stdout
    if kind == "jsonl":
        return [json.loads(line) for line in out.splitlines()]
    lines = out.splitlines()
    return [r for r in csv.DictReader(lines) if r["id"] != "id"]


def by_call_id(cdrs):
    return {c["legs"][0]["call_id"]: c for c in cdrs}


def wait_cdrs(w, node, call_ids, timeout=30):
    """Until each of these calls has its record; then exactly one has."""
    def missing():
        return set(call_ids) - set(by_call_id(read_cdrs(w, node)))
    wait_for(lambda: not missing(), timeout,
             f"{node}: CDRs of all calls (missing: {missing()})", 0.2)
    return by_call_id(read_cdrs(w, node))


def assert_once(w, node):
    for kind in ("jsonl", "csv"):
        ids = Counter(c["id"] for c in read_cdrs(w, node, kind))
        assert ids and set(ids.values()) == {1}, (node, kind, ids)
    # Two ids of one call would be two records of it.
    calls = Counter(c["legs"][0]["call_id"] for c in read_cdrs(w, node))
    assert set(calls.values()) == {1}, (node, calls)
    assert len(read_cdrs(w, node, "csv")) == len(read_cdrs(w, node))


def as_csv(cdr):
    """The cells of a JSON record, as the CSV file has them."""
    def text(value):
        return "'" + value if value[:1] in tuple("=+-@") else value

    def total(media, name):
        return str(sum(m[name] for m in media))

    cells = {k: "" if v is None else text(v) if isinstance(v, str) else str(v)
             for k, v in cdr.items() if k != "legs"}
    for side in ("caller", "callee"):
        leg = next((x for x in cdr["legs"] if x["role"] == side), None)
        for k in ("realm", "agent", "peer", "call_id"):
            cells[f"{side}_{k}"] = text(leg[k]) if leg else ""
        media = leg["media"] if leg else []
        audio = next((m for m in media if m["media"] == "a"), None)
        for k in ("rx_packets", "rx_bytes", "rx_lost", "tx_packets",
                  "tx_bytes"):
            cells[f"{side}_{k}"] = total(media, k) if leg else ""
        jitter, mos = ((audio["jitter_ms"], audio["mos"]) if audio
                       else (0, None))
        cells[f"{side}_jitter_ms"] = f"{jitter:.3f}" if leg else ""
        cells[f"{side}_mos"] = "" if mos is None else f"{mos:.2f}"
    return cells


def seconds(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def near(text, when):
    assert abs(seconds(text) - when) < SLACK_S, (text, when)


def counters(w, node):
    return w.lab.sbcctl(node, "show", "counters")["cdr"]


@pytest.fixture
def w(world):
    world.peers()
    yield world
    checks.sane(world)


def test_what_it_says(w):
    """Times, parties, numbers and causes, the same on both nodes."""
    active, standby = w.settled()
    started = time.time()
    (caller, callee), = w.establish(1)
    answered = time.time()
    w.listen(3)
    assert callee.bye(headers=[("Reason", "Q.850;cause=16")]).status == 200
    caller.wait("ended")
    ended = time.time()
    sent = {leg: w.streams()[leg.stream] for leg in (caller, callee)}
    for leg in (caller, callee):
        leg.close_media()
    w.ua["cloud"].answer = Answer(code=486)
    busy = w.place()
    busy.wait("failed")
    w.ua["cloud"].answer = Answer(code=0)
    left = w.place()
    left.wait("early")
    assert left.cancel().status == 200
    left.wait("failed")
    odd = w.place(sdp=b"v=0\r\nthis is no session\r\n")
    odd.wait("failed")
    calls = [caller, busy, left, odd]
    for node in NODES:
        cdrs = wait_cdrs(w, node, [c.call_id for c in calls])
        assert_once(w, node)
        assert len(read_cdrs(w, node)) == len(calls)
        c = cdrs[caller.call_id]
        near(c["start"], started)
        near(c["answer"], answered)
        near(c["end"], ended)
        assert abs(c["duration_ms"] / 1000 - (ended - answered)) < SLACK_S
        assert (c["status"], c["ended_by"]) == (200, "callee")
        assert c["reason"] == "Q.850;cause=16"
        assert caller.user in c["called"]
        assert c["failovers"] == 0 and c["media_gap_ms"] == 0
        assert [leg["realm"] for leg in c["legs"]] == ["core", "cloud"]
        assert c["legs"][1]["call_id"] == callee.call_id
        for leg, ours in zip((caller, callee), c["legs"]):
            m, = ours["media"]
            assert m["complete"], c
            # The stream may go on for a moment after the BYE.
            assert m["rx_packets"] > 100
            assert abs(m["rx_packets"] - sent[leg]["tx"]["packets"]) < 50
            assert m["rx_lost"] == 0 and m["mos"] > 4
            assert m["payload_type"] == 0
        assert cdrs[busy.call_id]["status"] == 486
        assert cdrs[busy.call_id]["ended_by"] == "callee"
        assert cdrs[busy.call_id]["answer"] is None
        assert cdrs[left.call_id]["status"] == 487
        assert cdrs[left.call_id]["ended_by"] == "caller"
        assert cdrs[odd.call_id]["status"] == odd.final.status
        assert cdrs[odd.call_id]["ended_by"] == "sbc"
    assert read_cdrs(w, active) == read_cdrs(w, standby)
    assert read_cdrs(w, active, "csv") == read_cdrs(w, standby, "csv")
    assert read_cdrs(w, active, "csv") == [as_csv(c) for c in
                                           read_cdrs(w, active)]
    # What both have written is deleted.
    for node in NODES:
        wait_for(lambda n=node: w.lab.redundancy(n)["records"]["cdr"] == 0,
                 10, f"{node}: no CDR record left")
    checks.nothing_left(w)


@pytest.mark.slow
def test_power_loss_at_every_point_of_a_call(world):
    """Before, during and after each message, the BYE above all."""
    w = world
    w.peers()
    w.plan, w.lock = {}, Lock()
    for ua in w.ua.values():
        ua.answer = lambda call: w.plan.get(call.user, Answer())
    active, standby = w.settled()
    stages = [Stage(w, frm, "udp") for frm in ("core", "cloud")]
    over = [p for s in range(3) for p in w.establish(2, media=False)]
    for call, _ in over[:3]:
        assert call.bye().status == 200
    runs = [Running(stage, *case) for stage in stages for case in CASES]
    run(w, runs, lambda: w.lab.kill(active, "power"),
        lambda: w.wait_role(standby, "ACTIVE", 10))
    for call, _ in over[3:]:
        assert call.bye(32).status == 200
    checks.nothing_left(w, timeout=60)
    w.lab.start(active)
    w.settled(30)
    placed = [e.msg.call_id for ua in w.ua.values() for e in list(ua.log)
              if e.sent and e.msg.method == "INVITE" and not e.msg.to_tag]
    for node in NODES:
        cdrs = wait_cdrs(w, node, placed, 60)
        assert_once(w, node)
        assert set(cdrs) == set(placed), "a record of no call"
    mine = by_call_id(read_cdrs(w, standby))
    for i, (call, _) in enumerate(over):
        assert mine[call.call_id]["failovers"] == (i >= 3), i
        assert mine[call.call_id]["status"] == 200
    theirs = by_call_id(read_cdrs(w, active))
    for call_id, c in mine.items():
        for name in ("id", "start", "answer", "end", "status", "ended_by"):
            assert theirs[call_id][name] == c[name], (call_id, name)


@pytest.mark.parametrize("what", ["keeper", "sip", "media"])
def test_a_process_dies(w, what):
    active, standby = w.settled()
    pairs = w.establish(12)
    for caller, _ in pairs[:4]:
        assert caller.bye().status == 200
    w.lab.kill(active, what)
    byes = [w.loop.post(c._bye(32, ())) for c, _ in pairs[4:8]]
    for bye in byes:
        assert bye.result(40).status in (200, 481)
    if what == "keeper":
        w.wait_role(standby, "ACTIVE", 10)
        w.lab.start(active)
    w.settled(30)
    for caller, _ in pairs[8:]:
        assert caller.bye(32).status == 200
    for node in NODES:
        wait_cdrs(w, node, [c.call_id for c, _ in pairs])
        assert_once(w, node)
        assert len(read_cdrs(w, node)) == len(pairs)


def test_a_node_that_was_away_gets_the_rest(w):
    active, standby = w.settled()
    first = w.establish(3)
    w.hang_up(first)
    for node in NODES:
        wait_cdrs(w, node, [c.call_id for c, _ in first])
    w.lab.kill(standby, "power")
    wait_for(lambda: not w.lab.redundancy(active)["peer"]["connected"], 10,
             "the peer is gone")
    away = w.establish(5)
    w.hang_up(away)
    wait_cdrs(w, active, [c.call_id for c, _ in away])
    # A crash in the middle of a line.
    with open(w.lab.node_dir(standby) / "var-lib-sbcd/cdr/cdr.jsonl",
              "a") as f:
        f.write('{"id":"00112233')
    w.lab.start(standby)
    w.settled(30)
    wait_cdrs(w, standby, [c.call_id for c, _ in first + away])
    for node in NODES:
        assert_once(w, node)
        assert len(read_cdrs(w, node)) == 8
        wait_for(lambda n=node: w.lab.redundancy(n)["records"]["cdr"] == 0,
                 10, f"{node}: no CDR record left")
    assert counters(w, standby)["cdr_torn_bytes"] > 0


def test_full_disk(w):
    """Calls go on, an alarm says so, and nothing is lost."""
    active, standby = w.settled()
    w.lab.run(active, ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs",
                       CDR_DIR])
    w.lab.run(active, ["sh", "-c", f"cat /dev/zero > {CDR_DIR}/filler || "
                       "true"])
    pairs = w.establish(6)
    w.hang_up(pairs)

    def alarm():
        health = w.lab.sbcctl(active, "show", "health")
        return [d for d in health["deductions"] if d["name"] == "cdr"]
    wait_for(alarm, 10, "an alarm")
    assert counters(w, active)["cdr_waiting"] == 6
    assert w.settled() == (active, standby)
    wait_cdrs(w, standby, [c.call_id for c, _ in pairs])
    new = w.establish(2)
    w.hang_up(new)
    w.lab.run(active, ["rm", f"{CDR_DIR}/filler"])
    cdrs = wait_cdrs(w, active, [c.call_id for c, _ in pairs + new])
    assert len(cdrs) == 8
    assert_once(w, active)
    wait_for(lambda: not alarm(), 10, "the alarm ends")
    assert counters(w, active)["cdr_lost"] == 0


# ---- the flight recorder -----------------------------------------------------

def reports(w, node, *count):
    return w.lab.sbcctl(node, "show", "failovers", *count)["failovers"]


def wait_report(w, node, n):
    return wait_for(lambda: len(reports(w, node)) == n and
                    reports(w, node)[0]["complete"] and reports(w, node),
                    15, f"{node}: {n} complete reports")


def all_heard(w, node):
    """The node's records say that each flow of each call was heard."""
    shown = [w.lab.sbcctl(node, "show", "call", c["id"])["records"]
             for c in w.calls(node)["calls"]]
    return all("mstate" in r and f["rx_packets"]
               for r in shown for f in r.get("mstate", [{}])[0]
               .get("flows", [{"rx_packets": 0}]))


def test_failover_reports(w):
    active, standby = w.settled()
    assert reports(w, active) == reports(w, standby) == []
    pairs = w.establish(10) + w.establish(10, frm="cloud")
    held = w.establish(1)
    held[0][0].reinvite("inactive")
    wait_for(lambda: all_heard(w, standby), 10, "all streams replicated")
    w.media_reset()
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 10)
    w.wait_media(pairs)
    ids = {leg.stream for pair in pairs for leg in pair}
    seen = sorted(s["rx"]["longest_gap"]["ms"]
                  for i, s in w.streams().items() if i in ids)
    r, = wait_report(w, standby, 1)
    assert (r["kind"], r["to"], r["calls"], r["lost"]) == \
        ("failover", standby, 21, 0)
    assert r["lost-calls"] == []
    times = [r[f"{name}-after"] for name in
             ("suspected", "decided", "taken", "first-packet")]
    assert times == sorted(times), r
    assert min(r["sip-after"], r["media-after"]) >= r["taken-after"], r
    assert 0 < r["suspected-after"] and r["gap-max"] < 2000, r
    assert "beat-ago-ms=" in r["evidence"] and r["cause"]
    # Every flow that was up before; a stream on hold is not counted.
    assert (r["flows"], r["silent"]) == (40, 0), r
    # What the phones saw: from the last packet, so up to 20 ms more.
    for name, theirs in (("gap-p50", seen[len(seen) // 2]),
                         ("gap-max", seen[-1])):
        assert abs(r[name] - theirs) < GAP_SLACK_MS, (r, seen)
    print("report", r["gap-p50"], r["gap-max"], "phones", seen[0], seen[-1])
    w.lab.start(active)
    w.settled(30)
    wait_report(w, active, 1)
    assert reports(w, active) == [r]
    # Planned: nothing is suspected, and hardly anything is felt.
    w.lab.sbcctl(standby, "switchover")
    assert w.settled() == (active, standby)
    new, old = wait_report(w, active, 2)
    assert old == r
    assert (new["kind"], new["to"]) == ("planned", active)
    assert new["suspected-after"] is None and new["calls"] == 21
    assert new["gap-max"] < r["gap-p50"], (new, r)
    assert len(reports(w, active, "1")) == 1
    w.hang_up(pairs)
    cdrs = {n: wait_cdrs(w, n, [c.call_id for c, _ in pairs])
            for n in NODES}
    for node in NODES:
        for caller, _ in pairs:
            c = cdrs[node][caller.call_id]
            assert c["failovers"] == 2, c
            assert abs(c["media_gap_ms"] - r["gap-p50"]) < GAP_SLACK_MS, c
    # They survive the whole pair.
    for node in NODES:
        w.lab.kill(node, "power")
    for node in NODES:
        w.lab.start(node)
    w.settled(30)
    for node in NODES:
        assert reports(w, node) == [new, old], node
    assert w.lab.run(standby, ["sbcctl", "show", "failovers"]).stdout
