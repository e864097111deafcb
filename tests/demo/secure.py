#!/usr/bin/env python3
"""`make demo-secure`: the field report's mistakes, one after the other, as the
pair explains them; each repaired, and the active node killed under the calls.

Prints what the programs said; exit code 1 when a story ended otherwise.
"""
import argparse
import os
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/lab"), str(TOP / "tests/peers")]

from telling import Clock, gap_line, gaps, logs_if_it_fails  # noqa: E402


class Story:
    def __init__(self, office, clock):
        self.o, self.clock = office, clock
        self.wrong = []

    def expect(self, what, is_so):
        print(f"  {what}" if is_so else f"  NOT AS EXPECTED: {what}")
        if not is_so:
            self.wrong.append(what)

    def quote(self, line):
        """A line of the configuration, or of a program, as it is."""
        print(f"    {line.strip()}")

    def config_check(self, wanted, **words):
        said = [x for x in self.o.check(**words) if wanted in x]
        self.expect("`sbcctl config check` says before any call:", said)
        for line in said:
            self.quote("checked.conf" + line.split("checked.conf", 1)[-1])

    def explanation(self, node, reason):
        f = self.o.explained(node, reason)
        self.expect(f"{node}, `sbcctl show tls`:", True)
        self.quote(f"{f['direction']} {f['peer']}: {f['rule']}; "
                   f"option {f['option']}, line {f['line']}:")
        self.quote(f"  {self.o.line(f['line']).strip()}")

    def refused(self, wanted=()):
        call, _ = self.o.call()
        call.wait("failed", timeout=40)
        status = call.final.status
        self.expect(f"the PBX hears {status}",
                    status in wanted if wanted else status >= 400)

    def power_loss(self, pairs):
        self.o.w.media_reset()
        dead, alive = self.o.power_loss()
        self.o.w.wait_media(pairs, 10)
        streams = self.o.w.streams()
        self.expect(f"power loss of {dead}: {alive} is ACTIVE, audio goes on "
                    f"in {len(pairs)} of {len(pairs)} calls", True)
        print(gap_line("all directions",
                       gaps(streams, [leg for p in pairs for leg in p])))
        return dead

    def works(self, n=5):
        pairs = self.o.up(n) + self.o.up(n, frm="cloud")
        self.expect(f"{len(pairs)} calls between PBX (UDP, RTP) and cloud "
                    "(TLS, SRTP), from both sides", True)
        dead = self.power_loss(pairs)
        again = [leg.reinvite(timeout=20).status for p in pairs for leg in p]
        self.expect("re-INVITEs from both ends of each: 200",
                    set(again) == {200})
        self.o.power_on(dead)
        self.o.w.hang_up(pairs)


def lesson_1(s):
    o = s.o
    for text, reason, words in (
            ("the root of the cloud's CA is not in the trust list",
             "unknown-ca", {"trusted": o.shop.other_root}),
            ("our certificate is not signed by a CA the cloud knows",
             "closed-at-certificate", {"cert": o.shop.stranger}),
            ("our certificate's file lacks the CA in the middle",
             "closed-at-certificate", {"cert": o.shop.lone}),
            ("the session agent's host is not what the cloud is called",
             "name", {"HOST": "exap.um.outlook.org"})):
        s.clock.say(f"LESSON 1: {text}")
        active, _ = o.configure(**words)
        s.refused()
        s.explanation(active, reason)
    s.clock.say("all of it right")
    o.configure()
    s.works()


def lesson_2(s):
    s.clock.say("LESSON 2: the virtual switch. `lab` has it as a bridge that "
                "lets the virtual MAC pass; see README, Deployment")


def lesson_3(s):
    o = s.o
    s.clock.say("LESSON 3: srtp-auth = disabled")
    s.config_check("488", SRTP_AUTH="disabled")
    active, _ = o.configure(SRTP_AUTH="disabled")
    s.refused({488})
    sdp = o.um.received("INVITE")[-1].sdp
    s.quote(next(x.split("inline:")[0] + "inline:... " + x.rsplit(" ", 1)[-1]
                 for x in sdp.splitlines() if x.startswith("a=crypto")))
    said = o.logged(active, "offer-refused")
    s.expect(f"{active}, its log:", "option=srtp-auth" in said)
    s.quote(said[said.index("event="):])
    s.clock.say("srtp-auth = enabled")
    o.configure()
    s.works()


def lesson_4(s):
    from sipcall import CallFailed
    o = s.o
    s.clock.say("LESSON 4: tls-version = tlsv12, and a cloud that begins its "
                "connections with a hello in SSLv2's format")
    s.config_check("SSLv2", TLS_VERSION="tlsv12")
    active, _ = o.configure(TLS_VERSION="tlsv12")
    pairs = o.up(3)
    o.begin_with_v2()
    for what, attempt in (
            ("a request in a running call",
             lambda: pairs[0][1].request("INFO", timeout=3)),
            ("the lamp of a phone", lambda: o.lamp(timeout=3))):
        try:
            attempt()
            s.expect(f"{what} does not get through", False)
        except CallFailed:
            s.expect(f"{what} does not get through", True)
    s.explanation(active, "v2-hello")
    o.begin_as_usual()
    o.w.hang_up(pairs)
    s.clock.say("tls-version = compatibility")
    o.configure()
    pairs = o.up(3)
    o.begin_with_v2()
    again = [b.reinvite(timeout=20).status for _, b in pairs]
    s.expect("re-INVITEs from the cloud over its new connection: 200, audio "
             "goes on", set(again) == {200})
    o.w.wait_media(pairs)
    dead = s.power_loss(pairs)
    o.um.leave_connections()
    again = [b.reinvite(timeout=20).status for _, b in pairs]
    s.expect("re-INVITEs over new ones to the other node: 200",
             set(again) == {200})
    resp, got = o.lamp()
    s.expect("the lamp: NOTIFY 200, at the PBX:", resp.status == 200 and got)
    for line in got[0].body.decode().splitlines() if got else ():
        s.quote(line)
    o.power_on(dead)
    o.w.hang_up(pairs)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--build", default="build")
    args = ap.parse_args()
    os.environ["SBC_BUILD"] = str((TOP / args.build).resolve())
    from office import Office  # after SBC_BUILD is known
    clock = Clock()
    with tempfile.TemporaryDirectory(prefix="sbc-demo-") as tmp:
        office = Office(tmp)
        story = Story(office, clock)
        with logs_if_it_fails(office):
            office.w.settled(30)
            for lesson in (lesson_1, lesson_2, lesson_3, lesson_4):
                lesson(story)
            office.w.assert_no_calls()
            reused = office.watch.check()
            story.expect("no SRTP index was used twice, on the ports of both "
                         "nodes", not reused)
    clock.say("end")
    print(f"RESULT: {'as it should be' if not story.wrong else 'FAILED'}: "
          f"{len(story.wrong)} not as expected")
    return 1 if story.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
