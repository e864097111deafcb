"""What lab tests are written with: the lab, its peers, and questions to ask.

    def test_x(world):            a fresh pair of nodes, up and settled
        world.peers()             SIP user agents and RTP on both sides
        pairs = world.establish(10)
        world.lab.kill(world.active, "power")
        ...

World.close() ends every process it started, by pid, and takes the lab down.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "peers"))

from netlab import (HOSTS, NODES, REPO, VIP, Lab, LabError,  # noqa: E402
                    alive, port_name, wait_for)
from sipua import CallFailed, Loop, Media, Ua  # noqa: E402

__all__ = ["ADDR", "HOSTS", "NODES", "OTHER", "REPO", "VIP", "Lab",
           "LabError", "World", "alive", "build_dir", "have_daemon",
           "make_router", "port_name", "vip", "wait_for"]

SIDES = {"core": "sbc-core", "cloud": "sbc-cloud"}
ADDR = {("core", 4): "10.10.0.50", ("core", 6): "fd00:10::50",
        ("cloud", 4): "10.20.0.50", ("cloud", 6): "fd00:20::50"}
SANITIZER = re.compile(r"AddressSanitizer|ThreadSanitizer|LeakSanitizer|"
                       r"[^\n]*: runtime error: ")
OTHER = {"core": "cloud", "cloud": "core"}


def build_dir():
    return Path(REPO / os.environ.get("SBC_BUILD", "build")).resolve()


def have_daemon():
    return all((build_dir() / "bin" / p).exists()
               for p in ("sbcd", "sbcctl"))


def vip(side, family=4):
    return VIP[side]["addr"][0 if family == 4 else 1]


def make_router(world, node="sbc-a"):
    """Turn a node into a plain router between both service networks."""
    for argv in (["sysctl", "-qw", "net.ipv4.ip_forward=1",
                  "net.ipv6.conf.all.forwarding=1"],
                 ["ip", "addr", "add", "10.10.0.200/24", "dev", "core"],
                 ["ip", "addr", "add", "10.20.0.200/24", "dev", "cloud"],
                 ["ip", "addr", "add", "fd00:10::200/64", "dev", "core",
                  "nodad"],
                 ["ip", "addr", "add", "fd00:20::200/64", "dev", "cloud",
                  "nodad"]):
        world.lab.run(node, argv)
    world.lab.run("sbc-core", ["ip", "route", "add", "10.20.0.0/24", "via",
                               "10.10.0.200"])
    world.lab.run("sbc-cloud", ["ip", "route", "add", "10.10.0.0/24", "via",
                                "10.20.0.200"])
    world.lab.run("sbc-core", ["ip", "route", "add", "fd00:20::/64", "via",
                               "fd00:10::200"])
    world.lab.run("sbc-cloud", ["ip", "route", "add", "fd00:10::/64", "via",
                                "fd00:20::200"])


class Tool:
    """A program in one of the lab's namespaces, ended by its pid."""

    def __init__(self, world, host, argv, name, **kwargs):
        self.log = world.dir / f"{name}-{world.count(name)}.log"
        self.name = name
        self.proc = world.lab.popen(host, argv, self.log, **kwargs)

    def text(self):
        return self.log.read_text(errors="replace")

    def wait_text(self, pattern, timeout=10):
        def look():
            if self.proc.poll() is not None and \
                    not re.search(pattern, self.text()):
                raise LabError(f"{self.name}: exit {self.proc.returncode}: "
                               f"{self.text()[-500:]}")
            return re.search(pattern, self.text())
        return wait_for(look, timeout, f"{self.name} says {pattern}")

    def wait(self, timeout=60):
        return self.proc.wait(timeout)

    def errors(self):
        """Last screen and error file of a SIPp."""
        err = self.log.with_suffix(".err")
        return (self.text()[-1500:] +
                (err.read_text(errors="replace")[-3000:]
                 if err.exists() else ""))

    def stop(self, sig=signal.SIGTERM):
        if self.proc.poll() is None:
            self.proc.send_signal(sig)
            try:
                self.proc.wait(5)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait(5)


