"""The systems that are measured: Postern, and Postfix with what its users put beside it.

Every system listens at an address of its own and hands on to a sink of its own. The signature set
is one string for all of them: what is compared is the gateway, not the size of a database.
"""
import base64
import textwrap

from lab import postern, proc
from lab.postfix import Postfix
from lab.root import Root
from measure import Group, Sink

SENDERS, FIRST = 50, 64
VIRUS = b"POSTERN-BENCHMARK-VIRUS-TEST-STRING"
SIGNATURE = f"Postern.Benchmark:0:*:{VIRUS.hex()}\n"
PEERS = ("postfix", "opendkim", "opendmarc", "postfix-policyd-spf-python", "clamav-daemon",
         "clamav-milter")
RULES = """\
inbound {
    reject if recipient.domain is not "example.com"
    accept
}
"""
FILTER_RULES = """\
filter virus { database "signatures" }
inbound {
    reject if recipient.domain is not "example.com"
    reject if spf is fail
    reject if dkim is fail and dmarc is not pass
    reject if dmarc is fail and dmarc.policy is reject
    reject if virus
    accept
}
"""
# The same, and beside it what limits how much may come and looks at what is inside.
LIMIT_RULES = FILTER_RULES.replace("inbound {", """\
spool "{spool}"
filter greylist { delay 1s retry within 1h passers 1000000 }
pattern project /project[ -]x-ray \\d{4}/i
pattern accounts /\\b[A-Z]{2}\\d{2}[ ]?(?:\\d{4}[ ]?){4}\\d{2}\\b/ iban
inbound {
    defer if greylisted
    defer if rate client > 1000000/hour or rate sender.domain > 1000000/day
    defer if quota client > 1000000000 recipients/month
    reject if body contains project
    reject if body contains accounts
    reject if attachment.name matches "*.{exe,scr,js}\"""")
# The same, and beside it how likely a mail is spam, with what the keeper remembers of its sender.
SPAM_RULES = FILTER_RULES.replace("inbound {", """\
spool "{spool}"
inbound {
    tag "X-Spam: yes" if spam > 0.99""")


def make_key():
    """(file of a new RSA-2048 key, its DKIM record)."""
    path = proc.LAB / "bench.pem"
    proc.run("openssl", "genrsa", "-out", path, "2048")
    proc.run("openssl", "rsa", "-in", path, "-pubout", "-outform", "DER", "-out", f"{path}.pub")
    public = base64.b64encode((proc.LAB / "bench.pem.pub").read_bytes()).decode()
    parts = " ".join(f'"{part}"' for part in textwrap.wrap(f"v=DKIM1; k=rsa; p={public}", 200))
    return path, parts


def zones(dkim_record):
    """(zones, pointers) of the senders: SPF, DKIM and DMARC for each of 50 domains."""
    lines, pointers = [], {}
    for i in range(SENDERS):
        address = f"192.0.2.{FIRST + i}"
        pointers[address] = f"s{i}.senders.example"
        lines.append(f's{i} A {address}\ns{i} MX 10 s{i}\n'
                     f's{i} TXT "v=spf1 ip4:{address} -all"\n'
                     f's._domainkey.s{i} TXT {dkim_record}\n'
                     f'_dmarc.s{i} TXT "v=DMARC1; p=reject"\n')
    return {"senders.example": "".join(lines), "example.com": "@ MX 10 mx\nmx A 192.0.2.41\n"}, \
        pointers


class System:
    """One that is measured. marks: the results that each of its mails must carry."""

    patience_s = 90  # for mails that are still on their way to the sink
    refuses = True   # viruses; else they arrive as any mail does

    def __init__(self, name, number, marks=""):
        self.name, self.marks = name, marks
        self.address, self.sink_address = f"192.0.2.{number}", f"198.51.100.{number}"
        self.group = Group(f"{name.lower()}{number}")
        self.sink = Sink(self.sink_address)

    def quiet(self):
        """Nothing of the last mails is left to do."""
        return True

    def stop(self):
        self.sink.stop()
        self.group.remove()


class Postern(System):
    def __init__(self, rules, trust_file, number=41, marks="", listen="", name="Postern"):
        super().__init__(name, number, marks)
        self.gate = postern.Postern(
            'hostname "mx.example.com"\nresolver "192.0.2.53:53" trust "trust.key"\n'
            f'listen inbound on "{self.address}:25" {listen}\n'
            f'domain "example.com" deliver to "{self.sink_address}:25"\n'
            "limits { connections 20000 per client 10000 command time 30m }\n" + rules,
            {"trust.key": trust_file, "signatures/bench.ndb": SIGNATURE})
        with self.group:
            self.gate.start()

    def stop(self):
        try:
            self.gate.stop(60)
        finally:
            super().stop()


class PostfixPass(System):
    """smtpd_proxy_filter: no queue, the sink's answer is the client's."""

    def __init__(self, number=42):
        super().__init__("Postfix", number)
        root = Root.get("postfix", "postfix")
        self.peer = Postfix("bench", self.address, root=root, main={
            "smtpd_proxy_filter": f"{self.sink_address}:25", "virtual_mailbox_domains": "",
            "relay_domains": "example.com", **RELAY})
        with self.group:
            self.peer.start()

    def stop(self):
        self.peer.stop()
        super().stop()


