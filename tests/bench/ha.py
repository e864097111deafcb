#!/usr/bin/env python3
"""`make bench-ha`: keepalived and this pair beside each other.

Everything stands at once, each pair in namespaces of the lab's shape, and is
broken in turn: the same fault for one after the other, then the next round.

  crash     power loss of the node that has the address
  planned   keepalived: SIGTERM (it says priority 0); ours: sbcctl switchover
  freeze    every process of that node stands still for a second
  stress    a machine that is busy, and nobody should take over: all at once

The same 20 streams with a packet each 20 ms go through each pair's virtual
address. keepalived relays nothing, so a program on both of its nodes sends
back what arrives, and one interface of one network moves; ours relays 10 calls
between two networks in IPv4 and IPv6, and has to know them afterwards. What
the switch saw of the virtual address is the observer's word, not the pairs'.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/lab"), str(TOP / "tests/bench")]
import ha_figures as figures  # noqa: E402
from stress import Stress  # noqa: E402

TITLES = {
    "vrrp-100": "keepalived 0.1 s",
    "vrrp-100-vmac": "keepalived 0.1 s, use_vmac",
    "vrrp-10": "keepalived 0.01 s",
    "vrrp-10-rt": "keepalived 0.01 s, real-time",
    "sbcd": "sbcd, timing = fast",
}
ROUNDS = ("crash", "planned", "freeze")
PHASES = (*ROUNDS, "stress")
TRIES = 3
PRIVATE_RUN = ("unshare", "-m", "--propagation", "private", "sh", "-c",
               'mount -t tmpfs tmpfs /run && exec "$@"', "sh")


def parse_args():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--build", default="build")
    ap.add_argument("--crashes", type=int, default=10)
    ap.add_argument("--planned", type=int, default=10)
    ap.add_argument("--freezes", type=int, default=3)
    ap.add_argument("--stress", type=float, default=60, metavar="SECONDS")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--quick", action="store_true", help="a few of each, and "
                    "10 s of stress: to see that it works")
    ap.add_argument("--only", nargs="*", choices=PHASES, default=PHASES)
    ap.add_argument("--pairs", nargs="*", choices=TITLES, default=[*TITLES])
    ap.add_argument("--results", type=Path, help="a file that keeps what was "
                    "measured; phases it has already are not done again")
    args = ap.parse_args()
    if args.quick:
        args.crashes, args.planned, args.freezes, args.stress = 4, 4, 2, 10
    args.rounds = dict(zip(ROUNDS, (args.crashes, args.planned,
                                    args.freezes)))
    return args


class Failed(Exception):
    pass


class Pair:
    """A rig in a process and a mount namespace of its own."""

    def __init__(self, name, seed, log):
        self.name, self.log = name, log
        with open(log, "w") as err:
            self.proc = subprocess.Popen(
                [*PRIVATE_RUN, sys.executable, "-u",
                 str(TOP / "tests/bench/ha_rigs.py"), name, "--seed",
                 str(seed)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err,
                text=True)

    def send(self, cmd):
        try:
            print(json.dumps({"cmd": cmd}), file=self.proc.stdin, flush=True)
        except OSError as err:
            raise Failed(f"{self.name} has ended: {self.tail()}") from err

    def answer(self):
        line = self.proc.stdout.readline()
        if not line:
            raise Failed(f"{self.name} has ended: {self.tail()}")
        out = json.loads(line)
        if not out.pop("ok"):
            raise Failed(out["error"])
        return out

    def ask(self, cmd):
        self.send(cmd)
        return self.answer()

    def tail(self):
        return Path(self.log).read_text(errors="replace")[-1500:]

    def close(self):
        self.proc.stdin.close()
        try:
            self.proc.wait(60)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()


class Bench:
    def __init__(self, args, tmp):
        self.args, self.tmp = args, tmp
        self.clock = time.monotonic()
        self.pairs, self.failures = [], []
        self.found = {"loads": {}, "phases": {}}
        if args.results and args.results.exists():
            self.found = json.loads(args.results.read_text())

    def say(self, text):
        print(f"[{time.monotonic() - self.clock:6.1f} s] {text}", flush=True)

    def fail(self, pair, what, err):
        self.failures.append(f"{TITLES[pair.name]}: {what}: {err}")
        self.say("NOT MEASURED: " + self.failures[-1])

    def start(self):
        for name in self.args.pairs:
            pair = Pair(name, self.args.seed, f"{self.tmp}/{name}.log")
            self.pairs.append(pair)
            pair.answer()
            self.say(f"{TITLES[name]}: up")

    def close(self):
        for pair in self.pairs:
            pair.close()

    def load(self, phase):
        self.found["loads"][phase] = os.getloadavg()[0]

    # ---- phases ----------------------------------------------------------

    def one(self, pair, what, n):
        """One fault; again when the pair was not as it should be before."""
        for again in range(TRIES):
            try:
                return pair.ask(what)
            except Failed as err:
                if again == TRIES - 1:
                    self.fail(pair, f"{what} {n}", err)
                else:
                    self.say(f"{TITLES[pair.name]}: {what} {n} once more: "
                             f"{err}")
        return None

    def rounds(self, what):
        out = {p.name: {"events": []} for p in self.pairs}
        before = {p.name: p.ask("count")["unasked"] for p in self.pairs}
        for n in range(1, self.args.rounds[what] + 1):
            for pair in self.pairs:
                event = self.one(pair, what, n)
                if event:
                    out[pair.name]["events"].append(event)
            self.say(f"{what} {n}: longest gap ms " + ", ".join(
                f"{max(e['events'][-1]['gaps_ms']):.0f}"
                for e in out.values() if e["events"]))
        for p in self.pairs:
            out[p.name]["unasked"] = (p.ask("count")["unasked"] -
                                      before[p.name])
        return out

    def stress(self):
        """All of them at the same time under the same load."""
        for pair in self.pairs:
            pair.ask("watch_begin")
        stress = Stress(self.tmp).start()
        try:
            end = time.monotonic() + self.args.stress
            while time.monotonic() < end:
                time.sleep(min(1, max(0, end - time.monotonic())))
        finally:
            self.load("stress")
            done = stress.stop()
        self.say(f"{self.args.stress:.0f} s of stress: {done}")
        for pair in self.pairs:
            pair.send("watch_end")
        out = {}
        for pair in self.pairs:
            try:
                out[pair.name] = {**pair.answer(),
                                  "seconds": self.args.stress}
            except Failed as err:
                self.fail(pair, "stress", err)
        return out

    def run(self):
        todo = [p for p in PHASES if p in self.args.only and
                p not in self.found["phases"]]
        if not todo:
            return
        self.load("before")
        self.start()
        for phase in todo:
            self.found["phases"][phase] = (
                self.stress() if phase == "stress" else self.rounds(phase))
            if phase != "stress":
                self.load(phase)
        for own in (p for p in self.pairs if p.name == "sbcd"):
            calls = own.ask("calls")
            self.say(f"calls left at the end: {calls['calls']} of "
                     f"{calls['of']}")
            kept = self.found.get("calls", (0, 0))
            self.found["calls"] = [kept[0] + calls["calls"],
                                   kept[1] + calls["of"]]
        if self.args.results and not self.failures:
            self.args.results.write_text(json.dumps(self.found))

    # ---- the table -------------------------------------------------------

    def cells(self, phase, what):
        """A row's cells: what(result of one pair), None if there is none."""
        of = self.found["phases"].get(phase)
        return None if of is None else [
            what(of[name]) if of.get(name, {}).get("events", name in of)
            else None for name in self.args.pairs]

    def rows(self):
        def gaps(r):
            return [g for e in r["events"] for g in e["gaps_ms"]]

        def each(key):
            return lambda r: [e[key] for e in r["events"]]

        def count(phase):
            seen = self.found["phases"].get(phase, {}).values()
            return max([len(r.get("events", ())) for r in seen] or [0])
        seconds = max([r["seconds"] for r in self.found["phases"]
                       .get("stress", {}).values()] or [0])
        yield (f"crash ({count('crash')}): gap of a stream, ms, p50 / p99 / "
               "max", "crash", lambda r: figures.spread(gaps(r)))
        yield ("crash: nothing at all arrives, ms, p50 / max", "crash",
               lambda r: figures.middle(each("hole_ms")(r)))
        yield ("crash: take-overs beyond those, between the rounds", "crash",
               lambda r: r["unasked"])
        yield (f"planned ({count('planned')}): gap of a stream, ms, p50 / p99"
               " / max", "planned", lambda r: figures.spread(gaps(r)))
        yield ("planned: packets lost in 20 streams, p50 / max", "planned",
               lambda r: figures.middle(each("lost")(r)))
        yield ("planned: take-overs beyond those", "planned",
               lambda r: r["unasked"])
        yield (f"node stands still for 1 s ({count('freeze')}): gap, ms, p50 "
               "/ p99 / max", "freeze", lambda r: figures.spread(gaps(r)))
        yield ("the same: two nodes use the address, ms, p50 / max",
               "freeze", lambda r: figures.middle(each("double_ms")(r)))
        yield ("the same: frames of the old node after the take-over, p50 / "
               "max", "freeze",
               lambda r: figures.middle(each("late_frames")(r)))
        yield ("the same: the old node has the address again at the end",
               "freeze",
               lambda r: f"{sum(each('back')(r))} of {len(r['events'])}")
        yield (f"stress {seconds:.0f} s: false take-overs", "stress",
               lambda r: r["took_over"])
        yield ("stress: two nodes use the address, ms", "stress",
               lambda r: f"{r['double_ms']:.0f}")
        yield ("stress: longest gap, ms / packets lost in 20 streams",
               "stress",
               lambda r: f"{max(r['gaps_ms']):.0f} / {r['lost']}")
        yield ("stress: the active was silent for itself (lease)", "stress",
               lambda r: r.get("lapses", "-"))

    def table(self):
        rows = []
        for title, phase, what in self.rows():
            cells = self.cells(phase, what)
            if cells:
                rows.append([title, *cells])
        left, of = self.found.get("calls", (0, 0))
        rows.append(["state carried over", *(
            f"calls, ports, counters: {left} of {of} calls at the end"
            if name == "sbcd" else "none" for name in self.args.pairs)])
        return figures.table(["", *(TITLES[p] for p in self.args.pairs)],
                             rows)


