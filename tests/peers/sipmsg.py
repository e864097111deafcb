"""SIP messages and SDP for the test peers: parse, build, look things up."""

import re

COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id",
           "m": "contact", "l": "content-length", "c": "content-type",
           "k": "supported", "s": "subject", "e": "content-encoding",
           "r": "refer-to", "o": "event"}
REASONS = {100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK",
           202: "Accepted", 302: "Moved Temporarily", 400: "Bad Request",
           404: "Not Found", 405: "Method Not Allowed",
           408: "Request Timeout", 415: "Unsupported Media Type",
           420: "Bad Extension", 480: "Temporarily Unavailable",
           481: "Call/Transaction Does Not Exist", 486: "Busy Here",
           487: "Request Terminated", 488: "Not Acceptable Here",
           491: "Request Pending", 500: "Server Internal Error",
           501: "Not Implemented", 503: "Service Unavailable",
           600: "Busy Everywhere", 603: "Decline"}
LISTS = {"via", "route", "record-route"}


class BadMessage(Exception):
    """Not SIP."""


def split_list(value):
    """Split at commas that are outside quotes and angle brackets."""
    out, depth, quoted, start = [], 0, False, 0
    for i, ch in enumerate(value):
        if ch == '"':
            quoted = not quoted
        elif not quoted and ch == "<":
            depth += 1
        elif not quoted and ch == ">":
            depth -= 1
        elif ch == "," and not quoted and not depth:
            out.append(value[start:i].strip())
            start = i + 1
    return out + [value[start:].strip()]


