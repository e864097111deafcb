"""sbc-chaos, as a user runs it, with `lab exec` instead of ssh."""

import re
import subprocess
import sys

from conftest import close_shared, make_world
from lab import HERE, NODES, REPO, Lab

LAB = HERE / "lab"


def sbc_chaos(*args):
    return subprocess.run(
        [sys.executable, REPO / "tests/chaos/sbc-chaos", "--nodes",
         ",".join(NODES), "--remote", f"{LAB} exec {{node}}", "--argv",
         "--start", f"{LAB} start {{node}}", "--boot", f"{LAB} start {{node}}",
         "--stop", f"{LAB} stop {{node}} keeper",
         "--power", f"{LAB} kill {{node}} power", "--yes", "--seed", "1",
         "--pause", "0.1", *args],
        capture_output=True, text=True, timeout=240, check=False)


def test_faults_over_a_remote_shell(world):
    world.peers()
    pairs = world.establish(3)
    for kind, moves in (("kill-keeper-active", True), ("cut-ha-link", False),
                        ("freeze-guard-active", False),
                        ("power-active", True)):
        active, standby = world.settled(30)
        res = sbc_chaos("--faults", "1", "--only", kind, "--keep-calls")
        assert res.returncode == 0, res.stdout + res.stderr
        assert f"1 {kind} ({active} is active, 3 calls)" in res.stdout
        assert re.search(r"0 of 3 calls are gone", res.stdout)
        # Another process has started and stopped things in this lab.
        world.lab.state = Lab().state
        assert world.settled(30)[0] == (standby if moves else active), kind
        world.wait_media(pairs)
    world.hang_up(pairs)


def test_witness_and_disk_over_a_remote_shell(tmp_path_factory):
    close_shared()
    w = make_world(tmp_path_factory, "sbc-chaos", witness=True, cdr_disk=True)
    w.peers()
    pairs = w.establish(3)
    for kind, seen in (("kill-qnetd", "pidof corosync-qnetd"),
                       ("kill-qdevice-active", "pidof corosync-qdevice"),
                       ("cut-witness", "port 5403"),
                       ("full-disk", "sbc-chaos.filler"),
                       ("full-disk-crash", "sbc-chaos.filler")):
        was, qnetd = w.settled(30), w.lab.pid_of("sbc-w", "qnetd")
        res = sbc_chaos("--faults", "1", "--only", kind, "--keep-calls",
                        "--witness", "sbc-w")
        assert res.returncode == 0, res.stdout + res.stderr
        assert seen in res.stdout, res.stdout
        assert "0 of 3 calls are gone" in res.stdout
        w.lab.state = Lab().state
        assert (w.lab.pid_of("sbc-w", "qnetd") != qnetd) == \
            (kind == "kill-qnetd")
        now = w.settled(30)
        assert set(now) == set(was)
        assert (now == was) == (kind != "full-disk-crash"), kind
        for node in NODES:
            assert not w.lab.run(node, [
                "sh", "-c", "nft list tables | grep sbcchaos; "
                "ls /var/lib/sbcd/cdr | grep filler"], check=False).stdout
        w.wait_media(pairs)
    w.hang_up(pairs)
    w.close()


def test_refuses_a_witness_that_is_not_there(world):
    world.settled()
    res = sbc_chaos("--faults", "1", "--witness", "sbc-w")
    assert res.returncode == 3, res.stdout
    assert "this pair has none" in res.stderr


def test_refuses_a_pair_that_is_not_redundant(world):
    active, standby = world.settled()
    world.lab.kill(standby, "keeper")
    res = sbc_chaos("--faults", "1", "--only", "power-active")
    assert res.returncode == 3, res.stdout
    assert "not redundant" in res.stderr
    assert world.lab.redundancy(active)["role"] == "ACTIVE"