def first_line(*argv):
    res = subprocess.run(argv, capture_output=True, text=True, check=False)
    return (res.stdout + res.stderr).splitlines()[0].strip()


def facts(bench):
    build = TOP / bench.args.build
    loads = ", ".join(f"{phase} {load:.1f}" for phase, load in
                      bench.found["loads"].items())
    return [first_line("keepalived", "--version") + "; " +
            first_line(str(build / "bin/sbcd"), "--version") + "; " +
            first_line("corosync", "-v"),
            f"Linux {platform.release()}, {os.cpu_count()} processors for "
            f"all of it; load average: {loads}"]


def main():
    args = parse_args()
    os.environ["SBC_BUILD"] = str((TOP / args.build).resolve())
    os.environ["LAB_DIR"] = "/run/sbc-lab"
    with tempfile.TemporaryDirectory(prefix="sbc-bench-ha-") as tmp:
        bench = Bench(args, tmp)
        try:
            bench.run()
        except Failed as err:
            bench.failures.append(str(err))
        finally:
            bench.close()
    print("\n".join(facts(bench)) + "\n")
    print("\n".join(bench.table()))
    for failure in bench.failures:
        print(f"NOT MEASURED: {failure}")
    return int(bool(bench.failures))


if __name__ == "__main__":
    sys.exit(main())
