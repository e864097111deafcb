"""Fixtures of the lab tests.

A session of pytest works in a mount namespace of its own with its own /run:
it neither sees nor disturbs a lab that is already up on this machine. Should
pytest be killed, a watcher takes its lab down. SBC_BUILD names the build
directory (default build).
"""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "peers")]

CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000


def private_run():
    libc = ctypes.CDLL(None, use_errno=True)
    if (libc.unshare(CLONE_NEWNS) or
            libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) or
            libc.mount(b"tmpfs", b"/run", b"tmpfs", 0, b"mode=755")):
        err = ctypes.get_errno()
        raise pytest.UsageError(
            f"lab tests need root: private /run: {os.strerror(err)}")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than 30 s")
    private_run()
    os.environ["LAB_DIR"] = "/run/sbc-lab"
    config.lab_watcher = subprocess.Popen(
        ["sh", "-c", f"cat >/dev/null; exec '{HERE}/lab' down"],
        stdin=subprocess.PIPE, start_new_session=True)


def pytest_unconfigure(config):
    config.lab_watcher.stdin.close()
    config.lab_watcher.wait()


def make_world(tmp_path_factory, name, **up):
    import lab
    tmp = tmp_path_factory.mktemp(name)
    up.setdefault("timing", os.environ.get("SBC_TIMING", "fast"))
    return lab.World(tmp, **up)


def need_daemon():
    import lab
    assert lab.have_daemon(), \
        f"no sbcd in {lab.build_dir()}/bin: run make (or set SBC_BUILD)"


# One lab at a time: a test that wants one of its own ends the shared one.
SHARED = []


def close_shared():
    while SHARED:
        SHARED.pop().close()


@pytest.fixture(scope="module", autouse=True)
def shared_ends_with_its_module():
    yield
    close_shared()


@pytest.fixture
def bare(tmp_path_factory):
    """A fresh lab with corosync but without sbcd."""
    close_shared()
    w = make_world(tmp_path_factory, "bare", daemon=False)
    yield w
    w.close()


@pytest.fixture
def world(tmp_path_factory):
    """A fresh pair of nodes, one ACTIVE and one STANDBY in sync."""
    need_daemon()
    close_shared()
    w = make_world(tmp_path_factory, "world")
    yield w
    w.close()


@pytest.fixture
def shared_world(tmp_path_factory):
    """A pair of nodes for tests that leave it as they found it."""
    need_daemon()
    if not SHARED:
        SHARED.append(make_world(tmp_path_factory, "shared"))
    yield SHARED[0]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed or call.when == "teardown":
        return
    for name in ("world", "shared_world", "bare", "shared_tls", "office"):
        w = item.funcargs.get(name)
        w = getattr(w, "w", w)
        if w is None:
            continue
        for title, text in w.logs():
            report.sections.append((title, text))
