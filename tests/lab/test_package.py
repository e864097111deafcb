"""The Debian package: what it installs, how it is upgraded, what is left.

It is installed for real, in a copy of this machine's root that lives in memory
(overlayfs), so that every file it leaves behind can be counted.
"""

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import versions
from lab import build_dir

VERSION = (versions.REPO / "VERSION").read_text().strip()
NEXT = VERSION + "+1"
# What dpkg, and the programs that keep users, write for every package.
OTHERS = re.compile(r"var/(lib/dpkg|log|cache|lib/systemd)/|tmp/|run/|"
                    r"etc/(\.pwd\.lock|ld\.so\.cache|"
                    r"(passwd|group|shadow|gshadow|subuid|subgid)-)")
MOUNTS = """
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1"/upper "$1"/work "$1"/root
mount -t overlay overlay "$1"/root \
    -o lowerdir=/,upperdir="$1"/upper,workdir="$1"/work
mount -t proc proc "$1"/root/proc
mount -t tmpfs tmpfs "$1"/root/run
mount --bind /dev "$1"/root/dev
echo ready
exec cat
"""


class Root:
    """A copy of this machine's root, gone when it is closed."""

    def __init__(self, where):
        self.where = Path(where)
        self.holder = subprocess.Popen(
            ["unshare", "-m", "bash", "-c", MOUNTS, "mounts", where],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"ready\n"

    def close(self):
        self.holder.stdin.close()
        self.holder.wait(10)
        self.holder.stdout.close()

    def inside(self, *argv):
        return ["nsenter", "-m", "-t", str(self.holder.pid), *argv]

    def run(self, *argv, check=True):
        res = subprocess.run(
            self.inside("chroot", self.where / "root", *argv),
            capture_output=True, text=True, check=False, timeout=120)
        assert not check or not res.returncode, (argv, res)
        return res

    def give(self, path, name):
        subprocess.run(self.inside("sh", "-c", 'cat >"$0"',
                                   self.where / "root" / name),
                       input=Path(path).read_bytes(), check=True)

    def read(self, name):
        return self.run("cat", "/" + name).stdout

    def changed(self):
        """Files that are not as they were, but for those of OTHERS. What a
        lower layer had and is gone stands there as a device."""
        names = subprocess.run(
            self.inside("find", self.where / "upper", "-type", "f,l",
                        "-printf", "%P\\n"),
            capture_output=True, text=True, check=True).stdout.split()
        return {n for n in names if not OTHERS.match(n) and
                not self.is_as_it_was(n)}

    def is_as_it_was(self, name):
        before = Path("/", name)
        return before.is_file() and before.read_text(errors="replace") == \
            self.read(name)

    def install(self, path):
        self.give(path, "tmp/sbcd.deb")
        # A container's dpkg may leave documentation out.
        return self.run("dpkg", "--path-include=/usr/share/*", "-i",
                        "/tmp/sbcd.deb").stdout


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """{version: path}"""
    to = tmp_path_factory.mktemp("deb")
    return {v: shutil.copy(versions.package(build_dir(), v), to)
            for v in (VERSION, NEXT)}


@pytest.fixture
def root(tmp_path):
    if subprocess.run(["dpkg-query", "-W", "sbcd"], check=False,
                      capture_output=True).returncode == 0:
        pytest.fail("sbcd is installed on this machine")
    r = Root(tmp_path)
    try:
        yield r
    finally:
        r.close()


def test_same_bytes(packages, tmp_path):
    """From the same programs, wherever they are."""
    (tmp_path / "bin").mkdir()
    for name in ("sbcd", "sbcctl"):
        shutil.copy(build_dir() / "bin" / name, tmp_path / "bin")
    again = versions.package(tmp_path, VERSION)
    assert again.read_bytes() == Path(packages[VERSION]).read_bytes()


def test_install_upgrade_purge(root, packages):
    root.install(packages[VERSION])
    assert root.run("/usr/sbin/sbcd", "--version").stdout.split()[-1] == \
        VERSION
    assert "nologin" in root.run("getent", "passwd", "sbcd").stdout
    # All of it works from where it is.
    for unit in ("sbcd", "sbcd-firewall"):
        res = root.run("systemd-analyze", "verify",
                       f"/lib/systemd/system/{unit}.service", check=False)
        assert f"{unit}.service" not in res.stderr, res.stderr
    check_examples(root)
    # The administrator's files, and those of a node that ran.
    files = ["etc/sbcd/sbcd.conf", "etc/sbcd/cluster.key",
             "var/lib/sbcd/epoch", "var/log/sbcd/cdr.jsonl"]
    for name in files:
        root.run("mkdir", "-p", "/" + str(Path(name).parent))
        root.give("/etc/hostname", name)
    before = root.read("etc/sbcd/sbcd.conf")
    said = root.install(packages[NEXT])
    assert f"({NEXT}) over ({VERSION})" in said, said
    assert root.read("etc/sbcd/sbcd.conf") == before
    # Removed: what it has written stays. Purged: nothing does.
    root.run("dpkg", "-r", "sbcd")
    assert root.run("test", "-e", "/usr/sbin/sbcd", check=False).returncode
    assert all(root.read(name) for name in files)
    root.run("dpkg", "-P", "sbcd")
    assert not root.changed()


def check_examples(root):
    at = "/usr/share/doc/sbcd/examples"
    root.run("sh", "-c", "openssl rand -hex 32 >/etc/sbcd/cluster.key && "
             "chmod 0600 /etc/sbcd/cluster.key")
    root.run("sbcctl", "config", "check", f"{at}/sbcd.conf.example",
             f"{at}/node.conf.example")
    root.run("rm", "/etc/sbcd/cluster.key")


def page(packages, tmp_path, name):
    subprocess.run(["dpkg-deb", "-x", packages[VERSION], tmp_path / "x"],
                   check=True)
    path = next((tmp_path / "x").rglob(name + ".gz"))
    res = subprocess.run(["man", "--warnings", "-l", path],
                         capture_output=True, text=True, check=True,
                         env={"LC_ALL": "C.UTF-8", "MANWIDTH": "200",
                              "PATH": "/usr/bin:/bin"})
    assert not res.stderr, res.stderr
    # Readers of plain text look for it as it is written.
    assert "@" + "VERSION@" not in gzip.decompress(path.read_bytes()).decode()
    return res.stdout


@pytest.mark.parametrize("name, program, arg", [
    ("sbcd.8", None, None), ("sbcctl.8", "sbcctl", "--help"),
    ("sbcd.conf.5", "sbcd", "--print-defaults")])
def test_manual_pages(packages, tmp_path, name, program, arg):
    """They are clean, and say what the program itself does."""
    text = " ".join(page(packages, tmp_path, name).split())
    assert "SEE ALSO" in text
    if not program:
        return
    said = subprocess.run([build_dir() / "bin" / program, arg],
                          capture_output=True, text=True,
                          check=True).stdout.split()
    missing = [w for w in said if w not in text]
    assert len(said) > 100 and not missing, missing


def complete(*words):
    script = (f". {versions.REPO}/conf/completion/sbcctl; COMP_WORDS=(\"$@\"); "
              "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _sbcctl; "
              'printf "%s\\n" "${COMPREPLY[@]}"')
    res = subprocess.run(["bash", "-c", script, "x", "sbcctl", *words],
                         capture_output=True, text=True, check=True)
    return set(res.stdout.split())


def test_completion_knows_every_command():
    text = subprocess.run([build_dir() / "bin/sbcctl", "--help"],
                          capture_output=True, text=True,
                          check=True).stdout.split("-s, --socket")[0]
    tree = {}
    for first, second in re.findall(
            r"^  ([a-z]+)(?: ([a-z]+)(?=  | [A-Z[]|\|))?", text, re.M):
        tree.setdefault(first, set()).update({second} - {""})
    tree["maintenance"] = {"on", "off"}
    assert complete("") == set(tree)
    for word, more in tree.items():
        if more:
            assert complete(word, "") == more, word
    assert complete("-o", "json", "show", "red") == {"redundancy"}
