"""Beats on every network, gateways, and a node that stops and wakes up."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from lab import NODES, SIDES, VIP, LabError, Tool, port_name, wait_for
from netlab import SWITCH

PATHS = ["ha1", "ha2", "core", "cloud"]
FLOOD_RATE = 20000
BEAT_TYPE = "88b6"


def paths(w, node):
    return {p["path"]: p for p in w.lab.redundancy(node)["paths"]}


def deductions(w, node):
    return {d["name"] for d in w.lab.sbcctl(node, "show", "health", "--min",
                                            "0")["deductions"]}


def other(node):
    return NODES[1 - NODES.index(node)]


def flood(w, host, nic, frame, rate=FLOOD_RATE):
    tool = w.tool(host, ["vmport", "--flood", nic, "--rate", rate,
                         "--frame", frame.hex()], "flood")
    tool.wait_text("ready")
    return tool


def checksum(data):
    total = sum(data[i] << 8 | data[i + 1] for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return (~total & 0xffff).to_bytes(2, "big")


def echo_request(side):
    """An ICMP echo request to the virtual address: the kernel answers it."""
    src = {"core": "10.10.0.50", "cloud": "10.20.0.50"}[side]
    ends = b"".join(bytes(map(int, a.split(".")))
                    for a in (src, VIP[side]["addr"][0]))
    icmp = b"\x08\0" + b"\0\0" + b"\x12\x34\0\x01" + bytes(56)
    icmp = icmp[:2] + checksum(icmp) + icmp[4:]
    ip = (b"\x45\0" + (20 + len(icmp)).to_bytes(2, "big") +
          b"\0\0\x40\0\x40\x01\0\0" + ends)
    ip = ip[:10] + checksum(ip) + ip[12:]
    mac = bytes.fromhex(VIP[side]["mac"].replace(":", ""))
    return mac + bytes.fromhex("525400001050") + b"\x08\0" + ip + icmp


def pause_processes(w, node):
    """Everything of the node stands; returns what to wake."""
    pids = w.lab.pids_of(node)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return pids


def wake_processes(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass


# ---- beats ---------------------------------------------------------------

def test_the_peer_is_heard_on_every_network(shared_world):
    w = shared_world
    w.settled()
    for node in NODES:
        wait_for(lambda n=node: all(p["alive"] for p in
                                    paths(w, n).values()), 5,
                 f"{node}: all paths alive")
        assert list(paths(w, node)) == PATHS
        assert all(p["received"] > 0 for p in paths(w, node).values())
    text = w.lab.run(NODES[0], ["sbcctl", "show", "redundancy"]).stdout
    for name in PATHS:
        assert re.search(rf"^{name} +\d+ +yes +\d+ +\d+$", text, re.M), text
    # One direction of one network: the other side still hears.
    active, standby = w.settled()
    w.lab.cut(f"{standby}:core:in")
    try:
        wait_for(lambda: not paths(w, standby)["core"]["alive"], 5,
                 "core is silent")
        assert paths(w, standby)["cloud"]["alive"]
        assert paths(w, active)["core"]["alive"]
        wait_for(lambda: {"service-path", "gateway"} <=
                 deductions(w, standby), 10, "health says so")
        assert not {"service-path", "gateway"} & deductions(w, active)
    finally:
        w.lab.heal(f"{standby}:core:in")
    wait_for(lambda: paths(w, standby)["core"]["alive"] and
             not deductions(w, standby), 10, "healed")
    assert w.settled() == (active, standby)


def test_hostile_beats_are_counted_and_change_nothing(shared_world):
    w = shared_world
    active, standby = w.settled()
    epoch = w.lab.redundancy(active)["epoch"]
    before = paths(w, standby)
    group = bytes.fromhex("035bc0000001")
    frame = (group + bytes.fromhex("525400001050" + BEAT_TYPE) +
             b"SBHB\x01\x01" + bytes([NODES.index(active) + 1]) + bytes(73))
    tool = flood(w, "sbc-core", "core", frame)
    try:
        wait_for(lambda: paths(w, standby)["core"]["refused"] >
                 before["core"]["refused"] + 1000, 10, "refused beats")
    finally:
        tool.stop(signal.SIGKILL)
    after = paths(w, standby)
    for name in ("ha1", "ha2", "cloud"):
        assert after[name]["alive"], after
        assert after[name]["refused"] == before[name]["refused"]
    assert w.settled() == (active, standby)
    assert w.lab.redundancy(active)["epoch"] == epoch


def test_a_dead_gateway_costs_health_on_both_nodes(shared_world):
    w = shared_world
    pair = w.settled()
    w.lab.run("sbc-core", ["ip", "addr", "del", "10.10.0.1/24", "dev",
                           "core"])
    try:
        for node in NODES:
            wait_for(lambda n=node: "gateway" in deductions(w, n), 10,
                     f"{node}: gateway missed")
    finally:
        # Not as the first address of the side: the peers' stays that.
        w.lab.run("sbc-core", ["ip", "addr", "add", "10.10.0.1/24", "dev",
                               "core"])
    for node in NODES:
        wait_for(lambda n=node: not deductions(w, n), 10,
                 f"{node}: gateway back")
    assert w.settled() == pair


# ---- a node that stops and wakes up --------------------------------------

def seen(report, port):
    """{MAC: what a switch port said with it}, ports of all networks."""
    out = {}
    for mac, m in report["macs"].items():
        for name, s in m["ports"].items():
            if name.split("-")[0] == port:
                out[mac] = s
    return out


def tokens_found(w, node):
    """How many fence tokens the node's kernel has recognised."""
    text = w.lab.run(node, ["nft", "list", "counter", "netdev", "sbcd",
                            "tokens"]).stdout
    return int(re.search(r"packets (\d+)", text).group(1))