class Observer(Tool):
    """switchwatch on the ports of both nodes' service networks.

    Whoever is active sends a beat with the virtual MAC every 10 ms: a node
    that was silent for ten of them and is heard again had stopped (a
    switchover and, half a second later, a crash).
    """

    def __init__(self, world, window_ms=100, addresses=()):
        argv = ["switchwatch", "--window-ms", window_ms]
        argv += [a for address in addresses for a in ("--address", address)]
        for side in SIDES:
            argv += ["--mac", VIP[side]["mac"]]
            argv += [a for n in NODES for a in ("--port",
                                                port_name(n, side))]
        super().__init__(world, "sbc-sw", argv, "switchwatch")
        self.wait_text("ready")

    def report(self):
        lines = len(self.text().splitlines())
        self.proc.send_signal(signal.SIGUSR1)
        wait_for(lambda: len(self.text().splitlines()) > lines and
                 self.text().endswith("\n"), 5, "switchwatch reports")
        return json.loads(self.text().splitlines()[-1])

    def double_active_ms(self):
        return {mac: m["double_active_ms"]
                for mac, m in self.report()["macs"].items()}


class SrtpWatch(Tool):
    """srtpwatch on the ports of both nodes: is any index used twice?

    Knows the keys that user agents were told (sdes.Sdes.watch).
    """

    def __init__(self, world, sides=("cloud",), to=()):
        argv = ["srtpwatch"]
        for side in sides:
            argv += ["--mac", VIP[side]["mac"]]
            argv += [a for n in NODES for a in ("--port",
                                                port_name(n, side))]
        argv += [a for ip in to for a in ("--to", ip)]
        super().__init__(world, "sbc-sw", argv, "srtpwatch",
                         stdin=subprocess.PIPE)
        self.wait_text("ready")

    def say(self, line):
        self.proc.stdin.write(line.encode() + b"\n")
        self.proc.stdin.flush()

    def key(self, suite_and_key, host, port):
        self.say(f"key {suite_and_key} {host} {port}")

    def report(self):
        lines = len(self.text().splitlines())
        self.say("report")
        wait_for(lambda: len(self.text().splitlines()) > lines and
                 self.text().endswith("\n"), 10, "srtpwatch reports")
        return json.loads(self.text().splitlines()[-1])

    def check(self):
        """What was found wrong, as text; '' is good."""
        seen = self.report()
        bad = {k: seen[k] for k in ("reused", "unknown", "capture_drops")
               if seen[k]}
        return f"{bad}: {seen}" if bad else ""


