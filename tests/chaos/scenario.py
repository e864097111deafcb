"""SIPp scenarios of the load, built from a few phrases.

Every kind of call is a pair (caller, answerer). The answerer keeps the CSeq
of each dialog and writes "CSeq went back" to its error file when a request
has none above the one before. Every message is repeated as RFC 3261 wants,
so that a call which fails was failed by the pair under test. SIPp runs with
`-default_behaviors all,-abortunexp`: it would end a call for each message
that crosses a repeated one. A late answer is ignored as a transaction that is
over would ignore it, an INVITE that comes again is answered by the 200 that
is repeated until the ACK anyway, and a call that gets nowhere is noticed
because it never ends.
"""

SDP = """v=0
o=- 53655765 {version} IN IP[media_ip_type] [media_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [auto_media_port] RTP/AVP 0 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a={direction}"""
MIRROR = {"sendrecv": "sendrecv", "sendonly": "recvonly"}
CONTACT = "Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>"
ECHO = ["[last_Via:]", "[last_Record-Route:]", "[last_From:]"]
# Least time a repeated message is still waited for at the end of a call.
LINGER_MS = 5000
FAILURE_BACK = 7


def _text(lines, sdp=None):
    if sdp:
        lines = lines + ["Content-Type: application/sdp",
                         "Content-Length: [len]"]
        return "\n".join(lines) + "\n\n" + sdp + "\n"
    return "\n".join(lines + ["Content-Length: 0"]) + "\n\n"


def _send(lines, sdp=None, **attrs):
    words = "".join(f' {k}="{v}"' for k, v in attrs.items())
    return f"<send{words}><![CDATA[\n{_text(lines, sdp)}]]></send>"


def sdp(version, direction="sendrecv"):
    return SDP.format(version=version, direction=direction)


def request(method, num, body=None, first=False, **attrs):
    uri = "sip:[service]@[remote_ip]:[remote_port]" if first else "[next_url]"
    tag = "" if first else "[peer_tag_param]"
    lines = [f"{method} {uri} SIP/2.0",
             "Via: SIP/2.0/[transport] [local_ip]:[local_port];"
             "branch=[branch]",
             "Max-Forwards: 70",
             "From: <sip:sipp@[local_ip]:[local_port]>;"
             "tag=[pid]t[call_number]",
             f"To: <sip:[service]@[remote_ip]:[remote_port]>{tag}",
             "Call-ID: [call_id]", f"CSeq: {num} {method}", CONTACT]
    if not first:
        lines.insert(3, "[routes]")
    if method != "ACK":
        attrs.setdefault("retrans", 500)
    return _send(lines, body, **attrs)


def expect(status, **attrs):
    words = "".join(f' {k}="{v}"' for k, v in attrs.items())
    return f'<recv response="{status}"{words}/>'


PROVISIONAL = "".join(expect(s, optional="true") for s in (100, 180, 183))


def pause(low_ms, high_ms=None):
    if high_ms is None:
        return f'<pause milliseconds="{low_ms}"/>'
    return f'<pause distribution="uniform" min="{low_ms}" max="{high_ms}"/>'


def hear(method, actions="", **attrs):
    """A request of the pair, with a look at its CSeq."""
    words = "".join(f' {k}="{v}"' for k, v in attrs.items())
    if method != "ACK":
        actions += (
            '<ereg regexp="[0-9]+" search_in="hdr" header="CSeq:" '
            'assign_to="text"/><todouble assign_to="num" variable="text"/>'
            '<test assign_to="old" variable="num" compare="less_than_equal" '
            'variable2="last"/>')
    if actions:
        actions = f"<action>{actions}</action>"
    said = ""
    if method != "ACK":
        said = ('<nop condexec="old"><action><warning message="CSeq went '
                'back: [last_CSeq] [call_id]"/></action></nop>'
                '<nop><action><assign assign_to="last" variable="num"/>'
                '</action></nop>')
    return f'<recv request="{method}"{words}>{actions}</recv>{said}'


def answer(status, reason, body=None, **attrs):
    tag = ";tag=[pid]u[call_number]" if attrs.pop("tag", False) else ""
    return _send([f"SIP/2.0 {status} {reason}", *ECHO, f"[last_To:]{tag}",
                  "[last_Call-ID:]", "[last_CSeq:]", CONTACT], body, **attrs)


def file(name, *parts):
    body = "\n".join(parts)
    start = ('<nop><action><assign assign_to="last" value="0"/></action>'
             "</nop>" if 'variable2="last"' in body else "")
    return (f'<?xml version="1.0" encoding="UTF-8" ?>\n'
            f'<scenario name="{name}">\n{start}\n{body}\n</scenario>\n')


def hang_up(num):
    """BYE; who has forgotten the call already answers 481, and says so. A
    200 to the INVITE that comes again, as its ACK was lost, is no answer."""
    return (request("BYE", num, start_txn="bye") +
            expect(481, optional="true", next="8", response_txn="bye") +
            expect(200, next="7", response_txn="bye") + '<label id="8"/>'
            '<nop><action><warning message="BYE answered 481: [call_id]"/>'
            '</action></nop><label id="7"/>'
            f'<timewait milliseconds="{LINGER_MS}"/>')


def ok_linger():
    """200 to the BYE, and again for a BYE that comes again."""
    return ('<label id="9"/>' + answer(200, "OK") +
            f'<timewait milliseconds="{LINGER_MS}"/>')


