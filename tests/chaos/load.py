"""The calls of a chaos run, and what each of them has to come to.

  rtp      calls that stay up all the time with RTP both ways, UDP and TCP;
           half of them with SRTP in the cloud, half of those by TLS
  storm    calls that are held and resumed over and over, from both sides,
           in the same mixture
  visit    by TLS and SRTP, one after the other in both directions: ring,
           are answered, talk, and end
  short    many calls that ring, talk a second and end, both directions
  ring     calls that ring for up to 20 s, are answered, and end
  hold     hold and resume three times, then BYE
  cancel   calls that ring until the caller gives up

rtp and storm run on the tests' own user agents (sipua.py) with rtptool for
the media, the others on SIPp with the scenarios of scenario.py.
"""

import asyncio
import collections
import csv
import datetime
import random
import re
import signal
import time

import scenario
from cdrs import Expected
from certs import Workshop, for_the_workers
from lab import ADDR, OTHER, REPO, vip, wait_for
from waiting import until
from sdes import Sdes
from sipcall import Answer, CallFailed
from tlspeer import Tls

SIPP_KINDS = {            # kind: (caller's side, calls a second, agent)
    "short": ("core", 14, 52),
    "back": ("cloud", 8, 52),
    "ring": ("core", 2.5, 53),
    "hold": ("cloud", 2, 54),
    "cancel": ("core", 1, 55),
}
CALLERS = 56              # where SIPp's callers live, on both sides
SCENARIO = {"back": "short"}
# The peers in the cloud that speak SRTP only; one of them by TLS.
SECURE = {"srtp": 57, "tls": 58}
RTP_CALLS = {"core": 11, "cloud": 8, "core-srtp": 10, "cloud-srtp": 6,
             "core-tls": 9, "cloud-tls": 6, "core-tcp": 8, "cloud-tcp": 4}
STORM_CALLS = {"core": 4, "cloud": 3, "core-srtp": 2, "cloud-srtp": 2,
               "core-tls": 2, "cloud-tls": 2, "core-tcp": 3}
# Who visits whom, how many at a time, and for how long.
VISITS = {"core-tls": 2, "cloud-tls": 2}
VISIT_RINGS_S, VISIT_S = (0.1, 6.0), (0.5, 3.0)
SBC, UM = "sbc.example.net", "um.example.net"
STORM_PAUSE_S = (1.0, 3.0)
# A re-INVITE crosses a failover by its repetitions, 32 s of them.
ANSWER_S = 40
DRAIN_S = 50
# A refusal that nobody expected; 487 and 491 may be late copies.
TROUBLE = (r"Abort|CSeq|BYE|.*received 'SIP/2.0 (?!487|491)[3-6]")
KEEP_S = 60               # of what the user agents said


def address(side, last):
    return ADDR[side, 4].rsplit(".", 1)[0] + f".{last}"


def certificates(directory):
    """Of the pair and of the cloud, from one root; also valid by a clock that
    is a day behind."""
    shop = Workshop(directory)
    how = {"start": datetime.datetime.utcnow() - datetime.timedelta(days=9)}
    shop.root = shop.make("root", ca=True, **how)
    how["eku"] = "serverAuth,clientAuth"
    shop.sbc = shop.make("sbc", shop.root, names=[SBC], **how)
    shop.um = shop.make("um", shop.root, names=[UM], **how)
    for_the_workers(shop.sbc)
    return shop


