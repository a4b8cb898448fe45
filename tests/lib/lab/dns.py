"""The laboratory's DNS: NSD with DNSSEC as in life, and a name server that misbehaves on order.

NSD answers for a root zone of our own and for every zone that a test gives, on 192.0.2.53 and
2001:db8::53. Zones are signed with keys made at test time; the parent holds the DS of a signed
child and proves that an unsigned one has none. trust_file holds the root's key, for
`resolver "192.0.2.53:53" trust "FILE"`.
"""
import ipaddress
import socket
import struct
import subprocess
import textwrap
import threading
import time

from . import proc
from .root import Root

ADDRESS, ADDRESS6 = "192.0.2.53", "2001:db8::53"
HEAD = "$ORIGIN {origin}\n$TTL 60\n@ SOA ns.lab. hostmaster.lab. 1 3600 600 86400 5\n@ NS ns.lab.\n"


class Zone:
    """records: zone file text relative to the zone; SOA and NS are added.

    signed=False: an insecure delegation. expired=True: signatures that ran out, so every answer is
    bogus for a validating resolver.
    """

    def __init__(self, records, signed=True, expired=False):
        self.records = textwrap.dedent(records)
        self.signed, self.expired = signed, expired


def dnsbl(listed):
    """Records of a DNSBL zone: {"192.0.2.66": "127.0.0.2"}; a text may follow after a blank."""
    lines = []
    for address, answer in listed.items():
        value, _, text = answer.partition(" ")
        name = ipaddress.ip_address(address).reverse_pointer
        name = name.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
        lines.append(f"{name} A {value}")
        if text:
            lines.append(f'{name} TXT "{text}"')
    return "\n".join(lines) + "\n"


def _reverse(pointers):
    """PTR zones for the laboratory's networks, from {"192.0.2.7": "host.example"}."""
    zones = {"2.0.192.in-addr.arpa": [], "100.51.198.in-addr.arpa": [],
             "8.b.d.0.1.0.0.2.ip6.arpa": []}
    for address, host in pointers.items():
        name = ipaddress.ip_address(address).reverse_pointer
        zone = next((z for z in zones if name.endswith("." + z)), None)
        if zone is None:
            raise proc.LabError(f"{address} is in none of the laboratory's networks")
        zones[zone].append(f"{name}. PTR {host}.\n")
    return {zone: Zone("".join(lines)) for zone, lines in zones.items()}


class Dns:
    """NSD with the zones given: {"sender.example": "@ MX 10 mail\\nmail A 192.0.2.7\\n", ...}."""

    def __init__(self, zones=None, pointers=None):
        self.root = Root.get("nsd", "nsd")
        self.home = proc.LAB / "dns"
        self.home.mkdir(exist_ok=True)
        self.trust_file = self.home / "trust.key"
        self.pointers = dict(pointers or {})
        self.zones = {}
        self.process = None
        self._keys = {}
        self.set(zones or {})

    def set(self, zones):
        """Adds zones or replaces those of the same name. Takes effect at start() or restart()."""
        for name, zone in zones.items():
            self.zones[name.rstrip(".").lower()] = zone if isinstance(zone, Zone) else Zone(zone)

    def start(self):
        self._write()
        log = open(self.home / "nsd.log", "ab")
        self.process = self.root.start("nsd", "-d", "-c", self.home / "nsd.conf", stdout=log,
                                       stderr=subprocess.STDOUT)
        log.close()
        try:
            proc.wait_port(ADDRESS, 53)
        except proc.LabError as e:
            raise proc.LabError(f"{e}\n{(self.home / 'nsd.log').read_text()[-2000:]}") from None
        return self

    def stop(self):
        if self.process is not None:
            proc.stop(self.process, "nsd")
            self.process = None

    def restart(self):
        self.stop()
        self.start()

    def _key(self, name):
        """The zone's one key, which signs everything: (base of the key's files, DS, DNSKEY)."""
        if name not in self._keys:
            made = proc.run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", "-r", "/dev/urandom",
                            name or ".", cwd=self.home).stdout.strip().splitlines()[-1]
            base = self.home / made
            self._keys[name] = (base, (self.home / f"{made}.ds").read_text(),
                                (self.home / f"{made}.key").read_text())
        return self._keys[name]

    def _write(self):
        zones = {**_reverse(self.pointers), **self.zones}
        children = {name: [] for name in ["", *zones]}
        for name in zones:
            parent = name.partition(".")[2]
            while parent and parent not in zones:
                parent = parent.partition(".")[2]
            children[parent].append(name)
        text = {"": Zone(f"ns.lab. A {ADDRESS}\nns.lab. AAAA {ADDRESS6}\n"), **zones}
        for name, zone in text.items():
            self._write_zone(name, zone, [(c, zones[c]) for c in children[name]])
        self.trust_file.write_text(self._key("")[2], encoding="ascii")
        self.trust_file.chmod(0o644)
        conf = [f"server:\n ip-address: {ADDRESS}\n ip-address: {ADDRESS6}\n username: \"\"\n"
                f" zonesdir: \"{self.home}\"\n pidfile: \"\"\n database: \"\"\n"
                f" zonelistfile: \"{self.home}/zone.list\"\n xfrdfile: \"{self.home}/xfrd\"\n"
                f" xfrdir: \"{self.home}\"\n server-count: 1\n hide-version: yes\n"
                " rrl-ratelimit: 0\n"
                "remote-control:\n control-enable: no\n"]
        for name in text:
            conf.append(f'zone:\n name: "{name or "."}"\n zonefile: "{name or "root"}.signed"\n')
        (self.home / "nsd.conf").write_text("".join(conf), encoding="ascii")

    def _write_zone(self, name, zone, children):
        lines = [HEAD.format(origin=f"{name}."), zone.records, "\n"]
        for child, its in children:
            lines.append(f"{child}. NS ns.lab.\n")
            if its.signed:
                lines.append(self._key(child)[1])
        plain = self.home / f"{name or 'root'}.zone"
        signed = self.home / f"{name or 'root'}.signed"
        plain.write_text("".join(lines), encoding="utf-8")
        if not zone.signed:
            signed.write_text(plain.read_text(encoding="utf-8"), encoding="utf-8")
            return
        now = time.time()
        begin, end = (now - 864000, now - 432000) if zone.expired else (now - 86400, now + 864000)
        stamp = [time.strftime("%Y%m%d%H%M%S", time.gmtime(t)) for t in (begin, end)]
        proc.run("ldns-signzone", "-i", stamp[0], "-e", stamp[1], "-o", f"{name}.", "-f", signed,
                 plain, self._key(name)[0], cwd=self.home)


