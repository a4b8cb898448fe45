/*
 * Every setting there is, one row each: the parser reads by it, and the manual, the commented
 * sample and `postern check --defaults` are printed from it. A setting without a row cannot be
 * read.
 */
#ifndef CONF_SCHEMA_H
#define CONF_SCHEMA_H

#include "base/arena.h"
#include "conf/conf.h"

struct parser;

enum { SCHEMA_ROWS_MOST = 128 };

enum schema_type {
	SCHEMA_OWN,  /* a syntax of its own, read by `parse` */
	SCHEMA_FLAG, /* stands or not */
	SCHEMA_NUMBER,
	SCHEMA_SIZE,
	SCHEMA_DURATION, /* bounded by least and most */
	SCHEMA_NAME,     /* a domain name, kept as A-labels */
	SCHEMA_TEXT,     /* a string */
	SCHEMA_FILE,     /* a file that must be there */
};

struct schema_row {
	const char *group; /* "" a statement; else the block or statement it belongs to */
	const char *name;  /* "mail size"; a statement's is its first word, or all its words */
	enum schema_type type;
	size_t offset; /* where its value lives in the group's struct */
	uint64_t least, most, initial;
	bool (*parse)(struct parser *p, struct conf_at at, void *target);
	const char *syntax;       /* behind the name, as the manual shows it */
	const char *initial_text; /* the default where it is no number; NULL: none */
	const char *later;        /* refused by name: "is not there yet: ..." */
	bool many;                /* may stand more than once */
	bool restart;             /* a reload does not take it up */
	bool spool;               /* refused where there is no `spool` */
	const char *text;         /* one sentence */
	const char *example;      /* a line for the sample, or NULL */
};

extern const struct schema_row schema_rows[];
extern const size_t schema_n_rows;

/* Sets every default that a row has: of the snapshot and its limits, of one group's struct. */
void schema_defaults(struct conf *c);
void schema_group_defaults(const char *group, void *target);
/* A word that a statement begins with. */
bool schema_begins_statement(struct slice word);
/* What the row's value may be: "a size from 64K to 1G". */
struct slice schema_type_text(const struct schema_row *row, struct arena *a);
struct slice schema_default_text(const struct schema_row *row, struct arena *a);
/* The commented sample, the table of `check --defaults`, the settings of the manual (mdoc). */
struct slice schema_sample(struct arena *a);
struct slice schema_defaults_text(struct arena *a);
struct slice schema_manual(struct arena *a);

/* --- what the rows' own statements call; each in the file of its concern */
#define SCHEMA_PARSE(name) bool name(struct parser *p, struct conf_at at, void *target)
SCHEMA_PARSE(parse_include);
SCHEMA_PARSE(parse_log_to);
SCHEMA_PARSE(parse_spool);
SCHEMA_PARSE(parse_user);
SCHEMA_PARSE(parse_network);
SCHEMA_PARSE(parse_mode);
SCHEMA_PARSE(parse_resolver);
SCHEMA_PARSE(parse_sign);
SCHEMA_PARSE(parse_limits);
SCHEMA_PARSE(parse_filter);
SCHEMA_PARSE(parse_destination);
SCHEMA_PARSE(parse_destination_rate);
SCHEMA_PARSE(parse_on_failure);
SCHEMA_PARSE(parse_engine);
SCHEMA_PARSE(parse_compare);
SCHEMA_PARSE(parse_database);
SCHEMA_PARSE(parse_server);
SCHEMA_PARSE(parse_spam_weight);
SCHEMA_PARSE(parse_spam_client_list);
SCHEMA_PARSE(parse_spam_link_list);
SCHEMA_PARSE(parse_spam_models);
SCHEMA_PARSE(parse_listen);
SCHEMA_PARSE(parse_listen_tls);
SCHEMA_PARSE(parse_listen_certificate);
SCHEMA_PARSE(parse_listen_auth);
SCHEMA_PARSE(parse_listen_from);
SCHEMA_PARSE(parse_listen_proxied);
SCHEMA_PARSE(parse_listen_header_rules);
SCHEMA_PARSE(parse_listen_outbound_from);
SCHEMA_PARSE(parse_listen_filter);
SCHEMA_PARSE(parse_listen_xclient);
SCHEMA_PARSE(parse_listen_client);
SCHEMA_PARSE(parse_listen_mode);
SCHEMA_PARSE(parse_domain_statement);
SCHEMA_PARSE(parse_domain_deliver);
SCHEMA_PARSE(parse_domain_client);
SCHEMA_PARSE(parse_domain_recipients);
SCHEMA_PARSE(parse_domain_detail);
SCHEMA_PARSE(parse_domain_bounces);
SCHEMA_PARSE(parse_send);
SCHEMA_PARSE(parse_send_after);
SCHEMA_PARSE(parse_send_answer);
SCHEMA_PARSE(parse_queue);
SCHEMA_PARSE(parse_queue_retry);
SCHEMA_PARSE(parse_table);
SCHEMA_PARSE(parse_pattern);
SCHEMA_PARSE(parse_journal);
SCHEMA_PARSE(parse_inbound_journal);
SCHEMA_PARSE(parse_outbound_journal);
SCHEMA_PARSE(parse_inbound);
SCHEMA_PARSE(parse_outbound);

#endif
