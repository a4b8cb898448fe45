"""Postfix and Sendmail that ask a milter and relay what it lets pass to a sink.

Both take mail for anyone from 192.0.2.0/24 and log in `ann` with the password `secret`, where a
test names no other users; with a certificate they offer STARTTLS. Where
nobody serves the milter they answer 451 (F=T, milter_default_action = tempfail).
"""
import re

from .postfix import Postfix
from .root import Root
from .sendmail import Sendmail

# The ways in which posternd may listen: every milter test runs once for each.
FRONTS = ("", " through libmilter")
FRONT_NAMES = ("native", "libmilter")
MTAS = ("postfix", "sendmail")
PORT = 8891
LISTEN = f"inet:{PORT}@127.0.0.1"
USERS = {"ann": "secret"}
SASL = ("libsasl2-modules", "sasl2-bin")
# What each says at MAIL and RCPT instead of a milter that is not there.
MISSING = {"postfix": "451 4.7.1 Service unavailable - try again later",
           "sendmail": "451 4.3.2 Please try again later"}

MC = """\
RELAY_DOMAIN(`192.0.2')dnl
define(`SMART_HOST', `esmtp:[{sink}]')dnl
TRUST_AUTH_MECH(`PLAIN')dnl
define(`confAUTH_MECHANISMS', `PLAIN')dnl
define(`confAUTH_OPTIONS', `A')dnl
"""


class Mta:
    """One of the two. milter: as in `listen milter`; main: further settings of a Postfix.

    users: {name: password}; one without a domain is in the MTA's own realm. name: two at once
    need two. tls: (certificate, key).

    reply(text, path): what the client reads where the milter answers text about a path.
    """

    def __init__(self, kind, address, sink, milter=LISTEN, main=None, users=None, tls=None,
                 name="milter"):
        self.kind, self.address, self.name = kind, address, name
        self.users, self.tls = users or USERS, tls
        make = {"postfix": self._postfix, "sendmail": self._sendmail}
        self.peer = make[kind](sink, milter, main or {})

    def _postfix(self, sink, milter, main):
        name = self.name
        root = Root.get("postfix-milter", "postfix", *SASL)
        where = milter
        if milter.startswith("inet:"):
            port, _, host = milter[5:].partition("@")
            where = f"inet:{host}:{port}"
        root.write(f"/etc/postfix-{name}/sasl/smtpd.conf",
                   "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN\n"
                   "sasldb_path: /etc/lab.sasldb\n")
        self._passwords(root, "ours.example", "-f", "/etc/lab.sasldb")
        root.run("chmod", "644", "/etc/lab.sasldb")
        return Postfix(name, self.address, networks=["192.0.2.0/24"], relayhost=f"[{sink}]:25",
                       root=root, tls=self.tls, main={
                           "smtpd_milters": where, "non_smtpd_milters": where,
                           "milter_default_action": "tempfail",
                           "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_path": "smtpd",
                           "cyrus_sasl_config_path": f"/etc/postfix-{name}/sasl",
                           "smtpd_sasl_local_domain": "ours.example",
                           # What the queue tries, tests of dead milters must not wait for.
                           "smtpd_error_sleep_time": "0", "message_size_limit": "0", **main})

    def _sendmail(self, sink, milter, main):
        assert not main
        more = MC.format(sink=sink)
        if self.tls:
            more += (f"define(`confSERVER_CERT', `/etc/mail/lab.pem')dnl\n"
                     f"define(`confSERVER_KEY', `/etc/mail/lab.key')dnl\n"
                     f"define(`confCACERT', `/etc/mail/lab.pem')dnl\n"
                     f"define(`confCACERT_PATH', `/etc/mail')dnl\n")
        found = Sendmail(self.name, self.address, "local.lab.example",
                         f"INPUT_MAIL_FILTER(`postern', `S={milter}, F=T, "
                         "T=C:5s;S:10s;R:10s;E:60s')", more, SASL)
        found.root.write("/etc/mail/sasl/Sendmail.conf.2",
                         "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN\n")
        self._passwords(found.root, f"{self.name}.lab.example")
        for path, name in zip(self.tls or (), ("lab.pem", "lab.key")):
            found.root.write(f"/etc/mail/{name}", path.read_text(encoding="ascii"), 0o600)
        return found

    def _passwords(self, root, realm, *words):
        for user, password in self.users.items():
            name, _, its_realm = user.partition("@")
            root.run("saslpasswd2", "-p", "-c", "-u", its_realm or realm, *words, name,
                     input=password.encode() + b"\n")

    def start(self):
        self.peer.start()
        return self

    def stop(self):
        self.peer.stop()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def reply(self, text, path=None):
        """Sendmail adds an enhanced code, and at MAIL and RCPT names the address.

        So for 450, 550 and 553, which are about a mailbox, and not for 451, 50z and 555.
        """
        if self.kind == "postfix":
            return text
        code, words = text.split(" ", 1)
        enhanced, _, rest = words.partition(" ")
        if not re.fullmatch(r"[245]\.\d+\.\d+", enhanced):
            enhanced, rest = f"{code[0]}.0.0", words
        named = f"<{path}>... " if path and code in ("450", "550", "553") else ""
        return f"{code} {enhanced} {named}{rest}"
