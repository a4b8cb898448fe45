"""What is inside of mails: card numbers and words in documents, archives and PDF; what cannot be
read; attachments by name, type, size and hash; bounds. A real posternd with its sandboxed scanner.

The documents are made here, as their programs write them: DOCX and XLSX with runs and shared
strings, ODT, PDF with compressed streams, mails within mails, archives within archives.
"""
import base64
import email.message
import email.policy
import gzip
import hashlib
import io
import re
import zipfile
import zlib

import pytest

from lab import smtp

GATE, SERVER = "192.0.2.57", "198.51.100.57"
CARD = "4111 1111 1111 1111"
WANTED = hashlib.sha256(b"the wanted file").hexdigest()
CONFIG = f"""\
hostname "mx.ours.example"
listen inbound on "{GATE}:25"
domain "ours.example" deliver to "{SERVER}:25"
pattern cards /\\b(?:\\d[ -]?){{13,16}}\\b/ luhn
pattern ibans /\\b[A-Z]{{2}}\\d{{2}}(?: ?[A-Z0-9]){{11,30}}\\b/ iban
pattern projects words {{ "Nightingale" "blue harbour" }}
pattern names words file "names"
inbound {{
    reject with "550 5.7.1 hash" if attachment.sha256 is "{WANTED}"
    reject with "550 5.7.1 locked zip" if any attachment {{ name matches "*.zip" and encrypted }}
    reject with "550 5.7.1 card" if body contains cards
    reject with "550 5.7.1 iban" if body contains ibans
    reject with "550 5.7.1 project" if body contains projects
    reject with "550 5.7.1 name" if body contains names
    accept
}}
"""
# What is unknown to one rule is the next one's matter.
READING = CONFIG.split("inbound {")[0] + """\
inbound {
    tag "X-Reason: bytes" if unscannable.reason is bytes
    tag "X-Reason: depth" if unscannable.reason is depth
    tag "X-Reason: parts" if unscannable.reason is parts
    tag "X-Reason: broken" if unscannable.reason is broken
    tag "X-Unread: yes" if text.unread
    tag "X-Whole: yes" if not unscannable and not text.unread
    accept if unscannable
    tag "X-Encrypted: yes" if encrypted
    accept
}
"""
XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'


@pytest.fixture(scope="module")
def server():
    with smtp.Server(SERVER) as one:
        yield one


@pytest.fixture(scope="module")
def gate(gateway_module, server):
    names = "".join(f"person{n}\n" for n in range(10000)) + "Ærøskøbing # a town\n"
    return gateway_module(CONFIG, {"names": names})


