"""Who may do what, and that nothing outlives its keeper."""

import os
import re
import signal
import subprocess
import time

import pytest

import checks
from lab import NODES, VIP, alive, wait_for

WORKERS = ("sip", "media")
# Sends frames with the virtual MAC as source: the gate must stop them.
SPOOF = """
import socket
for nic, mac in (("core", "{core}"), ("cloud", "{cloud}")):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((nic, 0))
    src = bytes.fromhex(mac.replace(":", ""))
    for i in range(20):
        try:
            s.send(b"\\xff" * 6 + src + b"\\x88\\xb5" + bytes(50))
        except OSError:
            pass  # ENOBUFS: the gate says so
"""


def status(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1)
                    for line in f if ":\t" in line)


def pids(w, node, kinds=("keeper", "guard", "sip", "media")):
    return {k: w.lab.pid_of(node, k) for k in kinds}


def owned(w, node):
    """Virtual MACs and addresses a node has now."""
    text = (w.lab.run(node, ["ip", "-br", "link"]).stdout +
            w.lab.run(node, ["ip", "-br", "addr"]).stdout).lower()
    return [x for v in VIP.values()
            for x in [v["mac"]] + [a + "/" for a in v["addr"]] if x in text]


def gate_shut(w, node, watch):
    """Frames with the virtual MACs do not get out of the node."""
    letter = node[-1]

    def frames():
        macs = watch.report()["macs"].values()
        return sum(p["frames"] for m in macs
                   for name, p in m["ports"].items()
                   if name.startswith(letter + "-"))
    before = frames()
    code = SPOOF.format(core=VIP["core"]["mac"], cloud=VIP["cloud"]["mac"])
    w.lab.run(node, ["/usr/bin/python3", "-c", code])
    return frames() == before


def assert_clean(w, node, was, watch, timeout=1.5):
    """Of a keeper that died nothing is left: processes, MAC, IP, frames."""
    wait_for(lambda: not any(alive(p) for p in was.values() if p), timeout,
             f"{node}: all of {was} have ended", 0.01)
    wait_for(lambda: not owned(w, node), timeout,
             f"{node} lets go of {owned(w, node)}", 0.01)
    assert gate_shut(w, node, watch), f"{node}: the gate is open"


@pytest.mark.parametrize("which", [0, 1], ids=["active", "standby"])
@pytest.mark.parametrize("what", WORKERS)
def test_workers_have_no_rights(shared_world, what, which):
    w = shared_world
    node = w.settled()[which]
    st = status(w.lab.pid_of(node, what))
    for field in ("Uid", "Gid"):
        assert all(int(i) for i in st[field].split()), (field, st[field])
    for field in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"):
        assert int(st[field], 16) == 0, (field, st[field])
    assert st["NoNewPrivs"] == "1"
    assert st["Groups"].strip() in ("", st["Gid"].split()[0])


def test_workers_cannot_read_secrets(shared_world):
    w = shared_world
    node = w.settled()[0]
    uid = status(w.lab.pid_of(node, "sip"))["Uid"].split()[0]
    for path in ("/etc/sbcd/cluster.key", "/etc/corosync/authkey"):
        res = w.lab.run(node, ["setpriv", "--reuid", uid, "--clear-groups",
                               "cat", path], check=False)
        assert res.returncode, path


def test_workers_hold_no_secret_or_control_descriptors(shared_world):
    w = shared_world
    for node in NODES:
        for what in WORKERS:
            pid = w.lab.pid_of(node, what)
            for fd in os.listdir(f"/proc/{pid}/fd"):
                try:
                    link = os.readlink(f"/proc/{pid}/fd/{fd}")
                except OSError:
                    continue
                assert not re.search(r"cluster\.key|/dev/mem|netlink", link)


def test_control_socket_is_not_for_everybody(shared_world):
    w = shared_world
    for node in NODES:
        st = os.stat(w.lab.root(node) / "run/sbcd/sbcd.sock")
        assert st.st_mode & 0o007 == 0
        assert st.st_uid == 0


def test_pid_files_tell_the_truth(shared_world):
    w = shared_world
    for node in NODES:
        family = pids(w, node)
        assert all(alive(p) for p in family.values()), family
        for what in ("sip", "media"):
            assert int(status(family[what])["PPid"]) == family["keeper"]


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSEGV,
                                 signal.SIGTERM], ids=lambda s: s.name)
def test_nothing_outlives_the_keeper(world, sig):
    watch = world.observer()
    for node in reversed(world.settled()):
        family = pids(world, node)
        os.kill(family["keeper"], sig)
        assert_clean(world, node, family, watch)
    checks.one_owner(watch)


def test_keeper_killed_at_each_step_of_its_start(world):
    """Whatever it had done by then is undone, and the next start works."""
    watch = world.observer()
    active, standby = world.settled()
    world.lab.stop(standby, "keeper")
    argv = [world.lab.build / "bin/sbcd", "--config", "/etc/sbcd/sbcd.conf",
            "--node", "/etc/sbcd/node.conf"]
    for step_ms in [*range(0, 100, 5), *range(100, 1000, 50)]:
        proc = world.lab.popen(standby, argv,
                               world.lab.node_dir(standby) / "sbcd.log")
        time.sleep(step_ms / 1000)
        family = set(world.lab.pids_of(standby)) - {
            world.lab.pid_of(standby, "corosync")}
        proc.kill()
        proc.wait()
        was = {str(p): p for p in family if p != proc.pid}
        wait_for(lambda: not any(alive(p) for p in was.values()), 1.5,
                 f"after {step_ms} ms: {was} have ended", 0.01)
        assert not owned(world, standby), f"after {step_ms} ms"
    assert gate_shut(world, standby, watch)
    world.lab.start(standby)
    assert world.settled(30) == (active, standby)


