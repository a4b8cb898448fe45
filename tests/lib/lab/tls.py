"""Certificates made at test time with openssl: one authority, any number of names."""
import pathlib
import ssl

from . import proc


class Authority:
    """A certification authority in a directory; issue() returns (certificate, key) paths."""

    def __init__(self, home):
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.certificate, self._key = home / "ca.pem", home / "ca.key"
        if not self.certificate.exists():
            proc.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:P-256", "-nodes", "-keyout", self._key, "-out",
                     self.certificate, "-days", "30", "-subj", "/CN=Postern laboratory")

    def issue(self, *names, algorithm="ec", days=30):
        """One certificate for all names; the first one names the files."""
        base = self.home / names[0].replace("*", "any")
        key, request, certificate = (base.with_name(base.name + end)
                                     for end in (".key", ".csr", ".pem"))
        kind = (["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if algorithm == "ec"
                else ["rsa:2048"])
        proc.run("openssl", "req", "-new", "-newkey", *kind, "-nodes", "-keyout", key, "-out",
                 request, "-subj", f"/CN={names[0]}")
        extension = base.with_name(base.name + ".ext")
        extension.write_text("subjectAltName=" + ",".join(f"DNS:{n}" for n in names) + "\n")
        proc.run("openssl", "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey",
                 self._key, "-CAcreateserial", "-days", str(days), "-extfile", extension, "-out",
                 certificate)
        # Peers read them under accounts of their own.
        key.chmod(0o644)
        return certificate, key

    def trust(self):
        """The machine's own programs trust this authority, as far as the laboratory reaches."""
        bundle = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
        ours, theirs = self.certificate.read_text(), bundle.read_text()
        if ours not in theirs:
            both = self.home / "bundle.pem"
            both.write_text(theirs + ours)
            proc.run("mount", "--bind", both, bundle)

    def server_context(self, *names):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(*names))
        return context

    def client_context(self, verify=True):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.certificate)
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context