SECURITY = """
tls-profile "cloud" {{
	end-entity-certificate = "{sbc.pem}"
	private-key = "{sbc.key}"
	trusted-ca-certificates = {{"{root.single}"}}
	mutual-authenticate = enabled
}}

sdes-profile "cloud" {{
	crypto-list = {{AES_CM_128_HMAC_SHA1_80}}
	allow-insecure-keying = enabled
}}

media-sec-policy "cloud" {{
	inbound {{ mode = srtp  profile = cloud }}
	outbound {{ mode = srtp  profile = cloud }}
}}

session-agent "o365-srtp" {{
	realm = cloud
	host = "{srtp}"
	transport = udp
	media-sec-policy = cloud
}}

session-agent "o365-tls" {{
	realm = cloud
	host = "{um}"
	address = "{tls}"
	transport = tls
	tls-profile = cloud
	media-sec-policy = cloud
	ping-interval = 10
}}

local-policy {{
	from-realm = core
	to = "srtp*"
	next-hop = "o365-srtp"
}}

local-policy {{
	from-realm = core
	to = "tls*"
	next-hop = "o365-tls"
}}
"""


def configuration(shop):
    """The lab's sbcd.conf with an agent for each kind of call."""
    text = (REPO / "tests/lab/sbcd.conf").read_text()
    head, cloud = text.split('sip-interface "cloud"')
    cloud = cloud.replace("port tcp { }",
                          "port tcp { }\n\tport tls { tls-profile = cloud }",
                          1)
    text = head + 'sip-interface "cloud"' + cloud + SECURITY.format(
        sbc=shop.sbc, root=shop.root, um=UM,
        **{kind: address("cloud", last) for kind, last in SECURE.items()})
    for side in ("core", "cloud"):
        text += (f'session-agent "{side}-callers" {{\n\trealm = {side}\n'
                 f'\thost = "{address(side, CALLERS)}"\n'
                 "\ttransport = udp\n}\n")
    for kind, (side, _, last) in SIPP_KINDS.items():
        to = OTHER[side]
        text += (f'session-agent "{kind}" {{\n\trealm = {to}\n'
                 f'\thost = "{address(to, last)}"\n\ttransport = udp\n}}\n'
                 f"local-policy {{\n\tfrom-realm = {side}\n"
                 f'\tto = "{kind}*"\n\tnext-hop = "{kind}"\n}}\n')
    return text


class Sipp:
    """One SIPp with its counters, read from the file it writes."""

    def __init__(self, world, name, side, args):
        self.name, self.dir = name, world.dir
        self.stat = world.dir / f"{name}.csv"
        self.err = world.dir / f"{name}.err"
        argv = ["sipp", *args, "-default_behaviors", "all,-abortunexp",
                "-nostdin", "-aa", "-rtcheck", "loose",
                "-trace_err", "-error_file", self.err, "-trace_stat",
                "-stf", self.stat, "-fd", 1, "-max_retrans", 11]
        self.tool = world.tool(side, argv, name)
        self.err_seen = 0

    def counters(self):
        """The last complete line of the statistics as a dictionary."""
        try:
            with open(self.stat, newline="") as f:
                rows = list(csv.reader(f, delimiter=";"))
        except OSError:
            return {}
        if len(rows) < 2:
            return {}
        full = [r for r in rows[-2:] if len(r) == len(rows[0])]
        return dict(zip(rows[0], full[-1])) if full else {}

    def count(self, what):
        return int(self.counters().get(what, 0))

    @property
    def failed(self):
        return self.count("FailedCall(C)")

    @property
    def good(self):
        return self.count("SuccessfulCall(C)")

    @property
    def open(self):
        return self.count("CurrentCall")

    def news(self):
        """What was added to the error file since the last time."""
        if not self.err.exists():
            return ""
        text = self.err.read_text(errors="replace")
        new, self.err_seen = text[self.err_seen:], len(text)
        return new

    def quit(self):
        """No new calls; ends when the last one has."""
        if self.tool.proc.poll() is None:
            self.tool.proc.send_signal(signal.SIGUSR1)


