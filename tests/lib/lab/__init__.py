"""The laboratory of Postern's live tests: real peers, a signed DNS, byte-exact ends of SMTP.

    proc      where things are; running commands; waiting with a bound
    root      overlay roots: a peer's packages, away from the machine's own
    dns       NSD with DNSSEC, and a name server that misbehaves on order
    smtp      a scripted SMTP server and client that see every byte
    tls       certificates
    milter_client    the MTA's side of the milter protocol, byte by byte
    postfix, exim, sendmail    the peers
    directory    OpenLDAP and PostgreSQL, to look values up in
    rspamd, spamassassin    the scanners that a gateway may ask beside its own spam filter
    dovecot   the reader of what arrived: LMTP in, IMAP out
    milter    Postfix and Sendmail that ask a milter, and relay to a sink
    postern   the gateway under test: its process, its events, its clean end
    spool     what stands in its spool, as `postern queue` shows it

Everything here expects to run inside tests/lib/inlab.
"""
