#!/usr/bin/python3
"""Generated mails through our DKIM verifier and libopendkim: every difference has a cause.

    dkim_differential.py [-n MAILS] [--seed SEED] [--bin FOLDER]

A mail is made, signed (by libopendkim, by us, or by a third signer here that writes odd but legal
signatures), then perhaps damaged on the way. Both verify it with the same keys. Where they differ,
the mail must fall under one of the causes below, each a known property of libopendkim or a rule of
ours; what does not is printed, and the run fails.
"""
import argparse
import base64
import collections
import hashlib
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

import nacl.signing

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOW = int(time.time())
FWS = ["", "", "", " ", "\r\n ", "\r\n\t", " \r\n  ", "\t"]


class Engine:
    """One of the two binaries; see dkim_lines.h."""

    def __init__(self, path):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([path, str(NOW)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors)

    def send(self, words, data):
        self.process.stdin.write(f"{words} {len(data)}\n".encode() + data)
        self.process.stdin.flush()

    def verify(self, mail):
        self.send("verify", mail)
        line = self.process.stdout.readline()
        if not line.endswith(b"\n"):
            self.errors.seek(0)
            raise SystemExit(f"{self.process.args[0]} ended over a mail:\n{mail!r}\n"
                             + self.errors.read().decode(errors="replace")[-4000:])
        return line.decode().split()

    def sign(self, key, mail, algorithm="rsa-sha256", header="relaxed", body="relaxed",
             length=-1, domain="example.com"):
        self.send("key", key.pem)
        self.send(f"sign {algorithm} {header} {body} {length} {domain} {key.selector}", mail)
        return self.process.stdout.read(int(self.process.stdout.readline()))

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait()


class Key:
    """A private key and the text of its record."""

    def __init__(self, selector, *arguments):
        self.selector = selector
        self.pem = subprocess.run(["openssl", "genpkey", *arguments], check=True,
                                  capture_output=True).stdout
        der = subprocess.run(["openssl", "pkey", "-pubout", "-outform", "DER"], check=True,
                             input=self.pem, capture_output=True).stdout
        self.ed25519 = "ED25519" in arguments
        self.public = base64.b64encode(der[-32:] if self.ed25519 else der).decode()
        if self.ed25519:
            seed = subprocess.run(["openssl", "pkey", "-outform", "DER"], check=True,
                                  input=self.pem, capture_output=True).stdout[-32:]
            self.signer = nacl.signing.SigningKey(seed)


def bare_rsa(public):
    """The RSAPublicKey inside a SubjectPublicKeyInfo: behind 24 bytes of a 2048-bit key's DER."""
    return base64.b64encode(base64.b64decode(public)[24:]).decode()


def make_zone(rsa, ed):
    """Selectors of all kinds of records; the kinds that differ are named in CAUSES."""
    records = {rsa.selector: f"v=DKIM1; k=rsa; p={rsa.public}",
               ed.selector: f"v=DKIM1; k=ed25519; p={ed.public}"}
    forms = {
        "plain": "p={p}", "order": "k={k}; v=DKIM1; p={p}", "v2": "v=DKIM2; k={k}; p={p}",
        "blank": " v = DKIM1 ; k = {k} ; p = {p} ; ", "split": "v=DKIM1; k={k}; p={half} {rest}",
        "test": "v=DKIM1; k={k}; t=y; p={p}", "strict": "v=DKIM1; k={k}; t=s; p={p}",
        "both": "v=DKIM1; k={k}; t=y:s; p={p}", "hash": "v=DKIM1; k={k}; h=sha256; p={p}",
        "hashes": "v=DKIM1; k={k}; h=sha1 : sha256; p={p}", "sha1": "v=DKIM1; k={k}; h=sha1; p={p}",
        "mail": "v=DKIM1; k={k}; s=email; p={p}", "star": "v=DKIM1; k={k}; s=tlsrpt:*; p={p}",
        "other": "v=DKIM1; k={k}; s=tlsrpt; p={p}", "note": "v=DKIM1; n=a note; k={k}; p={p}",
        "unknown": "v=DKIM1; zz=1; k={k}; p={p}", "twice": "v=DKIM1; k={k}; p={p}; p={p}",
        "revoked": "v=DKIM1; k={k}; p=", "nop": "v=DKIM1; k={k}", "type": "v=DKIM1; k=dsa; p={p}",
        "junk": "v=DKIM1; junk; p={p}", "base64": "v=DKIM1; k={k}; p=*{p}", "text": "hello",
        "empty": "v=DKIM1; k={k};; p={p}", "upper": "v=DKIM1; K={k}; p={p}",
    }
    for name, form in forms.items():
        for key in (rsa, ed):
            p = key.public
            records[f"{name}.{key.selector}"] = form.format(
                p=p, half=p[:20], rest=p[20:], k="ed25519" if key.ed25519 else "rsa")
    records["bare.rsa"] = f"v=DKIM1; p={bare_rsa(rsa.public)}"
    return "".join(f"{selector}._domainkey.{domain} {text}\n"
                   for selector, text in records.items()
                   for domain in ("example.com", "mail.example.com")), list(records)


class Mails:
    """Makes, signs and damages mails, all by one random source."""

    names = ["Subject", "To", "Cc", "Date", "Message-ID", "Reply-To", "MIME-Version", "X-A",
             "Content-Type", "Received", "List-Id", "x-b", "Sender"]
    words = ["a", "word", "two  words", " x", "tab\tbed", "end ", "", "\u00e9", "a:b;c", "\"q\"",
             "(c)", "x" * 200, "=?utf-8?q?a?=", "fold\r\n ed", "fold\r\n\t\ttwice\r\n more"]

    def __init__(self, seed):
        self.r = random.Random(seed)

    def value(self):
        text = " ".join(self.r.choice(self.words) for _ in range(self.r.randint(0, 4)))
        text = self.r.choice([" ", " ", "", "  ", "\t"]) + text
        # A line of a field that is blank ends the header for some readers: not the matter here.
        return re.sub(r"(\r\n[ \t]*)+$", "", re.sub(r"\r\n[ \t]+(?=\r\n)", "", text))

    def header(self):
        fields = [(self.r.choice(["From", "From", "from", "FROM"]), " Joe <joe@example.com>")]
        for _ in range(self.r.randint(0, 7)):
            name = self.r.choice(self.names)
            fields.append((self.r.choice([name, name, name.lower(), name.upper()]), self.value()))
        self.r.shuffle(fields)
        return fields

    def body(self):
        r = self.r
        lines = [r.choice(["", "text", "a b  c", "trailing ", "\ttab", "  ", ".", "-- ",
                           "long " * 30, "\u00e9", "x" * 990])
                 for _ in range(r.choice([0, 1, 2, 5, 20]))]
        text = "".join(line + "\r\n" for line in lines) + "\r\n" * r.choice([0, 0, 0, 1, 3])
        return text.encode()

    @staticmethod
    def join(fields, body):
        return "".join(f"{n}:{v}\r\n" for n, v in fields).encode() + b"\r\n" + body

    # -- the third signer: Ed25519, with any spelling of the tags

    def fws(self):
        return self.r.choice(FWS)

    @staticmethod
    def canon_body(body, relaxed):
        lines = body.split(b"\r\n")
        if relaxed:
            lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in lines]
        while lines and not lines[-1]:
            lines.pop()
        text = b"".join(line + b"\r\n" for line in lines)
        return text or (b"" if relaxed else b"\r\n")

    @staticmethod
    def canon_field(name, value, relaxed):
        if not relaxed:
            return f"{name}:{value}".encode()
        value = re.sub(r"[ \t]+", " ", value.replace("\r\n", "")).strip(" ")
        return f"{name.strip().lower()}:{value}".encode()

    def sign(self, key, selector, fields, body):
        """A signature that is right, in an odd dress; sometimes one that no verifier may take."""
        r = self.r
        hc, bc = r.choice(["simple", "relaxed"]), r.choice(["simple", "relaxed"])
        text = self.canon_body(body, bc == "relaxed")
        tags = {"v": "1", "a": "ed25519-sha256", "c": f"{hc}/{bc}", "d": "example.com", "s": selector}
        if r.random() < .1:
            tags["d"] = r.choice(["mail.example.com", "Example.COM", "com", "example..com"])
        if r.random() < .2:
            tags["i"] = r.choice(["joe@example.com", "@example.com", "joe@mail.example.com",
                                  "joe@sub.example.com", "joe@example.org", "x=20y@example.com"])
        if bc == "simple" and r.random() < .3:
            tags["c"] = hc
            if hc == "simple" and r.random() < .5:
                del tags["c"]
        if r.random() < .2:
            tags["q"] = r.choice(["dns/txt", "dns/txt:dns/new", "http", "dns"])
        if r.random() < .3:
            tags["t"] = str(NOW - r.choice([10, 100000, -600, -90000]))
        if r.random() < .2:
            tags["x"] = str(NOW + r.choice([-100000, 100000, 10 ** 7]))
        if r.random() < .1:
            tags["zz"] = r.choice(["", "new", "a b", "x=y"])
        if r.random() < .2:
            n = r.choice([0, len(text) // 2, len(text), len(text) + 1])
            tags["l"], text = str(n), text[:n]
        names = [n for n, _ in fields if r.random() < .7] + r.choice([[], ["From"], ["Absent"], ["Subject"] * 2])
        if not any(n.lower() == "from" for n in names) and r.random() < .95:
            names.append("from")
        r.shuffle(names)
        names = names or ["to"]
        tags["h"] = ":".join(self.r.choice(["", "", " "]) + n + self.r.choice(["", "", " ", "\r\n\t"])
                             for n in names).strip()
        tags["bh"] = self.cut(base64.b64encode(hashlib.sha256(text).digest()).decode())
        order = list(tags)
        r.shuffle(order)
        parts = [f"{t}{self.eq()}{tags[t]}" for t in order]
        parts.insert(r.randint(0, len(parts)), f"b{self.eq()}@")
        glue = r.choice(["; ", ";", ";\r\n\t", " ; "])
        value = r.choice([" ", "", "\r\n\t"]) + glue.join(parts) + r.choice(["", "", ";", " ;"])
        left, hashed = list(fields), b""
        for name in names:
            for i in range(len(left) - 1, -1, -1):
                if left[i][0].lower() == name.lower():
                    hashed += self.canon_field(*left.pop(i), hc == "relaxed") + b"\r\n"
                    break
        own = r.choice(["DKIM-Signature", "DKIM-Signature", "dkim-signature"])
        hashed += self.canon_field(own, re.sub(r"(b\s*=)\s*@\s*", r"\1", value), hc == "relaxed")
        b = self.cut(base64.b64encode(key.signer.sign(hashlib.sha256(hashed).digest()).signature).decode())
        return own, value.replace("@", b, 1) if "i" not in tags else re.sub(
            r"(b\s*=\s*)@", lambda m: m[1] + b, value)

    def eq(self):
        return self.r.choice(["=", "=", "=", " = ", "= "])

    def cut(self, text):
        if self.r.random() < .5:
            return text
        at = self.r.randint(1, len(text) - 1)
        return text[:at] + self.r.choice([" ", "\r\n ", "\r\n\t"]) + text[at:]

    # -- damage

    def damage(self, fields, body):
        r = self.r
        what = r.choice(["none", "none", "none", "append", "blank", "space", "flip", "case", "fold",
                         "add-top", "add-end", "drop", "swap", "tag", "malformed", "lf", "cr", "open"])
        lines = body.split(b"\r\n")
        others = [i for i, f in enumerate(fields) if f[0].lower() != "dkim-signature"]
        own = [i for i, f in enumerate(fields) if f[0].lower() == "dkim-signature"]
        at = r.choice(others)
        name, value = fields[at]
        if what == "append":
            body += b"more\r\n"
        elif what == "blank":
            body += b"\r\n" * r.randint(1, 3)
        elif what == "space":
            k = r.randrange(len(lines))
            lines[k] = lines[k] + b" " if r.random() < .5 else lines[k].replace(b" ", b"  ")
            body = b"\r\n".join(lines)
            body += b"" if body.endswith(b"\r\n") or not body else b"\r\n"
        elif what == "flip" and body:
            k = r.randrange(len(body))
            if body[k] not in b"\r\n":
                body = body[:k] + bytes([body[k] ^ 1 if body[k] ^ 1 not in b"\r\n" else 65]) + body[k + 1:]
        elif what == "case":
            fields[at] = (name.swapcase(), value)
        elif what == "fold":
            fields[at] = (name, re.sub(r"(?<=\S) (?=\S)", "\r\n ", value, count=1))
        elif what == "add-top":
            fields.insert(0, (r.choice(self.names), self.value()))
        elif what == "add-end":
            fields.append((r.choice(self.names + ["From"]), " joe@example.net"))
        elif what == "drop" and name.lower() != "from":
            del fields[at]
        elif what == "swap":
            k = r.choice(others)
            fields[at], fields[k] = fields[k], fields[at]
        elif what == "tag" and own:
            k = r.choice(own)
            old, new = r.choice([("v=1", "v=2"), ("v=1", "v="), ("a=", "a=x"), ("relaxed", "loose"),
                                 ("bh=", "bh=A"), ("d=", "d=x."), ("; ", ";; "), ("s=", "s=no."),
                                 ("h=", "h=x:"), ("sha256", "sha1"), ("t=", "t=x"), ("; ", "; b=; "),
                                 ("; ", "; new=1; "), ("h=", "h=:")])
            fields[k] = (fields[k][0], fields[k][1].replace(old, new, 1))
        elif what == "malformed":
            fields.insert(r.choice([0, len(fields)]), ("DKIM-Signature", r.choice(
                [" nonsense", " v=1; a=rsa-sha256; d=example.com", "", " v=1; v=1", " =", " v=1; b"])))
        elif what == "lf":
            body = b"a\nb\r\n" + body
        elif what == "cr":
            body = b"a\rb\r\n" + body
        elif what == "open" and body.endswith(b"\r\n"):
            body = body[:-2]
        return what, fields, body


class Pair:
    """One signature of a mail with what both say of it."""

    def __init__(self, what, mail, all_ours, field, ours, theirs):
        self.what, self.mail, self.all_ours, self.field = what, mail, all_ours, field
        self.ours, self.theirs = ours, theirs
        self.tags = {}
        for tag in field.split(";"):
            name, _, value = tag.partition("=")
            self.tags.setdefault(name.strip(), re.sub(r"\s", "", value))
        self.record = self.tags.get("s", "").lower().split(".")[0]
        self.body = mail.partition(b"\r\n\r\n")[2]


def we_pass(theirs):
    return lambda p: p.ours.startswith("pass:") and p.theirs.startswith(theirs)


def they_pass(ours):
    return lambda p: p.ours.startswith(ours) and p.theirs == "pass:"


def both(*tests):
    return lambda p: all(test(p) for test in tests)


# (name, test): the first that fits explains the difference.
CAUSES = [
    ("ours: l= leaves a part of the body unsigned, which is neutral (HDR-07)", they_pass("neutral:l=")),
    ("ours: rsa-sha1 never passes (RFC 8301 3.1)", they_pass("policy:rsa-sha1")),
    ("ours: a From that is not signed (RFC 6376 8.15)", they_pass("policy:a_From")),
    ("theirs: one bad signature makes the mail a syntax error (6.1: it is to be ignored)",
     both(we_pass("mail:Syntax"), lambda p: any(w.startswith("permerror:") for w in p.all_ours))),
    ("theirs: a body that does not end in CRLF is refused or read wrongly (3.4: it is added)",
     both(we_pass(""), lambda p: p.body and not p.body.endswith(b"\r\n"))),
    ("theirs: a bare RSAPublicKey is not read (erratum 3017)",
     both(we_pass("fail:unable_to_apply_public_key"), lambda p: p.record == "bare")),
    ("theirs: \"b =\", with a blank, is not taken out of what is signed (3.2 allows it)",
     both(we_pass("fail:signature_verification"), lambda p: re.search(r"(^|[;\s])b\s+=", p.field))),
    ("theirs: q= without dns/txt is accepted (3.5)", they_pass("permerror:unknown_query_method")),
    ("theirs: v= anywhere in a key record (3.6.1: first)",
     both(they_pass("permerror:the_key_record_is_of_another_version"), lambda p: p.record == "order")),
    ("theirs: a tag twice in a key record (3.2: the list is invalid)",
     both(they_pass("permerror:the_key_record_is_not_a_tag_list"), lambda p: p.record == "twice")),
    ("theirs: bytes outside base64 in p= are passed over", they_pass("permerror:the_key_is_not_base64")),
    ("theirs: a key without k=ed25519 verifies Ed25519 (3.6.1: k= is rsa by default)",
     both(they_pass("permerror:the_key_is_of_another_type"), lambda p: p.record in ("plain", "upper"))),
]


def signatures(mail):
    header = mail.partition(b"\r\n\r\n")[0].decode("utf-8", "surrogateescape")
    fields = re.split(r"\r\n(?![ \t])", header)
    return [f.partition(":")[2] for f in fields
            if f.partition(":")[0].strip().lower() == "dkim-signature"]


def pairs(what, mail, ours, theirs):
    """The signatures on which they differ: whether it passes or not."""
    fields = signatures(mail)
    assert len(fields) == len(ours), (fields, ours)
    if theirs[:1] and theirs[0].startswith("mail:"):
        theirs = theirs * len(ours)
    elif not theirs and ours:
        theirs = ["none:"] * len(ours)
    assert len(ours) == len(theirs), (mail, ours, theirs)
    return [Pair(what, mail, ours, *one) for one in zip(fields, ours, theirs)
            if one[1].startswith("pass:") != one[2].startswith("pass:")]


def choose(r, key, selectors):
    """Half of the mails have a plain record, so that something passes."""
    return r.choice([key.selector, r.choice([s for s in selectors if s.endswith(key.selector)])])


def generate(mails, theirs, ours, rsa, ed, selectors):
    r = mails.r
    fields, body = mails.header(), mails.body()
    for _ in range(r.choice([1, 1, 1, 2])):
        mail = mails.join(fields, body)
        way = r.choice(["third", "third", "theirs", "theirs", "ours"])
        if way == "third":
            fields.insert(0, mails.sign(ed, choose(r, ed, selectors), fields, body))
            continue
        key = r.choice([rsa, ed])
        kept, key.selector = key.selector, choose(r, key, selectors)
        if way == "theirs":
            algorithm = "ed25519-sha256" if key.ed25519 else r.choice(["rsa-sha256"] * 5 + ["rsa-sha1"])
            field = theirs.sign(key, mail, algorithm, r.choice(["simple", "relaxed"]),
                                r.choice(["simple", "relaxed"]), r.choice([-1, -1, -1, 0, 10, 10 ** 6]))
        else:
            field = ours.sign(key, mail)
        key.selector = kept
        if field:
            name, value = field.decode("utf-8", "surrogateescape").split(":", 1)
            fields.insert(0, (name, value[:-2]))
    what, fields, body = mails.damage(fields, body)
    return what, mails.join(fields, body)


def run(n, seed, folder, out=sys.stdout):
    """(signatures that pass, that do not, differences by cause, those without)"""
    rsa = Key("rsa", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    ed = Key("ed", "-algorithm", "ED25519")
    zone, selectors = make_zone(rsa, ed)
    mails, causes, unexplained = Mails(seed), collections.Counter(), []
    ours, theirs = Engine(folder / "dkim_ours"), Engine(folder / "dkim_theirs")
    for engine in (ours, theirs):
        engine.send("zone", zone.encode())
    passed = failed = 0
    for _ in range(n):
        what, mail = generate(mails, theirs, ours, rsa, ed, selectors)
        said = ours.verify(mail)
        different = pairs(what, mail, said, theirs.verify(mail))
        good = sum(w.startswith("pass:") for w in said)
        passed += good
        failed += len(said) - good
        for pair in different:
            name = next((name for name, test in CAUSES if test(pair)), None)
            if name is None:
                unexplained.append(pair)
            else:
                causes[name] += 1
    if ours.close() != 0 or theirs.close() != 0:
        raise SystemExit("an engine did not end well")
    print(f"{n} mails: {passed} signatures pass with us and {failed} do not; libopendkim differs on "
          f"{sum(causes.values())} with a known cause, on {len(unexplained)} without", file=out)
    for name, count in causes.most_common():
        print(f"  {count:6} {name}", file=out)
    return passed, failed, causes, unexplained


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=6376)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/dev/bin")
    parser.add_argument("--show", type=int, default=5, help="unexplained cases printed in full")
    options = parser.parse_args()
    _, _, _, unexplained = run(options.n, options.seed, options.bin)
    for pair in unexplained[:options.show]:
        print(f"--- {pair.what}: ours {pair.ours}, theirs {pair.theirs}")
        print(pair.mail.decode("utf-8", "backslashreplace"))
    groups = collections.Counter((p.record, p.ours, p.theirs) for p in unexplained)
    for group, count in groups.most_common(60):
        print(count, *group)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
