#!/usr/bin/python3
"""
spf_differential.py [COUNT [SEED]]: random zones and clients through our SPF engine and python3-spf.

Differences in result or explanation are grouped by cause (spf_oracle.py); the status is 1 where
one has no cause, and the case is printed.
"""
import random
import sys

import spf_engine
import spf_oracle

DOMAINS = ["d%d.example" % i for i in range(6)]
HOSTS = ["h%d.%s" % (i, d) for i in range(2) for d in DOMAINS[:4]]
NOWHERE = ["nx1.example", "nx2.example", "nx.d0.example"]
LATE = ["late.example", "late.d1.example"]
IPS = ["192.0.2.1", "192.0.2.2", "192.0.2.77", "198.51.100.1", "2001:db8::1", "2001:db8:1::2"]
MACROS = ["%{d}", "%{d2}", "%{d1r}", "%{o}", "%{h}", "%{p}", "%{l}.d0.example", "%{ir}.%{v}.d0.example",
          "%{s}", "%{L}.example", "%{p2}", "h1.%{d}", "%{l1r+-}.%{o}", "%%.d1.example", "%{i}.%{d}",
          "%{S}%{S}%{S}%{S}.%{d}.%{h}"]
BAD = ["a/33", "a:", "a:x", "mx//129", "ip4:1.2.3", "ip4:192.0.2.0/024", "ip6:::1/129", "include",
       "exists:%{d0}.example", "a:%{d;}.example", "a:%{x}.example", "a:example.1", "moo", "all:x", "=x",
       "exp=x", "redirect=", "a:%", "a:%{d", "++a", "ip4:2001:db8::1", "ptr/24", "a:b..example",
       "a:%{c}.example", "x=%{d", "-", "1=x", "a:%{dr2}.example", "include:%{d}.", "ip4:192.0.2.1//24",
       "mx:a.example/24/24", "exists:a.example/24", "a:foo.-x", "a:foo.x-"]


class Cases:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def name(self):
        pools = (DOMAINS, HOSTS, NOWHERE, LATE, MACROS)
        return self.random.choice(self.random.choices(pools, (6, 6, 2, 1, 3))[0])

    def cidr(self):
        r = self.random.random()
        return "" if r < 0.6 else "/24" if r < 0.75 else "//64" if r < 0.9 else "/0//0"

    def term(self):
        r = self.random
        if r.random() < 0.02:
            return r.choice(BAD)
        q = r.choices(("", "-", "~", "?", "+"), (8, 2, 1, 1, 1))[0]
        kind = r.choices(("a", "mx", "include", "ip4", "ip6", "ptr", "exists", "all", "x"),
                         (5, 4, 5, 4, 2, 2, 3, 3, 1))[0]
        if kind in ("a", "mx"):
            return q + kind + (":" + self.name() if r.random() < 0.7 else "") + self.cidr()
        if kind == "ptr":
            return q + kind + (":" + self.name() if r.random() < 0.6 else "")
        if kind in ("include", "exists"):
            return q + kind + ":" + self.name()
        if kind == "ip4":
            return q + "ip4:" + r.choice(("192.0.2.0/24", "192.0.2.2", "198.51.100.1", "10.0.0.0/8"))
        if kind == "ip6":
            return q + "ip6:" + r.choice(("2001:db8::/48", "2001:db8:1::2", "::ffff:192.0.2.1"))
        return q + "all" if kind == "all" else "moo=" + r.choice(("", "%{d}x", "1"))

    def record(self):
        r = self.random
        terms = [self.term() for _ in range(r.choice((0, 1, 1, 2, 2, 3, 4, 5, 7)))]
        if r.random() < 0.25:
            terms.insert(r.randrange(len(terms) + 1), "redirect=" + self.name())
        if r.random() < 0.4:
            terms.insert(r.randrange(len(terms) + 1), "exp=" + r.choice(DOMAINS + HOSTS + MACROS))
        if r.random() < 0.5:
            terms.append(r.choice(("-all", "-all", "~all", "?all")))
        text = "v=spf1" + "".join(" " * r.choice((1, 1, 1, 2)) + t for t in terms)
        return text.upper() if r.random() < 0.02 else text + " " * (r.random() < 0.05)

    def texts(self):
        r, out = self.random, []
        if r.random() < 0.9:
            out.append(self.record())
        if r.random() < 0.02:
            out.append(self.record())
        if r.random() < 0.1:
            out.append(r.choice(("hello", "v=spf10 -all", "v=spf2.0/mfrom -all", "")))
        return out

    def addresses(self):
        for _ in range(self.random.choice((0, 1, 1, 2))):
            ip = self.random.choice(IPS)
            yield ("AAAA" if ":" in ip else "A", ip)

    def zone(self):
        """name to [(kind, value)]"""
        r, zone = self.random, {}
        for d in DOMAINS:
            entries = [("TXT", t) for t in self.texts()] + list(self.addresses())
            for _ in range(r.choice((0, 1, 2, 2, 3, 11 if r.random() < 0.1 else 1))):
                entries.append(("MX", (r.randrange(50), r.choice(HOSTS + DOMAINS + NOWHERE + LATE))))
            if r.random() < 0.02:
                entries = [("CNAME", r.choice(DOMAINS))]
            elif r.random() < 0.02:
                entries.append(("TIMEOUT", ""))
            zone[d] = entries
        for h in HOSTS:
            explain = "%{i} is not a host of %{o}%_says %{r} and %{c} for %{s}"
            zone[h] = list(self.addresses())
            if r.random() < 0.5:
                zone[h].append(("TXT", r.choice((explain, "no", "bad %", "%{p} %{S}", "\x01", "%{d;}"))))
        for n in LATE:
            zone[n] = [("TIMEOUT", "")]
        for ip in IPS:
            names = r.sample(HOSTS + DOMAINS + NOWHERE + LATE, r.choice((0, 1, 2, 12)))
            zone[arpa(ip)] = [("PTR", n) for n in names] or ([("TIMEOUT", "")] if r.random() < .2 else [])
        return {n: e for n, e in zone.items() if e}

    def client(self):
        r = self.random
        local = r.choice(("joe", "a.b", "strong-bad", "o+x", "j\"q", ""))
        sender = local + "@" + r.choice(DOMAINS) if r.random() < 0.9 else ""
        return r.choice(IPS), r.choice(DOMAINS + HOSTS + ["bare", "[192.0.2.1]", "a..b"]), sender


