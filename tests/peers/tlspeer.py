"""How a test peer speaks TLS."""

import socket
import ssl
import subprocess


def v2_hello(program, sock, version, cert):
    """TLS on a connected socket, begun with an SSLv2-format ClientHello:
    (the program that speaks it, a socket with what is said)."""
    ours, its = socket.socketpair()
    with its:
        proc = subprocess.Popen(
            [str(program), str(sock.fileno()), version, str(cert.pem),
             str(cert.key)], stdin=its, stderr=subprocess.PIPE,
            pass_fds=[sock.fileno()])
    return proc, ours


class Tls:
    """Certificate, whom it trusts, whom it expects. Both ways mutual.

    v2: (program, version) of v2_hello, for connections from now on.
    """

    def __init__(self, cert, trusted, name, port=5061, mutual=True,
                 version=None):
        self.v2 = None
        self.cert, self.trusted, self.name = cert, trusted, name
        self.port, self.mutual, self.version = port, mutual, version

    def _context(self, purpose):
        ctx = ssl.SSLContext(purpose)
        if self.version:
            ctx.minimum_version = ctx.maximum_version = self.version
        if self.cert:
            ctx.load_cert_chain(str(self.cert.pem), str(self.cert.key))
        for cert in self.trusted:
            ctx.load_verify_locations(str(cert.single))
        return ctx

    def server(self):
        ctx = self._context(ssl.PROTOCOL_TLS_SERVER)
        if self.mutual:
            ctx.verify_mode = ssl.CERT_REQUIRED
        return ctx

    def client(self):
        """Checks the other's name; None: nothing at all."""
        ctx = self._context(ssl.PROTOCOL_TLS_CLIENT)
        if not self.name:
            ctx.check_hostname = False
            ctx.verify_mode = ssl.CERT_NONE
        return ctx
