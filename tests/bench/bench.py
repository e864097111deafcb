#!/usr/bin/env python3
"""`make bench`: what the pair costs, measured on this machine in one run.

  set-up       calls/s through the pair with replication on (SIPp both sides)
               and CPU per call of every process on both nodes
  relay        CPU per relayed packet of the media worker
  take-over    power loss with few and with many calls: how long SIP was not
               answered, as seen by a peer, and what the new active says
  memory       PSS per established call of every process, active and standby

Both nodes, their peers and the load share this machine: calls/s is what all
of it did together, CPU per call and per packet is what can be carried over.
"""
import argparse
import json
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/lab"))
from netlab import NODES, LabError, wait_for  # noqa: E402

TARGET = "10.10.0.10:5060"
TICK = os.sysconf("SC_CLK_TCK")
PROCESSES = ("keeper", "sip", "media", "corosync")
OURS = ("keeper", "sip", "media")
# Its own default of 64 KB loses messages of a burst.
SIPP_BUFFER = ("-buff_size", 4000000)
RESULTS = []


def result(what, measured, goal):
    RESULTS.append((what, measured, goal))


def parse_args():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--build", default="build")
    ap.add_argument("--rates", type=int, nargs="*", default=[100, 300])
    ap.add_argument("--many", type=int, default=5000)
    ap.add_argument("--hold-rate", type=int, default=200)
    ap.add_argument("--settle", type=int, default=40, help="seconds between "
                    "the last set-up and the measurement of memory")
    ap.add_argument("--streams", type=int, default=200)
    return ap.parse_args()


# ---- what the kernel counts ---------------------------------------------


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def pss_kb(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))


def udp_drops(world, host):
    """Datagrams the sockets of a host had no room for."""
    lines = world.lab.run(host, ["cat", "/proc/net/udp"]).stdout.splitlines()
    return sum(int(line.split()[-1]) for line in lines[1:])


def processes(world, node):
    """{process: pid} of what runs on a node."""
    pids = {p: world.lab.pid_of(node, p) for p in PROCESSES}
    return {p: pid for p, pid in pids.items() if pid}


def sample(world, what):
    return {(n, p): what(pid) for n in NODES
            for p, pid in processes(world, n).items()}


class Diff:
    """Two samples' difference, per something."""

    def __init__(self, before, after, factor):
        self.values = {k: (after[k] - before[k]) * factor
                       for k in after if k in before}

    def sum(self, node, which):
        return sum(v for (n, p), v in self.values.items()
                   if n == node and p in which)

    def show(self, unit):
        for node in NODES:
            parts = [f"{p} {self.values[node, p]:.3f}" for p in PROCESSES
                     if (node, p) in self.values]
            print(f"    {node}: {'  '.join(parts)} {unit}")


def sipp_stats(tool):
    """(successful, failed) of a finished SIPp."""
    text = tool.text()

    def last(name):
        found = re.findall(rf"{name}\s*\|\s*\d+\s*\|\s*(\d+)", text)
        return int(found[-1]) if found else 0
    return last("Successful call"), last("Failed call")


def start_uas(world):
    uas = world.sipp("cloud", "uas", "-mp", 34000, *SIPP_BUFFER)
    wait_for(lambda: world.listens("cloud", 5060, "u1"), 5, "SIPp listens")
    return uas


# ---- set-up rate ---------------------------------------------------------


