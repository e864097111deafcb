"""Certificates for tests, by the openssl command: roots, what they sign, and
all the ways in which a certificate may be wrong."""

import datetime
import os
import pwd
import subprocess
from pathlib import Path

EC = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]


def rsa(bits=2048):
    return ["rsa", "-pkeyopt", f"rsa_keygen_bits:{bits}"]


def openssl(*args, **kwargs):
    return subprocess.run(["openssl", *map(str, args)], check=True,
                          capture_output=True, timeout=60, **kwargs)


class Cert:
    """Of a key: PEM files `pem` (it, then what leads to the root) and `key`."""

    def __init__(self, path, issuer=None):
        self.pem, self.key = path.with_suffix(".pem"), path.with_suffix(".key")
        self.single = path.with_suffix(".crt")
        self.issuer, self.path = issuer, path


def for_the_workers(cert):
    """They read its key as somebody else."""
    os.chown(cert.key, 0, pwd.getpwnam("nobody").pw_gid)
    cert.key.chmod(0o640)


class Workshop:
    """Makes them into a directory."""

    def __init__(self, directory):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.serial = 1000

    def make(self, name, issuer=None, names=(), cn=None, ca=False, eku=None,
             key=None, days=3650, start=None, digest="sha256",
             ocsp=None):
        """`names` are DNS names; `start` and `days` may lie in the past;
        `ocsp` is where its status is told."""
        cert = Cert(self.dir / name, issuer)
        openssl("genpkey", "-algorithm", *(key or EC), "-out", cert.key)
        cert.key.chmod(0o600)
        lines = [f"basicConstraints=critical,CA:{'TRUE' if ca else 'FALSE'}",
                 "subjectKeyIdentifier=hash"]
        if ca:
            lines.append("keyUsage=critical,keyCertSign,cRLSign")
        if eku:
            lines.append(f"extendedKeyUsage={eku}")
        if names:
            lines.append("subjectAltName=" +
                         ",".join(f"DNS:{n}" for n in names))
        if ocsp:
            lines.append(f"authorityInfoAccess=OCSP;URI:{ocsp}")
        ext = self.dir / f"{name}.ext"
        ext.write_text("\n".join(lines) + "\n")
        csr = self.dir / f"{name}.csr"
        openssl("req", "-new", "-key", cert.key, "-subj",
                f"/CN={cn or name}", "-out", csr)
        self.serial += 1
        if start:
            self._by_ca(cert, csr, ext, start, days, digest)
        else:
            by = (["-CA", issuer.single, "-CAkey", issuer.key] if issuer
                  else ["-signkey", cert.key])
            openssl("x509", "-req", "-in", csr, *by, "-set_serial",
                    self.serial, "-days", days, f"-{digest}", "-extfile", ext,
                    "-out", cert.single)
        chain = cert.single.read_text()
        if issuer and issuer.issuer:
            chain += issuer.pem.read_text()
        cert.pem.write_text(chain)
        return cert

    def _by_ca(self, cert, csr, ext, start, days, digest):
        """`openssl x509` knows no first day; `openssl ca` does."""
        base = self.dir / f"{cert.path.name}.ca"
        base.mkdir()
        (base / "index").write_text("")
        (base / "serial").write_text(f"{self.serial:04x}\n")
        issuer = cert.issuer
        conf = base / "conf"
        conf.write_text(
            "[ca]\ndefault_ca=x\n[x]\n"
            f"database={base}/index\nserial={base}/serial\n"
            f"new_certs_dir={base}\npolicy=p\nunique_subject=no\n"
            "[p]\ncommonName=supplied\n")
        end = start + datetime.timedelta(days=days)
        by = (["-cert", issuer.single, "-keyfile", issuer.key] if issuer
              else ["-selfsign", "-keyfile", cert.key])
        openssl("ca", "-batch", "-config", conf, "-in", csr, *by, "-md", digest,
                "-startdate", f"{start:%Y%m%d%H%M%SZ}",
                "-enddate", f"{end:%Y%m%d%H%M%SZ}", "-extfile", ext,
                "-notext", "-out", cert.single)

    def crl(self, issuer, revoked=()):
        """A revocation list of `issuer`'s."""
        base = self.dir / f"{issuer.path.name}.crl.d"
        base.mkdir(exist_ok=True)
        index = base / "index"
        index.write_text("")
        (base / "number").write_text("01\n")
        conf = base / "conf"
        conf.write_text("[ca]\ndefault_ca=x\n[x]\n"
                        f"database={index}\ncrlnumber={base}/number\n"
                        "default_md=sha256\ndefault_crl_days=30\n")
        by = ["-config", conf, "-cert", issuer.single, "-keyfile", issuer.key]
        for cert in revoked:
            openssl("ca", *by, "-revoke", cert.single)
        out = issuer.path.with_suffix(".crl")
        openssl("ca", *by, "-gencrl", "-out", out)
        return out