@pytest.mark.slow
def test_keeper_killed_at_each_step_of_a_takeover(world):
    """Between MAC claim and activation too: no worker, MAC or IP is left."""
    watch = world.observer()
    for step_ms in (0, 80, 120, 160, 200, 240, 260, 280, 300, 320, 350,
                    400, 500):
        active, standby = world.settled(40)
        family = pids(world, standby)
        world.lab.kill(active, "power")
        time.sleep(step_ms / 1000)
        os.kill(family["keeper"], signal.SIGKILL)
        assert_clean(world, standby, family, watch)
        world.lab.start(*NODES)
    world.settled(40)
    checks.one_owner(watch)


@pytest.mark.parametrize("what", WORKERS)
def test_worker_killed_in_every_role(world, what):
    """INIT, SYNCING/STANDBY, BECOMING_ACTIVE, ACTIVE: it always comes back."""
    watch = world.observer()
    world.peers()
    active, standby = world.settled()

    def kill_and_wait(node):
        old = world.lab.pid_of(node, what)
        world.lab.kill(node, what)
        wait_for(lambda: world.lab.pid_of(node, what) not in (old, None) and
                 alive(world.lab.pid_of(node, what)), 5, "a new worker")
    kill_and_wait(standby)
    kill_and_wait(active)
    world.settled(20)
    world.hang_up(world.establish(2))
    # While it becomes active.
    world.lab.kill(active, "power")
    wait_for(lambda: world.lab.roles()[standby] != "STANDBY", 5,
             "it reacts", 0.002)
    kill_and_wait(standby)
    world.wait_role(standby, "ACTIVE", 10)
    world.hang_up(world.establish(2))
    # While the other one starts.
    world.lab.start(active)
    kill_and_wait(active)
    world.settled(40)
    # Alone, before it has become active.
    for node in NODES:
        world.lab.kill(node, "power")
    world.lab.start(standby)
    kill_and_wait(standby)
    world.wait_role(standby, "ACTIVE", 30)
    world.hang_up(world.establish(2))
    checks.one_owner(watch)


def test_crashing_worker_is_restarted_with_back_off(world):
    """Three crashes hand over; no storm of restarts."""
    active, standby = world.settled()
    for _ in range(4):
        node = world.active
        if node != active:
            break
        old = world.lab.pid_of(active, "sip")
        world.lab.kill(active, "sip")
        wait_for(lambda o=old: world.lab.pid_of(active, "sip") not in
                 (o, None) or world.active != active, 10, "it is back")
    wait_for(lambda: world.active == standby, 10, "the peer takes over")


def test_second_keeper_is_refused(world):
    """Two keepers on one run directory would fight over the addresses."""
    active = world.settled()[0]
    argv = world.lab.argv(active, [
        world.lab.build / "bin/sbcd", "--config", "/etc/sbcd/sbcd.conf",
        "--node", "/etc/sbcd/node.conf"])
    res = subprocess.run(argv, capture_output=True, text=True, timeout=10,
                         check=False)
    assert res.returncode
    assert world.lab.redundancy(active)["role"] == "ACTIVE"
    assert len(owned(world, active)) == 6


def test_gate_is_shut_on_the_standby(world):
    watch = world.observer()
    active, standby = world.settled()
    assert not gate_shut(world, active, watch), "the check itself works"
    assert gate_shut(world, standby, watch)
    assert not owned(world, standby)


def test_gate_is_shut_after_a_switchover(world):
    watch = world.observer(window_ms=100)     # they follow each other fast
    for _ in range(2):
        active, standby = world.settled(30)
        world.lab.switchover()
        world.wait_role(standby, "ACTIVE", 5)
        wait_for(lambda a=active: not owned(world, a), 2, "it lets go")
        assert gate_shut(world, active, watch)
    checks.one_owner(watch)


def test_gate_shuts_when_the_keeper_hangs(world):
    """A keeper that is stopped renews no lease, and its peer takes over."""
    watch = world.observer()
    active, standby = world.settled()
    keeper = world.lab.pid_of(active, "keeper")
    os.kill(keeper, signal.SIGSTOP)
    try:
        wait_for(lambda: (world.lab.redundancy(standby) or {}).get("role") ==
                 "ACTIVE", 5, "the standby takes over")
        assert gate_shut(world, active, watch)
    finally:
        os.kill(keeper, signal.SIGCONT)
    wait_for(lambda: sorted(map(str, world.lab.roles().values())) ==
             ["ACTIVE", "STANDBY"], 30, "the woken node steps back")
    assert not owned(world, active)
    checks.one_owner(watch)


def test_orderly_stop_and_start(world):
    """SIGTERM releases first; the peer is active before it has ended."""
    watch = world.observer()
    world.peers()
    pairs = world.establish(10)
    active, standby = world.settled()
    world.media_reset()
    family = pids(world, active)
    world.lab.stop(active, "keeper")
    assert_clean(world, active, family, watch)
    world.wait_role(standby, "ACTIVE", 5)
    totals = world.listen(2)
    assert max(t["longest_gap"]["ms"] for t in totals.values()) < 300
    world.lab.start(active)
    world.settled(30)
    world.hang_up(pairs)
    checks.one_owner(watch)