def bench_rate(world, rate, seconds=10):
    uas = start_uas(world)
    before, t = sample(world, cpu_seconds), time.monotonic()
    hosts = (world.active, "sbc-core", "sbc-cloud")
    drops = {h: udp_drops(world, h) for h in hosts}
    n = rate * seconds
    uac = world.sipp("core", "uac", "-l", 20000, "-d", 100, "-mp", 30000,
                     *SIPP_BUFFER, target=TARGET, calls=n, rate=rate)
    uac.wait(seconds * 4 + 60)
    took = time.monotonic() - t
    cost = Diff(before, sample(world, cpu_seconds), 1000 / n)
    ok, bad = sipp_stats(uac)
    lost = ", ".join(f"{udp_drops(world, h) - drops[h]} {h}" for h in hosts)
    print(f"  {rate} calls/s asked: {ok} ok, {bad} failed, {n / took:.0f} "
          f"calls/s; datagrams lost at sockets: {lost}")
    print("    CPU per call:")
    cost.show("ms")
    pair = cost.sum(world.active, ("sip", "keeper"))
    print(f"    one core at this cost (keeper + SIP worker of the active "
          f"node): {1000 / pair:.0f} calls/s")
    left = time.monotonic()
    try:
        world.assert_no_calls(45)
        print(f"    both nodes empty {time.monotonic() - left:.1f} s after "
              "the last call")
    except LabError as e:
        print(f"    NOT EMPTY: {e}")
        print(uas.errors())
    uas.stop()
    return n / took, pair, ok, bad


def bench_rates(world, rates):
    for rate in rates:
        done, pair, ok, bad = bench_rate(world, rate)
    if rates:
        result("calls/s through the pair with replication on (all of it on "
               "this machine)", f"{done:.0f} of {rates[-1]} asked, {bad} of "
               f"{ok + bad} failed", "")
        result("CPU per call, keeper + SIP worker of the active node",
               f"{pair:.2f} ms, {1000 / pair:.0f} calls/s a core",
               "1000 calls/s a core")


# ---- relay ---------------------------------------------------------------


