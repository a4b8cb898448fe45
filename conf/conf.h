/*
 * The configuration as an immutable snapshot (POLICY.md). The parent parses it; every process
 * of a generation reads it and nothing writes it. All of it lives in one arena.
 *
 * All errors of a file are reported in one run, each with file, line, column, what was expected
 * and the likely meaning. A setting that a later issue brings is refused by its name.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "base/arena.h"
#include "base/err.h"
#include "base/ip.h"
#include "base/ip_set.h"
#include "base/map.h"
#include "conf/glob.h"
#include "conf/pattern.h"
#include "conf/rules.h"
#include "smtp/address.h"

enum hop_kind { HOP_HOST, HOP_LMTP_PATH, HOP_MX, HOP_BALANCED };

struct next_hop {
	enum hop_kind kind;
	struct conf_at at;
	struct slice text; /* as written, for logs */
	struct slice host; /* a name, or an address without brackets; MX: the name */
	struct ip ip;      /* family 0: host is a name to be looked up */
	uint16_t port;
	bool lmtp;                        /* "lmtp:PATH" or "lmtp:host:port" */
	struct slice user, password_file; /* a smarthost's `auth "user" password "FILE"` */
	struct slice password;  /* read by the parent from password_file; never logged */
	struct next_hop *items; /* BALANCED */
	size_t n_items;
};

/* `client by`: how a next hop is told whose mail it gets. */
enum hop_client { HOP_CLIENT_NONE, HOP_CLIENT_XCLIENT, HOP_CLIENT_XFORWARD, HOP_CLIENT_PROXY };

struct hop_list { /* A then B then C */
	struct next_hop *hops;
	size_t n;
	bool tls_required;
	enum hop_client client;
};

enum listen_kind { LISTEN_INBOUND, LISTEN_OUTBOUND, LISTEN_MILTER };
enum listen_tls {
	LISTEN_TLS_NONE,
	LISTEN_TLS_OPTIONAL,
	LISTEN_TLS_REQUIRED,
	LISTEN_TLS_IMPLICIT
};

struct conf_certificate {
	struct slice certificate, key; /* paths, absolute */
};

/* `mode`: what becomes of a refusal (session/modes.h). */
enum conf_mode { MODE_RULES, MODE_OBSERVE, MODE_SOFT };

struct conf_listener {
	struct conf_at at;
	enum conf_mode mode; /* its own, else the general one */
	enum listen_kind kind;
	struct slice text; /* "0.0.0.0:25" as written */
	struct ip ip;      /* family 0: unix socket at `path` */
	uint16_t port;
	struct slice path;
	enum listen_tls tls;
	struct conf_certificate *certificates;
	size_t n_certificates;
	struct slice auth_file; /* `auth "users.passwd"`; empty: no AUTH */
	struct ip_net *from;    /* outbound: who may send without AUTH */
	size_t n_from;
	struct ip_net *proxied; /* who speaks the PROXY protocol to us */
	size_t n_proxied;
	bool header_rules; /* HDR-01 to -03, on unless `header rules off` */
	/* milter: whose mail is outbound; all other is inbound */
	struct ip_net *outbound_from;
	size_t n_outbound_from;
	bool outbound_authenticated;
	bool through_libmilter;
	/* `filter from { peers } to ...`: beside another MTA; every mail goes to `filter` */
	struct ip_net *peers;
	size_t n_peers;
	struct hop_list filter; /* n 0: an ordinary listener */
	bool hide_received;     /* outbound: what our people's own servers wrote goes */
	struct ip_net
		*xclient; /* who may name the client by XCLIENT and XFORWARD; else peers */
	size_t n_xclient;
};

enum domain_recipients { RECIPIENTS_ANY, RECIPIENTS_VERIFY, RECIPIENTS_TABLE };

struct conf_tag_key {        /* of `bounces tagged` (BATV) */
	uint8_t number;      /* 0 to 9 */
	struct slice secret; /* read by the parent; never logged */
};

struct conf_table;
struct conf_domain {
	struct conf_at at;
	struct slice name; /* A-label, lower case; "*.example.com" is refused */
	struct hop_list deliver;
	enum domain_recipients recipients;
	const struct conf_table *table;
	bool detail_significant;
	bool hold_when_unreachable;    /* mail is stored while no next hop answers */
	struct conf_tag_key *tag_keys; /* the first one tags, all are taken */
	size_t n_tag_keys;             /* 0: its senders are not tagged */
};

enum directory_kind { DIRECTORY_LDAP, DIRECTORY_POSTGRESQL, DIRECTORY_SQLITE };

/* Where a table's values are looked up, by the directory process. Texts have a NUL behind. */
struct conf_directory {
	enum directory_kind kind;
	struct slice text; /* "ldap://dir.example.com/dc=example" as written, for logs */
	struct slice host; /* a name, or an address without brackets */
	struct ip ip;      /* family 0: host is a name to be looked up */
	uint16_t port;
	struct slice base;     /* LDAP: below which entry */
	struct slice database; /* PostgreSQL: its name; SQLite: its path */
	struct slice user;     /* PostgreSQL: the role; LDAP: `bind "DN"`, or empty */
	struct slice query;    /* the filter with %s, the query with $1 or ?1 */
	struct slice password_file;
	struct slice password; /* read by the parent from password_file; never logged */
	bool tls_implicit;     /* ldaps:// */
	bool tls_required;
};

