#!/usr/bin/env python3
"""One pair under test in the HA bench: ours, or two keepaliveds.

Run by ha.py, each in a mount namespace with a /run of its own, so that all of
them stand side by side. Obeys one JSON line after the other on stdin and
answers each with one: {"cmd": "crash"} and so on, {"cmd": "close"} or the end
of the input ends it.

Every rig has the lab's switch, nodes and peers, 20 streams with a packet each
20 ms through the virtual address at random phases, somebody who asks by ARP 50
times a second who has that address, and an observer on the switch.
"""
import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/lab"), str(TOP / "tests/bench")]
import ha_figures as figures  # noqa: E402
from lab import World  # noqa: E402
from netlab import (HOSTS, NODES, VIP, Lab, LabError,  # noqa: E402
                    alive, port_name, run, wait_for)

STREAMS = 20
ADDRESS = VIP["core"]["addr"][0]
PEER = "10.10.0.50"
ECHO_PORT = 20000
ASKER = ("10.10.0.99", "525400001099")
# A port that sends within this time of its last frame had not let go: who has
# the address is asked each 20 ms.
WINDOW_MS = 100
LISTEN_S = 0.3
FREEZE_S = 1.0
AFTER_FREEZE_S = 1.0

RIGS = {
    "vrrp-100": {"advert": "0.1"},
    "vrrp-100-vmac": {"advert": "0.1", "vmac": True},
    "vrrp-10": {"advert": "0.01"},
    "vrrp-10-rt": {"advert": "0.01", "realtime": True},
    "sbcd": None,
}


class VrrpLab(Lab):
    """The lab's nodes with keepalived and a program that sends back what
    reaches the virtual address.

    Both priorities are so high that the skew, which a backup waits on top of
    three adverts, is a hundredth of an advert; nobody preempts.
    """

    def __init__(self, settings):
        super().__init__()
        self.settings = settings
        self.log_from = {}

    def up(self, build):
        self.state = {"build": build, "holders": {}, "pids": {}, "cuts": [],
                      "off": []}
        with self.locked():
            self._make_switch()
            for host in HOSTS:
                self._make_host(host)
            self.state["up"] = True
        for node in NODES:
            self.start(node)
            wait_for(lambda: "MASTER" in self.roles().values(), 10,
                     "a MASTER", 0.01)

    def start(self, *nodes, **_):
        with self.locked():
            for node in nodes:
                if node in self.state["off"]:
                    self._boot(node)
                self._serve(node)
        for node in nodes:
            try:
                wait_for(lambda n=node: self.role(n), 10,
                         f"{node}: keepalived has a state", 0.01)
            except LabError as err:
                raise LabError(f"{err}: {self.log_now(node)[-3000:]}"
                               ) from None

    def _serve(self, node):
        self._sysctl(node, {"net.ipv4.ip_nonlocal_bind": 1})
        num = HOSTS[node]["id"] + 1
        run(["ip", "-n", node, "addr", "replace", f"10.10.0.{num}/24", "dev",
             "core"])
        (self.root(node) / "run/keepalived.conf").write_text(
            self._conf(node))
        log = self.log(node)
        if not alive(self.pid(node)):
            self.log_from[node] = log.stat().st_size if log.exists() else 0
        self._spawn(node, "echo", [
            "rtptool", "echo", "--addr", ADDRESS, "--ports",
            f"{ECHO_PORT}-{ECHO_PORT + 2 * STREAMS - 1}"])
        self._spawn(node, "keepalived", [
            "keepalived", "--vrrp", "--dont-fork", "--log-console",
            "--log-detail", "--use-file", "/run/keepalived.conf",
            "--pid", "/run/ka.pid", "--vrrp_pid", "/run/ka-vrrp.pid"])

    def _spawn(self, node, what, argv):
        if not alive(self.state["pids"].get(f"{node}/{what}")):
            self._spawn_service(node, what, argv, f"{what}.log")

    def _conf(self, node):
        s = self.settings
        # With the default limit, 10 ms, what waited for it while it stood
        # still is work enough to have it killed.
        realtime = ("\tvrrp_rt_priority 50\n\tvrrp_rlimit_rttime 1000000\n"
                    if s.get("realtime") else "")
        vmac = "\tuse_vmac vrrp10\n" if s.get("vmac") else ""
        return (f"global_defs {{\n\trouter_id {node}\n\tvrrp_version 3\n"
                f"{realtime}}}\n"
                "vrrp_instance core {\n\tstate BACKUP\n\tinterface core\n"
                "\tvirtual_router_id 10\n\tnopreempt\n"
                f"\tpriority {255 - HOSTS[node]['id']}\n"
                f"\tadvert_int {s['advert']}\n{vmac}"
                f"\tvirtual_ipaddress {{\n\t\t{ADDRESS}/24\n\t}}\n}}\n")

    def log(self, node):
        return self.node_dir(node) / "keepalived.log"

    def pid(self, node):
        return self.state["pids"].get(f"{node}/keepalived")

    def role(self, node):
        """What the keepalived that runs there now says it is."""
        if node in self.state["off"] or not alive(self.pid(node)):
            return None
        return figures.vrrp_state(self.log_now(node))

    def log_now(self, node):
        """The log of the keepalived that was started last."""
        text = self.log(node).read_bytes()[self.log_from[node]:]
        return text.decode(errors="replace")

    def roles(self):
        return {n: self.role(n) for n in NODES}

    def settled(self):
        by_role = {r: n for n, r in self.roles().items()}
        if set(by_role) != {"MASTER", "BACKUP"}:
            return None
        return by_role["MASTER"], by_role["BACKUP"]


