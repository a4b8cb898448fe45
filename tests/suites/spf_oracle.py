"""
python3-spf over a table of records, with its departures from RFC 7208 repaired one by one.

Each repair is one named cause. Where our engine and python3-spf differ, the smallest set of repairs
with which they agree is the explanation; where all of them do not help, the difference is ours to
explain. The repairs know nothing of our engine.
"""
import re

import spf

CAUSES = {
    "void": "look-ups that find nothing: counted for each query, also behind %{p} and CNAME; "
            "4.6.4 counts terms (ours: those that do not match)",
    "redirect": "redirect= counts as a look-up even where a mechanism matches before (4.6.4, 6.1)",
    "self": "include of the record's own domain is permerror before anything is evaluated (5.2 "
            "knows no such rule)",
    "ptr": "a DNS error in ptr or %{p} is temperror; 5.5 and 7.3: no match, \"unknown\"",
    "p": "%{p} is kept from the first domain; 7.3 validates for the current one",
    "mx": "one MX host that cannot be looked up is temperror although another one matches",
    "long": "of a name over 253 octets one label is cut off; 7.3: as many as it takes",
    "twice": "an unknown modifier that stands twice is permerror; 6: only redirect= and exp= may not",
    "case": "names of modifiers and the transformer r are not known in capitals; 12: ABNF's strings "
            "have no case",
    "local": "%{s} of a sender without local part begins with @; 4.3: with postmaster@",
    "grammar": "strings outside section 12's grammar are taken",
}

_MACRO = r"%(?:\{[LETTERS](?!0+[^0-9])[0-9]*r?[.+,/_=-]*\}|[%_-])"
_NAMES, _EXPLAIN = (_MACRO.replace("LETTERS", x) for x in ("slodiphv", "slodiphvcrt"))
_STRING = rf"(?:{_NAMES}|[\x21-\x24\x26-\x7e])*"
_TOP = r"(?:[0-9a-z]*[a-z][0-9a-z]*|[0-9a-z]+-[0-9a-z-]*[0-9a-z])"
_SPEC = rf"{_STRING}(?:\.{_TOP}\.?|{_NAMES})"
_P4, _P6 = r"(?:[0-9]|[12][0-9]|3[0-2])", r"(?:[0-9]|[1-9][0-9]|1[01][0-9]|12[0-8])"
_CIDR = rf"(?:/{_P4})?(?://{_P6})?"
_IP4 = r"\.".join([r"(?:[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])"] * 4)
_TERM = rf"""(?:[-+~?]?(?:all|include:{_SPEC}|(?:a|mx)(?::{_SPEC})?{_CIDR}|ptr(?::{_SPEC})?
    |ip4:{_IP4}(?:/{_P4})?|ip6:[0-9a-f:.]+(?:/{_P6})?|exists:{_SPEC})
    |(?:redirect|exp)={_SPEC}|(?!(?:redirect|exp)=)[a-z][a-z0-9_.-]*={_STRING})"""
RECORD = re.compile(rf"v=spf1(?:\ +{_TERM})*\ *", re.IGNORECASE | re.VERBOSE)
EXPLANATION = re.compile(rf"(?:{_EXPLAIN}|[\x20-\x24\x26-\x7e])*", re.IGNORECASE)


class NotTheSame(str):
    """A domain that no comparison takes for the record's own."""

    def __eq__(self, other):
        return False

    __hash__ = str.__hash__