struct conf_table {
	struct conf_at at;
	struct slice name, path; /* path: `file "..."`, else empty */
	struct slice *items;
	size_t n_items;
	struct map *exact;    /* items without wildcard, without case */
	struct map *suffixes; /* "supplier.example" of "*.supplier.example" */
	struct ip_set *nets;  /* items that are addresses or networks */
	size_t n_nets;
	struct glob **globs; /* items with wildcards */
	size_t n_globs;
	struct pattern **patterns; /* items that are expressions */
	size_t n_patterns;
	struct conf_directory *directory; /* ldap, sql: it has no items here; else NULL */
};

struct conf_pattern {
	struct conf_at at;
	struct slice name, regex;
	/* WORDS: no expression, but words and phrases, whole and without case */
	enum pattern_check { PATTERN_PLAIN, PATTERN_LUHN, PATTERN_IBAN, PATTERN_WORDS } check;
	bool nocase; /* /.../i */
	struct slice *words;
	size_t n_words;
};

struct conf_rights {
	struct slice *sends_as; /* "a@b", "@b" or "b": all of a domain */
	size_t n_sends_as;
};

struct conf_user {
	struct slice name;
	struct conf_rights rights;
};

struct conf_network { /* network NET sends as { ... } */
	struct conf_at at;
	struct ip_net net;
	struct conf_rights rights;
};

struct conf_sign {
	struct conf_at at;
	struct slice domain, selector, key; /* key: path */
};

enum send_way { SEND_NONE, SEND_DIRECT, SEND_SMARTHOST, SEND_DIRECT_THEN_SMARTHOST };

/* When `direct then smarthost` turns to the smarthost, beside a bad way out: these failures. */
enum send_after {
	SEND_AFTER_DNS = 1 << 0,
	SEND_AFTER_CONNECT = 1 << 1,
	SEND_AFTER_TLS = 1 << 2,
	SEND_AFTER_4XX = 1 << 3,
	SEND_AFTER_LISTED = 1 << 4,
};

struct conf_send {
	struct conf_at at;
	enum send_way way;
	bool queued; /* stored and answered at once, sent afterwards */
	bool answer_at_rcpt;
	struct hop_list smarthosts;
	unsigned after;          /* SEND_AFTER_...: at once after such a failure */
	uint64_t after_failures; /* of any temporary sort, so many; 0: never */
	uint64_t wait_mail_ms,
		wait_connection_ms; /* answer within 8s per mail, 30s per connection */
};

struct conf_queue {                       /* queue { ... } */
	uint64_t retry_ms, retry_most_ms; /* the first back-off, doubling up to the second */
	uint64_t lifetime_ms;             /* then a mail is given up */
	uint64_t delay_notice_ms;         /* after so long, where NOTIFY=DELAY asks for it */
	uint64_t attempts;                /* at once, to all sites */
	uint64_t quarantine_ms;           /* how long a quarantined mail is kept */
	uint64_t quarantine_bytes;        /* how much of them all together; 0: no limit */
	struct slice failure_rules;       /* path; empty: only the built-in ones */
};

struct conf_destination { /* destination "site" { ... } */
	struct slice site;
	uint64_t connections, per_connection; /* at once; mails over one */
	uint64_t rate, rate_ms;               /* mails in a span of time; 0: no limit */
	bool tls_required;
};

struct conf_journal { /* [inbound|outbound] journal to "..." */
	struct conf_at at;
	struct slice to; /* an address of a declared domain; empty: none */
};

struct conf_resolver {
	struct conf_at at;
	struct {
		struct ip ip;
		uint16_t port;
	} servers[4];
	size_t n_servers; /* 0: the system's */
	bool insecure;
	struct slice trust; /* path; empty: the root's key */
};

/* A scanner beside us: an address and port, or a unix socket's path. */
struct conf_server {
	struct slice text; /* as written */
	struct ip ip;      /* family 0: a path */
	uint16_t port;
	struct slice path;
};
enum { CONF_SERVERS_MOST = 4 };

/* Of `filter spam`: the weight of a piece of evidence; a DNS list; a domain's own model. */
struct conf_weight {
	struct conf_at at;
	struct slice name;
	double weight;
};
enum { CONF_CLIENT_LISTS_MOST = 8, CONF_LINK_LISTS_MOST = 4, CONF_MODELS_MOST = 32 };
struct conf_spam_list {
	struct slice zone;
	bool link; /* of names in links; else of clients */
	double weight;
};
struct conf_model {
	struct conf_at at;
	struct slice domain; /* A-label; declared */
};

