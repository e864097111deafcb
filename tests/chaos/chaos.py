#!/usr/bin/python3
"""chaos: a pair under load while one thing after the other breaks.

usage: chaos.py [--seconds N] [--seed N] [--build DIR] [--only KIND,...]
                [--skip KIND,...] [--without LOAD,...] [--scale X]
                [--allow-sipp PERCENT] [--witness|--no-witness] [--list]

Prints each fault as it happens, every violation of an invariant with its
time and the nodes' logs, and a scoreboard; the last line is "N passed, N
failed" over the invariants. Exit code 1 when one failed. The same seed breaks
the same things in the same order. Everything written goes to
BUILD/chaos/SEED/. README in this directory has the fault model.
"""

import argparse
import itertools
import os
import random
import signal
import shutil
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lab")]

import faults  # noqa: E402

REDUNDANT_S = 60
HEAL_MS = 100  # two owners after a cut, at most


def parse_args():
    ap = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--seconds", type=int, default=120)
    ap.add_argument("--seed", default="1")
    ap.add_argument("--build", default="build")
    ap.add_argument("--only", default="", help="kinds of faults, by comma")
    ap.add_argument("--skip", default="")
    ap.add_argument("--without", default="",
                    help="kinds of SIPp's calls to leave out, by comma")
    ap.add_argument("--scale", type=float, default=1.0,
                    help="more or fewer calls")
    ap.add_argument("--allow-sipp", type=float, default=0, metavar="PERCENT",
                    help="complaints of SIPp that are no failure")
    ap.add_argument("--witness", action=argparse.BooleanOptionalAction,
                    help="with or without qnetd; the seed decides")
    ap.add_argument("--list", action="store_true",
                    help="print kinds of faults and the first of this seed")
    args = ap.parse_args()
    if args.witness is None:
        args.witness = with_witness(args.seed)
    return args


def with_witness(seed):
    return random.Random(f"witness {seed}").random() < 2 / 3


def private_run():
    """A /run of our own: other labs on this machine are not disturbed."""
    if os.environ.get("CHAOS_PRIVATE"):
        return
    os.environ["CHAOS_PRIVATE"] = "1"
    os.execvp("unshare", [
        "unshare", "-m", "--propagation", "private", "sh", "-c",
        'mount -t tmpfs tmpfs /run && exec "$@"', "sh", sys.executable,
        *sys.argv])