RELAY = {
    "smtpd_recipient_restrictions": "permit_mynetworks, reject_unauth_destination",
    "smtpd_client_connection_count_limit": "0",
}
CONFIGS = {
    "/etc/bench/opendkim.conf": """\
        Mode v
        Socket local:/run/bench/opendkim.sock
        UMask 000
        UserID opendkim
        AuthservID mx.example.com
        Nameservers 192.0.2.53
        AlwaysAddARHeader yes
        """,
    "/etc/bench/opendmarc.conf": """\
        Socket local:/run/bench/opendmarc.sock
        UMask 000
        UserID opendmarc
        AuthservID mx.example.com
        TrustedAuthservIDs mx.example.com
        RejectFailures true
        IgnoreHosts /etc/bench/none
        """,
    "/etc/bench/clamd.conf": """\
        LocalSocket /run/bench/clamd.sock
        LocalSocketMode 666
        DatabaseDirectory /etc/bench/signatures
        User clamav
        Foreground true
        """,
    "/etc/bench/clamav-milter.conf": """\
        MilterSocket /run/bench/clamav-milter.sock
        MilterSocketMode 666
        ClamdSocket unix:/run/bench/clamd.sock
        AddHeader Add
        OnInfected Reject
        User clamav
        Foreground true
        """,
    "/etc/bench/policyd-spf.conf": """\
        debugLevel = 0
        HELO_reject = Fail
        Mail_From_reject = Fail
        Header_Type = AR
        Authserv_Id = mx.example.com
        skip_addresses = 127.0.0.0/8
        """,
    "/etc/bench/none": "",
    "/etc/bench/signatures/bench.ndb": SIGNATURE,
}
SPAWN = "policyd-spf unix - n n - 0 spawn user=nobody argv=/usr/bin/policyd-spf " \
        "/etc/bench/policyd-spf.conf\n"
MILTERS = ("opendkim", "opendmarc", "clamav-milter")
COMMANDS = (
    ("clamd", "-c", "/etc/bench/clamd.conf"),
    ("clamav-milter", "-c", "/etc/bench/clamav-milter.conf"),
    ("opendkim", "-f", "-x", "/etc/bench/opendkim.conf"),
    ("opendmarc", "-f", "-c", "/etc/bench/opendmarc.conf"),
)


class PostfixQueue(System):
    """Postfix with its queue and whatever stands beside it: filters() starts that."""

    refuses = False

    def __init__(self, name, number, marks="", root=None, main=None, services=""):
        super().__init__(name, number, marks)
        self.root = root or Root.get("postfix", "postfix")
        self.peer = Postfix(f"bench{number}", self.address, root=self.root, services=services,
                            relayhost=f"[{self.sink_address}]:25", main={
                                "virtual_mailbox_domains": "", "relay_domains": "example.com",
                                **RELAY, **(main or {})})
        with self.group:
            self.filters()
            self.peer.start()

    def filters(self):
        pass

    def quiet(self):
        return not self.peer.queue()

    def stop(self):
        self.peer.stop()
        super().stop()


class PostfixFull(PostfixQueue):
    """With opendkim, opendmarc, policyd-spf and clamav-milter, as packages set them up."""

    refuses = True

    def __init__(self, name="Postfix", number=42):
        root = Root.get("bench", *PEERS)
        for path, text in CONFIGS.items():
            root.write(path, textwrap.dedent(text))
        sockets = root.file("/run/bench")
        sockets.mkdir(exist_ok=True)
        sockets.chmod(0o1777)
        self.running = []
        super().__init__(name, number, "sdm", root, {
            "smtpd_milters": ", ".join(f"unix:/run/bench/{name}.sock" for name in MILTERS),
            "milter_default_action": "tempfail", "policyd-spf_time_limit": "3600",
            "smtpd_recipient_restrictions": RELAY["smtpd_recipient_restrictions"]
            + ", check_policy_service unix:private/policyd-spf"}, SPAWN)

    def filters(self):
        for command in COMMANDS:
            with open(proc.LAB / f"bench-{command[0]}.log", "ab") as log:
                self.running.append(self.root.start(*command, stdout=log, stderr=log))
            socket = self.root.file(f"/run/bench/{command[0]}.sock")
            proc.wait_until(socket.exists, f"{command[0]}'s socket", 20)

    def stop(self):
        self.peer.stop()
        for process in self.running:
            process.terminate()
            process.wait(20)
        System.stop(self)


RESOLVER = '"192.0.2.53:53" trust "trust.key"'


def milter_config(rules, socket, options="", resolver=RESOLVER):
    """A gateway that is nothing but a milter."""
    return ('hostname "mx.example.com"\n'
            f'resolver {resolver}\n'
            f'listen milter on "{socket}" {options}\n'
            'domain "example.com"\n'
            "limits { connections 20000 per client 10000 }\n" + rules)


class PostfixPostern(PostfixQueue):
    """With Postern as its one milter. options: behind `listen milter on ...`."""

    refuses = True

    def __init__(self, name, number, trust_file, rules=FILTER_RULES, options="", marks="sdm"):
        # The socket is for the group of Postern's account, which is nobody's in the laboratory.
        folder, root = f"/run/bench{number}", Root.get("postfix", "postfix")
        root.run("usermod", "-aG", "nogroup", "postfix")
        root.run("install", "-d", "-m", "0755", folder)
        self.gate = postern.Postern(
            milter_config(rules, f"unix:{root.file(folder)}/milter", options),
            {"trust.key": trust_file, "signatures/bench.ndb": SIGNATURE})
        super().__init__(name, number, marks, main={
            "smtpd_milters": f"unix:{folder}/milter", "milter_default_action": "tempfail"})

    def filters(self):
        self.gate.start()

    def stop(self):
        self.peer.stop()
        try:
            self.gate.stop(60)
        finally:
            System.stop(self)
