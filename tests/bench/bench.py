#!/usr/bin/env python3
"""`make bench`: what the pair costs, measured on this machine in one run.

  setup rate   calls/s through the pair with replication on (SIPp both sides)
               and CPU per call of every process on both nodes
  relay        CPU per relayed packet of the media worker
  memory       PSS per established call of every process, active and standby
  take-over    role change and media gap with few and with many calls

Absolute numbers depend on the machine; the shares and ratios matter.
"""
import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/lab"))
from netlab import wait_for  # noqa: E402

TARGET = "10.10.0.10:5060"
TICK = os.sysconf("SC_CLK_TCK")
PROCESSES = ("keeper", "sip", "media", "corosync")


def parse_args():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--build", default="build")
    ap.add_argument("--rates", type=int, nargs="*", default=[100, 300, 600])
    ap.add_argument("--memory-calls", type=int, default=2000)
    ap.add_argument("--many", type=int, default=5000)
    ap.add_argument("--streams", type=int, default=200)
    return ap.parse_args()


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def pss_kb(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))


def processes(world, node):
    """{process: pid} of what runs on a node."""
    pids = {p: world.lab.pid_of(node, p) for p in PROCESSES}
    return {p: pid for p, pid in pids.items() if pid}


def sample(world, what):
    return {(n, p): what(pid) for n in ("sbc-a", "sbc-b")
            for p, pid in processes(world, n).items()}


def print_diff(title, before, after, per, unit):
    print(title)
    for node in ("sbc-a", "sbc-b"):
        parts = [f"{p} {(after[k] - before[k]) * per:7.3f}"
                 for k in sorted(after) if k[0] == node and k in before
                 for p in (k[1],)]
        print(f"    {node}: " + "  ".join(parts) + f"  {unit}")


def sipp_stats(tool):
    """(successful, failed) of a finished SIPp."""
    text = tool.text()

    def last(name):
        found = re.findall(rf"{name}\s*\|\s*\d+\s*\|\s*(\d+)", text)
        return int(found[-1]) if found else 0
    return last("Successful call"), last("Failed call")


def start_uas(world):
    uas = world.sipp("cloud", "uas", "-mp", 34000)
    wait_for(lambda: world.listens("cloud", 5060, "u1"), 5, "SIPp listens")
    return uas


def bench_rate(world, rate, seconds=10):
    uas = start_uas(world)
    before, t = sample(world, cpu_seconds), time.monotonic()
    n = rate * seconds
    uac = world.sipp("core", "uac", "-l", 20000, "-d", 100, "-mp", 30000,
                     target=TARGET, calls=n, rate=rate)
    rc = uac.wait(seconds * 4 + 60)
    took = time.monotonic() - t
    after = sample(world, cpu_seconds)
    uas.stop()
    ok, bad = sipp_stats(uac)
    print(f"  {rate} calls/s asked: {ok} ok, {bad} failed, "
          f"{n / took:.0f} calls/s, SIPp exit {rc}")
    print_diff("    CPU ms per call", before, after, 1000 / n, "ms")
    if not bad:  # SIPp leaves what it gave up to the guard timer
        world.assert_no_calls(60)
    sip = sum(after[k] - before[k] for k in after if k in before and
              k[1] in ("sip", "keeper") and k[0] == world.active)
    if sip > 0:
        print(f"    signalling capacity of one core at this cost "
              f"(keeper + SIP worker of the active node): {n / sip:.0f} "
              "calls/s")


def bench_relay(world, streams, seconds=10):
    world.peers()
    pairs = world.establish(streams // 2)
    world.media_reset()
    before = sample(world, cpu_seconds)
    world.listen(seconds)
    after = sample(world, cpu_seconds)
    totals = world.media_totals()
    packets = sum(t["packets"] for t in totals.values())
    k = (world.active, "media")
    cpu = after[k] - before[k]
    print(f"  {len(pairs)} calls, {packets} packets relayed: "
          f"{cpu / packets * 1e6:.2f} us of media worker CPU a packet; "
          f"latency p50/p99 ms: " +
          ", ".join(f"{s} {t['latency_ms']['p50']}/{t['latency_ms']['p99']}"
                    for s, t in totals.items()))
    return pairs


def hold_calls(world, n, rate=200):
    """n established calls held by SIPp; returns its two tools."""
    uas = start_uas(world)
    uac = world.sipp("core", "uac", "-l", n + 10, "-d", 3600000,
                     "-mp", 30000, target=TARGET, calls=n, rate=rate)

    def up():
        if uac.proc.poll() is not None:
            raise SystemExit(f"SIPp ended early: {uac.text()[-2000:]}")
        states = world.lab.sbcctl(world.active, "show", "redundancy")
        return states["records"]["call"] >= n
    wait_for(up, n / rate * 4 + 60, f"{n} calls up", 0.5)
    return uas, uac


def bench_memory(world, n):
    before = sample(world, pss_kb)
    tools = hold_calls(world, n)
    time.sleep(40)  # let finished INVITE transactions (32 s) be freed
    after = sample(world, pss_kb)
    print_diff(f"  {n} established calls, PSS per call", before, after,
               1 / n, "KB")
    for node in ("sbc-a", "sbc-b"):
        total = sum(after[k] - before[k] for k in after
                    if k[0] == node and k in before and k[1] != "corosync")
        print(f"    {node}: all sbcd processes {total / n:.2f} KB a call")
    return tools


def bench_takeover(world, label):
    """Kills the keeper of the active node: role change and its time."""
    active, standby = world.settled(60)
    t = time.monotonic()
    world.lab.kill(active, "power")
    world.wait_role(standby, "ACTIVE", 20)
    ms = (time.monotonic() - t) * 1000
    line = [e for e in world.lab.redundancy(standby).get("timeline", [])][-6:]
    print(f"  {label}: ACTIVE seen {ms:.0f} ms after the kill")
    for e in line:
        print(f"    {e}")
    world.lab.start(active)
    world.settled(60)


def wide_pools(tmp):
    """The lab's configuration with room for many calls."""
    path = Path(tmp) / "bench.conf"
    text = (TOP / "tests/lab/sbcd.conf").read_text()
    path.write_text(text.replace("20000-39999", "16384-65533"))
    return path


def with_world(title, func):
    from lab import World
    print(f"== {title}", flush=True)
    with tempfile.TemporaryDirectory(prefix="sbc-bench-") as tmp:
        world = World(tmp, conf=str(wide_pools(tmp)))
        try:
            world.settled(30)
            func(world)
        finally:
            world.close()


def main():
    args = parse_args()
    os.environ["SBC_BUILD"] = str((TOP / args.build).resolve())
    for rate in args.rates:
        with_world(f"setup rate {rate}", lambda w: bench_rate(w, rate))
    with_world("relay", lambda w: bench_relay(w, args.streams))

    def few(world):
        world.peers()
        pairs = world.establish(10)
        world.media_reset()
        bench_takeover(world, "take-over with 10 calls")
        world.wait_media(pairs, 10)
        for side, t in world.media_totals().items():
            print(f"    {side}: longest gap {t['longest_gap']['ms']} ms")

    with_world("take-over, few", few)

    def many(world):
        hold_calls(world, args.many)
        bench_takeover(world, f"take-over with {args.many} calls")

    with_world("memory", lambda w: bench_memory(w, args.memory_calls))
    with_world("take-over, many", many)
    return 0


if __name__ == "__main__":
    sys.exit(main())
