"""The lab and its instruments, without the product."""

import json
import time

import pytest

from lab import HOSTS, NODES, VIP, LabError, make_router, wait_for

A, B = "10.10.0.50", "10.20.0.50"


def start_streams(world, n):
    core, cloud = world.rtptool("core"), world.rtptool("cloud")
    core.cmd("add", streams=[
        {"id": i, "addr": A, "port": 30000 + 2 * i, "remote": B,
         "remote_port": 34000 + 2 * i, "expect": 1000 + i}
        for i in range(n)])
    cloud.cmd("add", streams=[
        {"id": 1000 + i, "addr": B, "port": 34000 + 2 * i,
         "symmetric": True} for i in range(n)])
    wait_for(lambda: all(
        m.report(streams=False)["total"]["streams_never_heard"] == 0
        for m in (core, cloud)), 5, "all streams are heard")
    return core, cloud


def total(media):
    return media.report(streams=False)["total"]


def test_topology(bare):
    env = json.loads(json.dumps(bare.lab.env()))
    assert set(env["hosts"]) == {"sbc-a", "sbc-b", "sbc-core", "sbc-cloud",
                                 "sbc-w"}
    for host, info in HOSTS.items():
        links = json.loads(bare.lab.run(host, ["ip", "-j", "addr"]).stdout)
        links = {link["ifname"]: link for link in links}
        assert set(links) == {"lo", *info["ports"]}
        for nic, port in info["ports"].items():
            have = {f"{a['local']}/{a['prefixlen']}"
                    for a in links[nic]["addr_info"]
                    if a["scope"] == "global"}
            assert have == set(port["addr"]), (host, nic)
            assert links[nic]["address"] == port["mac"]
    for host, gw in (("sbc-core", "10.10.0.1"), ("sbc-cloud", "fd00:20::1")):
        bare.lab.run(host, ["ping", "-c1", "-W1", gw])


def test_nodes_have_their_own_files(bare):
    keys = [bare.lab.run(n, ["cat", "/etc/sbcd/cluster.key"]).stdout
            for n in NODES]
    assert keys[0] == keys[1] and len(keys[0].strip()) == 64
    mode = bare.lab.run("sbc-a", ["stat", "-c", "%a",
                                  "/etc/sbcd/cluster.key"]).stdout
    assert mode.strip() == "600"
    confs = [bare.lab.run(n, ["cat", "/etc/sbcd/node.conf"]).stdout
             for n in NODES]
    assert "10.99.1.1" in confs[0] and "10.99.2.2" in confs[1]
    bare.lab.run("sbc-a", ["touch", "/run/mine", "/var/lib/sbcd/kept"])
    for path in ("/run/mine", "/var/lib/sbcd/kept"):
        assert bare.lab.run("sbc-b", ["test", "-e", path],
                            check=False).returncode


def test_membership_and_cold_boot(bare):
    lab = bare.lab
    assert lab.members("sbc-a") == lab.members("sbc-b") == [1, 2]
    lab.run("sbc-b", ["touch", "/run/lost", "/var/lib/sbcd/kept"])
    lab.run("sbc-b", ["ip", "link", "set", "core", "address",
                      "02:00:00:00:00:99"])
    lab.kill("sbc-b", "power")
    wait_for(lambda: lab.members("sbc-a") == [1], 5, "b is gone")
    with pytest.raises(LabError, match="no power"):
        lab.run("sbc-b", ["true"])
    lab.start("sbc-b")
    wait_for(lambda: lab.members("sbc-a") == [1, 2], 5, "b is back")
    lab.run("sbc-b", ["test", "!", "-e", "/run/lost"])
    lab.run("sbc-b", ["test", "-e", "/var/lib/sbcd/kept"])
    link = json.loads(lab.run("sbc-b", ["ip", "-j", "link", "show",
                                        "core"]).stdout)[0]
    assert link["address"] == HOSTS["sbc-b"]["ports"]["core"]["mac"]


def test_power_loss_is_silent(bare):
    """The switch sees no frame of a dead node, not even a reset."""
    lab = bare.lab
    lab.run("sbc-a", ["ip", "link", "set", "core", "address",
                      VIP["core"]["mac"]])
    lab.run("sbc-a", ["ip", "addr", "add", "10.10.0.10/24", "dev", "core"])
    watch = bare.observer()
    lab.run("sbc-core", ["ping", "-c1", "-W1", "10.10.0.10"])
    died = lab.kill("sbc-a", "power")
    assert lab.run("sbc-core", ["ping", "-c2", "-i0.2", "-W1", "10.10.0.10"],
                   check=False).returncode
    seen = watch.report()["macs"][VIP["core"]["mac"]]["ports"]["a-core"]
    assert seen["ipv4"] >= 1 and seen["arp"] >= 1
    assert seen["last_ns"] < died["t_end_ns"]