class Load:
    def __init__(self, world, seed, scale=1.0, shop=None):
        self.w, self.scale, self.shop = world, scale, shop
        self.rng = random.Random(f"load {seed}")
        self.rtp, self.storm = [], []
        self.callers, self.answerers = {}, {}
        self.storming = False
        self.tasks, self.trouble = [], []
        self.reinvites = self.retried = 0
        self.answer_ms = []
        self.tcp_lost = []
        self.srtp, self.srtp_seen = None, {}
        self.ended_by = {}    # Call-ID of our own calls: which party
        self.visits = 0       # that ended well
        self.said = collections.deque()

    def _n(self, n):
        return max(1, round(n * self.scale))

    # ---- begin -----------------------------------------------------------

    def start(self):
        self.w.peers()
        self.w.more_peers(transport="tcp")
        self._secure_peers()
        self.w.wait_agents_up()
        for table, pairs in ((RTP_CALLS, self.rtp),
                             (STORM_CALLS, self.storm)):
            for frm, n in table.items():
                pairs += self._establish(frm, self._n(n))
        self._start_sipp()
        self._start_storm()
        self._start_visits()

    def _secure_peers(self):
        self.srtp = self.w.srtp_watch(
            to=[address("cloud", last) for last in SECURE.values()])
        tls = Tls(self.shop.um, [self.shop.root], SBC)
        for i, (kind, last) in enumerate(SECURE.items()):
            how = {"transport": "tls", "tls": tls} if kind == "tls" else {}
            ua = self.w.add_ua("cloud", address("cloud", last),
                               key=f"cloud-{kind}",
                               media_base=44000 + 4000 * i, **how)
            ua.sdes = Sdes(watch=self.srtp)

    def _establish(self, frm, n):
        side, _, kind = frm.partition("-")
        to = f"{OTHER[side]}-{kind}" if kind else OTHER[side]
        if kind in SECURE:    # only the cloud has one
            frm, to = ((side, to) if side == "core" else (frm, OTHER[side]))
        return self.w.establish(
            n, frm=frm, to=to, prefix=kind or "c", timeout=30,
            **({"transport": "tcp"} if kind == "tcp" else {}))

    def _srtp_report(self, timeout=5):
        """A packet may be seen before its key is told: then it is unknown for
        a moment, where another call had the port."""
        seen = None

        def all_known():
            nonlocal seen
            seen = self.srtp.report()
            return seen["unknown"] <= self.srtp_seen.get("unknown", 0)
        until(all_known, timeout, 0.1)
        return seen

    def srtp_trouble(self):
        """What is wrong with SRTP since the last look, as text."""
        for side, total in self.w.media_totals().items():
            for what in ("unprotect_failed", "rtcp_unprotect_failed"):
                if total[what]:
                    yield f"{side}: {what} {total[what]}"
        seen = self._srtp_report()
        for what in ("reused", "unknown", "capture_drops"):
            if seen[what] > self.srtp_seen.get(what, 0):
                yield (f"srtpwatch: {what} {seen[what]}: {seen['reuses']} "
                       f"{seen['unknowns']}")
        self.srtp_seen = seen

    def _start_sipp(self):
        texts = scenario.kinds()
        for i, (kind, (side, rate, last)) in enumerate(SIPP_KINDS.items()):
            to = OTHER[side]
            files = [self.w.dir / f"{kind}-{who}.xml"
                     for who in ("uac", "uas")]
            for path, text in zip(files, texts[SCENARIO.get(kind, kind)]):
                path.write_text(text)
            at, here = address(to, last), address(side, CALLERS)
            self.answerers[kind] = Sipp(
                self.w, f"sipp-{kind}-uas", self._ns(to),
                ["-sf", files[1], "-i", at, "-p", 5060, "-mi", at,
                 "-mp", 50000])
            wait_for(lambda a=at, t=to: f"{a}:5060" in self.w.lab.run(
                self._ns(t), ["ss", "-Hlnu"]).stdout, 10, f"SIPp at {at}")
            self.callers[kind] = Sipp(
                self.w, f"sipp-{kind}-uac", self._ns(side),
                [f"{vip(side)}:5060", "-s", f"{kind}1", "-sf", files[0],
                 "-i", here, "-p", 5070 + i, "-mi", here,
                 "-mp", 51000 + 100 * i, "-l", 2000, "-pause_msg_ign",
                 "-cid_str", f"%u-{kind}@%s",
                 "-r", round(10 * rate * self.scale), "-rp", 10000])

    @staticmethod
    def _ns(side):
        return f"sbc-{side}"

    def _start_storm(self):
        self.storming = True
        for pair in self.storm:
            self.tasks.append(self.w.loop.post(self._storm(
                pair, random.Random(self.rng.random()))))

    def _start_visits(self):
        def answer(_):
            return Answer(after=self.rng.uniform(*VISIT_RINGS_S))
        for key in ("core", "cloud-tls"):
            self.w.ua[key].answer = answer
        for frm, n in VISITS.items():
            for _ in range(self._n(n)):
                self.tasks.append(self.w.loop.post(self._visit(
                    frm, random.Random(self.rng.random()))))

    async def _visit(self, frm, rng):
        """One call after the other; each has to come to its end."""
        side = frm.partition("-")[0]
        caller = self.w.ua[side if side == "core" else frm]
        callee = self.w.ua["cloud-tls" if side == "core" else "core"]
        via = (vip(side), 5060 if side == "core" else 5061)
        while self.storming:
            user, begun = self.w.user("tls" if side == "core" else "c"), \
                time.time()
            call = await caller._call(user, via)
            try:
                await self._one_visit(caller, callee, call, rng)
                self.visits += 1
            except CallFailed as err:
                self.trouble.append((
                    "set-up", begun, f"visit: {err} ({self._dump(call)})"))
            for leg in (call, self._called(callee, user)):
                if leg and leg.stream is not None:
                    leg.close_media()

    @staticmethod
    def _called(callee, user):
        return next((c for c in callee.calls if c.user == user), None)

    async def _one_visit(self, caller, callee, call, rng):
        await caller._wait(lambda: call.state in ("established", "failed",
                                                  "ended"), ANSWER_S * 2,
                           f"{call!r} is answered")
        if call.state != "established":
            raise CallFailed(f"{call!r}: {call.final and call.final.status}")
        await asyncio.sleep(rng.uniform(*VISIT_S))
        legs = [call, self._called(callee, call.user)]
        i = rng.randrange(2)
        self.ended_by[call.call_id] = ("caller", "callee")[i]
        resp = await legs[i]._bye(ANSWER_S, ())
        if resp.status not in (200, 481):
            raise CallFailed(f"{call!r}: BYE: {resp.status}")
        other = legs[1 - i]
        await other.ua._wait(lambda: other.state == "ended", ANSWER_S,
                             f"{other!r} is ended")

    async def _storm(self, pair, rng):
        turn = 0
        while self.storming:
            await asyncio.sleep(rng.uniform(*STORM_PAUSE_S))
            leg = pair[rng.randrange(2)]
            turn += 1
            begun = time.time()
            try:
                await self._one_reinvite(
                    leg, "sendonly" if turn % 2 else "sendrecv", rng)
            except CallFailed as err:
                if leg.transport != "udp" and not err.status:
                    self._lost_in_connection(leg, begun)
                    continue
                self.trouble.append((
                    "in-dialog", begun, f"{err} (CSeq {leg.local_cseq}; "
                    f"{self._dump(leg)}, {self._dump(self._other(pair, leg))})"))
                return
            if any(c.state != "established" for c in pair):
                self.trouble.append(("established", begun,
                                     f"{pair} is over"))
                return

    def _lost_in_connection(self, leg, begun):
        """A request that went into a connection which died in a failover.

        The dead node's kernel had acknowledged it: RFC 3261 leaves the
        caller a time-out, and then a new connection.
        """
        self.tcp_lost.append((begun, f"{leg!r}: {self._dump(leg)}"))
        conn = leg.ua._conns.get(leg._next_hop())
        if conn:
            conn.transport.abort()

    @staticmethod
    def _other(pair, leg):
        return pair[1] if pair[0] is leg else pair[0]

    async def _one_reinvite(self, leg, direction, rng):
        """491 and 500 with Retry-After ask for another try (RFC 3261 14)."""
        for _ in range(5):
            begun = time.monotonic()
            resp = await leg._reinvite(direction, ANSWER_S, None)
            self.reinvites += 1
            if resp.status == 200:
                self.answer_ms.append((time.monotonic() - begun) * 1000)
                return
            if resp.status != 491 and not resp.get("Retry-After"):
                break
            self.retried += 1
            await asyncio.sleep(rng.uniform(2.1, 4))
        raise CallFailed(f"{leg!r}: re-INVITE: {resp.status} {resp.reason}",
                         resp)

    # ---- meanwhile -------------------------------------------------------

    def open_calls(self):
        """How many calls the pair should know about, roughly."""
        return (len(self.rtp) + len(self.storm) +
                sum(s.open for s in self.callers.values()))

    def rtp_legs(self):
        return [leg for pair in self.rtp for leg in pair]

    def lost_rtp(self):
        """Legs that somebody else has ended, as (call, why)."""
        return [(leg, leg.end_reason) for pair in self.rtp + self.storm
                for leg in pair if leg.state != "established"]

    def deaf(self, timeout=6, silence_ms=200):
        """Legs of the rtp calls that hear nobody, after a while."""
        ids = {leg.stream: leg for leg in self.rtp_legs()
               if leg.state == "established"}

        left = []

        def all_hear():
            nonlocal left
            seen = self.w.streams()
            left = [leg for i, leg in ids.items()
                    if not 0 <= seen[i]["rx"]["silence_ms"] < silence_ms]
            return not left
        until(all_hear, timeout, 0.1)
        return left

    def gaps(self):
        """Longest gap in ms of each rtp stream since the last reset."""
        seen = self.w.streams()
        return [seen[leg.stream]["rx"]["longest_gap"]["ms"]
                for leg in self.rtp_legs()]

    def sipp_trouble(self):
        """[(kind, time, text)] of what SIPp has noticed since the last look.

        SIPp writes late; the time of each entry is what counts.
        """
        out = []
        for kind in SIPP_KINDS:
            for sipp in (self.callers[kind], self.answerers[kind]):
                for entry in re.split(r"(?=\d{4}-\d\d-\d\d\s)", sipp.news()):
                    found = re.match(r"\S+\s+\S+\s+(\d+\.\d+): (.*)", entry,
                                     re.S)
                    if found and re.match(TROUBLE, found[2], re.S):
                        out.append((kind, float(found[1]), f"{sipp.name}: "
                                    f"{found[2].strip()[:900]}"))
                if sipp.tool.proc.poll() not in (None, 0, 1):
                    out.append((kind, time.time(), f"{sipp.name}: exit "
                                f"{sipp.tool.proc.returncode}: "
                                f"{sipp.tool.text()[-400:]}"))
        return out

    def sipp_failed(self):
        return sum(s.failed for s in self.callers.values())

    def lost_packets(self):
        """Of the rtp calls since the last reset, less what we dropped."""
        seen = self.w.streams()
        return [(leg, n) for leg in self.rtp_legs() for rx in
                [seen[leg.stream]["rx"]] if
                (n := rx["lost"] - rx.get("local_drops", 0)) > 0]

    def take_trouble(self):
        out, self.trouble[:] = list(self.trouble), []
        return out

    def forget_messages(self):
        """What was said is checked after each fault and then put away."""
        for ua in self.w.ua.values():
            n = len(ua.log)
            self.said += [(ua.name, e) for e in ua.log[:n]]
            del ua.log[:n]
        while self.said and self.said[0][1].time < time.monotonic() - KEEP_S:
            self.said.popleft()

    def _dump(self, leg):
        """The messages of a call that came to grief, as evidence."""
        now = [(ua.name, e) for ua in self.w.ua.values() for e in ua.log]
        mine = [(who, e) for who, e in [*self.said, *now]
                if e.msg.call_id == leg.call_id]
        path = self.w.dir / f"call-{leg.call_id}.txt"
        with open(path, "w") as f:
            f.write(f"# {leg!r}, {leg.ua.errors[-5:]}\n")
            for who, e in mine[-80:]:
                at = time.time() - time.monotonic() + e.time
                f.write(f"---- {at:.3f} {who} {'to' if e.sent else 'from'} "
                        f"{e.peer}\n{e.msg}\n")
        return path.name

    # ---- end -------------------------------------------------------------

    def finish(self):
        """Every call to its end; returns what did not get there."""
        self.storming = False
        for sipp in self.callers.values():
            sipp.quit()
        bad = []
        for task in self.tasks:
            task.result(ANSWER_S * 6)
        for pair in self.rtp + self.storm:
            bad += self._hang_up(pair)
        until(lambda: all(s.tool.proc.poll() is not None
                          for s in self.callers.values()), DRAIN_S, 0.2)
        for kind, sipp in self.callers.items():
            if sipp.tool.proc.poll() is None:
                bad.append((kind, f"{sipp.name}: {sipp.open} calls did not "
                                  "end"))
        for kind, sipp in self.answerers.items():
            try:
                wait_for(lambda s=sipp: not s.open, 40, "the calls end", 0.5)
            except Exception:
                bad.append(("one-legged", f"{sipp.name}: {sipp.open} calls "
                            "were never ended"))
        return bad

    def _hang_up(self, pair):
        i = self.rng.randrange(2)
        mine, other = pair[i], pair[1 - i]
        if mine.state != "established" or other.state != "established":
            states = {mine.state, other.state}
            if states != {"ended"}:
                return [("one-legged", f"{mine!r} and {other!r}")]
            return []
        self.ended_by[pair[0].call_id] = ("caller", "callee")[i]
        try:
            status = mine.bye(35).status
            if status != 200:
                return [("in-dialog", f"{mine!r}: BYE: {status}")]
            other.wait("ended", timeout=35)
        except CallFailed as err:
            return [("one-legged", f"BYE: {err}")]
        for leg in pair:
            leg.close_media()
        return []

    # ---- what must be on record of it ------------------------------------

    def expected(self):
        """{Call-ID: what became of it} of every call that was begun."""
        out = {cid: Expected("rtp", 200, who)
               for cid, who in self.ended_by.items()}
        for kind, sipp in self.callers.items():
            here = address(SIPP_KINDS[kind][0], CALLERS)
            status = 487 if kind == "cancel" else 200
            for n in range(1, sipp.count("TotalCallCreated") + 1):
                out[f"{n}-{kind}@{here}"] = Expected(kind, status)
        return out

    def unknown(self):
        """{kind: calls that SIPp has lost track of}."""
        return {kind: sipp.failed + sipp.open
                for kind, sipp in self.callers.items()}

    def close(self):
        """Nobody is there any more but the pair."""
        for sipp in self.answerers.values():
            sipp.quit()
        for sipp in (*self.answerers.values(), *self.callers.values()):
            sipp.tool.stop()
        for ua in self.w.ua.values():
            ua.close()
        self.w.ua.clear()

    def table(self):
        """{kind: (ended well, failed)} over the whole run."""
        out = {"rtp": (len(self.rtp), 0),
               "storm": (len(self.storm), 0),
               "re-INVITEs": (self.reinvites, 0),
               "visit": (self.visits, 0)}
        for kind, sipp in self.callers.items():
            out[kind] = (sipp.good, sipp.failed)
        return out