class LabTarget:
    """Carries out the steps of a fault in the namespace lab."""

    def __init__(self, world):
        self.w, self.lab = world, world.lab
        self.witness = "sbc-w"
        self.roles, self.frozen = {}, []

    def begin(self, active, standby):
        self.roles = {"active": active, "standby": standby,
                      "witness": self.witness}

    def do(self, step):
        getattr(self, "do_" + step[0])(*step[1:])

    def do_wait(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(left)

    def do_kill(self, role, what):
        from lab import LabError
        try:
            self.lab.kill(self.roles[role], what)
        except LabError as err:
            # A worker may be dead already by an earlier step.
            print(f"            {err}", flush=True)

    def do_power(self, role):
        self.lab.kill(self.roles[role], "power")

    def do_boot(self, role, nowait=None):
        self.lab.start(self.roles[role], wait=not nowait)

    def do_start(self, role):
        self.lab.start(self.roles[role])

    def do_stop(self, role):
        self.lab.stop(self.roles[role], "keeper")

    def do_freeze(self, role, what, seconds):
        node = self.roles[role]
        if what == "node":
            pids = self.lab.pids_of(node)
        elif what == "sbcd":
            pids = [self.lab.pid_of(node, w) for w in
                    ("keeper", "guard", "sip", "media")]
        else:
            pids = [self.lab.pid_of(node, what)]
        for pid in pids:
            self._signal(pid, signal.SIGSTOP)
        self.frozen = pids
        self.do_wait(seconds)
        self.thaw()

    @staticmethod
    def _signal(pid, sig):
        try:
            os.kill(pid, sig)
        except (ProcessLookupError, TypeError):
            pass

    def thaw(self):
        for pid in self.frozen:
            self._signal(pid, signal.SIGCONT)
        self.frozen = []

    def do_cut(self, role, nic, kind):
        word = f"{self.roles[role]}:{'' if nic == 'all' else nic}"
        self.lab.cut(word if kind == "both" else f"{word}:{kind}")

    def do_heal(self):
        self.lab.heal("all")

    def do_switchover(self):
        self.lab.switchover()

    def do_fill(self, role):
        self.lab.fill_cdr_disk(self.roles[role])

    def do_free(self, role):
        self.lab.free_cdr_disk(self.roles[role])

    def do_clock(self, role, seconds):
        self.lab.set_clock(self.roles[role], seconds)

    def restore(self):
        """Nothing that a fault has broken stays broken."""
        self.thaw()
        self.lab.heal("all")
        for node in (self.roles["active"], self.roles["standby"]):
            self.lab.free_cdr_disk(node)
            self.lab.set_clock(node, 0)
            self.lab.start(node)
        self.lab.start(self.witness)


class Run:
    def __init__(self, args):
        import lab
        import load
        import watch
        for kind in filter(None, args.without.split(",")):
            del load.SIPP_KINDS[kind]
        self.args, self.lab, self.watch = args, lab, watch
        os.environ["SBC_BUILD"] = args.build
        self.dir = lab.REPO / args.build / "chaos" / str(args.seed)
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(parents=True)
        conf = self.dir / "sbcd.conf"
        self.certs = tempfile.TemporaryDirectory(prefix="sbc-certs-")
        os.chmod(self.certs.name, 0o755)
        shop = load.certificates(self.certs.name)
        conf.write_text(load.configuration(shop))
        self.clock = time.monotonic()
        self.world = lab.World(self.dir, conf=str(conf), clocks=True,
                               cdr_disk=True, witness=args.witness)
        self.stall = None
        try:
            self.stall = watch.Stall(self.dir / "stalls.txt")
            self.judge = watch.Judge(self.world, self.clock)
            self.owners = watch.Owners(self.world)
            self.load = load.Load(self.world, args.seed, args.scale,
                                  shop)
            self.target = LabTarget(self.world)
            self.score = watch.Score(args.seed, args.witness)
        except BaseException:
            self.close()
            raise

    def say(self, text):
        print(f"[{time.monotonic() - self.clock:7.1f} s] {text}", flush=True)

    # ---- what this pair can do -------------------------------------------

    def features(self):
        active, _ = self.world.settled()
        red = self.world.lab.redundancy(active)
        out = {"cdr-disk", "clocks"}
        if self.args.witness:
            out.add("witness")
        if any(not p["path"].startswith("ha") for p in red["paths"]):
            out.add("other-paths")
        if "right" in red:
            out.add("right")
        return out

    # ---- one fault after the other ---------------------------------------

    def settle(self):
        try:
            settled = self.world.settled(REDUNDANT_S)
            if self.args.witness:
                self.lab.wait_for(self.witnessed, REDUNDANT_S,
                                  "the witness votes and is heard", 0.1)
            return settled
        except self.lab.LabError as err:
            self.judge.blame("redundant-again", str(err))
            return None

    def witnessed(self):
        lab = self.world.lab
        for node in self.lab.NODES:
            if not self.lab.alive(lab.pid_of(node, "qdevice")):
                lab.start(node)    # it ends when corosync does
            red = lab.redundancy(node)
            if not lab.votes(node) or not red or \
                    red["right"]["witness"] != "quorate":
                return False
        return True

    def faults_until(self, end):
        plan = faults.schedule(self.args.seed, self.features(),
                               split(self.args.only), split(self.args.skip))
        for number in itertools.count(1):
            if time.monotonic() >= end:
                return
            settled = self.settle()
            if not settled:
                return
            self.one_fault(number, next(plan), *settled)

    def one_fault(self, number, fault, active, standby):
        self.judge.mark(fault.kind)
        self.target.begin(active, standby)
        epoch = self.world.lab.redundancy(active)["epoch"]
        self.world.media_reset()
        answered = len(self.load.answer_ms)
        failed = self.load.sipp_failed()
        begun_ns, begun = time.monotonic_ns(), time.time()
        self.say(f"{number} {fault.kind} ({active} is active): {fault.text}")
        try:
            for step in fault.steps:
                self.target.do(step)
        except self.lab.LabError as err:
            self.judge.blame("redundant-again", f"step {step}: {err}")
        finally:
            self.target.restore()
        now = self.settle()
        if not now:
            return
        self.look(fault, epoch, now, begun_ns, begun)
        slow = max(self.load.answer_ms[answered:] or [0])
        self.say(f"  slowest re-INVITE {slow:.0f} ms, SIPp calls failed "
                 f"{self.load.sipp_failed() - failed}")

    def look(self, fault, epoch, now, begun_ns, begun):
        blame = self.judge.blame
        active, standby = now
        moved = self.world.lab.redundancy(active)["epoch"] != epoch
        gaps = self.load.gaps()
        self.score.fault(fault, gaps, moved, (begun, time.time()))
        for leg in self.load.deaf():
            blame("established", f"{leg!r} hears nothing")
        for leg, why in self.load.lost_rtp():
            blame("established", f"{leg!r} was ended: {why}")
        stall = self.stall.worst_ms(begun_ns)
        worst = max(gaps)
        if worst > fault.gap_ms + stall:
            blame("gap", f"{worst:.0f} ms, more than {fault.gap_ms} ms; the "
                  f"machine stalled {stall} ms")
        self.media(fault)
        self.owner(active, standby, fault)
        self.signalling()
        if fault.crash and not moved:
            blame("exercised", "the active did not lose its role")
        self.say(f"  {active} is active{', taken over' if moved else ''}; "
                 f"longest gap {worst:.0f} ms, median "
                 f"{self.watch.quantile(gaps, .5):.0f} ms")

    def media(self, fault):
        for side, total in self.world.media_totals().items():
            for what in ("foreign", "malformed", "source_changes"):
                if total[what]:
                    self.judge.blame("clean", f"{side}: {what} "
                                              f"{total[what]}")
        self.srtp()
        for leg, lost in self.load.lost_packets() if fault.lossless else ():
            self.judge.blame("lossless", f"{leg!r} lost {lost} packets")

    def srtp(self):
        for text in self.load.srtp_trouble():
            self.judge.blame("srtp", text)

    def owner(self, active, standby, fault):
        # A cut that heals while the standby takes over is settled by the
        # next beats (README, Limits); nothing else may have two owners.
        cut = any(step[0] == "cut" for step in fault.steps)
        for mac, ms, where in self.owners.news():
            if not cut or ms > HEAL_MS:
                self.judge.blame("one-owner", f"{mac} was used on two ports "
                                 f"for {ms:.2f} ms: {where}")
        wrong = list(self.wrong_owners(active, standby))
        if wrong and self.world.lab.redundancy(active)["role"] != "ACTIVE":
            # Health moved the calls while we looked.
            wrong = list(self.wrong_owners(*self.world.settled(30)))
        for text in wrong:
            self.judge.blame("one-owner", text)

    def wrong_owners(self, active, standby):
        for side in ("core", "cloud"):
            if self.owners.owner(side) != active:
                yield f"{side}: frames come from {self.owners.owner(side)}"
        if self.watch.has_addresses(self.world, standby):
            yield f"{standby} is standby and still has a virtual address"

    def signalling(self):
        for invariant, when, text in self.load.take_trouble():
            self.judge.blame(invariant, text, when)
        while self.load.tcp_lost:
            when, text = self.load.tcp_lost.pop()
            self.score.tcp_lost += 1
            if not self.score.in_failover(when):
                self.judge.blame("in-dialog", f"no failover near: {text}",
                                 when)
        for kind, when, text in self.load.sipp_trouble():
            if "BYE answered 481" in text and \
                    self.score.in_failover(when, self.score.REPEAT_S):
                self.score.late_byes += 1
                continue
            self.judge.blame(self.sipp_invariant(kind, text), text, when,
                             sipp=True)
        refused = self.watch.refused(self.world)
        self.score.refused += len(refused)
        for when in refused:
            if not self.score.in_failover(when):
                self.judge.blame("clean", "a TCP connection was refused or "
                                 "lost", when)
        for text in self.watch.messages(self.world):
            self.judge.blame("clean", text)
        self.load.forget_messages()

    @staticmethod
    def sipp_invariant(kind, text):
        if "CSeq went back" in text or "BYE answered" in text:
            return "in-dialog"
        return {"ring": "ringing", "cancel": "ringing",
                "hold": "in-dialog"}.get(kind, "set-up")

    # ---- from beginning to end -------------------------------------------

    def run(self):
        self.world.settled(REDUNDANT_S)
        before = self.watch.checks.footprint(self.world)
        self.load.start()
        active, _ = self.world.settled(REDUNDANT_S)
        self.say(f"{active} is active; {len(self.load.rtp)} calls with RTP, "
                 f"{len(self.load.storm)} of re-INVITEs, SIPp at "
                 f"{sum(r for _, r, _ in self.load_rates()):.0f} calls/s")
        self.faults_until(time.monotonic() + self.args.seconds)
        self.judge.mark("end")
        self.srtp()
        self.say("ending every call")
        for kind, text in self.load.finish():
            name = kind if kind in self.watch.INVARIANTS else \
                self.sipp_invariant(kind, text)
            self.judge.blame(name, text,
                             sipp=kind not in self.watch.INVARIANTS)
        self.say("the peers go away")
        table = self.load.table()
        for text in self.watch.messages(self.world):
            self.judge.blame("clean", text)
        self.load.close()
        self.signalling()
        self.exercised(table)
        for text in self.watch.leaks(self.world, before):
            self.judge.blame("leak", text)
        self.score.cdrs, trouble = self.watch.cdr_trouble(
            self.world, self.load, self.score.windows)
        for text in trouble:
            self.judge.blame("cdr", text)

    @staticmethod
    def load_rates():
        import load
        return load.SIPP_KINDS.values()

    def exercised(self, table):
        """A run in which nothing happened proves nothing."""
        for kind, (good, failed) in table.items():
            if not good:
                self.judge.blame("exercised", f"no {kind} call was good")
            if failed and not self.judge.violations:
                self.judge.blame("set-up", f"{failed} {kind} calls failed")
        if not self.load.srtp_seen.get("rtp"):
            self.judge.blame("exercised", "no SRTP packet was seen")
        if self.args.seconds >= 60 and not self.args.only and \
                self.score.crash_failovers < 2:
            self.judge.blame("exercised", "fewer than two crash failovers")

    def save(self):
        """What explains a violation outlives the lab."""
        for node in self.lab.NODES:
            d = self.world.lab.node_dir(node)
            for path in (self.judge.log_path(node), d / "qdevice.log",
                         d / "log/corosync.log", d / "corosync.stderr",
                         *d.glob("var-lib-sbcd/cdr/cdr*")):
                if path.exists():
                    shutil.copy(path, self.dir / f"{node}-{path.name}")
        qnetd = self.world.lab.node_dir("sbc-w") / "qnetd.log"
        if qnetd.exists():
            shutil.copy(qnetd, self.dir)
        (self.dir / "score.json").write_text(
            self.score.json(self.judge, self.load, self.owners))

    def verdict(self):
        self.judge.forgive(self.args.allow_sipp / 100 * sum(
            s.count("TotalCallCreated") for s in self.load.callers.values()))
        (self.dir / "score.md").write_text(self.score.markdown(
            self.judge, self.load, self.owners, self.stall.worst_ms(0)))
        print("---- scoreboard")
        for line in self.score.lines(self.load, self.judge, self.owners,
                                     self.stall.worst_ms(0)):
            print(f"  {line}")
        bad = 0
        for name, text in self.watch.INVARIANTS.items():
            n = self.judge.count(name)
            bad += n > 0
            print(f"  {'FAIL' if n else 'ok  '} {name}: {text}"
                  f"{f' ({n} times)' if n else ''}")
        print(f"  scoreboard for a README: {self.dir}/score.md")
        if bad:
            print(f"  logs and evidence: {self.dir}")
        print(f"{len(self.watch.INVARIANTS) - bad} passed, {bad} failed",
              flush=True)
        return 1 if bad else 0

    def close(self):
        if self.stall:
            self.stall.close()
        self.world.close()
        self.certs.cleanup()


def split(text):
    return tuple(t for t in text.split(",") if t)


def show(args):
    for kind, (weight, needs, _) in faults.CATALOGUE.items():
        print(f"{kind:24} {weight}" + (f"  needs {needs}" if needs else ""))
    print(f"the first of seed {args.seed}:")
    plan = faults.schedule(args.seed, (), split(args.only),
                           split(args.skip))
    for fault in itertools.islice(plan, 30):
        print(f"  {fault.kind}: {fault.text}")


def main():
    args = parse_args()
    if args.list:
        return show(args)
    private_run()
    os.environ["LAB_DIR"] = "/run/sbc-lab"
    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, lambda *_: sys.exit(143))
    run = Run(args)
    try:
        run.run()
        run.save()
        return run.verdict()
    except BaseException:
        run.save()
        raise
    finally:
        run.close()


if __name__ == "__main__":
    sys.exit(main())