class Answer:
    """What Misbehaving does with a question: wait, then say nothing, an rcode, or records."""

    def __init__(self, records=None, rcode=None, delay=0.0, silent=False, truncated=False):
        self.records, self.rcode, self.delay = records, rcode, delay
        self.silent, self.truncated = silent, truncated


class Misbehaving:
    """A name server that passes questions on to NSD, except those that a rule names.

    rules: {("slow.example", "TXT"): Answer(delay=3), ("dead.example", None): Answer(silent=True)};
    None stands for every type. Without DNSSEC: for `resolver "192.0.2.54:53" insecure`.
    asked lists (name, type) in the order of arrival.
    """

    def __init__(self, rules=None, address="192.0.2.54"):
        self.rules = dict(rules or {})
        self.address = address
        self.asked = []
        self._udp = self._tcp = None

    def start(self):
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind((self.address, 53))
        self._tcp = socket.create_server((self.address, 53))
        threading.Thread(target=self._serve_udp, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()
        return self

    def stop(self):
        # shutdown wakes the threads that wait; close alone does not.
        for each in (self._udp, self._tcp):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()

    def _serve_udp(self):
        while True:
            try:
                query, peer = self._udp.recvfrom(65535)
            except OSError:
                return
            if not query:
                continue
            threading.Thread(target=self._answer_udp, args=(query, peer), daemon=True).start()

    def _answer_udp(self, query, peer):
        reply = self._reply(query, tcp=False)
        if reply:
            try:
                self._udp.sendto(reply, peer)
            except OSError:
                pass

    def _serve_tcp(self):
        while True:
            try:
                peer, _ = self._tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._answer_tcp, args=(peer,), daemon=True).start()

    def _answer_tcp(self, peer):
        with peer, peer.makefile("rb") as stream:
            while len(head := stream.read(2)) == 2:
                reply = self._reply(stream.read(struct.unpack("!H", head)[0]), tcp=True)
                if not reply:
                    return
                try:
                    peer.sendall(struct.pack("!H", len(reply)) + reply)
                except OSError:
                    return

    def _reply(self, wire, tcp):
        import dns.flags
        import dns.message
        import dns.query
        import dns.rcode
        import dns.rdatatype
        import dns.rrset
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        rule = self.rules.get((name, kind)) or self.rules.get((name, None))
        if rule is None:
            rule = Answer()
        if rule.delay:
            time.sleep(rule.delay)
        if rule.silent:
            return None
        if rule.rcode is None and rule.records is None and not rule.truncated:
            passed = dns.query.udp_with_fallback(query, ADDRESS, timeout=5)[0]
            passed.flags |= dns.flags.RA
            return passed.to_wire()
        reply = dns.message.make_response(query, recursion_available=True)
        if rule.rcode is not None:
            reply.set_rcode(dns.rcode.from_text(rule.rcode))
        if rule.truncated and not tcp:
            reply.flags |= dns.flags.TC
        elif rule.records is not None:
            reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *rule.records))
        return reply.to_wire(max_size=65535)
