#!/usr/bin/env python3
"""What can be said about the chaos suite without a pair: plans of a seed,
the commands of sbc-chaos, SIPp scenarios, arithmetic."""

import itertools
import copy
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]
import cdrs      # noqa: E402
import faults    # noqa: E402
import judgetest  # noqa: E402
import scenario  # noqa: E402

ALL = ("other-paths", "right", "witness", "cdr-disk", "clocks")
STEPS = {"kill", "freeze", "power", "boot", "start", "stop", "cut", "heal",
         "switchover", "wait", "fill", "free", "clock"}
MENDS = {"power": ("boot",), "stop": ("start",), "cut": ("heal",),
         "fill": ("free",)}


def first(seed, n=200, features=ALL):
    return list(itertools.islice(faults.schedule(seed, features), n))


def same_seed_same_plan():
    assert [f.text for f in first("7")] == [f.text for f in first("7")]
    assert [f.text for f in first("7")] != [f.text for f in first("8")]


def every_kind_comes():
    seen = {f.kind for f in first("1", 400)}
    assert seen == set(faults.CATALOGUE), set(faults.CATALOGUE) - seen
    bare = {f.kind for f in first("1", 400, ())}
    for kind, (_, needs, _) in faults.CATALOGUE.items():
        assert (kind in bare) == (needs is None), kind


def plans_mend_what_they_break():
    for fault in first("2", 600):
        words = [s[0] for s in fault.steps]
        assert set(words) <= STEPS, fault.text
        for i, word in enumerate(words):
            for mend in MENDS.get(word, ()):
                assert mend in words[i:], fault.text
        off = {s[1]: s[2] for s in fault.steps if s[0] == "clock"}
        assert not any(off.values()), fault.text
        # The model: never is one HA link lost on top of the other, and
        # nobody kills the active while the standby is being fed.
        if fault.kind == "two-at-once":
            cut = [s for s in fault.steps if s[0] == "cut"]
            assert len(cut) <= 1, fault.text
        if fault.kind == "during-snapshot":
            assert not {("power", "active"), ("kill", "active", "keeper")} & \
                set(map(tuple, fault.steps)), fault.text


def record(num, status=200, by="caller", failovers=1):
    return {"id": f"{num:016x}", "status": status, "ended_by": by,
            "start": "2026-01-01T00:00:00Z", "answer": "2026-01-01T00:00:01Z",
            "end": "2026-01-01T00:01:00Z", "failovers": failovers,
            "legs": [{"call_id": f"c{num}"}]}


def cdr_words(spoil=None, allowed=None):
    """What the judge says of two nodes' records after `spoil` had them."""
    a = [record(n) for n in range(4)] + [record(4, 487)]
    records = {"n1": a, "n2": copy.deepcopy(a)}
    lines = {n: copy.deepcopy(r) for n, r in records.items()}
    if spoil:
        spoil(records, lines)
    expected = {f"c{n}": cdrs.Expected("x") for n in range(4)}
    expected["c4"] = cdrs.Expected("cancel", 487)
    begun = cdrs.seconds("2026-01-01T00:00:20Z")
    out = []
    for n, mine in records.items():
        out += cdrs.once(n, mine, lines[n])
        out += cdrs.complete(n, mine, expected, allowed or {})
        out += cdrs.crossings(n, mine, [(begun, begun + 5)])
    return out + list(cdrs.agree(records))


def cdr_judge_can_fail():
    assert not cdr_words(), cdr_words()
    for spoil in (
            lambda r, c: r["n1"].pop(),                        # lost
            lambda r, c: r["n2"].append(r["n2"][0]),           # twice
            lambda r, c: r["n1"][0].update(id="f" * 16),       # another id
            lambda r, c: r["n1"].append({**record(2), "id": "e" * 16}),
            lambda r, c: c["n1"].pop(),                        # not in CSV
            lambda r, c: c["n1"].append(c["n1"][0]),
            lambda r, c: [r[n].append(record(9)) for n in r],  # of no call
            lambda r, c: [r[n][1].update(status=503) for n in r],
            lambda r, c: [r[n][4].update(status=200) for n in r],
            lambda r, c: [r[n][1].update(ended_by="sbc") for n in r],
            lambda r, c: [r[n][1].update(failovers=0) for n in r],
            lambda r, c: r["n1"][1].update(failovers=2)):
        assert cdr_words(spoil), "a sabotaged record was not noticed"

    def one_lost(r, c):
        for n in r:
            del r[n][0], c[n][0]
    assert cdr_words(one_lost) and not cdr_words(one_lost, {"x": 1})


