"""SDES (RFC 4568) for test user agents: RTP/SAVP with one a=crypto line."""

import base64
import os
import re

SUITE = "AES_CM_128_HMAC_SHA1_80"
# Bytes of master key and salt.
KEY_BYTES = {"AES_CM_128": 30, "AES_256_CM": 46, "AEAD_AES_128": 28,
             "AEAD_AES_256": 44}
LINE = re.compile(r"^a=crypto:(\d+) (\S+) inline:([A-Za-z0-9+/=]+)(\S*)(.*)$",
                  re.M)


def crypto_lines(sdp):
    """[(tag, suite, key, session parameters), ...] of an SDP."""
    return [(int(tag), suite, key, params.split())
            for tag, suite, key, _, params in LINE.findall(
                sdp.replace("\r", ""))]


class Sdes:
    """Makes a user agent speak SRTP only: Ua.sdes = Sdes().

    strict: what a peer that knows no session parameters refuses with 488.
    Keys of both directions are kept, to look for them where none may be.
    watch: an SrtpWatch, told which keys we are sent with.
    """

    def __init__(self, suite=SUITE, strict=True, watch=None):
        self.suite, self.strict, self.watch = suite, strict, watch
        self.keys = set()

    def new_key(self):
        size = next(n for name, n in KEY_BYTES.items()
                    if self.suite.startswith(name))
        key = base64.b64encode(os.urandom(size)).decode()
        self.keys.add(key)
        return key

    def local(self, call, sdp):
        """Our SDP as SRTP: the tag of their offer, a key for each call."""
        if call.sdes_key is None:
            call.sdes_key = self.new_key()
        line = " ".join((f"a=crypto:{call.sdes_tag}", self.suite,
                         f"inline:{call.sdes_key}", *call.sdes_params))
        sdp = sdp.replace(b"RTP/AVP", b"RTP/SAVP")
        return sdp + line.encode() + b"\r\n"

    def remote(self, call, text):
        """Takes what they say; None, or why it is refused."""
        lines = crypto_lines(text)
        self.keys |= {key for _, _, key, _ in lines}
        if re.search(r"^m=audio 0 ", text, re.M):
            return None
        if not re.search(r"^m=audio \d+ RTP/SAVPF? ", text, re.M):
            return "no RTP/SAVP"
        lines = [x for x in lines if x[1] == self.suite]
        if not lines:
            return f"no {self.suite}"
        if self.strict and lines[0][3]:
            return " ".join(lines[0][3])
        # An answer repeats what was offered.
        call.sdes_tag, _, call.sdes_theirs, call.sdes_params = lines[0]
        return None

    def media(self, call):
        """Keys for rtptool: ours, and theirs as far as they are known."""
        keys = {}
        if call.sdes_key:
            keys["srtp_tx"] = f"{self.suite} {call.sdes_key}"
        if call.sdes_theirs:
            keys["srtp_rx"] = f"{self.suite} {call.sdes_theirs}"
            if self.watch:
                self.watch.key(keys["srtp_rx"], call.ua.media_host,
                               call.media_port)
        return keys