class Msg:
    """A request (method, uri) or a response (status, reason)."""

    def __init__(self, method=None, uri=None, status=None, reason=None):
        self.method, self.uri = method, uri
        self.status = status
        self.reason = reason or REASONS.get(status, "Unknown")
        self.headers = []
        self.body = b""
        self.conn = None             # the stream it went out on

    @property
    def is_request(self):
        return self.status is None

    def get(self, name, default=None):
        for n, v in self.headers:
            if n.lower() == name.lower():
                return v
        return default

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def add(self, name, value):
        self.headers.append((name, str(value)))
        return self

    def set(self, name, value):
        for i, (n, _) in enumerate(self.headers):
            if n.lower() == name.lower():
                self.headers[i] = (n, str(value))
                return self
        return self.add(name, value)

    def copy(self, names, source):
        for name in names:
            for value in source.all(name):
                self.add(name, value)
        return self

    @property
    def call_id(self):
        return self.get("Call-ID", "")

    @property
    def cseq(self):
        """(number, method)"""
        num, method = self.get("CSeq", "0 NONE").split(None, 1)
        return int(num), method.strip()

    @property
    def branch(self):
        return param(self.get("Via", ""), "branch")

    @property
    def from_tag(self):
        return param(self.get("From", ""), "tag")

    @property
    def to_tag(self):
        return param(self.get("To", ""), "tag")

    @property
    def sdp(self):
        return self.body.decode(errors="replace") if self.body else None

    def encode(self):
        if self.is_request:
            first = f"{self.method} {self.uri} SIP/2.0"
        else:
            first = f"SIP/2.0 {self.status} {self.reason}"
        lines = [first] + [f"{n}: {v}" for n, v in self.headers
                           if n.lower() != "content-length"]
        lines.append(f"Content-Length: {len(self.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body

    def __str__(self):
        return self.encode().decode(errors="replace")


def parse(data):
    """Parse a whole message (a datagram, or what frame() cut out)."""
    head, sep, body = data.partition(b"\r\n\r\n")
    if not sep:
        raise BadMessage("no end of headers")
    lines = re.sub(rb"\r\n[ \t]+", b" ", head).decode(
        errors="replace").split("\r\n")
    first = lines[0].split(" ", 2)
    if len(first) != 3:
        raise BadMessage(f"start line: {lines[0]!r}")
    if first[0] == "SIP/2.0":
        msg = Msg(status=int(first[1]), reason=first[2])
    elif first[2] == "SIP/2.0":
        msg = Msg(method=first[0], uri=first[1])
    else:
        raise BadMessage(f"start line: {lines[0]!r}")
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadMessage(f"header: {line!r}")
        name = COMPACT.get(name.strip().lower(), name.strip())
        values = (split_list(value.strip()) if name.lower() in LISTS
                  else [value.strip()])
        msg.headers += [(name, v) for v in values]
    length = msg.get("Content-Length")
    if length is not None and int(length) > len(body):
        raise BadMessage("body is short")
    msg.body = body[:int(length)] if length is not None else body
    return msg


def frame(buf):
    """Take one message off the front of a stream buffer, or None."""
    while buf[:2] == b"\r\n":
        del buf[:2]
    end = buf.find(b"\r\n\r\n")
    if end < 0:
        return None
    found = re.search(rb"\r\n(?:content-length|l)[ \t]*:[ \t]*(\d+)",
                      bytes(buf[:end]), re.I)
    size = end + 4 + (int(found[1]) if found else 0)
    if len(buf) < size:
        return None
    data = bytes(buf[:size])
    del buf[:size]
    return parse(data)


def param(value, name):
    """A parameter of a header value outside its angle brackets."""
    tail = value.rsplit(">", 1)[-1]
    found = re.search(rf";\s*{name}\s*=\s*([^;,\s]+)", tail, re.I)
    return found[1] if found else None


def uri_of(value):
    """The URI in a name-addr or addr-spec header value."""
    found = re.search(r"<([^>]*)>", value)
    return found[1] if found else value.split(";")[0].strip()


def user_of(uri):
    found = re.match(r"sips?:([^@;]*)@", uri)
    return found[1] if found else None


def host_port(uri, default=5060):
    """(host, port, transport) a URI leads to."""
    rest = re.sub(r"^sips?:", "", uri).split("@", 1)[-1]
    found = re.match(r"(\[[^\]]+\]|[^:;>?]+)(?::(\d+))?", rest)
    transport = re.search(r";transport=(\w+)", uri, re.I)
    return (found[1].strip("[]"), int(found[2] or default),
            transport[1].lower() if transport else None)


def bracket(host):
    return f"[{host}]" if ":" in host else host


# ---- SDP -----------------------------------------------------------------

def sdp_build(host, port, version=1, direction="sendrecv", extra=(),
              formats=("0 PCMU/8000", "8 PCMA/8000",
                       "101 telephone-event/8000"), session=1000):
    family = "IP6" if ":" in host else "IP4"
    lines = ["v=0", f"o=- {session} {version} IN {family} {host}", "s=call",
             f"c=IN {family} {host}", "t=0 0",
             f"m=audio {port} RTP/AVP " +
             " ".join(f.split()[0] for f in formats)]
    lines += [f"a=rtpmap:{f}" for f in formats]
    if any("telephone-event" in f for f in formats):
        lines.append("a=fmtp:101 0-15")
    lines += ["a=ptime:20", *extra, f"a={direction}"]
    return ("\r\n".join(lines) + "\r\n").encode()


def sdp_media(text):
    """(address, port, direction) of the first audio stream."""
    session, *media = re.split(r"^m=", text, flags=re.M)
    audio = next((m for m in media if m.startswith("audio")), None)
    where = audio and (re.search(r"^c=IN IP[46] (\S+)", audio, re.M) or
                       re.search(r"^c=IN IP[46] (\S+)", session, re.M))
    if not where:
        raise BadMessage("no audio in the SDP")
    ways = r"^a=(sendrecv|sendonly|recvonly|inactive)\s*$"
    way = re.search(ways, audio, re.M) or re.search(ways, session, re.M)
    return (where[1], int(audio.split()[1]),
            way[1] if way else "sendrecv")


MIRROR = {"sendrecv": "sendrecv", "sendonly": "recvonly",
          "recvonly": "sendonly", "inactive": "inactive"}
