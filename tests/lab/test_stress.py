"""Nothing but a death is taken for one: no false take-over.

Each test lets something stand still or run short under calls with media, and
demands the same roles and epochs afterwards and not one packet less. New calls
go on meanwhile.
"""

import fcntl
import os
import signal
import statistics
import struct
import termios
import time
from contextlib import contextmanager

import pytest

import checks
from lab import NODES, wait_for
from netlab import run
from sipcall import Answer
from stress import Stress
from test_commit import Stopped, deductions, setup_ms
from test_failover import CRASH_GAP_MS, fail_over, lost

# How long the machine is busy; more by `make stress`.
BUSY_S = float(os.environ.get("SBC_STRESS_SECONDS", 20))
# Three commits of 20 ms, and what a loaded test machine may add.
SETUP_MS = 3 * 20 + 300
FILE_SYSTEM_BYTES = 16 << 20


@pytest.fixture
def w(world):
    world.peers()
    for ua in world.ua.values():
        ua.answer = Answer(after=0)
    world.watch = world.observer()
    world.settled()
    yield world
    checks.sane(world)
    checks.one_owner(world.watch)


def standing(w):
    """Who is what since when, on every node that answers."""
    return {n: {key: r[key] for key in ("role", "epoch")}
            for n in NODES for r in [w.lab.redundancy(n)] if r}


def lapses(w):
    return [e for n in NODES for e in
            (w.lab.redundancy(n) or {"timeline": []})["timeline"]
            if e["what"] == "lease lapsed"]


@contextmanager
def nothing_happens(w, packets_lost=0):
    """Not to roles, not to epochs, not to media."""
    before, old = standing(w), len(lapses(w))
    w.media_reset()
    yield
    totals = w.listen(0.5)
    assert lost(totals) <= packets_lost, totals
    assert standing(w) == before
    assert len(lapses(w)) == old, lapses(w)


def calls_go_on(w, n=5):
    """Calls are set up and ended at once, though somebody does not answer."""
    times = []
    for _ in range(n):
        pairs = w.establish(1, media=False)
        times.append(setup_ms(pairs[0][0]))
        w.hang_up(pairs)
    print(f"call set-up p50 {statistics.median(times):.1f} ms, "
          f"max {max(times):.1f} ms")
    assert statistics.median(times) < SETUP_MS, times


def back_in_sync(w, was):
    """The same two, in their roles, and a crash loses nothing."""
    assert w.settled(30) == was


def become_active(w, node):
    active, _ = w.settled(30)
    if active != node:
        w.lab.switchover()
        w.wait_role(node, "ACTIVE")
    return w.settled(30)


# ---- something stands still ---------------------------------------------


@pytest.mark.parametrize("which", ["active", "standby"])
def test_corosync_stands_still(w, which):
    """For a second, five times what it takes the other one to miss it."""
    pairs = w.establish(5) + w.establish(5, frm="cloud")
    was = w.settled()
    node = was[0] if which == "active" else was[1]
    with nothing_happens(w):
        with Stopped(w, node, "corosync"):
            end = time.monotonic() + 1
            calls_go_on(w, 3)
            time.sleep(max(0, end - time.monotonic()))
        back_in_sync(w, was)
    fail_over(w, pairs)
    w.hang_up(pairs)


def test_keeper_of_the_standby_stands_still(w):
    """The active is alone, asks its gateways, and does not falter."""
    pairs = w.establish(5) + w.establish(5, frm="cloud")
    was = w.settled()
    with nothing_happens(w):
        before = standing(w)[was[0]]
        with Stopped(w, was[1], "keeper"):
            end = time.monotonic() + 3
            calls_go_on(w, 10)
            time.sleep(max(0, end - time.monotonic()))
            now = w.lab.redundancy(was[0])
            assert {k: now[k] for k in before} == before
        back_in_sync(w, was)
    fail_over(w, pairs)
    w.hang_up(pairs)


# ---- the disk ------------------------------------------------------------


class Disk:
    """A file system of its own under a node's state directory."""

    def __init__(self, w, node):
        self.w, self.node, self.where = w, node, "/var/lib/sbcd"
        image = w.dir / f"{node}.img"
        with open(image, "wb") as f:
            f.truncate(FILE_SYSTEM_BYTES)
        run(["mkfs.ext4", "-q", "-F", str(image)])
        w.lab.stop(node, "keeper")
        self.run("mount", "-o", "loop", image, self.where)
        w.lab.start(node, what="keeper")
        w.settled(30)

    def run(self, *argv):
        return self.w.lab.run(self.node, list(argv))

    @contextmanager
    def frozen(self):
        """Every write waits, every fsync with it."""
        self.run("fsfreeze", "-f", self.where)
        try:
            yield
        finally:
            self.run("fsfreeze", "-u", self.where)

    @contextmanager
    def full(self):
        self.w.lab.run(self.node, ["sh", "-c", "cat /dev/zero >"
                                   f"{self.where}/ballast"], check=False)
        try:
            yield
        finally:
            self.run("rm", f"{self.where}/ballast")

    def keeps_waiting(self):
        """Threads of the keeper that cannot go on before it answers."""
        pid = self.w.lab.pid_of(self.node, "keeper")
        return [task for task in os.listdir(f"/proc/{pid}/task")
                if state_of(f"/proc/{pid}/task/{task}/stat") == "D"]


def state_of(path):
    with open(path) as f:
        return f.read().rsplit(")", 1)[1].split()[0]


