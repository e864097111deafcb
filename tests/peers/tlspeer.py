"""How a test peer speaks TLS."""

import ssl


class Tls:
    """Certificate, whom it trusts, whom it expects. Both ways mutual."""

    def __init__(self, cert, trusted, name, port=5061, mutual=True,
                 version=None):
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
