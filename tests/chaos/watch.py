"""What a chaos run is judged by: invariants, their evidence, the score.

Nothing here asks sbcd how it thinks it did, except for the leak check at the
end: frames are counted on the switch's ports by switchwatch, gaps by the RTP
tools, calls by the parties themselves.
"""

import json
import re
import subprocess
import sys
import time

import cdrs
import checks
from lab import NODES, VIP, LabError, port_name, wait_for

INVARIANTS = {
    "one-owner": "at most one owner of each virtual MAC and address",
    "redundant-again": "the pair is redundant again after each fault",
    "established": "no established call is lost",
    "ringing": "no ringing call is lost",
    "set-up": "every call that was begun comes to its end",
    "in-dialog": "requests inside dialogs succeed, CSeq in order",
    "one-legged": "no call is left with one leg",
    "gap": "media gaps stay within their bound",
    "lossless": "a planned switchover loses no packet",
    "srtp": "0 authentication failures, and no index encrypts two packets",
    "cdr": "each call has one record on each node, and it is right",
    "clean": "no foreign, malformed or revealing message or packet",
    "leak": "no call, leg, port, flow, record or socket is left",
    "exercised": "load and faults were really there",
}
STALL = """
import sys, time
while True:
    a = time.monotonic_ns()
    time.sleep(0.005)
    b = time.monotonic_ns()
    if b - a > 25000000:
        print(a, (b - a) // 1000000 - 5, flush=True)
"""


class Stall:
    """How long this machine kept a process from running that only sleeps."""

    def __init__(self, path):
        self.path = path
        with open(path, "w") as out:
            self.proc = subprocess.Popen([sys.executable, "-c", STALL],
                                         stdout=out)

    def worst_ms(self, from_ns):
        worst = 0
        for line in self.path.read_text().splitlines():
            field = line.split()
            if len(field) == 2 and int(field[0]) >= from_ns - 10**9:
                worst = max(worst, int(field[1]))
        return worst

    def close(self):
        self.proc.kill()
        self.proc.wait()


class Judge:
    """Keeps the violations, each with its time and its evidence."""

    SHOWN = 4                # of one kind in one fault; the file has all

    def __init__(self, world, clock):
        self.w, self.clock = world, clock
        self.skew = time.time() - time.monotonic()
        self.violations, self.faults = [], []
        self.sipp, self.forgiven = [], 0
        self.mark("start")

    def log_path(self, node):
        return self.w.lab.node_dir(node) / "sbcd.log"

    def mark(self, fault):
        """Evidence of what happens from here on begins here."""
        sizes = {}
        for node in NODES:
            path = self.log_path(node)
            sizes[node] = path.stat().st_size if path.exists() else 0
        self.faults.append((time.time(), fault, sizes))

    def fault_at(self, when):
        """Number of the fault that had begun last at that time."""
        return max([0] + [i for i, f in enumerate(self.faults)
                          if f[0] <= when])

    def evidence(self, number):
        """What the nodes logged from that fault to the one after next."""
        out = []
        for node in NODES:
            path = self.log_path(node)
            if not path.exists():
                continue
            after = self.faults[number + 2:number + 3]
            with open(path, "rb") as f:
                f.seek(self.faults[number][2][node])
                end = after[0][2][node] if after else None
                text = f.read(end - f.tell() if end else -1)
            out.append((node, text.decode(errors="replace")))
        return out

    def blame(self, invariant, text, when=None, sipp=False):
        """A violation, now or at a time of the wall clock.

        sipp: it is SIPp that says so, whose scenarios cannot follow every
        crossing of repeated messages; see Judge.forgive().
        """
        assert invariant in INVARIANTS, invariant
        number = self.fault_at(when or time.time())
        at_s = (when or time.time()) - self.skew - self.clock
        before = [v for v in self.violations
                  if v[0] == invariant and v[2] == number]
        fault = f"{number} {self.faults[number][1]}"
        self.violations.append((invariant, at_s, number, fault, text))
        self.sipp.append(sipp)
        with open(self.w.dir / "violations.txt", "a") as f:
            f.write(f"==== {at_s:.1f} s {invariant} during {fault}: {text}\n")
            for node, log in self.evidence(number) if not before else ():
                f.write(f"---- {node}\n{log[:40000]}\n")
        if len(before) > self.SHOWN:
            return
        print(f"[{at_s:7.1f} s] VIOLATION {invariant} during {fault}: {text}",
              flush=True)
        for node, log in self.evidence(number) if not before else ():
            lines = [x for x in log.splitlines() if "call-ending" not in x]
            for line in lines[:14]:
                print(f"      {line[:240]}", flush=True)

    def forgive(self, calls):
        """What SIPp alone noticed does not count if it is few calls."""
        if 0 < sum(self.sipp) <= calls:
            self.forgiven = sum(self.sipp)
            self.violations = [v for v, soft in
                               zip(self.violations, self.sipp) if not soft]
            self.sipp = [False] * len(self.violations)

    def count(self, invariant):
        return sum(v[0] == invariant for v in self.violations)


