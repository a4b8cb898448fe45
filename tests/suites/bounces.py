"""
The cases of test_bounces.py: from Sisimai's collected bounces the replies of remote servers, each
with the label that Sisimai's own tests give it, and the table from its reasons to our classes.

A case is one recipient of one mail in which words behind a reply code can be found. The same words
for another address are the same template: all its cases are in one part, so that the held-out third
is made of words that no rule was written for.
"""
import collections
import csv
import email
import email.policy
import hashlib
import os
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
SUITES = pathlib.Path(os.environ.get("POSTERN_SUITES", ROOT.parent / "shared/suites"))
SET = SUITES / "bounces-sisimai"

# Sisimai's reason -> our class, and why; None where it gives none itself.
CLASS_OF = {
    "userunknown": "no-recipient",
    "hostunknown": "no-recipient",     # no such domain
    "hasmoved": "no-recipient",        # the mailbox is closed
    "suspend": "no-recipient",         # the mailbox is closed
    "notaccept": "no-recipient",       # a host that takes no mail, as 521 and 556 say
    "filtered": "no-recipient",        # the words say "user unknown", but after DATA or by a filter
    "mailboxfull": "mailbox-full",
    "mesgtoobig": "too-large",
    "exceedlimit": "too-large",        # larger than this recipient may get
    "spamdetected": "content",
    "virusdetected": "content",
    "contenterror": "content",
    "policyviolation": "content",      # the site's policy about mail
    "notcompliantrfc": "content",      # what is in the header, not what was said in SMTP
    "authfailure": "authentication",
    "rejected": "authentication",      # the sender's address
    "securityerror": "authentication",  # the sender's rights
    "blocked": "listed",
    "badreputation": "listed",
    "requireptr": "listed",
    "toomanyconn": "listed",           # rate
    "speeding": "listed",              # rate
    "systemerror": "busy",
    "systemfull": "busy",
    "mailererror": "busy",             # the remote's program for local delivery
    "syntaxerror": "protocol",
    "norelaying": "route",
    "networkerror": "route",
    "expired": "route",
    "onhold": None,                    # "cannot say"
    "undefined": None,                 # "cannot say"
}
NOT_FAILURES = {"feedback", "vacation", "delivered"}

PHASES = [(r"end of data|end of message|message body|\.<cr><lf>", "dot"), (r"rcpt ?to", "rcpt"),
          (r"mail ?from", "mail"), (r"data", "data"), (r"[eh][eh]lo|greeting|banner", "greeting"),
          (r"starttls", "tls"), (r"auth", "auth")]


def words_of(path):
    """The report without the mail that it is about: (text, fields of the delivery status)."""
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.compat32)
    texts, codes = [], []
    skip = 0
    for part in message.walk():
        kind = part.get_content_type()
        if skip:
            skip -= 1
            continue
        if kind in ("message/rfc822", "text/rfc822-headers"):
            skip = sum(1 for _ in part.walk()) - 1
            continue
        if kind == "message/delivery-status":
            continue
        codes += [re.sub(r"\s+", " ", str(v)) for v in part.get_all("Diagnostic-Code") or []]
        if part.is_multipart():
            continue
        payload = part.get_payload(decode=True) or b""
        texts.append(payload.decode("latin-1"))
    return "\n".join(texts), codes


def reply_of(text, code):
    """The words behind the first `code` in the text, to the end of their paragraph."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    found = re.search(rf"(?<![\d.]){code}(?=[ \-])", text)
    if not found:
        return None
    end = r"\n[ \t>|]*\n|\n(?:>>>|\.\.\. |[A-Z][\w-]+: |--|<[^ >]+@)"
    paragraph = re.split(end, text[found.start():])[0]
    line = re.sub(r"\s*\n(?:<<< )?\s*", " ", paragraph).strip()
    return re.split(r'\\?"[}\]]| Giving up on | Remote system: ', line)[0][:1500]


def phase_of(reply, text):
    found = re.search(r"\(?(?:in reply to|while sending)\s+([^)]*)\)?", reply, re.I)
    if not found:
        found = re.search(r"in reply to\s+([^)]*)\)", text, re.I)
    where = re.sub(r"\s+", " ", found.group(1).lower()) if found else ""
    return next((name for pattern, name in PHASES if re.search(pattern, where)), "rcpt")


def split_reply(reply):
    """(code, enhanced or "-", words), as smtp_reply_read() leaves them."""
    reply = re.sub(r"\s*\(?in reply to [^)]*\)?\s*$", "", reply, flags=re.I)
    code, rest = reply[:3], reply[4:].strip()
    found = re.match(r"#?([45]\.\d{1,3}\.\d{1,3})(?![.\d])[ :]*", rest)
    enhanced = "-"
    if found and found.group(1)[0] == code[0]:
        enhanced, rest = found.group(1), rest[found.end():]
    lines = rf"(?<!\S){code}[- ](?:{re.escape(enhanced)}(?![.\d]) ?)?"
    return code, enhanced, re.sub(lines, "", rest)


def template_of(words):
    words = re.sub(r"\S+@\S+", "@", words.lower())
    return re.sub(r"[^a-z]+", " ", re.sub(r"\S*\d\S*", "0", words)).strip()


def labels():
    with open(SET / "labels.tsv", encoding="utf-8") as f:
        return list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))


def cases():
    """Dicts: file, reason, dsn, code, enhanced, phase, words, template, held (bool)."""
    rows = labels()
    recipients = collections.Counter(row["file"] for row in rows)
    out = []
    for row in rows:
        if row["reason"] in NOT_FAILURES:
            continue
        text, codes = words_of(SET / "maildir/bsd" / row["file"])
        n = int(row["rcpt_no"]) - 1
        reply = None
        if row["reply"] and n < len(codes):
            reply = reply_of(codes[n], row["reply"])
        if row["reply"] and not reply and recipients[row["file"]] == 1:
            reply = reply_of("\n".join(codes), row["reply"]) or reply_of(text, row["reply"])
        if not reply:
            continue
        code, enhanced, words = split_reply(reply)
        key = template_of(words) + " " + code
        held = hashlib.sha256(key.encode()).digest()[0] % 3 == 0
        out.append({"file": row["file"], "reason": row["reason"], "dsn": row["dsn"], "code": code,
                    "enhanced": enhanced, "phase": phase_of(reply, text), "words": words,
                    "template": key, "held": held})
    return out
