/*
 * The parser's insides, shared by its files: parse.c (tokens, statements, recovery),
 * settings.c, listeners.c, domains.c, sending.c, tables.c, rules.c, copies.c, conditions.c. A
 * function that returns bool has reported what is wrong when it returns false; the statement is
 * then given up and the next read.
 */
#ifndef CONF_PARSE_PRIV_H
#define CONF_PARSE_PRIV_H

#include "conf/conf.h"
#include "conf/schema.h"
#include "conf/tokens.h"

enum { SET_ITEMS_MOST = 100000, CONF_ROOM_LEAST = 16 << 20 };

/* The files being read, innermost first: against loops and for relative paths. */
struct source {
	const struct source *up;
	const char *file;    /* as errors name it */
	struct slice path;   /* absolute */
	struct slice folder; /* absolute, with its last '/' */
	unsigned depth;
};

/* A table named by a domain, looked up when all is read. */
struct table_use {
	size_t domain;
	struct slice table;
	struct conf_at at;
};

/* Something that needs the spool: looked at when all is read, `spool` may stand below it. */
struct spool_use {
	const char *what; /* "send queued" */
	struct conf_at at;
};

struct parser {
	struct conf *conf;
	struct conf_report *report;
	struct arena *arena;
	struct tokens *tokens;
	const struct source *source;
	struct token tok;                      /* the next one */
	unsigned nested;                       /* in ( or a set: newlines do not count */
	unsigned braces;                       /* open { of the statement */
	struct conf_at seen[SCHEMA_ROWS_MOST]; /* where each statement stood first */
	size_t files;
	uint64_t bytes;
	struct table_use *table_uses;
	size_t n_table_uses;
	struct spool_use *spool_uses;
	size_t n_spool_uses;
	unsigned terms; /* of the rule */
};

/* --- parse.c */
void parse_next(struct parser *p);
bool parse_at(const struct parser *p, const char *word); /* the next token is this word */
bool parse_accept(struct parser *p, const char *word);   /* and passes over it if so */
bool parse_accept_kind(struct parser *p, enum token_kind kind);
/* what: "a host name in double quotes". Returns false, for `return parse_expected(...)`. */
bool parse_expected(struct parser *p, const char *what);
/* The same, with the nearest of the words behind it. */
bool
parse_expected_word(struct parser *p, const char *what, const char *const *words, size_t n);
bool parse_fail(struct parser *p, struct conf_at at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
bool parse_word(struct parser *p, const char *word);
bool parse_kind(struct parser *p, enum token_kind kind, const char *what);
bool parse_string(struct parser *p, const char *what, struct slice *out);
bool parse_number(struct parser *p, char unit, const char *what, double *out);
/* One of n words: its place, or -1. */
int parse_choice(struct parser *p, const char *what, const char *const *words, size_t n);
/* The array with room for one more; grows by doubling inside the arena. */
void *parse_room(struct parser *p, void *items, size_t n, size_t bytes);
/* Calls item for each of `{ ITEM, ITEM ... }`, commas or not, until it fails or the set ends.
 */
bool
parse_set(struct parser *p, const char *what, bool (*item)(struct parser *, void *), void *arg);
/* Passes over what is left of a statement that failed. */
void parse_recover(struct parser *p);
/* The same within a block, up to the line's end or the block's }. False: the block ends
 * nowhere. */
bool parse_recover_in_block(struct parser *p);
bool parse_file(struct parser *p, struct slice path, struct conf_at at);

/* --- settings.c: rows of the schema */
/* A setting of the group stands next (one or more words): its row, or NULL with an error. */
const struct schema_row *parse_row(struct parser *p, const char *group);
/* Without `spool` what stands here is an error that names it. */
void parse_needs_spool(struct parser *p, struct conf_at at, const char *what);
/* Its value, by its type, into target + offset; or what its own function reads. */
bool parse_row_value(
	struct parser *p, const struct schema_row *row, struct conf_at at, void *target);
/* Settings of a group up to the end of the line, each at most once unless its row says `many`.
 */
bool parse_options(struct parser *p, const char *group, void *target);
/* The name that a `table` or `pattern` gives; not one that rules already understand. */
bool parse_name(struct parser *p, const char *what, struct slice *out);
/* `{ SETTING ... }`, the settings on one line or many. */
bool parse_settings_block(struct parser *p, const char *group, void *target);
/* The path made absolute; it must name a regular file that can be read. */
bool parse_file_path(struct parser *p, const char *what, struct slice *out);
bool parse_domain(struct parser *p, const char *what, struct slice *out);
bool parse_net(struct parser *p, struct ip_net *net_out);
bool parse_nets(struct parser *p, struct ip_net **nets, size_t *n);
/* NEXTHOP [then NEXTHOP ...]; auth: each may have `auth ...` behind it. */
bool parse_hops(struct parser *p, struct hop_list *list, bool auth);
/* One NEXTHOP of a rule; text_out: what was written. */
bool parse_route(struct parser *p, struct hop_list **list_out, struct slice *text_out);
/* --- servers.c: "ADDRESS:PORT" or "unix:/PATH", and what only filters with servers have */
void parse_check_servers(struct parser *p, struct conf_at at, const struct conf_filter *f);
/* --- copies.c: an address of ours, as a recipient has it; texts that are put under mails */
bool parse_rcpt_address(struct parser *p, struct slice *out);
/* "..." or file "F": lines, each with its LF, that may stand under a mail. */
bool parse_append_text(struct parser *p, bool html, struct slice *out);
/* xclient, xforward or proxy, of `client by`. */
bool parse_hop_client(struct parser *p, struct hop_list *list);
/* "10.0.0.5:25", "[2001:db8::1]:25": false where it is none; port stays where none is written.
 */
bool address_port_split(struct slice text, struct slice *host_out, uint16_t *port_out);

/* --- rules.c, conditions.c */
struct cond *parse_condition(struct parser *p);

/* --- spam.c: domains with a model are declared; when all is read */
void check_spam(struct parser *p);

/* --- check.c: what no single statement can see */
void conf_cross_check(struct parser *p);

#endif
