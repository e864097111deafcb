#!/usr/bin/env python3
"""What can be said about the benches without running one: arithmetic."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import ha_figures as f  # noqa: E402

LOG = """Mon Nov 23 (core) Entering BACKUP STATE (init)
Mon Nov 23 (core) Receive advertisement timeout
Mon Nov 23 (core) Entering MASTER STATE
Mon Nov 23 (core) setting VIPs.
Mon Nov 23 (core) Master received advert with higher priority 254, ours 253
Mon Nov 23 (core) Entering BACKUP STATE
"""


def quantiles_are_values_that_were_seen():
    ms = list(range(1, 101))
    assert [f.quantile(ms, q) for q in (0, 0.5, 0.99, 1)] == [1, 50, 99, 100]
    assert f.quantile([7], 0.5) == f.quantile([7], 0.99) == 7
    assert f.quantile([3, 1, 2], 0.5) == 2
    assert f.quantile(range(20), 0.99) == 19


def logs_tell_roles():
    assert f.vrrp_state("") is None
    assert f.vrrp_state(LOG) == "BACKUP"
    assert f.vrrp_state(LOG[:LOG.index("setting")]) == "MASTER"
    assert f.vrrp_masters(LOG) == 1 and f.vrrp_masters(LOG + LOG) == 2
    ours = ("<5>event=role from=BECOMING_ACTIVE to=ACTIVE cause=done\n"
            "<5>event=role from=STANDBY to=BECOMING_ACTIVE cause=x\n"
            "<5>event=role from=ACTIVE to=STANDBY cause=x\n")
    assert f.activations(ours) == 1


def holes_are_what_all_streams_share():
    def gap(a, b):
        return {"from_ns": a * 1000000, "to_ns": b * 1000000}
    assert f.hole_ms([gap(0, 260), gap(10, 250), gap(-5, 270)]) == 240
    assert f.hole_ms([gap(0, 20), gap(500, 520)]) == 0


def change(to, frames):
    return {"to": to, "frames": frames}


def frames_of_the_old_owner():
    clean = [change("a", 50), change("b", 70)]
    assert f.after_takeover(clean, "a") == (0, False)
    assert f.after_takeover(clean[:1], "a") == (0, False)
    fight = clean + [change("a", 3), change("b", 1), change("a", 2),
                     change("b", 90)]
    assert f.after_takeover(fight, "a") == (5, False)
    # It wins: from then on it is the owner.
    assert f.after_takeover(fight + [change("a", 900)], "a") == (5, True)


def tables_say_what_is_missing():
    lines = f.table(["", "x", "y"], [["gap", "1 / 2", None]])
    assert lines == ["|  | x | y |", "|---|---|---|",
                     "| gap | 1 / 2 | NOT MEASURED |"]
    assert f.spread([1, 2, 3]) == "2 / 3 / 3"
    assert f.middle([1, 2.25, 3], 1) == "2.2 / 3.0"


def main():
    for test in (quantiles_are_values_that_were_seen, logs_tell_roles,
                 holes_are_what_all_streams_share, frames_of_the_old_owner,
                 tables_say_what_is_missing):
        test()


if __name__ == "__main__":
    main()