def letter(node):
    return port_name(node, "core").split("-")[0]


def test_paused_processes_send_nothing_after_the_takeover(world):
    w = world
    active, standby = w.settled()
    watch = w.observer()
    flood(w, "sbc-core", "core", echo_request("core"), 1000)
    flood(w, "sbc-cloud", "cloud", echo_request("cloud"), 1000)
    wait_for(lambda: len(seen(watch.report(), letter(active))) == 2, 5,
             "both virtual MACs at the active")
    pids = pause_processes(w, active)
    try:
        w.wait_role(standby, "ACTIVE", 10)
        wait_for(lambda: len(seen(watch.report(), letter(standby))) == 2, 5,
                 "both virtual MACs at the new active")
        # Nobody runs there but the kernel.
        wait_for(lambda: tokens_found(w, active), 5, "a token is found")
    finally:
        wake_processes(pids)
    assert w.settled(30) == (standby, active)
    report = watch.report()
    old, new = seen(report, letter(active)), seen(report, letter(standby))
    after = {mac: sum(i["frames"] for i in old[mac]["intervals"]
                      if i["to_ns"] >= new[mac]["first_ns"])
             for mac in new}
    print(f"frames with the virtual MAC after the take-over: {after}")
    for mac in new:
        assert old[mac]["last_ns"] < new[mac]["first_ns"], (mac, report)
    assert all(m["changes_count"] == 2 for m in report["macs"].values())