def uac_setup():
    return (request("INVITE", 1, sdp(1), first=True) + PROVISIONAL +
            expect(200, rrs="true") + request("ACK", 1))


def uas_setup(ring_ms=None):
    first = hear("INVITE") + answer(180, "Ringing", tag=True)
    if ring_ms:
        first += pause(*ring_ms)
    return first + answer(200, "OK", sdp(1), tag=True, retrans=500) + acked()


def acked():
    """The ACK; who ends the call before it comes has ended the call."""
    return ('<recv request="BYE" optional="true" next="9"/>' + hear("ACK"))


def failure_ack(num):
    """Same branch as the INVITE, which is the message before this one."""
    lines = ["ACK [next_url] SIP/2.0",
             "Via: SIP/2.0/[transport] [local_ip]:[local_port];"
             "branch=[branch-{back}]", "Max-Forwards: 70",
             "From: <sip:sipp@[local_ip]:[local_port]>;"
             "tag=[pid]t[call_number]",
             "To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]",
             "Call-ID: [call_id]", f"CSeq: {num} ACK"]
    # Between the two: four answers, the ACK of a 200, and its label's nop.
    lines[1] = lines[1].format(back=FAILURE_BACK)
    return _send(lines)


def reinvite(num, direction):
    """Refused with 491, the next one is tried after a while (14.1)."""
    return (request("INVITE", num, sdp(num, direction)) + PROVISIONAL +
            expect(491, optional="true", next=f"{num}1") + expect(200) +
            request("ACK", num, next=f"{num}2") + f'<label id="{num}1"/>' +
            failure_ack(num) + pause(2100, 4000) + f'<label id="{num}2"/>')


def reanswer(num, direction):
    return ('<recv request="BYE" optional="true" next="9"/>' +
            hear("INVITE") +
            answer(200, "OK", sdp(num, MIRROR[direction]), retrans=500) +
            acked())


def call_and_bye(name, talk_ms, ring_ms=None):
    """Rings, is answered, talks; the caller ends it."""
    return (file(name, uac_setup(), pause(*talk_ms), hang_up(2)),
            file(name, uas_setup(ring_ms), hear("BYE"), ok_linger()))


def hold(name, rounds, pause_ms):
    """Hold and resume by re-INVITE, several times; the caller ends it."""
    caller, answerer = [uac_setup()], [uas_setup()]
    for i in range(2 * rounds):
        direction = "sendrecv" if i % 2 else "sendonly"
        caller += [pause(*pause_ms), reinvite(i + 2, direction)]
        answerer.append(reanswer(i + 2, direction))
    caller += [pause(*pause_ms), hang_up(2 * rounds + 2)]
    answerer += [hear("BYE"), ok_linger()]
    return file(name, *caller), file(name, *answerer)


def cancel(name, ring_ms):
    """Rings until the caller gives up."""
    lines = ["CANCEL sip:[service]@[remote_ip]:[remote_port] SIP/2.0",
             "Via: SIP/2.0/[transport] [local_ip]:[local_port];"
             "branch=[branch-{back}]", "Max-Forwards: 70",
             "From: <sip:sipp@[local_ip]:[local_port]>;"
             "tag=[pid]t[call_number]",
             "To: <sip:[service]@[remote_ip]:[remote_port]>",
             "Call-ID: [call_id]", "CSeq: 1 CANCEL"]
    # Messages between CANCEL or ACK and the INVITE whose branch they share.
    lines[1] = lines[1].format(back=4)
    ack = ["ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0",
           "Via: SIP/2.0/[transport] [local_ip]:[local_port];"
           "branch=[branch-7]", *lines[2:4],
           "To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]",
           "Call-ID: [call_id]", "CSeq: 1 ACK"]
    caller = (request("INVITE", 1, sdp(1), first=True) +
              expect(100, optional="true") + expect(180) + pause(*ring_ms) +
              _send(lines, retrans=500) + expect(200) + expect(487) +
              _send(ack) + f'<timewait milliseconds="{LINGER_MS}"/>')
    keep = "".join(
        f'<ereg regexp=".*" search_in="hdr" header="{h}:" assign_to="{v}"/>'
        for h, v in (("Via", "via"), ("From", "from"), ("To", "to"),
                     ("CSeq", "cseq")))
    answerer = (f'<recv request="INVITE"><action>{keep}</action></recv>' +
                answer(180, "Ringing", tag=True) +
                '<recv request="CANCEL"/>' + answer(200, "OK") +
                _send(["SIP/2.0 487 Request Terminated", "Via:[$via]",
                       "From:[$from]", "To:[$to];tag=[pid]u[call_number]",
                       "[last_Call-ID:]", "CSeq:[$cseq]"], retrans=500) +
                '<recv request="ACK"/>' +
                f'<timewait milliseconds="{LINGER_MS}"/>')
    return file(name, caller), file(name, answerer)


def kinds():
    """{kind: (caller's scenario, answerer's scenario)}."""
    return {
        "short": call_and_bye("short", (500, 1500)),
        "ring": call_and_bye("ring", (1000, 4000), (6000, 20000)),
        "hold": hold("hold", 3, (800, 2000)),
        "cancel": cancel("cancel", (1000, 6000)),
    }