def mail(*parts, text="see below", subtype="plain"):
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message["From"], message["To"], message["Subject"] = "joe@there.example", "a@ours.example", "x"
    message["Date"], message["Message-ID"] = "Sun, 22 Nov 2026 12:00:00 +0000", "<1@there.example>"
    message.set_content(text, subtype=subtype)
    for name, data in parts:
        message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def archive(*members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in members:
            z.writestr(name, data)
    return out.getvalue()


def docx(body):
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    return archive(("[Content_Types].xml", XML + "<Types/>"), ("_rels/.rels", XML + "<R/>"),
                   ("word/document.xml", f'{XML}<w:document xmlns:w="{space}"><w:body>{body}'
                                         "</w:body></w:document>"))


def runs(*texts):
    return "<w:p>" + "".join(f'<w:r><w:rPr><w:b/></w:rPr><w:t xml:space="preserve">{t}</w:t></w:r>'
                             for t in texts) + "</w:p>"


def xlsx(cells, strings=""):
    return archive(("[Content_Types].xml", XML + "<Types/>"), ("xl/workbook.xml", XML + "<w/>"),
                   ("xl/worksheets/sheet1.xml", f"{XML}<worksheet><sheetData><row>{cells}</row>"
                                                "</sheetData></worksheet>"),
                   ("xl/sharedStrings.xml", f"{XML}<sst>{strings}</sst>"))


def odt(text):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("mimetype", "application/vnd.oasis.opendocument.text", zipfile.ZIP_STORED)
        z.writestr("META-INF/manifest.xml", XML + "<m/>")
        z.writestr("content.xml", f'{XML}<o:c xmlns:o="o" xmlns:text="t">{text}</o:c>')
    return out.getvalue()


def pdf(show, pages=1):
    """Objects with a right table of positions and compressed streams; Helvetica is not inside."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>",
               b"<</Type/Pages/Count %d/Kids[%s]>>"
               % (pages, b" ".join(b"%d 0 R" % (4 + 2 * n) for n in range(pages))),
               b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"]
    for n in range(pages):
        stream = zlib.compress(f"BT /F1 12 Tf 50 700 Td {show if n == pages - 1 else ''} ET"
                               .encode())
        objects += [b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents %d 0 R"
                    b"/Resources<</Font<</F1 3 0 R>>>>>>" % (5 + 2 * n),
                    b"<</Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (len(stream), stream)]
    out, places = b"%PDF-1.5\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1,
                                                                           table)


def locked(name, data):
    """A zip whose member is encrypted, as its flags say; nobody here has a password either."""
    out = bytearray(archive((name, data)))
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        out[out.index(signature) + at] |= 1
    return bytes(out)


def send(message):
    with smtp.Client(GATE, source="192.0.2.76") as client:
        return client.mail("joe@there.example", ["ann@ours.example"], message)


HEAD = (b"From: joe@there.example\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n"
        b"Message-ID: <2@there.example>\r\nMIME-Version: 1.0\r\n")
LETTER = mail(("in.txt", b"4111111111111111"))
MATCHES = {
    "text": (mail(text=f"my card: {CARD}"), "card"),
    "latin1": (HEAD + b'Content-Type: text/plain; charset="iso-8859-1"\r\n\r\n'
               b"\xe4\xf6 projekt Nightingale\r\n", "project"),
    "koi8": (HEAD + b'Content-Type: text/plain; charset="koi8-r"\r\n\r\n' +
             "\u0434\u0430, NIGHTINGALE\r\n".encode("koi8-r"), "project"),
    "utf16": (HEAD + b"Content-Type: text/plain; charset=utf-16\r\n"
              b"Content-Transfer-Encoding: base64\r\n\r\n"
              + base64.b64encode(f"card {CARD}".encode("utf-16")) + b"\r\n", "card"),
    "html": (mail(text="<html><p>4111<b>1111</b><!-- x -->1111&#49;111</p></html>",
                  subtype="html"), "card"),
    "docx, runs": (mail(("a.docx", docx(runs("4111", "1111", "1111", "1111")))), "card"),
    "docx, embedded": (mail(("a.docx", archive(
        ("[Content_Types].xml", XML + "<T/>"), ("word/document.xml", XML + "<d/>"),
        ("word/embeddings/sheet.xlsx", xlsx("<c><v>4111111111111111</v></c>"))))), "card"),
    "xlsx, number": (mail(("a.xlsx", xlsx("<c><v>4111111111111111</v></c>"))), "card"),
    "xlsx, string": (mail(("a.xlsx", xlsx('<c t="s"><v>0</v></c>',
                                          f"<si><t>{CARD}</t></si>"))), "card"),
    "odt": (mail(("a.odt", odt("<text:p>4111<text:span>1111</text:span>11111111</text:p>"))),
            "card"),
    "pdf": (mail(("a.pdf", pdf(f"(card {CARD}) Tj"))), "card"),
    "pdf, last page": (mail(("a.pdf", pdf(f"(card {CARD}) Tj", pages=30))), "card"),
    "pdf in zip in zip": (mail(("a.zip", archive(("b.zip", archive(
        ("c.pdf", pdf(f"({CARD}) Tj"))))))), "card"),
    "gzip": (mail(("a.txt.gz", gzip.compress(CARD.encode()))), "card"),
    "rtf": (mail(("a.rtf", rb"{\rtf1 4111{\b 1111}\'31111 1111\par}")), "card"),
    "mail in mail": (HEAD + b"Content-Type: message/rfc822\r\n\r\n" + LETTER, "card"),
    "mail in zip": (mail(("a.zip", archive(("b.eml", LETTER)))), "card"),
    "iban before words": (mail(text="to DE89 3704 0044 0532 0130 00 AND THANKS"), "iban"),
    "card behind digits": (mail(text=f"no. 1234 {CARD}"), "card"),
    "phrase": (mail(text="About the Blue\r\n  Harbour: go."), "project"),
    "words of a file": (mail(text="I met PERSON9999."), "name"),
    "word of another script": (mail(text="in \u00c6r\u00f8sk\u00f8bing"), "name"),
    "hash": (mail(("x.bin", b"the wanted file")), "hash"),
    "hash, in a zip": (mail(("x.zip", archive(("y", b"the wanted file")))), "hash"),
    "one attachment of two": (mail(("a.txt", b"x"), ("b.zip", locked("c.txt", b"xyz"))),
                              "locked zip"),
}
PASSES = {
    "text": mail(text="order 4111 1111 1111 1112, persons, 12, nightingales"),
    "docx": mail(("a.docx", docx(runs("41111111") + runs("11111111")))),
    "xlsx": mail(("a.xlsx", xlsx('<c><v>41111111</v></c><c><v>11111111</v></c>'))),
    "pdf": mail(("a.pdf", pdf("(nothing) Tj"))),
    "picture": mail(("a.png", b"\x89PNG\r\n\x1a\n" + CARD.encode())),
    "zip": mail(("a.zip", archive(("a.txt", "not the wanted file")))),
}


@pytest.mark.parametrize("what", MATCHES)
def test_what_is_found(gate, server, what):
    message, word = MATCHES[what]
    said = send(message)
    assert said.dot.code == 550 and word in str(said.dot), said
    assert "4111" not in gate.log()


@pytest.mark.parametrize("what", PASSES)
def test_what_is_not_there(gate, server, what):
    assert send(PASSES[what]).last.code == 250


UNREAD = {
    "doc": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 2000,
    "zip": locked("card.txt", CARD.encode()),
    "pdf": b"%PDF-1.4\nbroken",
}


@pytest.mark.parametrize("what", ["doc", "pdf"])
def test_unread_is_never_no_match(gate, server, what):
    """A rule on a pattern fails, and the mail waits: nobody has seen that nothing is there."""
    said = send(mail((f"a.{what}", UNREAD[what])))
    assert said.dot.code == 451, said
    assert gate.wait_event("fact-failed")


@pytest.fixture(scope="module")
def reading(gateway_module, server):
    return gateway_module(READING.replace(GATE, "192.0.2.58"), {"names": "x\n"})


def told(server, message):
    before = len(server.mails)
    with smtp.Client("192.0.2.58", source="192.0.2.76", timeout=120) as client:
        said = client.mail("joe@there.example", ["ann@ours.example"], message)
    assert said.last.code == 250, said
    head = server.mails[before].data.partition(b"\r\n\r\n")[0].decode()
    return dict(re.findall(r"^X-(\w+): (\w+)\r?$", head, re.M))


def nested(depth):
    data = archive(("a.txt", "deep"))
    for _ in range(depth):
        data = archive(("n.zip", data))
    return data


def bomb():
    leaf = archive(("z", b"\0" * (64 << 20)))
    for _ in range(4):
        leaf = archive(*((f"{n}.zip", leaf) for n in range(16)))
    return leaf


@pytest.mark.parametrize("message, words", [
    (mail(text="nothing"), {"Whole": "yes"}),
    (mail(("a.docx", docx(runs("x")))), {"Whole": "yes"}),
    (mail(("a.zip", UNREAD["zip"])), {"Encrypted": "yes", "Unread": "yes"}),
    (mail(("a.doc", UNREAD["doc"])), {"Unread": "yes"}),
    (mail(("a.pdf", UNREAD["pdf"])), {"Unread": "yes"}),
    (mail(("a.zip", archive(("a", bytes(range(256)) * 400))[:300])),
     {"Reason": "broken", "Unread": "yes"}),
    (mail(("a.zip", nested(20))), {"Reason": "depth", "Unread": "yes"}),
    (mail(("a.tgz", gzip.compress(b"\0" * (150 << 20)))), {"Reason": "bytes", "Unread": "yes"}),
    (mail(("42.zip", bomb())), {"Reason": "bytes", "Unread": "yes"}),
    (mail(("a.zip", archive(*((f"{n}", b"x") for n in range(10001))))),
     {"Reason": "parts", "Unread": "yes"}),
], ids=range(10))
def test_what_cannot_be_looked_into(reading, server, message, words):
    """MIM-06, MIM-07: told by its reason, and never as clean."""
    found = told(server, message)
    assert {k: v for k, v in found.items() if k in ("Reason", "Encrypted", "Unread", "Whole")} \
        == words
