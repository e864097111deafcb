"""The keys of a pair are changed while its calls are up, as README says."""

import secrets

import pytest

import checks
from lab import NODES, wait_for
from test_failover import lost


@pytest.fixture
def w(world):
    world.peers()
    watch = world.observer()
    yield world
    checks.sane(world)
    checks.one_owner(watch)


def write(w, name, data):
    """On both nodes, as the file that is there."""
    for node in NODES:
        (w.lab.node_dir(node) / name).write_bytes(data)


def restart_one_after_the_other(w):
    """sbcd on both nodes; packets lost by it."""
    w.media_reset()
    for _ in NODES:
        _, standby = w.settled(30)
        w.lab.stop(standby, "keeper")
        w.lab.start(standby)
        w.settled(30)
        w.lab.switchover()
        w.settled(30)
    return lost(w.listen(1))


def refused(w):
    """Beats that one node had of the other and did not believe."""
    return sum(path["refused"] for node in NODES
               for path in w.lab.redundancy(node)["paths"])


def survives_power_loss(w, pairs):
    active, standby = w.settled(30)
    w.lab.kill(active, "power")
    w.wait_role(standby, "ACTIVE", 10)
    w.wait_media(pairs)
    w.lab.start(active)
    w.settled(30)
    for pair in pairs:
        for leg in pair:
            assert leg.reinvite().status == 200
    w.hang_up(pairs)


def test_cluster_key(w):
    path = w.lab.node_dir("sbc-a") / "etc-sbcd/cluster.key"
    old, new = path.read_text().strip(), secrets.token_hex(32)
    assert old != new
    pairs = w.establish(5)
    for lines in ((old, new), (new, old), (new,)):
        write(w, "etc-sbcd/cluster.key",
              "".join(f"{x}\n" for x in lines).encode())
        assert restart_one_after_the_other(w) == 0
        assert refused(w) == 0
    survives_power_loss(w, pairs)


@pytest.mark.parametrize("text", [
    "", "12", "zz" * 32, "ab" * 32 + "\nab", "ab" * 32 + " " + "cd" * 32,
    "\n".join(["ab" * 32] * 3), "ab" * 33])
def test_cluster_key_that_is_none(bare, text):
    path = bare.lab.node_dir("sbc-a") / "etc-sbcd/cluster.key"
    path.write_text(text)
    res = bare.lab.run("sbc-a", bare.lab.sbcd_argv("sbc-a"), check=False)
    assert res.returncode and "cluster.key:1: must be 64" in res.stderr


def test_corosync_authkey(w):
    pairs = w.establish(5)
    active, standby = w.settled(30)
    w.media_reset()
    write(w, "etc-corosync/authkey", secrets.token_bytes(256))
    w.lab.run(active, ["corosync-cfgtool", "-R"])
    totals = w.listen(3)
    assert lost(totals) == 0
    assert w.settled(30) == (active, standby)
    # Who comes later has the new key alone.
    w.lab.stop(standby)
    w.lab.start(standby)
    assert w.settled(30) == (active, standby)
    wait_for(lambda: len(w.lab.members(active)) == 2, 10, "both are members")
    survives_power_loss(w, pairs)