class Machine:
    """The node behind ports that can stop with it, as a VM's do.

    Its kernel's clock cannot be stopped in a namespace: instead the lease
    element is kept for the pause, and gets its whole time back at the end,
    the longest a stopped clock can leave.
    """

    def __init__(self, w, node):
        self.w, self.node = w, node
        lines, argv = [], ["vmport"]
        for nic in PATHS:
            port = port_name(node, nic)
            lines += [f"link add vm-{nic} type veth peer name p-{nic}",
                      f"link set p-{nic} master {nic} up",
                      f"link set vm-{nic} up",
                      f"link set {port} nomaster"]
            argv += ["--port", f"vm-{nic}:{port}"]
        self.batch(lines)
        self.proc = subprocess.Popen(
            w.lab.argv(SWITCH, argv), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        w._cleanup.append(self.close)
        assert self.proc.stdout.readline() == "ready\n"
        self.pids = []

    def batch(self, lines):
        subprocess.run(["ip", "-n", SWITCH, "-batch", "-"], text=True,
                       input="\n".join(lines) + "\n", check=True)

    def close(self):
        wake_processes(self.pids)
        self.proc.stdin.close()
        self.proc.wait(5)

    def say(self, text):
        self.proc.stdin.write(text + "\n")
        self.proc.stdin.flush()
        return self.proc.stdout.readline()

    def report(self):
        return json.loads(self.say("report"))

    def lease_ms(self):
        text = self.w.lab.run(self.node, ["nft", "list", "set", "netdev",
                                          "sbcd", "lease"]).stdout
        return int(re.search(r"timeout (\d+)ms", text).group(1))

    def set_lease(self, timeout=""):
        self.w.lab.run(self.node, [
            "nft", "flush set netdev sbcd lease; add element netdev sbcd "
            f'lease {{ "core" {timeout}, "cloud" {timeout} }}'])

    def pause(self):
        self.lease = self.lease_ms()
        self.pids = pause_processes(self.w, self.node)
        assert self.say("pause") == "done\n"
        self.set_lease()

    def wake(self, order, processes_first):
        self.set_lease(f"timeout {self.lease}ms")
        if processes_first:
            wake_processes(self.pids)
        assert self.say("resume " + " ".join(f"vm-{n}" for n in order)) == \
            "done\n"
        wake_processes(self.pids)
        self.pids = []


@pytest.fixture
def vm(world):
    """An active node behind such ports, an observer on the switch's side."""
    w = world
    node = w.settled()[1]
    machine = Machine(w, node)
    w.settled(30)
    if w.active != node:
        w.lab.switchover()
        w.settled(30)
    argv = ["switchwatch"]
    for side in SIDES:
        argv += ["--mac", VIP[side]["mac"], "--port", f"p-{side}", "--port",
                 port_name(other(node), side)]
    machine.watch = Tool(w, SWITCH, argv, "switchwatch")
    w._tools.append(machine.watch)
    machine.watch.wait_text("ready")
    yield machine


def sample(vm):
    lines = len(vm.watch.text().splitlines())
    vm.watch.proc.send_signal(signal.SIGUSR1)
    wait_for(lambda: len(vm.watch.text().splitlines()) > lines and
             vm.watch.text().endswith("\n"), 5, "switchwatch reports")
    return json.loads(vm.watch.text().splitlines()[-1])


def pause_until_taken_over(vm):
    """Everything queues up while the machine stands."""
    w, node = vm.w, vm.node
    floods = [flood(w, f"sbc-{s}", s, echo_request(s)) for s in SIDES]
    mine = wait_for(lambda: len(seen(sample(vm), "p")) == 2 and
                    seen(sample(vm), "p"), 5, "answers through the port")
    assert len(mine) == 2
    vm.pause()
    w.wait_role(other(node), "ACTIVE", 10)
    wait_for(lambda: len(seen(sample(vm), letter(other(node)))) == 2, 5,
             "both virtual MACs at the new active")
    for tool in floods:
        tool.stop(signal.SIGKILL)
    queues = vm.report()["ports"]
    for side in SIDES:
        assert queues[f"vm-{side}"]["kept"] == 256, queues
        assert queues[f"vm-{side}"]["dropped"] > 0, queues
    return {mac: s["frames"] for mac, s in seen(sample(vm), "p").items()}


def after_waking(vm, before):
    """Frames with a virtual MAC after it woke, and for how long."""
    w, node = vm.w, vm.node
    w.settled(30)
    assert w.active == other(node)
    resumed = vm.report()["resumed_ns"]
    last = {mac: s for mac, s in seen(sample(vm), "p").items()}
    frames = sum(s["frames"] - before[mac] for mac, s in last.items())
    span = max([(s["last_ns"] - resumed) / 1e6 for mac, s in last.items()
                if s["frames"] > before[mac]] or [0])
    print(f"paused machine: {frames} frames with a virtual MAC after it "
          f"woke, the last after {span:.1f} ms; lease {vm.lease} ms; queues "
          f"{vm.report()['ports']}")
    assert tokens_found(w, node) > 0
    return frames, span


def test_a_paused_machine_that_meets_its_token_first_is_silent(vm):
    before = pause_until_taken_over(vm)
    vm.wake(["ha1", "ha2", "core", "cloud"], processes_first=False)
    frames, _ = after_waking(vm, before)
    assert frames == 0


def test_a_paused_machine_ends_within_its_lease(vm):
    """Its processes and 256 questions come before the first token."""
    before = pause_until_taken_over(vm)
    vm.wake(["core", "cloud", "ha1", "ha2"], processes_first=True)
    _, span = after_waking(vm, before)
    assert span <= vm.lease