def test_cut_and_heal(bare):
    lab = bare.lab
    ping = ["ping", "-c1", "-W1", "10.99.1.2"]
    lab.run("sbc-a", ping)
    lab.cut("sbc-a:ha1")
    assert lab.run("sbc-a", ping, check=False).returncode
    time_of_cut = time.monotonic()
    while time.monotonic() < time_of_cut + 1:
        assert lab.members("sbc-b") == [1, 2], "one link is enough"
        time.sleep(0.1)
    lab.cut("sbc-a:ha2")
    wait_for(lambda: lab.members("sbc-b") == [2], 5, "split")
    lab.heal("sbc-a")
    wait_for(lambda: lab.members("sbc-b") == [1, 2], 10, "merge")
    lab.run("sbc-a", ping)
    with pytest.raises(LabError, match="not cut"):
        lab.heal("sbc-a:ha1")
    lab.cut("sbc-b:core:carrier")
    link = json.loads(lab.run("sbc-b", ["ip", "-j", "link", "show",
                                        "core"]).stdout)[0]
    assert "NO-CARRIER" in link["flags"]
    lab.heal("all")
    assert lab.env()["cuts"] == []


def test_cut_of_one_direction(bare):
    """out: what the node sends is lost; in: what it should hear is."""
    lab = bare.lab
    make_router(bare)
    core, cloud = start_streams(bare, 4)
    lab.cut("sbc-cloud:cloud:in")
    wait_for(lambda: total(cloud)["streams_silent"] == 4, 3, "cloud is deaf")
    assert total(core)["streams_silent"] == 0
    lab.heal("sbc-cloud:cloud:in")
    lab.cut("sbc-cloud:cloud:out")
    wait_for(lambda: total(core)["streams_silent"] == 4, 3, "core is deaf")
    wait_for(lambda: total(cloud)["streams_silent"] == 0, 3, "cloud hears")


def test_rtptool_sees_no_fault_where_there_is_none(bare):
    make_router(bare)
    core, cloud = start_streams(bare, 50)
    core.reset()
    cloud.reset()
    wait_for(lambda: min(total(m)["expected"] for m in (core, cloud)) > 5000,
             10, "5000 packets each way")
    for t in (total(core), total(cloud)):
        assert t["lost"] == t["duplicates"] == t["foreign"] == 0
        assert t["source_changes"] == 0
        assert 15 < t["longest_gap"]["ms"] < 60
    wait_for(lambda: total(core)["rtcp_received"] >= 50, 5, "RTCP")


def test_rtptool_measures_a_gap(bare):
    make_router(bare)
    core, cloud = start_streams(bare, 20)
    core.reset()
    cloud.reset()
    cut = bare.lab.cut("sbc-a:core:out")
    wait_for(lambda: total(core)["streams_silent"] == 20, 3, "silence")
    heal = bare.lab.heal("sbc-a:core:out")
    wait_for(lambda: total(core)["streams_silent"] == 0, 3, "media again")
    report = core.report()
    hole = (heal["t_ns"] - cut["t_ns"]) / 1e6
    worst = report["total"]["longest_gap"]
    assert hole - 60 < worst["ms"] < hole + 40, (hole, worst)
    for s in report["streams"]:
        gap = s["rx"]["longest_gap"]
        assert cut["t_ns"] - 25e6 < gap["from_ns"] < cut["t_end_ns"]
        assert abs(gap["lost"] - gap["ms"] / 20) <= 1.5, gap
        assert s["rx"]["lost"] == gap["lost"]
        assert s["rx"]["gap_count"] == 1
    assert total(cloud)["lost"] == 0, "only one direction was cut"


def test_rtptool_measures_loss(bare):
    make_router(bare)
    core, cloud = start_streams(bare, 50)
    bare.lab.cut("sbc-core:core:loss=10")
    core.reset()
    cloud.reset()
    wait_for(lambda: min(total(m)["expected"] for m in (core, cloud)) > 5000,
             10, "5000 packets each way")
    for t in (total(core), total(cloud)):
        assert 0.07 < t["lost"] / t["expected"] < 0.13, t
        assert t["packets"] == t["expected"] - t["lost"]


