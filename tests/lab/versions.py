#!/usr/bin/python3
"""Other releases of sbcd, for pairs of which one node is older or newer.

previous   N-1: the commit that tests/wire/golden/PREVIOUS names, built in
           build/previous/COMMIT. A checkout without that history cannot.
newer      N+1: today's sources with tests/wire/newer.patch (one more field,
           one more kind of record), a higher version of frames and a version
           number of its own, built in build/newer
packaged, packaged_newer   today's and N+1 out of their Debian packages

usage: versions.py [previous|newer]...     what `make versions` runs
"""

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
PREVIOUS = REPO / "tests/wire/golden/PREVIOUS"
PATCH = REPO / "tests/wire/newer.patch"
BUILD = REPO / "build"
# What sbcd is made of.
PARTS = ["Makefile", "VERSION", "tests/targets.mk", "sbcd", "hasync", "netif"]
NEWER_VERSION = "99.0.0"


class NoHistory(Exception):
    """This checkout does not hold the commit, and need not."""


def run(argv, **kwargs):
    return subprocess.run(list(map(str, argv)), capture_output=True,
                          check=False, **kwargs)


def git(*args):
    # A checkout that belongs to somebody else (a container's) is fine.
    return run(["git", "-c", "safe.directory=*", "-C", REPO, *args])


def make(tree, *more):
    """sbcd (and more programs) in a tree, with flags of nobody else's."""
    env = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "WERROR", "SAN",
                        "B", "CFLAGS", "LDFLAGS", "CC")}
    res = run(["make", "-j2", "build/bin/sbcd", *more], cwd=tree, env=env)
    if res.returncode:
        raise RuntimeError(f"{tree}: make failed:\n" +
                           (res.stdout[-2000:] + res.stderr[-4000:]).decode())
    return tree / "build/bin/sbcd"


def previous_commit():
    lines = [ln for ln in PREVIOUS.read_text().splitlines()
             if ln and not ln.startswith("#")]
    if len(lines) != 1 or not re.fullmatch(r"[0-9a-f]{40}", lines[0]):
        raise RuntimeError(f"{PREVIOUS}: one full hash, not {lines}")
    return lines[0]


def why_no_history(commit):
    """Why the commit may be missing; where it may not, that is an error."""
    shallow = git("rev-parse", "--is-shallow-repository")
    if shallow.returncode:
        return "no git repository"
    if shallow.stdout.strip() == b"true":
        return "a shallow checkout"
    # The history begins where the file was written, or later.
    if not git("log", "-1", "--format=%P", "--", PREVIOUS).stdout.strip():
        return "a repository without that history"
    raise RuntimeError(f"{PREVIOUS} names {commit}, which is no commit of "
                       "this repository")


def previous():
    """Path of N-1's sbcd. NoHistory: see there."""
    commit = previous_commit()
    tree = BUILD / "previous" / commit[:12]
    if (tree / "build/bin/sbcd").exists():
        return tree / "build/bin/sbcd"
    if git("cat-file", "-e", commit + "^{commit}").returncode:
        raise NoHistory(f"{commit[:12]} (tests/wire/golden/PREVIOUS) is not "
                        f"here: {why_no_history(commit)}")
    new = tree.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    subprocess.run(["tar", "x", "-C", new], check=True,
                   input=git("archive", commit).stdout)
    make(new)
    shutil.rmtree(new / "build/obj")
    # Moved when it is whole; one of another commit is of no more use.
    for old in tree.parent.iterdir():
        if old != new:
            shutil.rmtree(old)
    new.rename(tree)
    return tree / "build/bin/sbcd"


def sources():
    for part in map(REPO.joinpath, PARTS):
        yield from [part] if part.is_file() else sorted(part.rglob("*.[ch]"))


def write_newer(tree):
    """Sources of the release to come."""
    for path in sources():
        to = tree / path.relative_to(REPO)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, to)
    res = run(["patch", "-p1", "-s", "-i", PATCH], cwd=tree)
    if res.returncode:
        raise RuntimeError(f"{PATCH} has to follow the sources:\n" +
                           res.stdout.decode())
    (tree / "VERSION").write_text(NEWER_VERSION + "\n")
    wire = tree / "hasync/wire.h"
    text, n = re.subn(r"(?<=\tHA_WIRE_VERSION = )\d+",
                      lambda m: str(int(m[0]) + 1), wire.read_text())
    if n != 1:
        raise RuntimeError("hasync/wire.h: where is HA_WIRE_VERSION?")
    wire.write_text(text)


def newer():
    """Path of N+1's sbcd. Only what has changed is built again."""
    tree, new = BUILD / "newer", BUILD / "newer.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    write_newer(new)
    keep = {p.relative_to(new) for p in new.rglob("*") if p.is_file()}
    if tree.exists():
        for path in [p for p in tree.rglob("*") if p.is_file()]:
            name = path.relative_to(tree)
            if name.parts[0] != "build" and name not in keep:
                path.unlink()
    for name in keep:
        to = tree / name
        if not to.exists() or to.read_bytes() != (new / name).read_bytes():
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(new / name, to)
    shutil.rmtree(new)
    return make(tree)


def package(build, version):
    """Path of the Debian package of what is built there."""
    res = run([REPO / "vm-images/deb/build.sh", build, version], cwd=REPO)
    if res.returncode:
        raise RuntimeError("deb: " + (res.stdout + res.stderr).decode())
    return Path(res.stdout.decode().strip())


def unpacked(build, version):
    to = Path(build) / "package"
    shutil.rmtree(to, ignore_errors=True)
    subprocess.run(["dpkg-deb", "-x", package(build, version), to],
                   check=True)
    return to / "usr/sbin/sbcd"


@functools.lru_cache(None)
def packaged():
    return unpacked(BUILD, (REPO / "VERSION").read_text().strip())


@functools.lru_cache(None)
def packaged_newer():
    make(newer().parents[2], "build/bin/sbcctl")
    return unpacked(BUILD / "newer/build", NEWER_VERSION)


def main():
    for name in sys.argv[1:] or ["previous", "newer"]:
        try:
            print(f"{name}: {globals()[name]()}", flush=True)
        except NoHistory as why:
            print(f"{name}: not built: {why}", flush=True)


if __name__ == "__main__":
    main()