/* filter NAME { ... }: what a filter's own settings say. */
struct conf_filter {
	struct conf_at at;
	struct slice name;
	enum { ON_FAILURE_DEFAULT, ON_FAILURE_DEFER, ON_FAILURE_SKIP } on_failure;
	struct slice engine;   /* "libspf2"; empty: ours */
	struct slice compare;  /* the second engine that runs beside; empty: none */
	struct slice database; /* path */
	uint64_t timeout_ms;   /* 0: the filter's default */
	uint64_t cache_ms;     /* of `filter directory`; 0: the default */
	uint64_t connections;  /* likewise; of rspamd and spamassassin too */
	struct conf_server servers[CONF_SERVERS_MOST]; /* rspamd, spamassassin; in turn */
	size_t n_servers;
	/* greylist: when a new sender may pass, till when it must have tried again, how long
	 * it is known then; from how many on a network's senders pass at once */
	uint64_t delay_ms, retry_ms, remember_ms, passers;
	struct conf_weight *weights; /* spam */
	size_t n_weights;
	struct conf_spam_list *lists;
	size_t n_lists;
	struct conf_model *models;
	size_t n_models;
	const void *made; /* what the filter itself makes of all this: filters_check; or NULL */
};

struct conf_limits {
	uint64_t connections, per_client;
	uint64_t mail_bytes, recipients, header_bytes, header_fields, parts, depth, received;
	uint64_t command_ms, data_ms, session_ms; /* per command, for the whole data, for all */
	uint64_t memory_bytes;
	bool refuse_at_connect;
};

struct conf {
	struct arena *arena;
	const char *file; /* the main file, as given */
	struct slice hostname, spool, user;
	bool log_syslog;
	enum conf_mode mode;
	struct conf_resolver resolver;
	struct conf_listener *listeners;
	size_t n_listeners;
	struct conf_domain *domains;
	size_t n_domains;
	struct map *domain_map; /* name to struct conf_domain */
	struct conf_send send;
	struct conf_journal journal[2]; /* of inbound mail, of outbound mail */
	struct conf_sign *signs;
	size_t n_signs;
	struct map *users; /* name to struct conf_user */
	struct conf_network *networks;
	size_t n_networks;
	struct map *tables;   /* name to struct conf_table */
	struct map *patterns; /* name to struct conf_pattern */
	struct conf_destination *destinations;
	size_t n_destinations;
	struct conf_filter *filters;
	size_t n_filters;
	struct conf_queue queue;
	struct conf_limits limits;
	struct rule_block inbound, outbound;
};

struct conf_problem {
	struct conf_at at;
	bool warning;
	char text[400];
};

/* Collects what is wrong; whoever checks a part of the configuration adds to it. */
struct conf_report {
	struct conf_problem *problems; /* at most 100; the count goes on */
	size_t n, n_errors;
	char **files; /* the names that problems point to, owned here */
	size_t n_files;
};

void conf_report_init(struct conf_report *r);
void conf_report_fini(struct conf_report *r);
void conf_error(struct conf_report *r, struct conf_at at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void conf_warn(struct conf_report *r, struct conf_at at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* "FILE:LINE:COLUMN: error: ..." a line each, in the order of the file. */
struct slice conf_report_text(const struct conf_report *r, struct arena *a);

/*
 * Reads the file and all that it includes; tables' files too. Paths become absolute, relative
 * to the file that names them. NULL: r says why (n_errors > 0). Warnings may come with a
 * snapshot.
 */
struct conf *conf_read(const char *path, struct conf_report *r);
void conf_free(struct conf **c);

/*
 * One or more next hops from their text alone: as a configuration writes them (`"a:25" then mx
 * "b"`), or a single one without its quotes, as struct next_hop has it. Neither names nor
 * passwords. -1 and err: no next hop.
 */
int
conf_hops_parse(struct slice text, struct arena *a, struct hop_list *list_out, struct err *err);
/* Whether the listener has mail that is judged by this block; whether any has. */
bool conf_listener_judges(const struct conf_listener *l, bool outbound);
bool conf_uses_block(const struct conf *c, bool outbound);
const char *conf_mode_text(enum conf_mode m); /* "observe" */
/* Some listener's rules are only observed: what marks such mail is ours to write. */
bool conf_observes(const struct conf *c);
const struct conf_domain *conf_domain_find(const struct conf *c, struct slice alabel);
const struct conf_filter *conf_filter_find(const struct conf *c, const char *name);
/* Where servers of that filter listen by custom: 0: it has none. */
uint16_t conf_server_port(struct slice filter);
/* What `filter greylist` says, or its defaults. */
struct conf_filter conf_greylist(const struct conf *c);
/*
 * Exact, by "*.suffix", network, wildcard or expression; addresses compare with their domain
 * and alone ("user@", "@domain") too. GAVE_UP: an expression reached its limit, and nothing
 * else has the value. Not for a table of a directory. scratch: for expressions, freed with it.
 */
enum pattern_result
conf_table_look(const struct conf_table *t, struct slice value, struct arena *scratch);
/* All items are addresses and networks; else *other_out is one that is not. */
bool conf_table_is_networks(const struct conf_table *t, struct slice *other_out);

#endif