def test_rtptool_tells_crosstalk_and_a_paused_sender(bare):
    make_router(bare)
    core, cloud = start_streams(bare, 2)
    cloud.cmd("set", id=1000, remote=A, remote_port=30002, symmetric=False)
    wait_for(lambda: total(core)["foreign"] > 5, 5, "crosstalk is seen")
    core.reset()
    cloud.cmd("set", id=1001, send=False)
    wait_for(lambda: total(core)["streams_silent"] == 2, 5, "hold")
    cloud.cmd("set", id=1001, send=True)
    wait_for(lambda: total(core)["streams_silent"] == 1, 5, "resume")
    stream = [s for s in core.report()["streams"] if s["id"] == 1][0]
    assert stream["rx"]["sender_pause_ms"] > 100
    assert stream["rx"]["longest_gap"]["ms"] < 60


def test_observer_sees_two_owners(bare):
    lab, mac = bare.lab, VIP["cloud"]["mac"]
    for node, addr in zip(NODES, ("10.20.0.11", "10.20.0.12")):
        # Its own solicitations would come on top of what we send.
        lab.run(node, ["sysctl", "-qw",
                       "net.ipv6.conf.cloud.disable_ipv6=1"])
        lab.run(node, ["ip", "link", "set", "cloud", "address", mac])
        lab.run(node, ["ip", "addr", "add", f"{addr}/24", "dev", "cloud"])
    watch = bare.observer(window_ms=1000)

    def talk(node, count):
        lab.run(node, ["ping", "-q", "-c", count, "-i", "0.01", "-W", "0.1",
                       B], check=False)

    def quiet(port):
        wait_for(lambda: time.monotonic_ns() -
                 watch.report()["macs"][mac]["ports"][port]["last_ns"] >
                 1100e6, 5, f"{port} is silent for longer than the window")
    talk("sbc-a", 5)
    quiet("a-cloud")
    talk("sbc-b", 5)
    seen = watch.report()["macs"][mac]
    assert seen["owner"] == "b-cloud"
    assert [c["to"] for c in seen["changes"]] == ["a-cloud", "b-cloud"]
    assert seen["double_active_ms"] == 0
    quiet("b-cloud")
    talk("sbc-a", 3)
    seen = watch.report()["macs"][mac]
    assert seen["double_active_ms"] == 0, "a fail-back is no double owner"
    talk("sbc-b", 3)
    talk("sbc-a", 3)
    seen = watch.report()["macs"][mac]
    assert seen["double_active_count"] >= 1
    assert seen["double_active_ms"] > 0


def test_observer_sees_two_owners_of_an_address(bare):
    """Whatever their MACs: by the packets' source, and by what ARP says."""
    lab, mine = bare.lab, "10.20.0.10"
    for node in NODES:
        lab.run(node, ["ip", "addr", "add", f"{mine}/24", "dev", "cloud"])
    # Nobody asks for anybody before we want it.
    for here, there, addr in (("sbc-a", "sbc-cloud", B),
                              ("sbc-cloud", "sbc-a", mine)):
        lab.run(here, ["ip", "neigh", "add", addr, "dev", "cloud", "lladdr",
                       HOSTS[there]["ports"]["cloud"]["mac"]])
    watch = bare.observer(window_ms=60000, addresses=(mine, "10.20.0.11"))

    def seen():
        return watch.report()["addresses"][mine]

    def frames(kind):
        return {port: p[kind] for port, p in seen()["ports"].items()}
    ping = ["ping", "-q", "-c", "2", "-i", "0.01", "-W", "0.1", B]
    lab.run("sbc-a", ping, check=False)
    assert frames("ipv4") == {"a-cloud": 2}
    assert seen()["double_active_ms"] == 0
    ask = (b"\xff" * 6 + bytes.fromhex("525400001099") + b"\x08\x06\0\x01"
           b"\x08\0\x06\x04\0\x01" + bytes.fromhex("525400001099") +
           bytes((10, 20, 0, 99)) + bytes(6) + bytes((10, 20, 0, 10)))
    asker = bare.tool("sbc-cloud", ["vmport", "--flood", "cloud", "--rate",
                                    20, "--frame", ask.hex()], "asker")
    wait_for(lambda: min(frames("arp").get(p, 0) for p in
                         ("a-cloud", "b-cloud")) >= 3, 10, "both answer ARP")
    asker.stop()
    report = seen()
    assert report["double_active_ms"] > 0
    changes = report["changes"]
    assert [c["to"] for c in changes[:2]] == ["a-cloud", "b-cloud"]
    assert len(changes) == report["changes_count"] <= 1024
    assert sum(c["frames"] for c in changes) == sum(
        p["frames"] for p in report["ports"].values())
    assert watch.report()["addresses"]["10.20.0.11"]["ports"] == {}
