/*
 * The table of all settings. A row here is what makes a setting readable; its sentence, bounds
 * and default are what the manual, the sample and `postern check --defaults` show
 * (schema_text.c).
 */
#include "conf/schema.h"

#include <stddef.h>
#include <string.h>

#define KIB    ((uint64_t)1 << 10)
#define MIB    ((uint64_t)1 << 20)
#define GIB    ((uint64_t)1 << 30)
#define SECOND ((uint64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

#define IN_CONF(field)     offsetof(struct conf, field)
#define IN_LIMITS(field)   offsetof(struct conf_limits, field)
#define IN_FILTER(field)   offsetof(struct conf_filter, field)
#define IN_LISTENER(field) offsetof(struct conf_listener, field)
#define IN_SITE(field)     offsetof(struct conf_destination, field)
#define IN_SEND(field)     offsetof(struct conf_send, field)
#define IN_QUEUE(field)    offsetof(struct conf_queue, field)

/* clang-format off */
const struct schema_row schema_rows[] = {
	{"", "hostname", SCHEMA_NAME, IN_CONF(hostname), .syntax = "\"NAME\"",
		.text = "The gateway's own name: in greetings, in Received and in Authentication-Results.",
		.example = "hostname \"mx.example.com\""},
	{"", "user", SCHEMA_OWN, .parse = parse_user, .many = true,
		.syntax = "\"NAME\" [sends as { \"ADDRESS\", \"DOMAIN\" ... }]",
		.initial_text = "postern where that account exists, else nobody",
		.text = "Whom to run as when started as root; with `sends as`, what an account may send as.",
		.example = "user \"alice\" sends as { \"alice@example.com\", \"sales@example.com\" }"},
	{"", "network", SCHEMA_OWN, .parse = parse_network, .many = true,
		.syntax = "NETWORK sends as { \"ADDRESS\", \"DOMAIN\" ... }",
		.text = "What clients of this network, without an account, may send as outbound: in MAIL FROM, From and "
			"Sender. The smallest network that has the client counts; without one nothing is asked.",
		.example = "network 10.1.0.0/16 sends as { \"example.com\", \"printer@example.org\" }"},
	{"", "mode", SCHEMA_OWN, .parse = parse_mode, .syntax = "observe | soft",
		.initial_text = "the rules hold",
		.text = "For the first weeks: with observe what rules refuse, keep or drop goes on with a header field "
			"X-Postern-Observe and an event observe, with soft every refusal for good is one for now (4xx).",
		.example = "mode observe"},
	{"", "log to", SCHEMA_OWN, .parse = parse_log_to, .syntax = "stderr | syslog",
		.initial_text = "stderr", .text = "Where events are written, one a line.",
		.example = "log to stderr"},
	{"", "spool", SCHEMA_OWN, .parse = parse_spool, .restart = true, .syntax = "\"/FOLDER\"",
		.text = "Where mail in custody, the quarantine and the control socket live: made at the start where "
			"it is not there. Without it no mail is kept.",
		.example = "spool \"/var/spool/postern\""},
	{"", "include", SCHEMA_OWN, .parse = parse_include, .many = true, .syntax = "\"FILE\"",
		.text = "Reads the statements of another file; at most 16 deep, never itself.",
		.example = "include \"domains.conf\""},
	{"", "resolver", SCHEMA_OWN, .parse = parse_resolver, .many = true,
		.syntax = "\"ADDRESS:PORT\" [insecure | trust \"FILE\"]", .initial_text = "the system's",
		.text = "A name server to ask, up to four; answers are validated by the root's key or those in FILE.",
		.example = "resolver \"127.0.0.1:53\""},
	{"", "limits", SCHEMA_OWN, .parse = parse_limits, .syntax = "{ SETTING ... }",
		.text = "Bounds of connections, mails and memory."},
	{"limits", "connections", SCHEMA_NUMBER, IN_LIMITS(connections), 1, 1000000, 10000,
		.text = "Connections at once, of all clients; over it a client gets 421."},
	{"limits", "per client", SCHEMA_NUMBER, IN_LIMITS(per_client), 1, 100000, 50,
		.text = "Connections at once of one client: an IPv4 address or an IPv6 /64."},
	{"limits", "mail size", SCHEMA_SIZE, IN_LIMITS(mail_bytes), 64 * KIB, 1 * GIB, 50 * MIB,
		.text = "The largest mail; announced as SIZE."},
	{"limits", "recipients", SCHEMA_NUMBER, IN_LIMITS(recipients), 100, 10000, 1000,
		.text = "Recipients of one mail; one more gets 452 4.5.3."},
	{"limits", "header bytes", SCHEMA_SIZE, IN_LIMITS(header_bytes), 8 * KIB, 4 * MIB, 128 * KIB,
		.text = "Bytes of a mail's header."},
	{"limits", "header fields", SCHEMA_NUMBER, IN_LIMITS(header_fields), 50, 10000, 1000,
		.later = "a header has at most 2000 fields",
		.text = "Fields of a mail's header."},
	{"limits", "received", SCHEMA_NUMBER, IN_LIMITS(received), 5, 500, 100,
		.text = "Received fields of a mail; over it the mail is in a loop (RFC 5321 6.3)."},
	{"limits", "parts", SCHEMA_NUMBER, IN_LIMITS(parts), 10, 100000, 1000,
		.later = "the scanner looks at 1000 at most",
		.text = "MIME parts that are looked at; a mail with more cannot be scanned."},
	{"limits", "depth", SCHEMA_NUMBER, IN_LIMITS(depth), 2, 100, 16,
		.later = "the scanner goes 32 deep",
		.text = "How deep MIME parts and archives may be nested."},
	{"limits", "command time", SCHEMA_DURATION, IN_LIMITS(command_ms), 10 * SECOND, 1 * HOUR, 5 * MINUTE,
		.text = "How long a client may take for its next command."},
	{"limits", "data time", SCHEMA_DURATION, IN_LIMITS(data_ms), 1 * MINUTE, 6 * HOUR, 10 * MINUTE,
		.text = "How long a client may take for a whole mail's data."},
	{"limits", "session time", SCHEMA_DURATION, IN_LIMITS(session_ms), 1 * MINUTE, 24 * HOUR, 1 * HOUR,
		.later = "each command and the data have their times",
		.text = "How long a connection may last."},
	{"limits", "memory", SCHEMA_SIZE, IN_LIMITS(memory_bytes), 16 * MIB, 1024 * GIB, 512 * MIB,
		.text = "Bytes of mail in memory and in spill files, over all sessions; over it DATA gets 452."},
	{"limits", "refuse at connect", SCHEMA_FLAG, IN_LIMITS(refuse_at_connect),
		.later = "refusals are answered at RCPT TO",
		.text = "Refusals that need no recipient are answered to the connection instead of to RCPT TO."},
	{"", "listen", SCHEMA_OWN, .parse = parse_listen, .many = true,
		.syntax = "inbound | outbound | milter on \"ADDRESS:PORT\" OPTION ...",
		.text = "Where mail comes in: inbound from the world to our domains, outbound from our people, "
			"or both as a milter of Postfix or Sendmail (\"inet:PORT@ADDRESS\", \"unix:/PATH\").",
		.example = "listen inbound  on \"0.0.0.0:25\"  tls optional certificate \"mx.pem\" key \"mx.key\"\n"
			"listen outbound on \"0.0.0.0:587\" tls required certificate \"mx.pem\" key \"mx.key\" auth \"users.passwd\"\n"
			"listen milter   on \"inet:8891@127.0.0.1\" outbound from { 127.0.0.0/8 } outbound authenticated\n"
			"listen inbound  on \"127.0.0.1:10025\" filter from { 127.0.0.1 } to \"127.0.0.1:10026\" client by xforward"},
	{"listen", "tls", SCHEMA_OWN, .parse = parse_listen_tls, .syntax = "optional | required | implicit",
		.initial_text = "no TLS",
		.text = "STARTTLS offered, STARTTLS demanded before MAIL, or TLS from the first byte."},
	{"listen", "certificate", SCHEMA_OWN, .parse = parse_listen_certificate, .many = true,
		.syntax = "\"FILE\" key \"FILE\"",
		.text = "A certificate chain and its key, PEM; several are chosen by SNI, changed files are read again."},
	{"listen", "auth", SCHEMA_OWN, .parse = parse_listen_auth, .syntax = "\"FILE\"",
		.text = "Accounts that may send (AUTH PLAIN, LOGIN, SCRAM-SHA-256); `postern passwd` writes the file."},
	{"listen", "from", SCHEMA_OWN, .parse = parse_listen_from, .syntax = "{ NETWORK ... }",
		.text = "Networks that may send without an account."},
	{"listen", "proxied from", SCHEMA_OWN, .parse = parse_listen_proxied, .syntax = "{ NETWORK ... }",
		.text = "Proxies that begin with the PROXY protocol, version 1 or 2, and name the client."},
	{"listen", "filter from", SCHEMA_OWN, .parse = parse_listen_filter,
		.syntax = "{ NETWORK ... } to NEXTHOP [then NEXTHOP ...]",
		.text = "A filter beside another MTA: only these peers connect, may name the client by XCLIENT and XFORWARD, "
			"and every mail goes to that next hop, whatever its recipients."},
	{"listen", "client by", SCHEMA_OWN, .parse = parse_listen_client, .syntax = "xclient | xforward | proxy",
		.initial_text = "not told",
		.text = "How a filter's next hop is told the client; one that does not offer it gets the mail without."},
	{"listen", "xclient from", SCHEMA_OWN, .parse = parse_listen_xclient, .syntax = "{ NETWORK ... }",
		.text = "Peers that may name the client by XCLIENT and XFORWARD: they can be anybody, an account too."},
	{"listen", "mode", SCHEMA_OWN, .parse = parse_listen_mode, .syntax = "observe | soft",
		.initial_text = "the general one",
		.text = "The mode of this listener."},
	{"listen", "hide received", SCHEMA_FLAG, IN_LISTENER(hide_received),
		.text = "Outbound: Received fields that came with the mail are removed, but those of our own name, and "
			"ours says nothing of the client, its account or TLS."},
	{"listen", "header rules", SCHEMA_OWN, .parse = parse_listen_header_rules, .syntax = "on | off",
		.initial_text = "on",
		.text = "Mails with a malformed header, more than one From or author domain are refused."},
	{"listen", "through libmilter", SCHEMA_FLAG, IN_LISTENER(through_libmilter),
		.text = "Milter: libmilter, in a process of its own, instead of our own engine."},
	{"listen", "outbound from", SCHEMA_OWN, .parse = parse_listen_outbound_from,
		.syntax = "{ NETWORK ... }",
		.text = "Milter: clients whose mail is outbound; a local program counts as 127.0.0.1."},
	{"listen", "outbound authenticated", SCHEMA_FLAG, IN_LISTENER(outbound_authenticated),
		.text = "Milter: mail of clients that are logged in at the MTA is outbound."},
	{"", "domain", SCHEMA_OWN, .parse = parse_domain_statement, .many = true,
		.syntax = "\"NAME\" OPTION ...",
		.text = "A domain that is guarded: mail for it is accepted and handed to its next hop.",
		.example = "domain \"example.com\" deliver to \"10.0.0.5:25\" then \"10.0.0.6:25\" recipients verify"},
	{"domain", "deliver to", SCHEMA_OWN, .parse = parse_domain_deliver,
		.syntax = "NEXTHOP [then NEXTHOP ...]",
		.text = "\"host:port\", \"[address]:port\", \"lmtp:PATH\", mx \"NAME\" or balanced { NEXTHOP ... }; "
			"dead ones are passed over and tried again."},
	{"domain", "tls required", SCHEMA_FLAG,
		offsetof(struct conf_domain, deliver) + offsetof(struct hop_list, tls_required),
		.text = "The next hop must offer STARTTLS with a valid certificate; else 451."},
	{"domain", "client by", SCHEMA_OWN, .parse = parse_domain_client, .syntax = "xclient | xforward | proxy",
		.initial_text = "not told",
		.text = "How the next hop is told the client; one that does not offer it gets the mail without; "
			"proxy begins every connection with the PROXY protocol."},
	{"domain", "recipients", SCHEMA_OWN, .parse = parse_domain_recipients,
		.syntax = "verify | table NAME | any", .initial_text = "any",
		.text = "How recipients are known: asked of the next hop, listed in a table, or all."},
	{"domain", "detail", SCHEMA_OWN, .parse = parse_domain_detail, .syntax = "significant",
		.initial_text = "passed over",
		.text = "user+detail is another recipient than user."},
	{"domain", "hold when unreachable", SCHEMA_FLAG,
		offsetof(struct conf_domain, hold_when_unreachable), .spool = true,
		.text = "Mail is stored while no next hop answers."},
	{"domain", "bounces tagged", SCHEMA_OWN, .parse = parse_domain_bounces, .syntax = "key \"FILE\"",
		.initial_text = "no tags",
		.text = "Senders of the domain are tagged on their way out (BATV), so that a bounce to one that never sent "
			"is known: the fact bounce.forged. A line of FILE is a digit and a secret; the first one tags."},
	{"", "send", SCHEMA_OWN, .parse = parse_send,
		.syntax = "[queued] [direct | smarthost NEXTHOP [auth \"USER\" password \"FILE\"] [then NEXTHOP ...] | "
			"direct then smarthost NEXTHOP ...] OPTION ...",
		.text = "How outbound mail leaves: to the MX of its domain, by a smarthost, or by MX first and by the "
			"smarthost where that fails. The client gets the far side's answer; with queued the mail is "
			"stored, answered at once and sent afterwards, by MX where nothing else is said. queued and "
			"direct then smarthost need the spool.",
		.example = "send smarthost \"relay.isp.example:587\" auth \"us\" password \"relay.password\" tls required"},
	{"send", "tls required", SCHEMA_FLAG, offsetof(struct conf_send, smarthosts) +
		offsetof(struct hop_list, tls_required),
		.text = "The smarthost must offer STARTTLS with a valid certificate."},
	{"send", "after", SCHEMA_OWN, .parse = parse_send_after, .spool = true,
		.syntax = "CAUSE[, CAUSE ...]", .initial_text = "listed, 2 failures",
		.text = "When direct then smarthost turns to the smarthost: at once after a failure of that kind "
			"(listed: our address is refused; connect; tls; dns; 4xx: any temporary refusal), or after so "
			"many temporary failures (N failures, 1 to 100). A bad way out always counts."},
	{"send", "answer within", SCHEMA_OWN, .parse = parse_send_answer,
		.syntax = "DURATION per mail[, DURATION per connection]",
		.initial_text = "8s per mail, 30s per connection",
		.text = "How long a client waits for the far side's answer, for one mail and for all mails of its "
			"connection (1s to 10m each): then the mail is queued, and without a spool the client gets 451. "
			"per connection needs the spool."},
	{"send", "answer at rcpt", SCHEMA_FLAG, IN_SEND(answer_at_rcpt), .spool = true,
		.text = "The far side is asked about recipients at RCPT TO."},
	{"", "queue", SCHEMA_OWN, .parse = parse_queue, .spool = true, .syntax = "{ SETTING ... }",
		.text = "How what is stored is tried again and how long it is kept.",
		.example = "queue { retry after 5m, up to 4h lifetime 5d }"},
	{"queue", "retry after", SCHEMA_OWN, .parse = parse_queue_retry,
		.syntax = "DURATION[, up to DURATION]", .initial_text = "5m, up to 4h",
		.text = "When a mail is tried again, the wait doubling each time up to the second one (1s to 1d, 1s to "
			"2d)."},
	{"queue", "lifetime", SCHEMA_DURATION, IN_QUEUE(lifetime_ms), 10 * SECOND, 30 * DAY, 5 * DAY,
		.text = "How long a mail is tried before its sender gets it back."},
	{"queue", "delay notice", SCHEMA_DURATION, IN_QUEUE(delay_notice_ms), 1 * SECOND, 30 * DAY, 4 * HOUR,
		.text = "When a sender that asked for it by NOTIFY=DELAY hears that the mail is still on its way."},
	{"queue", "attempts", SCHEMA_NUMBER, IN_QUEUE(attempts), 1, 10000, 200,
		.text = "Transactions at once, to all sites together."},
	{"queue", "quarantine", SCHEMA_DURATION, IN_QUEUE(quarantine_ms), 1 * MINUTE, 3650 * DAY, 14 * DAY,
		.text = "How long a mail in quarantine is kept."},
	{"queue", "quarantine size", SCHEMA_SIZE, IN_QUEUE(quarantine_bytes), 1 * MIB, 65536 * GIB, 10 * GIB,
		.text = "How much is kept in quarantine; what is over it is put off with 452, and nothing is removed "
			"before its time."},
	{"queue", "failure rules", SCHEMA_FILE, IN_QUEUE(failure_rules), .initial_text = "the built-in ones alone",
		.text = "Rules of what replies of others mean, looked at before the built-in ones."},
	{"", "destination", SCHEMA_OWN, .parse = parse_destination, .many = true,
		.syntax = "\"DOMAIN\" { SETTING ... }", .text = "How one far site is treated.",
		.example = "destination \"partner.example\" { connections 5 tls required }"},
	{"destination", "connections", SCHEMA_NUMBER, IN_SITE(connections), 1, 1000, 20,
		.text = "Connections at once to the site."},
	{"destination", "per connection", SCHEMA_NUMBER, IN_SITE(per_connection), 1, 100000, 100,
		.text = "Mails over one connection."},
	{"destination", "rate", SCHEMA_OWN, .parse = parse_destination_rate, .spool = true,
		.syntax = "N/second | N/minute | N/hour | N/day", .initial_text = "no limit",
		.text = "Mails to the site in a span of time, 1 to 1000000; the rest waits in the queue."},
	{"destination", "tls required", SCHEMA_FLAG, IN_SITE(tls_required),
		.text = "The site must offer STARTTLS with a valid certificate."},
	{"", "sign", SCHEMA_OWN, .parse = parse_sign, .many = true,
		.syntax = "\"DOMAIN\" selector \"NAME\" key \"FILE\"",
		.text = "A DKIM key, RSA or Ed25519, for the action `sign`; `postern dkim keygen` makes one.",
		.example = "sign \"example.com\" selector \"s2026\" key \"dkim/example.com.pem\""},
	{"", "filter", SCHEMA_OWN, .parse = parse_filter, .many = true, .syntax = "NAME { SETTING ... }",
		.text = "Settings of one filter: spf, dkim, dmarc, dnsbl, virus, attachment, encrypted, unscannable, "
			"body, text (of text.unread), recipient, client, directory (tables with ldap or sql), rate, quota, "
			"greylist, spam, rspamd, spamassassin.",
		.example = "filter virus { database \"/var/lib/clamav\" timeout 30s }\n"
			"filter spam { weight \"dmarc.fail\" 2.5 client list \"zen.example\" weight 3 model for { \"example.com\" } }"},
	{"filter", "on failure", SCHEMA_OWN, .parse = parse_on_failure, .syntax = "defer | skip",
		.initial_text = "defer; skip for dnsbl",
		.text = "What a condition is worth whose fact cannot be had: the mail is deferred, or it is false."},
	{"filter", "engine", SCHEMA_OWN, .parse = parse_engine, .syntax = "libspf2 | libopendkim",
		.initial_text = "our own",
		.text = "Lets the library of that name decide, in a sandboxed process: libspf2 for spf, libopendkim for dkim."},
	{"filter", "compare", SCHEMA_OWN, .parse = parse_compare, .syntax = "libspf2 | libopendkim",
		.text = "Runs the library beside ours, which decides; every difference is logged."},
	{"filter", "database", SCHEMA_OWN, .parse = parse_database, .syntax = "\"FOLDER\"",
		.initial_text = "/var/lib/clamav", .text = "Where the virus signatures are; for filter virus."},
	{"filter", "timeout", SCHEMA_DURATION, IN_FILTER(timeout_ms), 1 * SECOND, 10 * MINUTE, 0,
		.initial_text = "the scanner's own; 5s for directory, 10s for rspamd, 30s for spamassassin",
		.text = "How long the scan of one mail, or one look-up, may take before it has failed; for filter virus, directory, "
			"rspamd and spamassassin."},
	{"filter", "cache", SCHEMA_DURATION, IN_FILTER(cache_ms), 1 * SECOND, 1 * DAY, 0,
		.initial_text = "5m",
		.text = "How long an answer of a directory or database is kept, found or not; for filter directory."},
	{"filter", "connections", SCHEMA_NUMBER, IN_FILTER(connections), 1, 64, 0,
		.initial_text = "4; 16 for rspamd, 8 for spamassassin",
		.text = "Connections to the directory or database of each table, for filter directory; mails that each session "
			"process may have with all servers together, for filter rspamd and spamassassin: more wait."},
	{"filter", "server", SCHEMA_OWN, .parse = parse_server,
		.syntax = "\"ADDRESS[:PORT]\" | \"unix:/PATH\" [then ...]",
		.initial_text = "none: their facts cannot be asked for",
		.text = "Where Rspamd (port 11333) or spamd (port 783) is asked about a mail, up to four, tried in turn within the "
			"timeout; one that does not answer is passed over for 30 s; for filter rspamd and spamassassin.",
		.example = "filter rspamd { server \"127.0.0.1:11333\" then \"10.0.0.9:11333\" timeout 5s }\n"
			"filter spamassassin { server \"unix:/run/spamd.sock\" on failure skip }"},
	{"filter", "delay", SCHEMA_DURATION, IN_FILTER(delay_ms), 1 * SECOND, 1 * DAY, 0, .initial_text = "5m",
		.text = "How long a sender that is not known is put off; for filter greylist."},
	{"filter", "retry within", SCHEMA_DURATION, IN_FILTER(retry_ms), 1 * MINUTE, 30 * DAY, 0,
		.initial_text = "2d",
		.text = "Who has not come again by then is new again; for filter greylist."},
	{"filter", "remember", SCHEMA_DURATION, IN_FILTER(remember_ms), 1 * HOUR, 366 * DAY, 0,
		.initial_text = "36d",
		.text = "How long a sender whose mail was taken passes, from its last mail on; for filter greylist."},
	{"filter", "passers", SCHEMA_NUMBER, IN_FILTER(passers), 1, 1000000, 0, .initial_text = "5",
		.text = "From how many mails of a network on (IPv4 /24, IPv6 /64) that had passed its senders are known; "
			"for filter greylist."},
	{"filter", "weight", SCHEMA_OWN, .parse = parse_spam_weight, .many = true,
		.syntax = "\"EVIDENCE\" NUMBER", .initial_text = "as `postern facts spam` shows them",
		.text = "What a piece of evidence adds to the logit of spam, -10 to 10: 0.7 doubles the odds, 0 leaves it out; "
			"for filter spam."},
	{"filter", "client list", SCHEMA_OWN, .parse = parse_spam_client_list, .many = true,
		.syntax = "\"ZONE\" weight NUMBER",
		.text = "A DNS list that is asked about the client, and what a listing adds (-10 to 10); up to 8; for filter spam."},
	{"filter", "link list", SCHEMA_OWN, .parse = parse_spam_link_list, .many = true,
		.syntax = "\"ZONE\" weight NUMBER",
		.text = "A DNS list that is asked about the domains that a mail's links lead to, 20 of a mail at most, and what "
			"a listing adds (-10 to 10); up to 4; for filter spam."},
	{"filter", "model for", SCHEMA_OWN, .parse = parse_spam_models, .syntax = "{ \"DOMAIN\" ... }",
		.initial_text = "the site's alone",
		.text = "Declared domains, up to 32, with a model of their own beside the site's, for the fact spam.domain; "
			"for filter spam."},
	{"", "table", SCHEMA_OWN, .parse = parse_table, .many = true,
		.syntax = "NAME { \"ITEM\", \"*.SUFFIX\", \"GLOB*\", /REGEX/[i], NETWORK ... } | file \"FILE\" | "
			"ldap \"URL\" filter \"(mail=%s)\" [bind \"DN\" password \"FILE\"] [tls required] | "
			"sql \"URL\" query \"SELECT ...\" [password \"FILE\"] [tls required]",
		.text = "A list that rules and domains name: in place; one item a line in a file, which is read again when "
			"it changes; or a directory or database that is asked, ldap://HOST[:PORT]/BASE, "
			"postgresql://USER@HOST[:PORT]/DATABASE (the value is $1) or sqlite:/PATH (?1): what it finds is in.",
		.example = "table partners { \"partner.example\", \"*.supplier.example\", \"sales-*@example.net\" }\n"
			"table staff ldap \"ldap://10.0.0.7/ou=people,dc=example,dc=com\" filter \"(mail=%s)\" tls required\n"
			"table clients sql \"postgresql://postern@10.0.0.8/crm\" query \"SELECT 1 FROM clients WHERE mail = $1\""},
	{"", "pattern", SCHEMA_OWN, .parse = parse_pattern, .many = true,
		.syntax = "NAME /REGEX/[i] [luhn | iban] | words { \"WORD\" ... } | words file \"FILE\"",
		.text = "What `body contains` looks for: an expression, of which luhn and iban check the digits that it matched, or whole words and phrases without case.",
		.example = "pattern cards /\\b(?:\\d[ -]?){13,16}\\b/ luhn"},
	{"", "pool", SCHEMA_OWN, .later = "it comes with the pools of addresses", .syntax = "NAME { ADDRESS ... }",
		.text = "Addresses to send from."},
	{"", "journal to", SCHEMA_OWN, .parse = parse_journal, .spool = true, .syntax = "\"ADDRESS\"",
		.text = "Of every mail that is taken, a report with its envelope and the mail itself goes to this "
			"address of a declared domain; it is stored before the mail is answered. Not beside a milter."},
	{"", "inbound journal to", SCHEMA_OWN, .parse = parse_inbound_journal, .spool = true,
		.syntax = "\"ADDRESS\"", .text = "The same of mail from the world to our domains alone."},
	{"", "outbound journal to", SCHEMA_OWN, .parse = parse_outbound_journal, .spool = true,
		.syntax = "\"ADDRESS\"", .text = "The same of mail from our people alone."},
	{"", "inbound", SCHEMA_OWN, .parse = parse_inbound, .syntax = "{ RULE ... }",
		.text = "The rules for mail from the world to our domains.",
		.example = "inbound {\n\treject if recipient is not known\n\treject if virus\n\taccept\n}"},
	{"", "outbound", SCHEMA_OWN, .parse = parse_outbound, .syntax = "{ RULE ... }",
		.text = "The rules for mail from our people to the world.",
		.example = "outbound {\n\treject if virus\n\tsign\n\taccept\n}"},
};
/* clang-format on */
const size_t schema_n_rows = sizeof(schema_rows) / sizeof(schema_rows[0]);

_Static_assert(sizeof(schema_rows) / sizeof(schema_rows[0]) <= SCHEMA_ROWS_MOST, "rows");

void
schema_group_defaults(const char *group, void *target)
{
	for (size_t i = 0; i < schema_n_rows; i++) {
		const struct schema_row *r = &schema_rows[i];
		if (strcmp(r->group, group) != 0 || r->initial == 0)
			continue;
		memcpy((char *)target + r->offset, &r->initial, sizeof(r->initial));
	}
}

void
schema_defaults(struct conf *c)
{
	schema_group_defaults("limits", &c->limits);
	schema_group_defaults("queue", &c->queue);
	c->queue.retry_ms = 5 * MINUTE;
	c->queue.retry_most_ms = 4 * HOUR;
	c->send.wait_mail_ms = 8 * SECOND;
	c->send.wait_connection_ms = 30 * SECOND;
}

bool
schema_begins_statement(struct slice word)
{
	for (size_t i = 0; i < schema_n_rows; i++) {
		struct slice first, rest;
		slice_cut(slice_of(schema_rows[i].name), ' ', &first, &rest);
		if (schema_rows[i].group[0] == '\0' && slice_eq(word, first))
			return true;
	}
	return false;
}