def only_and_skip():
    kinds = {f.kind for f in itertools.islice(
        faults.schedule("1", ALL, only=("switchover", "power-active")), 50)}
    assert kinds == {"switchover", "power-active"}
    try:
        next(faults.schedule("1", only=("isolate-standby",)))
    except ValueError:
        return
    raise AssertionError("a plan without faults")


def scenarios_are_xml():
    for kind, files in scenario.kinds().items():
        for text in files:
            root = ET.fromstring(text)
            assert root.findall("recv") and root.findall("send"), kind


def sbc_chaos(*args):
    return subprocess.run(
        [sys.executable, HERE / "sbc-chaos", "--nodes", "n1,n2", *args],
        capture_output=True, text=True, timeout=60, check=False)


def dry_run_touches_nothing():
    """The remote shell would leave a file behind."""
    mark = HERE / "selftest.mark"
    res = sbc_chaos("--dry-run", "--faults", "60", "--seed", "3",
                    "--remote", f"touch {mark} {{node}}",
                    "--power", f"touch {mark}", "--start", f"touch {mark}")
    touched = mark.exists()
    mark.unlink(missing_ok=True)
    assert res.returncode == 0, res.stderr
    assert not touched, "a dry run ran something"
    for word in ("kill -9", "kill -STOP", "nft -f -", "sbcctl switchover",
                 "numgen random mod 100", "touch", "sbc-chaos.filler"):
        assert word in res.stdout, word
    assert "date -s" not in res.stdout and "qnetd" not in res.stdout
    assert res.stdout == sbc_chaos(
        "--dry-run", "--faults", "60", "--seed", "3",
        "--remote", f"touch {mark} {{node}}", "--power", f"touch {mark}",
        "--start", f"touch {mark}").stdout


def witness_and_clocks_only_when_asked_for():
    res = sbc_chaos("--dry-run", "--faults", "30", "--seed", "1",
                    "--witness", "w", "--clocks", "--only", "kill-qnetd,cut-witness,clock-step,"
                    "kill-qdevice-active,full-disk")
    assert res.returncode == 0, res.stderr
    for word in ("root@w", "pidof corosync-qnetd", "pidof corosync-qdevice",
                 "tcp dport 5403", "start corosync-qnetd", "date -s",
                 "dd if=/dev/zero"):
        assert word in res.stdout, word
    # What is broken is mended, also by the machine itself.
    for line in res.stdout.split("    ssh "):
        if "nft -f -" in line or "dd if=" in line or "mod 100" in line:
            assert "sleep 60" in line, line
    res = sbc_chaos("--dry-run", "--only", "kill-qnetd")
    assert res.returncode == 3 and "no kind of fault" in res.stderr


def refuses_what_is_not_in_sync():
    res = sbc_chaos("--yes", "--remote", "false {node}")
    assert res.returncode == 3 and "redundant" in res.stderr, res.stderr
    res = sbc_chaos("--remote", "false {node}")
    assert res.returncode == 3 and "confirmed" in res.stderr, res.stderr


def main():
    for test in (same_seed_same_plan, every_kind_comes,
                 plans_mend_what_they_break, cdr_judge_can_fail, only_and_skip,
                 scenarios_are_xml, dry_run_touches_nothing,
                 witness_and_clocks_only_when_asked_for,
                 refuses_what_is_not_in_sync):
        test()
    judgetest.main()


if __name__ == "__main__":
    main()