class Owners:
    """Frames with a virtual MAC as source, by switch port."""

    def __init__(self, world):
        self.obs = world.observer()
        self.last = {v["mac"]: 0.0 for v in VIP.values()}
        self.total_ms, self.drops = 0.0, 0

    def news(self):
        """[(mac, ms two ports used it at once, where)] since last time."""
        report = self.obs.report()
        self.drops = report["capture_drops"]
        out = []
        for mac, seen in report["macs"].items():
            ms = seen["double_active_ms"] - self.last[mac]
            self.last[mac] = seen["double_active_ms"]
            if ms > 0:
                self.total_ms += ms
                last = seen["double_active"][-1:] or [{}]
                out.append((mac, ms, last[0]))
        return out

    def owner(self, side):
        """The node whose port used the side's virtual MAC last."""
        port = self.obs.report()["macs"][VIP[side]["mac"]]["owner"]
        for node in NODES:
            if port == port_name(node, side):
                return node
        return None


def has_addresses(world, node):
    """True while a node holds a virtual MAC or address."""
    for side, vip in VIP.items():
        text = world.lab.run(node, ["ip", "addr", "show", "dev", side],
                             check=False).stdout.lower()
        if vip["mac"] in text or any(f" {a}/" in text for a in vip["addr"]):
            return True
    return False


# As the kernel says it, and as asyncio repeats it.
REFUSED = r"(Errno |Error\()(104|111|113)\b"


def refused(world):
    """When user agents were refused TCP connections or lost them; forgets
    them."""
    when = []
    for ua in world.ua.values():
        mine = [e for e in ua.errors if re.search(REFUSED, e)]
        when += [e.when for e in mine]
        ua.errors[:] = [e for e in ua.errors if e not in mine]
    return when


def messages(world):
    """What was wrong with what the user agents were sent, as text."""
    for check in (checks.sane, checks.topology_hidden):
        try:
            check(world)
        except AssertionError as err:
            yield f"{check.__name__}: {str(err)[:1500]}"
    for ua in world.ua.values():
        del ua.errors[:]


def leaks(world, before, timeout=60):
    """What is left on the nodes, as text, once it had time to go."""
    try:
        checks.nothing_left(world, timeout=timeout)
    except LabError as err:
        yield str(err)[:1500]

    def differ():
        now = checks.footprint(world)
        out = []
        for node, was in before.items():
            if node not in now:
                out.append(f"{node} does not answer")
                continue
            a, b = comparable(was), comparable(now[node])
            out += [f"{node} {k}: {a[k]} before, {b[k]} now"
                    for k in a if a[k] != b[k]]
        return out
    try:
        wait_for(lambda: not differ(), timeout, "as before", 0.5)
    except LabError:
        for text in differ():
            node = text.split()[0]
            yield text + "\n" + world.lab.run(
                node, ["ss", "-Hantupw"], check=False).stdout


def cdr_trouble(world, load, windows, timeout=60):
    """What is wrong with the nodes' files, once they had time to come."""
    expected, unknown = load.expected(), load.unknown()
    paths = {n: world.lab.node_dir(n) / "var-lib-sbcd/cdr" for n in NODES}

    def there():
        return all(len(cdrs.read(p, "csv")) >= len(expected) -
                   sum(unknown.values()) for p in paths.values())
    try:
        wait_for(there, timeout, "every record", 1)
    except LabError:
        pass
    return len(expected), list(cdrs.judge(paths, expected, unknown, windows))


def comparable(foot):
    """Sockets, descriptors and sizes of BPF maps, without their names.

    A connection with a peer is no leftover of a call.
    """
    fds = dict(foot["fds"])
    fds["sip"] -= foot["sockets"].get(("tcp", "ESTAB"), 0)
    return {"sockets": {k: n for k, n in foot["sockets"].items()
                        if k != ("tcp", "ESTAB")},
            "maps": sorted(foot["maps"].values()), "fds": fds}


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))] if values else 0


