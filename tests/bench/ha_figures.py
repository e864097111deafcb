"""What the HA bench makes of logs, reports and samples. Pure functions."""

import re

STATE = re.compile(r"\) Entering (MASTER|BACKUP|FAULT) STATE")
OWN_ACTIVATION = re.compile(r"event=role from=\S+ to=ACTIVE\b")


def quantile(values, q):
    """The smallest of the values that a share of q does not exceed."""
    values = sorted(values)
    rank = -(-len(values) * q // 1)
    return values[max(0, min(len(values), int(rank)) - 1)]


def vrrp_state(log):
    """The state a keepalived entered last, None when it has none yet."""
    found = STATE.findall(log)
    return found[-1] if found else None


def vrrp_masters(log):
    """How often a keepalived has become MASTER."""
    return STATE.findall(log).count("MASTER")


def activations(log):
    """How often an sbcd has become ACTIVE."""
    return len(OWN_ACTIVATION.findall(log))


def hole_ms(gaps):
    """How long nothing arrived on any stream, from every stream's longest gap.

    A stream with a packet each 20 ms hears the hole rounded up; many streams
    out of phase together show its true length. 0 when the gaps have no moment
    in common.
    """
    start = max(g["from_ns"] for g in gaps)
    end = min(g["to_ns"] for g in gaps)
    return max(0, end - start) / 1e6


def after_takeover(changes, old):
    """What the old owner's port still sent when the other one had begun.

    changes: of switchwatch. (frames, True when the old one has it again at
    the end: what it sends since then is not counted.)
    """
    taken = next((i for i, c in enumerate(changes) if c["to"] != old), None)
    if taken is None:
        return 0, False
    later = changes[taken + 1:]
    back = bool(later) and later[-1]["to"] == old
    if back:
        later = later[:-1]
    return sum(c["frames"] for c in later if c["to"] == old), back


def event(streams, seen, old):
    """One failover: rx of every stream, what the switch saw of the address,
    and the switch port of the node that had it."""
    gaps = [s["rx"]["longest_gap"] for s in streams]
    frames, back = after_takeover(seen["changes"], old)
    return {"gaps_ms": [g["ms"] for g in gaps], "hole_ms": hole_ms(gaps),
            "lost": sum(s["rx"]["lost"] for s in streams),
            "late_frames": frames, "back": back,
            "double_ms": seen["double_active_ms"],
            "changes": seen["changes_count"] - 1}


def spread(values, digits=0):
    """p50 / p99 / max"""
    return " / ".join(f"{v:.{digits}f}" for v in (
        quantile(values, 0.5), quantile(values, 0.99), max(values)))


def middle(values, digits=0):
    """p50 / max"""
    return (f"{quantile(values, 0.5):.{digits}f} / "
            f"{max(values):.{digits}f}")


def table(head, rows):
    """Lines of a Markdown table; a missing cell is said to be one."""
    out = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        cells = ["NOT MEASURED" if c is None else str(c) for c in row]
        out.append("| " + " | ".join(cells) + " |")
    return out