def signal_all(pids, sig):
    for pid in pids:
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            pass


class Rig:
    """What is done to a pair and what is seen of it."""

    def __init__(self, world, seed):
        self.world, self.lab = world, world.lab
        self.random = random.Random(seed)
        self.watch = None
        self.faults = 0
        self.add_streams()
        ask = (b"\xff" * 6 + bytes.fromhex(ASKER[1]) + b"\x08\x06\0\x01\x08\0"
               b"\x06\x04\0\x01" + bytes.fromhex(ASKER[1]) +
               bytes(map(int, ASKER[0].split("."))) + bytes(6) +
               bytes(map(int, ADDRESS.split("."))))
        world.tool("sbc-core", ["vmport", "--flood", "core", "--rate", 50,
                                "--frame", ask.hex()], "asker")

    # ---- what the two kinds of pairs differ in ---------------------------

    def add_streams(self):
        raise NotImplementedError

    def settled(self):
        """(owner of the address, its backup) once the pair is whole."""
        raise NotImplementedError

    def owner_is(self, node):
        raise NotImplementedError

    def hand_over(self, node):
        raise NotImplementedError

    def take_overs(self):
        """How often a node became owner since the start."""
        raise NotImplementedError

    def notes(self):
        """What else is worth a word at the end of a stress."""
        return {}

    # ---- one failover ----------------------------------------------------

    def _begin(self):
        if self.watch:
            self.watch.stop()
        self.watch = self.world.observer(window_ms=WINDOW_MS,
                                         addresses=(ADDRESS,))
        self.world.media_reset()

    def _all_heard(self, timeout=15):
        def deaf():
            return [i for i, s in self.world.streams().items()
                    if not 0 <= s["rx"]["silence_ms"] < 100]
        wait_for(lambda: not deaf(), timeout, "media on all streams", 0.02)

    def _result(self, old):
        streams = list(self.world.streams().values())
        if len(streams) != STREAMS:
            raise RuntimeError(f"{len(streams)} streams")
        report = self.watch.report()
        if report["capture_drops"]:
            raise RuntimeError("the observer missed frames")
        seen = report["addresses"][ADDRESS]
        return {**figures.event(streams, seen, port_name(old, "core")),
                "took_over": self.take_overs() - self.before}

    def _event(self, act, moves=True):
        old, heir = self.settled()
        self._all_heard()
        self.before = self.take_overs()
        self._begin()
        time.sleep(self.random.uniform(0.2, 0.4))
        if self.take_overs() != self.before or not self.owner_is(old):
            raise LabError(f"the address left {old} by itself")
        self.faults += 1
        act(old)
        if moves:
            wait_for(lambda: self.owner_is(heir), 15, f"{heir} takes over",
                     0.01)
        self._all_heard()
        time.sleep(LISTEN_S)
        return old, self._result(old)

    def crash(self):
        old, out = self._event(lambda node: self.lab.kill(node, "power"))
        self.lab.start(old)
        self.settled()
        return out

    def planned(self):
        old, out = self._event(self.hand_over)
        self.lab.start(old)
        self.settled()
        return out

    def freeze(self):
        """Every process of the owner stands still for a while."""
        def act(node):
            pids = self.lab.pids_of(node)
            signal_all(pids, signal.SIGSTOP)
            time.sleep(FREEZE_S)
            signal_all(pids, signal.SIGCONT)
            time.sleep(AFTER_FREEZE_S)
        _, out = self._event(act, moves=False)
        self.settled()
        return out

    def count(self):
        return {"unasked": self.take_overs() - self.faults}

    # ---- a time in which nothing should happen ---------------------------

    def watch_begin(self):
        self.old, _ = self.settled()
        self._all_heard()
        self.before = self.take_overs()
        self._begin()
        return {}

    def watch_end(self):
        self._all_heard(60)
        out = self._result(self.old)
        self.settled()
        return {**out, **self.notes()}