@pytest.fixture
def disk(w):
    """That of the active node."""
    d = Disk(w, w.settled()[1])
    become_active(w, d.node)
    return d


def alarms(w, node):
    return deductions(w, node) & {"disk", "cdr"}


def test_disk_of_the_active_stands_still(w, disk):
    pairs = w.establish(5) + w.establish(5, frm="cloud")
    was = w.settled()
    with nothing_happens(w), disk.frozen():
        end = time.monotonic() + 2
        calls_go_on(w, 10)
        # Their CDRs are to be written.
        assert disk.keeps_waiting()
        time.sleep(max(0, end - time.monotonic()))
    back_in_sync(w, was)
    w.hang_up(pairs)


def test_disk_stands_still_when_the_peer_dies(w):
    """A node takes over without waiting for its disk."""
    disk = Disk(w, w.settled()[1])
    pairs = w.establish(5) + w.establish(5, frm="cloud")
    with disk.frozen():
        assert fail_over(w, pairs, listen_s=2)[1] == disk.node
        calls_go_on(w, 3)
        assert disk.keeps_waiting()
    w.hang_up(pairs)


def test_disk_of_the_active_is_full(w, disk):
    pairs = w.establish(5) + w.establish(5, frm="cloud")
    was = w.settled()
    with nothing_happens(w), disk.full():
        # Until no CDR fits into the last block of its file any more.
        for _ in range(20):
            calls_go_on(w, 5)
            if alarms(w, was[0]):
                break
        wait_for(lambda: alarms(w, was[0]), 20, "an alarm", 0.1)
    wait_for(lambda: not alarms(w, was[0]), 20, "the alarm is over", 0.1)
    back_in_sync(w, was)
    w.hang_up(pairs)


# ---- the log -------------------------------------------------------------


class DeafLog:
    """A pipe in place of a node's log file that nobody reads."""

    def __init__(self, w, node):
        self.path = w.lab.node_dir(node) / "sbcd.log"
        self.kept = self.path.with_suffix(".kept")
        w.lab.stop(node, "keeper")
        self.path.rename(self.kept)
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        self.size = fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, 4096)
        w.lab.start(node, what="keeper")

    def waiting(self):
        out = fcntl.ioctl(self.fd, termios.FIONREAD, b"\0" * 4)
        return struct.unpack("i", out)[0]

    def fill(self):
        """No line of a log fits any more."""
        while True:
            try:
                os.write(self.fd, b"\n" * 64)
            except BlockingIOError:
                return

    def close(self):
        self.path.unlink()
        self.kept.rename(self.path)
        os.close(self.fd)


@pytest.fixture
def deaf_log(w):
    node = w.settled()[1]
    log = DeafLog(w, node)
    try:
        log.fill()
        become_active(w, node)
        yield log
    finally:
        log.close()


def test_log_is_not_read(w, deaf_log):
    """It became active, carries calls, restarts a worker: all in silence."""
    pairs = w.establish(5) + w.establish(5, frm="cloud")
    was = w.settled()
    with nothing_happens(w):
        calls_go_on(w, 10)
        old = w.lab.pid_of(was[0], "sip")
        w.lab.kill(was[0], "sip")
        wait_for(lambda: w.lab.pid_of(was[0], "sip") not in (old, None), 5,
                 "a new SIP worker")
        calls_go_on(w, 3)
        assert deaf_log.waiting() > deaf_log.size - 128, "it is full"
    back_in_sync(w, was)
    w.hang_up(pairs)


# ---- the machine ---------------------------------------------------------


def worst(w, node):
    return w.lab.redundancy(node)["worst-last-hour"]


def test_busy_machine(w, tmp_path):
    """Processors, disk, forks, page faults: who is alive is heard in time."""
    pairs = w.establish(10) + w.establish(10, frm="cloud")
    was, before, old = w.settled(), standing(w), len(lapses(w))
    with Stress(tmp_path) as stress:
        end = time.monotonic() + BUSY_S
        while time.monotonic() < end:
            time.sleep(min(1, max(0, end - time.monotonic())))
            assert standing(w) == before
    done = stress.report()
    assert all(done.values()), done
    for node in NODES:
        print(f"{node}: {worst(w, node)}")
    print(f"{BUSY_S:.0f} s of {done}; media lost "
          f"{lost(w.media_totals())}")
    assert standing(w) == before
    assert len(lapses(w)) == old, lapses(w)
    assert w.settled(30) == was
    w.wait_media(pairs)
    fail_over(w, pairs)
    w.hang_up(pairs)


def test_busy_machine_and_a_crash(w, tmp_path):
    """The one thing that is to be noticed there."""
    pairs = w.establish(10) + w.establish(10, frm="cloud")
    with Stress(tmp_path):
        fail_over(w, pairs, limit_ms=CRASH_GAP_MS, listen_s=2)
    w.hang_up(pairs)


def test_worst_silence_is_told(w):
    """An administrator sees how long the peer was not heard."""
    _, standby = w.settled()
    pid = w.lab.pid_of(standby, "keeper")
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(0.5)
    finally:
        os.kill(pid, signal.SIGCONT)
    active = w.settled(30)[0]
    assert worst(w, active)["peer-silence-ms"] >= 450, worst(w, active)
    assert worst(w, standby)["main-loop-ms"] >= 450, worst(w, standby)
    out = w.lab.run(active, ["sbcctl", "show", "redundancy"]).stdout
    assert "peer-silence-ms" in out, out
