"""Seed images for the first boot: what is in them fits the programs."""

import base64
import json
import os
import shutil
import subprocess

import pytest
import yaml

from lab import REPO, build_dir

MAKE = REPO / "vm-images/seed/make-seed"
EXAMPLE = REPO / "vm-images/seed/example.yaml"


def run(*argv):
    return subprocess.run(list(map(str, argv)), capture_output=True,
                          text=True, check=False, timeout=60)


@pytest.fixture
def data():
    d = yaml.safe_load(EXAMPLE.read_text())
    d["sbcd-conf"] = str(REPO / "conf/sbcd.conf.example")
    return d


def make(tmp_path, data):
    path = tmp_path / "pair.json"    # JSON is YAML
    path.write_text(json.dumps(data))
    return run(MAKE, path, tmp_path / "out")


def written(tmp_path, node):
    """{path: (mode, bytes)} that the image of a node lets be written."""
    to = tmp_path / f"iso-{node}"
    iso = tmp_path / f"out/seed-{node}.iso"
    assert iso.stat().st_mode & 0o777 == 0o600
    res = run("xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/", to)
    assert res.returncode == 0, res
    assert "cidata" in res.stderr    # the label cloud-init looks for
    text = (to / "user-data").read_text()
    assert text.startswith("#cloud-config\n")
    assert node in yaml.safe_load((to / "meta-data").read_text())["instance-id"]
    config = yaml.safe_load(text)
    assert config["hostname"] == node and config["ssh_pwauth"] is False
    assert all(u["lock_passwd"] and u["ssh_authorized_keys"]
               for u in config["users"])
    return {f["path"]: (int(f["permissions"], 8),
                        base64.b64decode(f["content"]))
            for f in config["write_files"]}


def unfold(files, root):
    """As the first boot would, but below `root`."""
    for path, (mode, content) in files.items():
        to = root / path.lstrip("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        if path.endswith(".conf"):
            for place in ("/etc/sbcd", "/etc/corosync"):
                content = content.replace(f'{place}/'.encode(),
                                          f"{root}{place}/".encode())
        to.write_bytes(content)
        to.chmod(mode)


def test_both_nodes(tmp_path, data):
    res = make(tmp_path, data)
    assert res.returncode == 0, res
    seeds = {n: written(tmp_path, n) for n in ("sbc-a", "sbc-b")}
    for node, files in seeds.items():
        root = tmp_path / node
        unfold(files, root)
        res = run(build_dir() / "bin/sbcctl", "config", "check",
                  root / "etc/sbcd/sbcd.conf", root / "etc/sbcd/node.conf")
        assert res.returncode == 0, res
        # It has to find itself among the nodes.
        res = run("unshare", "-n", "-u", "sh", "-c",
                  f"hostname {node} && ip link set lo up && for i in 1 2; do "
                  f"ip addr add 10.99.$i.{'12'[node[-1] == 'b']}/24 dev lo; "
                  'done; exec corosync -t -f -c "$0"',
                  root / "etc/corosync/corosync.conf")
        assert res.returncode == 0, res
        assert files["/etc/corosync/authkey"][0] == 0o400
        assert files["/etc/sbcd/cluster.key"][0] == 0o600
        for nic in ("mgmt", "ha1", "ha2", "core", "cloud"):
            link = files[f"/etc/systemd/network/10-{nic}.link"][1].decode()
            assert f"Name={nic}\n" in link and "PermanentMACAddress=" in link
    a, b = seeds.values()
    same = {p for p in a if a[p] == b[p]}
    assert same == {"/etc/corosync/corosync.conf", "/etc/corosync/authkey",
                    "/etc/sbcd/cluster.key", "/etc/sbcd/sbcd.conf"} | {
        f"/etc/systemd/network/20-{n}.network" for n in ("core", "cloud")}
    # A node that is installed anew gets the same secrets.
    shutil.rmtree(tmp_path / "iso-sbc-a")
    os.unlink(tmp_path / "out/seed-sbc-a.iso")
    assert make(tmp_path, data).returncode == 0
    assert written(tmp_path, "sbc-a") == a


def mistake(change, said):
    return pytest.param(change, said, id=said.split(":")[0])


@pytest.mark.parametrize("change, said", [
    mistake(lambda d: d.pop("nodes"), "nodes: two nodes"),
    mistake(lambda d: d["nodes"].pop(), "nodes: two of them"),
    mistake(lambda d: d.update(password="x"), "file.password: unknown"),
    mistake(lambda d: d["cluster"].update(timing="quick"), "cluster.timing: "),
    mistake(lambda d: d["cluster"].update(name="a b"), "cluster.name: a name"),
    mistake(lambda d: d.update({"sbcd-conf": "none.conf"}), "sbcd-conf: "),
    mistake(lambda d: d.update({"admin-keys": ["x"]}), "admin-keys[0]: "),
    mistake(lambda d: d.update(files={"/etc/shadow": "x"}), "files: a path"),
    mistake(lambda d: d["nodes"][1].update(name="sbc-a"), "nodes: both"),
    mistake(lambda d: d["nodes"][0]["ha"].pop(), "nodes[0].ha: two HA"),
    mistake(lambda d: d["nodes"][1]["ha"][0].update(address="10.9.9.9/24"),
            "nodes: ha[0]: two"),
    mistake(lambda d: d["nodes"][0]["ha"][0].update(address="10.99.1.1"),
            "nodes[0].ha[0].address: an address"),
    mistake(lambda d: d["nodes"][0]["services"].update(core="1:2"),
            "nodes[0].services.core: the NIC's MAC"),
    mistake(lambda d: d["nodes"][0]["services"].update(
        core="01:50:56:00:00:01"), "nodes[0].services.core: the NIC's"),
    mistake(lambda d: d["nodes"][1]["services"].update(
        core="00:50:56:00:0a:03"), "sbc-b.core: MAC"),
    mistake(lambda d: [n["services"].update(wan=f"00:50:56:00:0{n['name'][-1]}"
                                            ":05") for n in d["nodes"]],
            "nodes[0].services.wan: sbcd-conf has no"),
])
def test_mistakes_are_named(tmp_path, data, change, said):
    change(data)
    res = make(tmp_path, data)
    assert res.returncode == 1, res
    assert said in res.stderr, res.stderr
    assert not list(tmp_path.glob("out/*.iso"))
