"""What a node of the lab has that outlives its power, and can be put wrong: a
disk for call detail records that is full, a wall clock that is off, another
version of sbcd."""

import os
import subprocess

CDR_DISK = "256m"


def _mount(argv):
    subprocess.run(argv, check=True, capture_output=True, timeout=30)


class Tamper:
    """Methods of netlab.Lab."""

    def _make_disks(self, node):
        """What survives a node's power loss, and can be tampered with."""
        d = self.node_dir(node)
        if self.state["cdr-disk"]:
            (d / "var-lib-sbcd/cdr").mkdir(parents=True)
            _mount(["mount", "-t", "tmpfs", "-o", f"size={CDR_DISK}",
                    "tmpfs", d / "var-lib-sbcd/cdr"])
        if self.state["clocks"]:
            (d / "etc-sbcd").mkdir(parents=True, exist_ok=True)
            (d / "etc-sbcd/wallclock").write_bytes(bytes(4096))

    def sbcd_argv(self, node):
        ours = self.build / self.state["sbcd"]
        argv = [self.state["binaries"].get(node) or ours, "--config",
                "/etc/sbcd/sbcd.conf", "--node", "/etc/sbcd/node.conf"]
        if self.state["clocks"]:
            argv = ["env", "WALLCLOCK_FILE=/etc/sbcd/wallclock",
                    f"LD_PRELOAD={self.build}/lib/wallclock.so", *argv]
        return argv

    def set_binary(self, node, path=None):
        """What a node runs from its next start on; None: this build's."""
        self._check_node(node)
        with self.locked():
            self.state["binaries"][node] = path and os.path.abspath(path)

    def fill_cdr_disk(self, node):
        """Not one byte more fits onto the node's disk for CDRs."""
        disk = self.node_dir(node) / "var-lib-sbcd/cdr"
        page = os.statvfs(disk).f_frsize
        (disk / "filler").write_bytes(bytes(page))
        for _ in range(50):
            stat = os.statvfs(disk)
            used = (stat.f_blocks - stat.f_bfree) * page
            try:
                _mount(["mount", "-o", f"remount,size={used}", disk])
                return
            except subprocess.CalledProcessError:
                pass  # the node wrote something in between
        raise OSError(f"{disk} does not get full")

    def free_cdr_disk(self, node):
        disk = self.node_dir(node) / "var-lib-sbcd/cdr"
        _mount(["mount", "-o", f"remount,size={CDR_DISK}", disk])
        (disk / "filler").unlink(missing_ok=True)

    def set_clock(self, node, seconds):
        """Put the node's wall clock that far off the true time."""
        if not self.state["clocks"]:
            raise ValueError("this lab was not brought up with clocks")
        with open(self.node_dir(node) / "etc-sbcd/wallclock", "r+b") as f:
            f.write(seconds.to_bytes(8, "little", signed=True))

    def _remove_disks(self, node):
        disk = self.node_dir(node) / "var-lib-sbcd/cdr"
        if disk.is_mount():
            _mount(["umount", disk])