def arpa(ip):
    return spf_oracle.spf.ipaddress.ip_address(ip).reverse_pointer


def flat(zone):
    return [(n, kind, value) for n, entries in zone.items() for kind, value in entries]


def as_query_wants(zone):
    """TXT as bytes, the way the wire gives them."""
    return {n: [(k, v.encode("latin-1") if k == "TXT" else v) for k, v in e] for n, e in zone.items()}


def same(ours, theirs):
    if ours[0] != theirs[0]:
        return False
    # python3-spf cuts a long explanation as if it were a name: that much is known, and not ours.
    return ours[1] == theirs[1] or (len(ours[1]) > 253 and ours[1].split(".", 1)[-1] == theirs[1])


def explain(zone, client, ours):
    """The causes of a difference, a smallest set; None: there is none."""
    repairs = set(spf_oracle.CAUSES)

    def agrees(some):
        return same(ours, spf_oracle.check(zone, some, *client))

    if not agrees(repairs):
        return None
    for cause in sorted(spf_oracle.CAUSES):
        if agrees(repairs - {cause}):
            repairs.discard(cause)
    return tuple(sorted(repairs))


def run(count, seed):
    """Groups of differences (causes to count), cases without a cause, results to count."""
    engine, cases = spf_engine.Engine(), Cases(seed)
    groups, unexplained, results = {}, [], {}
    for n in range(count):
        if n % 5 == 0:
            zone = cases.zone()
            wanted = as_query_wants(zone)
            engine.zone(flat(zone))
        ip, helo, sender = cases.client()
        client = (ip, helo, sender, "receiver.example")
        result, _, explanation, problem, _ = engine.check(*client)
        ours = (result, explanation)
        results[result] = results.get(result, 0) + 1
        theirs = spf_oracle.check(wanted, frozenset(), *client)
        if same(ours, theirs):
            continue
        causes = explain(wanted, client, ours)
        if causes is None:
            repaired = spf_oracle.check(wanted, frozenset(spf_oracle.CAUSES), *client)
            unexplained.append((client, ours, problem, theirs, repaired, zone))
        else:
            groups[causes] = groups.get(causes, 0) + 1
    assert engine.close() == 0
    return groups, unexplained, results


def report(count, groups, unexplained, results):
    lines = [f"{count} cases: " + ", ".join(f"{n} {r}" for r, n in sorted(results.items()))]
    lines.append(f"{sum(groups.values()) + len(unexplained)} differ, {len(unexplained)} unexplained")
    for causes, n in sorted(groups.items(), key=lambda g: -g[1]):
        lines.append(f"{n:6} {' + '.join(causes)}")
    for cause in sorted({c for g in groups for c in g}):
        lines.append(f"       {cause}: {spf_oracle.CAUSES[cause]}")
    for client, ours, problem, theirs, repaired, zone in unexplained[:5]:
        lines.append(f"UNEXPLAINED {client}\n  ours {ours} {problem}\n  python3-spf {theirs}, "
                     f"repaired {repaired}")
        lines += [f"    {n} {e}" for n, e in sorted(zone.items())]
    return "\n".join(lines)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    groups, unexplained, results = run(count, seed)
    print(report(count, groups, unexplained, results))
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
