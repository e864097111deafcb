#!/usr/bin/env python3
"""What can be said about the chaos suite without a pair: plans of a seed,
the commands of sbc-chaos, SIPp scenarios, arithmetic."""

import itertools
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]
import faults    # noqa: E402
import scenario  # noqa: E402

ALL = ("other-paths", "right")
STEPS = {"kill", "freeze", "power", "boot", "start", "stop", "cut", "heal",
         "switchover", "wait"}
MENDS = {"power": ("boot",), "stop": ("start",), "cut": ("heal",)}


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
        # The model: never is one HA link lost on top of the other, and
        # nobody kills the active while the standby is being fed.
        if fault.kind == "two-at-once":
            cut = [s for s in fault.steps if s[0] == "cut"]
            assert len(cut) <= 1, fault.text
        if fault.kind == "during-snapshot":
            assert not {("power", "active"), ("kill", "active", "keeper")} & \
                set(map(tuple, fault.steps)), fault.text


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
                 "numgen random mod 100", "touch"):
        assert word in res.stdout, word
    assert res.stdout == sbc_chaos(
        "--dry-run", "--faults", "60", "--seed", "3",
        "--remote", f"touch {mark} {{node}}", "--power", f"touch {mark}",
        "--start", f"touch {mark}").stdout


def refuses_what_is_not_in_sync():
    res = sbc_chaos("--yes", "--remote", "false {node}")
    assert res.returncode == 3 and "redundant" in res.stderr, res.stderr
    res = sbc_chaos("--remote", "false {node}")
    assert res.returncode == 3 and "confirmed" in res.stderr, res.stderr


def main():
    for test in (same_seed_same_plan, every_kind_comes,
                 plans_mend_what_they_break, only_and_skip,
                 scenarios_are_xml, dry_run_touches_nothing,
                 refuses_what_is_not_in_sync):
        test()


if __name__ == "__main__":
    main()
