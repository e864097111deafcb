#!/usr/bin/env python3
"""Makes a machine busy: processors, disk, forks and page faults.

usage: stress.py [--seconds N] [--cpu N] [--io N] [--forks N] [--memory N]
                 [--dir DIR]

    with Stress(tmp) as stress:     the same from Python, until the block ends
        ...
    stress.report()                 {"cpu": rounds, "io": fsyncs, ...}

Processes are of normal priority: what must run in time has to see to it. By
default twice as many processor hogs as there are processors, two writers with
an fsync after each megabyte, one that forks and executes, one that maps, fills
and drops memory. All of them end with the process that started them.
"""
import argparse
import ctypes
import json
import mmap
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
KINDS = ("cpu", "io", "forks", "memory")
DEFAULTS = {"cpu": 2 * (os.cpu_count() or 1), "io": 2, "forks": 1,
            "memory": 1}
WRITE_MB, MEMORY_MB = 1, 64


def die_with(parent):
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def burn(_dir, _n):
    sum(range(200000))


def write_and_sync(directory, n):
    fd = os.open(directory / f"stress-{n}", os.O_WRONLY | os.O_CREAT, 0o600)
    os.pwrite(fd, os.urandom(WRITE_MB << 20), 0)
    os.fsync(fd)
    os.close(fd)


def fork_and_exec(_dir, _n):
    for pid in [os.posix_spawn("/bin/true", ["true"], {}) for _ in range(8)]:
        os.waitpid(pid, 0)


def fault_pages(_dir, _n):
    with mmap.mmap(-1, MEMORY_MB << 20) as m:
        for at in range(0, MEMORY_MB << 20, mmap.PAGESIZE):
            m[at] = 1


WORK = {"cpu": burn, "io": write_and_sync, "forks": fork_and_exec,
        "memory": fault_pages}


def worker(kind, n, directory, counters, parent):
    """Repeats its work and counts the rounds in the shared page."""
    die_with(parent)
    # Where the scheduler groups by session, each counts for itself.
    os.setsid()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    at = 8 * n
    while True:
        WORK[kind](directory, n)
        rounds = int.from_bytes(counters[at:at + 8], "little") + 1
        counters[at:at + 8] = rounds.to_bytes(8, "little")


def run(counts, seconds, directory):
    kinds = [k for k in KINDS for _ in range(counts[k])]
    counters = mmap.mmap(-1, max(8 * len(kinds), 1))
    parent, pids, over = os.getpid(), [], []
    signal.signal(signal.SIGTERM, lambda *_: over.append(True))
    signal.signal(signal.SIGINT, lambda *_: over.append(True))
    for n, kind in enumerate(kinds):
        pid = os.fork()
        if not pid:
            worker(kind, n, directory, counters, parent)
        pids.append(pid)
    print("ready", flush=True)
    end = time.monotonic() + seconds if seconds else None
    while not over and (end is None or time.monotonic() < end):
        time.sleep(0.1)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    done = dict.fromkeys(KINDS, 0)
    for n, kind in enumerate(kinds):
        done[kind] += int.from_bytes(counters[8 * n:8 * n + 8], "little")
        (directory / f"stress-{n}").unlink(missing_ok=True)
    print(json.dumps(done), flush=True)


class Stress:
    """The machine is busy from start() to stop(); also a context manager."""

    def __init__(self, directory, **counts):
        self.argv = [sys.executable, str(Path(__file__).resolve()),
                     "--dir", str(directory)]
        for kind, n in counts.items():
            self.argv += [f"--{kind}", str(n)]
        self.proc, self.done = None, {}

    def start(self):
        self.proc = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, text=True)
        if self.proc.stdout.readline().strip() != "ready":
            self.proc.wait()
            raise RuntimeError(f"{self.argv}: exit {self.proc.returncode}")
        return self

    def stop(self):
        """What was done, by kind; none of it may be 0."""
        if self.proc and self.proc.poll() is None:
            self.proc.terminate()
            out, _ = self.proc.communicate(timeout=60)
            self.done = json.loads(out)
        return self.done

    def report(self):
        return self.done

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--seconds", type=float, default=0, help="0: SIGTERM")
    ap.add_argument("--dir", type=Path, default=Path("/tmp"))
    for kind in KINDS:
        ap.add_argument(f"--{kind}", type=int, default=DEFAULTS[kind])
    args = ap.parse_args()
    die_with(os.getppid())
    run({k: getattr(args, k) for k in KINDS}, args.seconds, args.dir)


if __name__ == "__main__":
    main()