def bench_relay(world, streams, seconds=8):
    pairs = world.establish(streams // 2)
    world.media_reset()
    before = cpu_seconds(world.lab.pid_of(world.active, "media"))
    world.listen(seconds)
    cpu = cpu_seconds(world.lab.pid_of(world.active, "media")) - before
    totals = world.media_totals()
    packets = sum(t["packets"] for t in totals.values())
    latency = ", ".join(f"{s} {t['latency_ms']['p50']}/"
                        f"{t['latency_ms']['p99']}"
                        for s, t in totals.items())
    us = cpu / packets * 1e6
    print(f"  {len(pairs)} calls, {packets} packets relayed: {us:.2f} us of "
          f"media worker CPU a packet; latency p50/p99 ms: {latency}")
    result(f"relay, CPU per packet at {packets / seconds:.0f} packets/s",
           f"{us:.1f} us", "")
    world.hang_up(pairs, 20)
    world.forget_media()


# ---- take-over -----------------------------------------------------------


def active_after_ms(world, node):
    """From the claim to ACTIVE, by the new active's own clock."""
    line = world.lab.redundancy(node).get("timeline", [])
    claims = [i for i, e in enumerate(line)
              if e["what"].endswith("-> BECOMING_ACTIVE")]
    for e in line[claims[-1]:] if claims else []:
        print(f"    {e['after-ms']:8.1f} ms  {e['what']} ({e['reason']})")
    return line[claims[-1] + 1]["after-ms"] if claims else None


def bench_takeover(world, calls):
    """Power loss of the active node; returns the gap of SIP service."""
    active, standby = world.settled(60)
    probe = world.tool("sbc-core", [sys.executable,
                                    TOP / "tests/bench/sipgap.py",
                                    "10.10.0.51", "10.10.0.10"], "sipgap")
    probe.wait_text(r"answered 200\b", 30)   # some before the loss
    world.lab.kill(active, "power")
    world.wait_role(standby, "ACTIVE", 20)
    after = probe.text().count("answered") + 4
    wait_for(lambda: probe.text().count("answered") >= after, 30,
             "answers after it")
    probe.proc.send_signal(signal.SIGTERM)
    probe.wait(5)
    gap = json.loads(probe.text().splitlines()[-1])
    have = world.lab.redundancy(standby)["records"]["call"]
    print(f"  power loss of {active} with {calls} calls: SIP not answered "
          f"for {gap['longest_gap_ms']:.0f} ms ({gap['answered']} of "
          f"{gap['asked']} asked); calls on {standby}: {have}")
    claim = active_after_ms(world, standby)
    if have != calls:
        raise SystemExit(f"{calls} calls before, {have} after")
    result(f"power loss with {calls} calls: SIP unanswered / claim to ACTIVE",
           f"{gap['longest_gap_ms']:.0f} ms / {claim:.1f} ms",
           "the same with 10 and with many")


def bench_few(world, streams):
    world.peers()
    bench_relay(world, streams)
    pairs = world.establish(10)
    world.media_reset()
    bench_takeover(world, 10)
    world.wait_media(pairs, 10)
    gaps = [t["longest_gap"]["ms"] for t in world.media_totals().values()]
    print(f"    longest media gap: {max(gaps):.0f} ms")
    result("the same, media gap", f"{max(gaps):.0f} ms",
           "300 ms by membership")


# ---- memory --------------------------------------------------------------


def hold_calls(world, n, rate):
    """n established calls held by SIPp."""
    start_uas(world)
    t = time.monotonic()
    uac = world.sipp("core", "uac", "-l", n + 10, "-d", 3600000, "-mp", 30000,
                     *SIPP_BUFFER, target=TARGET, calls=n, rate=rate)

    def up():
        if uac.proc.poll() is not None:
            raise SystemExit(f"SIPp ended early: {uac.errors()}")
        calls = world.calls(world.active)["calls"]
        return sum(c["state"] == "established" for c in calls) >= n
    wait_for(up, n / rate * 3 + 30, f"{n} calls up", 1)
    print(f"  {n} calls set up in {time.monotonic() - t:.0f} s")


def bench_memory(world, n, rate, settle):
    before = sample(world, pss_kb)
    hold_calls(world, n, rate)
    Diff(before, sample(world, pss_kb), 1 / n).show("KB a call at once")
    time.sleep(settle)
    cost = Diff(before, sample(world, pss_kb), 1 / n)
    print(f"    {settle} s later:")
    cost.show("KB a call")
    for name, node in zip(("active", "standby"), world.settled(10)):
        kb = cost.sum(node, OURS)
        print(f"    {name}: all processes {kb:.2f} KB a call")
        result(f"memory per established call ({n} held, {settle} s after the "
               f"last set-up), {name}",
               f"{kb:.1f} KB: " + ", ".join(
                   f"{p} {cost.sum(node, (p,)):.1f}" for p in OURS), "12 KB")


def wide_pools(tmp):
    """The lab's configuration with room for many calls."""
    path = Path(tmp) / "bench.conf"
    text = (TOP / "tests/lab/sbcd.conf").read_text()
    path.write_text(text.replace("20000-39999", "16384-65533"))
    return path


def with_world(title, func, *args):
    from lab import World
    print(f"== {title}", flush=True)
    with tempfile.TemporaryDirectory(prefix="sbc-bench-") as tmp:
        world = World(tmp, conf=str(wide_pools(tmp)))
        try:
            world.settled(30)
            func(world, *args)
        finally:
            world.close()


def own_run():
    """A lab of our own beside any other on this machine; it goes with us."""
    if os.environ.get("SBC_BENCH_RUN"):
        return
    os.environ["SBC_BENCH_RUN"] = "1"
    os.environ["LAB_DIR"] = "/run/sbc-lab"
    os.execvp("unshare", [
        "unshare", "-m", "--propagation", "private", "sh", "-c",
        'mount -t tmpfs tmpfs /run && exec "$@"', "sh", sys.executable,
        "-u", *sys.argv])


def main():
    args = parse_args()
    own_run()
    os.environ["SBC_BUILD"] = str((TOP / args.build).resolve())
    start = time.monotonic()
    with_world("set-up rate", bench_rates, args.rates)
    with_world("relay, take-over with 10 calls", bench_few, args.streams)

    def many(world):
        bench_memory(world, args.many, args.hold_rate, args.settle)
        bench_takeover(world, args.many)

    with_world(f"memory, take-over with {args.many} calls", many)
    print(f"== results after {time.monotonic() - start:.0f} s")
    print("| what | measured | goal |\n|---|---|---|")
    for row in RESULTS:
        print("| " + " | ".join(row) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