class World:
    def __init__(self, tmp, lab=None, **up):
        self.dir = Path(tmp)
        self.lab = lab or Lab()
        self._tools, self._counts, self._cleanup = [], {}, []
        self.loop = None
        self.ua, self.media = {}, {}
        try:
            self.lab.up(build=str(build_dir()), **up)
        except BaseException:
            self.failure_logs = self.logs()
            self.lab.down()
            raise

    # ---- life ------------------------------------------------------------

    def count(self, name):
        self._counts[name] = self._counts.get(name, 0) + 1
        return self._counts[name]

    def close(self):
        reports = self.sanitizer_reports()
        self._close()
        assert not reports, "\n".join(reports)

    def _close(self):
        for func in reversed(self._cleanup):
            func()
        for ua in self.ua.values():
            ua.close()
        if self.loop:
            self.loop.stop()
        for media in self.media.values():
            media.close()
        for tool in reversed(self._tools):
            tool.stop()
        self.lab.down()

    def tool(self, host, argv, name=None):
        tool = Tool(self, host, argv, name or Path(str(argv[0])).name)
        self._tools.append(tool)
        return tool

    def observer(self, **kwargs):
        obs = Observer(self, **kwargs)
        self._tools.append(obs)
        return obs

    def srtp_watch(self, **kwargs):
        watch = SrtpWatch(self, **kwargs)
        self._tools.append(watch)
        return watch

    def sanitizer_reports(self):
        """What a sanitizer build wrote into the nodes' logs: a worker that
        it ended is restarted, and tests may not notice."""
        found = []
        for node in NODES:
            path = self.lab.node_dir(node) / "sbcd.log"
            text = path.read_text(errors="replace") if path.is_file() else ""
            at = SANITIZER.search(text)
            if at:
                found.append(f"{node}: {text[at.start():at.start() + 4000]}")
        return found

    def logs(self):
        """(title, text) of everything worth reading after a failure."""
        out = []
        for node in NODES:
            d = self.lab.node_dir(node)
            for path, lines in ((d / "sbcd.log", 200),
                                (d / "log/corosync.log", 30)):
                if path.is_file():
                    text = path.read_text(errors="replace").splitlines()
                    out.append((f"{node} {path.name}",
                                "\n".join(text[-lines:])))
        for tool in self._tools:
            out.append((tool.log.name, tool.text()[-3000:]))
        for ua in self.ua.values():
            if ua.errors:
                out.append((f"{ua.name} errors", "\n".join(ua.errors[-50:])))
        return out

    # ---- nodes -----------------------------------------------------------

    @property
    def active(self):
        return self.lab.active()

    def settled(self, timeout=20):
        """Wait for (active, standby), in sync."""
        return wait_for(self.lab.settled, timeout,
                        f"one ACTIVE, one STANDBY in sync: "
                        f"{self.lab.roles()}", 0.05)

    def wait_role(self, node, role, timeout=20):
        wait_for(lambda: (self.lab.redundancy(node) or {}).get("role") ==
                 role, timeout, f"{node} is {role}", 0.02)

    def calls(self, node):
        return self.lab.sbcctl(node, "show", "calls")

    # ---- peers -----------------------------------------------------------

    def rtptool(self, side, **opts):
        """A running `rtptool peer` on one side; returns its control."""
        path = self.dir / f"rtp-{side}.sock"
        argv = ["rtptool", "peer", "--quiet", "--control", path]
        for key, value in opts.items():
            argv += [f"--{key}", value]
        tool = self.tool(SIDES.get(side, side), argv, f"rtptool-{side}")

        def connect():
            if tool.proc.poll() is not None:
                raise LabError(f"rtptool: {tool.text()}")
            try:
                return Media(path)
            except OSError:
                return None
        media = wait_for(connect, 5, f"rtptool {side}")
        self.media[side] = media
        return media

    def peers(self, transport="udp", family=4, media=True):
        """User agents (with RTP) at both session agents' addresses."""
        self.loop = self.loop or Loop()
        for i, side in enumerate(SIDES):
            if media and side not in self.media:
                self.rtptool(side)
            self.add_ua(side, ADDR[side, family], transport=transport,
                        key=side, media_base=30000 + 4000 * i)
        return self.ua["core"], self.ua["cloud"]

    def more_peers(self, family=4, transport="tcp", last=51, tls=None):
        """Second agents: TCP at .51, or IPv6; keyed core-tcp, cloud-6 ...
        `tls`: {side: tlspeer.Tls}"""
        name = "6" if family == 6 else transport
        for i, side in enumerate(SIDES):
            host = (ADDR[side, 6] if family == 6 else
                    ADDR[side, 4].replace(".50", f".{last}"))
            self.add_ua(side, host, key=f"{side}-{name}",
                        transport=transport, tls=(tls or {}).get(side),
                        media_base=38000 + 2000 * i)
        return self.ua[f"core-{name}"], self.ua[f"cloud-{name}"]

    def add_ua(self, side, host, key=None, port=5060, **kwargs):
        self.loop = self.loop or Loop()
        ua = Ua(self.loop, host, port, media=self.media.get(side),
                netns=f"/run/netns/{SIDES[side]}", name=f"{side}-ua",
                **kwargs)
        self.ua[key or f"{side}-{host}"] = ua
        return ua

    def wait_agents_up(self, timeout=15):
        """The pair has seen both user agents answer its OPTIONS."""
        for side in SIDES:
            wait_for(lambda s=side: self.ua[s].received("OPTIONS"), timeout,
                     f"OPTIONS to {side}", 0.05)

    def user(self, prefix="c"):
        """A number nobody has called yet."""
        return f"{prefix}{100000 + self.count('user')}"

    def place(self, user=None, frm="core", family=4, **kwargs):
        """One call to the pair; returned before it is answered."""
        side = frm.split("-")[0]
        ua = self.ua[frm]
        tls = kwargs.get("transport", ua.transport) == "tls"
        return ua.call(user or self.user(),
                       (vip(side, family), 5061 if tls else 5060), **kwargs)

    def establish(self, n=1, frm="core", to=None, family=4, media=True,
                  prefix="c", timeout=20, **kwargs):
        """n calls from one side to the other: [(caller, callee), ...]"""
        b = self.ua[to or OTHER[frm.split("-")[0]]]
        users = [self.user(prefix) for _ in range(n)]
        callers = [self.place(u, frm, family, **kwargs) for u in users]
        pairs = [(call.established(timeout), b.wait_call(u, timeout))
                 for u, call in zip(users, callers)]
        for _, callee in pairs:
            wait_for(lambda c=callee: c.acks, timeout,
                     f"{callee!r} gets its ACK")
        if media and self.media:
            self.wait_media(pairs)
        return pairs

    def streams(self):
        """{stream id: its report} over both rtptools."""
        return {s["id"]: s for m in self.media.values()
                for s in m.report()["streams"]}

    def wait_media(self, pairs, timeout=5, silence_ms=100):
        """Every leg hears its peer now."""
        ids = [c.stream for pair in pairs for c in pair]
        assert None not in ids, "a leg without media"

        def deaf():
            seen = self.streams()
            return [i for i in ids
                    if not 0 <= seen[i]["rx"]["silence_ms"] < silence_ms]
        try:
            wait_for(lambda: not deaf(), timeout, "media on all legs", 0.05)
        except LabError as err:
            raise LabError(f"{err}\n{self._deaf_report(pairs, deaf())}") \
                from None

    def _deaf_report(self, pairs, deaf):
        """What is known of streams that hear nobody."""
        seen, out = self.streams(), []
        for pair in pairs:
            for leg, other in (pair, reversed(pair)):
                if leg.stream in deaf:
                    out += [f"{leg!r} hears nobody: {seen[leg.stream]}",
                            f"what it should hear: {seen[other.stream]}"]
        for node in NODES:
            if (self.lab.redundancy(node) or {}).get("role") != "ACTIVE":
                continue
            for call in self.calls(node)["calls"]:
                out.append(json.dumps(self.lab.sbcctl(node, "show", "call",
                                                      call["id"])))
            out.append(str({k: v for k, v in self.lab.sbcctl(
                node, "show", "counters")["workers"].items()
                if v and k.startswith("media")}))
        return "\n".join(out)

    def media_reset(self):
        for media in self.media.values():
            media.reset()

    def media_totals(self):
        return {side: m.report(streams=False)["total"]
                for side, m in self.media.items()}

    def listen(self, seconds):
        """Let media flow; every stream must have been heard at the end."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(min(1, max(0, end - time.monotonic())))
        totals = self.media_totals()
        for side, t in totals.items():
            assert t["streams_silent"] == 0, (side, t)
            assert t["streams_never_heard"] == 0, (side, t)
        return totals

    def forget_media(self):
        for media in self.media.values():
            media.cmd("remove", all=True)

    def hang_up(self, pairs, timeout=10):
        """BYE from alternating sides; every one answered 200."""
        for i, pair in enumerate(pairs):
            mine, other = pair if i % 2 == 0 else reversed(pair)
            resp = mine.bye(timeout)
            assert resp.status == 200, f"{mine!r}: BYE: {resp.status}"
            other.wait("ended", timeout=timeout)
            assert other.ended_by == "remote"
        for pair in pairs:
            for leg in pair:
                leg.close_media()

    def hang_up_rest(self):
        """Whatever a failed test has left up must not fail the next one."""
        for ua in self.ua.values():
            for call in ua.all_calls():
                if call.state == "established":
                    try:
                        call.bye(5)
                    except CallFailed:
                        pass

    def assert_no_calls(self, timeout=5):
        """Both nodes have forgotten every call."""
        for node in NODES:
            if self.lab.redundancy(node) is None:
                continue
            wait_for(lambda n=node: self.calls(n)["count"] == 0, timeout,
                     f"{node}: no calls left", 0.05)

    def listens(self, side, port, transport="u1"):
        """True once something is bound to the port in that namespace."""
        flag = "-lnt" if transport.startswith("t") else "-lnu"
        out = self.lab.run(SIDES[side], ["ss", "-H", flag]).stdout
        return re.search(rf":{port}\s", out)

    # ---- SIPp ------------------------------------------------------------

    def sipp(self, side, scenario, *args, target=None, addr=None,
             port=5060, transport="u1", calls=None, rate=None):
        """Start SIPp with tests/peers/SCENARIO.xml; returns the Tool."""
        addr = addr or ADDR[side, 4]
        name = f"sipp-{side}-{scenario}"
        argv = ["sipp", *([target] if target else []),
                "-sf", REPO / f"tests/peers/{scenario}.xml",
                "-i", addr, "-p", port, "-mi", addr, "-t", transport,
                "-nostdin", "-aa", "-trace_err", "-error_file",
                self.dir / f"{name}-{self._counts.get(name, 0) + 1}.err",
                "-cid_str", f"%u-%p-{side}@%s"]
        if calls:
            argv += ["-m", calls]
        if rate:
            argv += ["-r", rate]
        return self.tool(SIDES[side], argv + list(args), name)