class VrrpRig(Rig):
    def add_streams(self):
        media = self.world.rtptool("core")
        media.cmd("add", streams=[
            {"id": i, "addr": PEER, "port": 30000 + 2 * i, "rtcp": False,
             "remote": ADDRESS, "remote_port": ECHO_PORT + 2 * i,
             "expect": i} for i in range(STREAMS)])

    def settled(self):
        seen = None

        def steady():
            """The same twice, a tenth of a second apart."""
            nonlocal seen
            before, seen = seen, self.lab.settled()
            return seen if seen == before else None
        return wait_for(steady, 30, f"one MASTER, one BACKUP: "
                        f"{self.lab.roles()}", 0.1)

    def owner_is(self, node):
        return self.lab.role(node) == "MASTER"

    def hand_over(self, node):
        os.kill(self.lab.pid(node), signal.SIGTERM)
        wait_for(lambda: not alive(self.lab.pid(node)), 10,
                 f"{node}: keepalived ends", 0.01)

    def take_overs(self):
        return sum(figures.vrrp_masters(self.lab.log(n).read_text(
            errors="replace")) for n in NODES)


class OwnRig(Rig):
    def add_streams(self):
        self.world.peers()
        self.settled()
        calls = STREAMS // 4
        self.pairs = (self.world.establish(calls) +
                      self.world.establish(calls, frm="cloud"))

    def settled(self):
        return self.world.settled(60)

    def owner_is(self, node):
        return (self.lab.redundancy(node) or {}).get("role") == "ACTIVE"

    def hand_over(self, node):
        self.lab.switchover()

    def take_overs(self):
        return sum(figures.activations((self.lab.node_dir(n) / "sbcd.log")
                                       .read_text(errors="replace"))
                   for n in NODES)

    def lapses(self):
        return sum(e["what"] == "lease lapsed" for n in NODES
                   for e in (self.lab.redundancy(n) or {})
                   .get("timeline", []))

    def watch_begin(self):
        out = super().watch_begin()
        self.lapses_before = self.lapses()
        return out

    def notes(self):
        return {"lapses": self.lapses() - self.lapses_before}

    def calls(self):
        """How many of the calls are left, on the owner's word."""
        return {"calls": self.world.calls(self.settled()[0])["count"],
                "of": len(self.pairs)}


def make(name, tmp, seed):
    settings = RIGS[name]
    if settings is None:
        world = World(tmp)
        kind = OwnRig
    else:
        world = World(tmp, lab=VrrpLab(settings))
        kind = VrrpRig
    try:
        return world, kind(world, seed)
    except BaseException:
        world.close()
        raise


def obey(rig, answer):
    for line in sys.stdin:
        cmd = json.loads(line)["cmd"]
        if cmd == "close":
            return
        try:
            answer({"ok": True, **getattr(rig, cmd)()})
        except Exception as err:
            traceback.print_exc()
            answer({"ok": False, "error": f"{type(err).__name__}: {err}"})


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("name", choices=RIGS)
    ap.add_argument("--seed", type=int, default=1)
    args = ap.parse_args()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # The bench's end is the end of the input, and nothing else ends a rig
    # before it has cleaned up.
    for sig in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sig, lambda *_: None)

    def answer(what):
        print(json.dumps(what), file=out, flush=True)
    with tempfile.TemporaryDirectory(prefix="sbc-bench-ha-") as tmp:
        world, rig = make(args.name, tmp, args.seed)
        try:
            answer({"ok": True})
            obey(rig, answer)
        finally:
            world.close()


if __name__ == "__main__":
    main()