class Query(spf.query):
    def __init__(self, zone, repairs, **rest):
        self.zone, self.repairs = zone, repairs
        self.found_nothing = self.inside = self.silent = False
        self.void_terms, self.late_error = 0, None
        super().__init__(**rest)
        if "local" in repairs and self.s.startswith("@"):
            self.s = "postmaster" + self.s

    def nothing_found(self, matched):
        if "void" not in self.repairs or not self.found_nothing or self.silent:
            return
        self.found_nothing = False
        self.void_terms += not matched
        if self.void_terms > spf.MAX_VOID_LOOKUPS:
            raise spf.PermError("Void lookup limit of %d exceeded" % spf.MAX_VOID_LOOKUPS)

    def dns(self, name, qtype, cnames=None, ignore_void=False):
        result = super().dns(name, qtype, cnames=cnames,
                             ignore_void=ignore_void or "void" in self.repairs)
        labels = str(name).rstrip(".").split(".")
        if not result and qtype != "TXT" and all(0 < len(x) < 64 for x in labels):
            self.found_nothing = True
        return result

    def dns_a(self, domainname, A="A"):
        if self.inside:
            return super().dns_a(domainname, A)
        self.found_nothing = False
        found = super().dns_a(domainname, A)
        if not found:
            self.nothing_found(False)
        return found

    def within(self, function):
        self.inside, self.found_nothing = True, False
        try:
            return function()
        finally:
            self.inside = False

    def dns_mx(self, domainname):
        self.late_error = None
        return self.within(lambda: self.mx_addresses(domainname))

    def mx_addresses(self, domainname):
        if "mx" not in self.repairs:
            return super().dns_mx(domainname)
        hosts = self.dns(domainname, "MX")
        if len(hosts) > spf.MAX_MX:
            raise spf.PermError("too many MX")
        found = []
        for _, host in hosts:
            try:
                found += super().dns_a(host, self.A)
            except spf.TempError as e:
                self.late_error = e
        return found

    def cidrmatch(self, ipaddrs, n):
        matched = super().cidrmatch(ipaddrs, n)
        if self.inside:
            return matched
        error, self.late_error = self.late_error, None
        if error is not None and not matched:
            raise error
        self.nothing_found(matched)
        return matched

    def validated_ptrs(self):
        return self.within(self.ptr_names)

    def ptr_names(self):
        if "ptr" not in self.repairs:
            return super().validated_ptrs()
        try:
            names = self.dns_ptr(self.i)[:spf.MAX_PTR]
        except spf.TempError:
            return []
        good = []
        for name in names:
            try:
                if super().cidrmatch(super().dns_a(name, self.A), self.cidrmax):
                    good.append(name)
            except spf.TempError:
                pass
        return good

    def getp(self):
        if "p" in self.repairs:
            self.p = None
        self.silent = True
        try:
            return super().getp()
        finally:
            self.silent = self.found_nothing = False

    def check_lookups(self):
        # While terms are read, before any is evaluated, only redirect= comes here.
        if "redirect" in self.repairs and "cidrlength" not in spf.sys._getframe(1).f_locals:
            return
        super().check_lookups()

    def dns_spf(self, domain):
        frame = spf.sys._getframe(1)
        if "redirect" in self.repairs and domain is frame.f_locals.get("redirect"):
            super().check_lookups()
        record = super().dns_spf(domain)
        if "grammar" in self.repairs and record and not RECORD.fullmatch(record):
            raise spf.PermError("not by the grammar")
        if "case" in self.repairs and record:
            record = re.sub(r" (redirect|exp)=", lambda m: m[0].lower(), record, flags=re.IGNORECASE)
        return record

    def note_error(self, *msg):
        known = ("exp=", "redirect=")
        if "twice" in self.repairs and "at most once" in msg[0] and not msg[0].startswith(known):
            return None
        return super().note_error(*msg)

    def expand_domain(self, arg):
        name = super().expand_domain(arg)
        while "long" in self.repairs and len(name) > 253 and "." in name:
            name = name[name.index(".") + 1:]
        return NotTheSame(name) if "self" in self.repairs else name

    def expand(self, s, stripdot=True):
        if not stripdot and "grammar" in self.repairs and not EXPLANATION.fullmatch(s):
            raise spf.PermError("not by the grammar")
        if "case" in self.repairs:
            s = re.sub(r"(%\{[A-Za-z][0-9]*)R", r"\1r", s)
        return super().expand(s, stripdot)

    def check1(self, spf_record, domain, recursion):
        return super().check1(spf_record, str(domain), recursion)


def domainmatch(names, suffix):
    """As python3-spf's, telling the query whether the term matched."""
    matched = _domainmatch(names, suffix)
    query = spf.sys._getframe(1).f_locals["self"]
    query.nothing_found(matched)
    return matched


_domainmatch, spf.domainmatch = spf.domainmatch, domainmatch


def lookup(name, qtype, strict=True, timeout=0):
    frame = spf.sys._getframe(1)
    entries = frame.f_locals["self"].zone.get(name.lower())
    found = []
    for kind, value in entries or ():
        if kind == "TIMEOUT":
            if not found:
                raise spf.TempError("DNS timeout")
            break
        if kind == qtype:
            found.append(((name, kind), (value,) if kind == "TXT" else value))
    if not found:
        found = [((name, "CNAME"), v) for k, v in entries or () if k == "CNAME"]
    return found


spf.DNSLookup = lookup


def check(zone, repairs, ip, helo, sender, receiver):
    """zone: name to [(kind, value)]. The result and the explanation of a fail."""
    q = Query(zone, repairs, i=ip, s=sender, h=helo, receiver=receiver)
    result, _, explanation = q.check()
    if result != "fail" or explanation == spf.EXPLANATIONS["fail"]:
        explanation = ""
    return result, explanation