class Score:
    """The scoreboard: printed, and kept as JSON."""

    # What was asked in a failover is repeated within this time (T2, RFC 3261).
    REPEAT_S = 4

    def __init__(self, seed, witness):
        self.seed, self.witness, self.cdrs = seed, witness, 0
        self.faults, self.gaps = {}, {}
        self.failovers = self.crash_failovers = 0
        self.tcp_lost = self.late_byes = self.refused = 0
        self.windows, self.restarts = [], []

    def fault(self, fault, gaps, moved, window):
        self.faults[fault.kind] = self.faults.get(fault.kind, 0) + 1
        crash = any(step[0] in ("kill", "power", "freeze")
                    for step in fault.steps)
        group = ("planned" if fault.lossless else "no failover" if not moved
                 else "crash" if crash else "handed over")
        self.gaps.setdefault(group, []).extend(gaps)
        if moved:
            self.windows.append(window)
        elif ("kill", "active", "sip") in fault.steps:
            self.restarts.append(window)
        self.failovers += moved
        self.crash_failovers += group == "crash"

    def in_failover(self, when, repeat_s=0):
        """While another process took the calls over: by a fault that moved
        the active role, or that killed its SIP worker; or, for a request
        that was asked then, repeated within repeat_s."""
        return any(a - 1 <= when <= b + repeat_s
                   for a, b in self.windows + self.restarts)

    def lines(self, load, judge, owners, stall_ms):
        yield f"seed {self.seed}, {self.with_witness()}"
        yield f"faults {sum(self.faults.values())}: " + ", ".join(
            f"{k} {n}" for k, n in sorted(self.faults.items()))
        yield (f"failovers {self.failovers}, of which by a crash "
               f"{self.crash_failovers}")
        table = load.table()
        yield "calls and their good ends: " + ", ".join(
            f"{k} {good}" for k, (good, _) in table.items())
        yield ("lost: " + ", ".join(
            f"{name} {judge.count(name)}" for name in
            ("established", "ringing", "set-up", "in-dialog", "one-legged"))
            + f"; re-INVITEs asked to try again {load.retried}, lost with "
            f"their TCP connection {self.tcp_lost}; BYEs repeated over a "
            f"failover and answered 481 {self.late_byes}, TCP connections "
            f"refused in a failover {self.refused}")
        ms = load.answer_ms
        yield (f"re-INVITE to its 200: p50 {quantile(ms, .5):.0f} ms, p99 "
               f"{quantile(ms, .99):.0f} ms, max {max(ms or [0]):.0f} ms")
        for group, ms in sorted(self.gaps.items()):
            yield (f"media gap, {group}: p50 {quantile(ms, .5):.0f} ms, p99 "
                   f"{quantile(ms, .99):.0f} ms, max {max(ms):.0f} ms over "
                   f"{len(ms)} streams")
        yield (f"call detail records: {self.cdrs} calls compared on both "
               f"nodes, {judge.count('cdr')} wrong")
        yield self.srtp_line(load)
        if judge.forgiven:
            yield (f"complaints of SIPp that were allowed: "
                   f"{judge.forgiven}")
        yield (f"double-active {owners.total_ms:.1f} ms; the observer missed "
               f"{owners.drops} frames; the machine stalled at most "
               f"{stall_ms} ms")

    @staticmethod
    def srtp_line(load):
        seen = load.srtp_seen
        return (f"SRTP: {seen.get('rtp', 0)} packets and "
                f"{seen.get('rtcp', 0)} of SRTCP under "
                f"{seen.get('keys', 0)} keys, {seen.get('reused', 0)} "
                "indexes used for two packets")

    def with_witness(self):
        return "with a witness" if self.witness else "without a witness"

    def markdown(self, judge, load, owners, stall_ms):
        """The scoreboard as a table."""
        lost = {k: judge.count(k) for k in INVARIANTS}
        rows = [
            ("seed", f"{self.seed}, {self.with_witness()}"),
            ("faults", f"{sum(self.faults.values())}: " + ", ".join(
                f"{k} {n}" for k, n in sorted(self.faults.items()))),
            ("failovers", f"{self.failovers}, of which by a crash "
                          f"{self.crash_failovers}"),
            ("calls with a good end", ", ".join(
                f"{k} {good}" for k, (good, _) in load.table().items())),
            ("established / ringing calls lost",
             f"{lost['established']} / {lost['ringing']}"),
            ("other calls that went wrong",
             f"{lost['set-up'] + lost['one-legged']}"),
            ("requests in dialogs that failed", f"{lost['in-dialog']}"),
            ("call detail records wrong",
             f"{lost['cdr']} of 2 x {self.cdrs}"),
            ("SRTP", self.srtp_line(load)[6:]),
        ]
        rows += [(f"media gap, {group}",
                  f"p50 {quantile(ms, .5):.0f} ms, p99 "
                  f"{quantile(ms, .99):.0f} ms, max {max(ms):.0f} ms over "
                  f"{len(ms)} streams")
                 for group, ms in sorted(self.gaps.items())]
        rows += [
            ("double-active", f"{owners.total_ms:.1f} ms"),
            ("complaints of SIPp allowed", f"{judge.forgiven}"),
            ("the machine stalled at most", f"{stall_ms} ms"),
            ("invariants", f"{sum(not n for n in lost.values())} held, "
                           f"{sum(map(bool, lost.values()))} did not"),
        ]
        return "| what | measured |\n|---|---|\n" + "".join(
            f"| {a} | {b} |\n" for a, b in rows)

    def json(self, judge, load, owners):
        return json.dumps({
            "seed": self.seed, "witness": self.witness,
            "faults": self.faults, "calls-on-record": self.cdrs,
            "failovers": self.failovers,
            "crash-failovers": self.crash_failovers,
            "calls": {k: {"good": g, "failed": f}
                      for k, (g, f) in load.table().items()},
            "gaps-ms": {k: {"p50": quantile(v, .5), "p99": quantile(v, .99),
                            "max": max(v), "streams": len(v)}
                        for k, v in self.gaps.items()},
            "double-active-ms": owners.total_ms,
            "violations": [dict(zip(("invariant", "at-s", "number", "fault",
                                     "text"), v))
                           for v in judge.violations],
        }, indent=1)
