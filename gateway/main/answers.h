/*
 * The blocking driver of questions, for `postern explain`: DNS asked live through the event
 * loop, or looked up in a file; second engines in their process; call-outs and scans answered
 * with what the caller was told. One line of the file is one record, "NAME TYPE VALUE":
 *
 *     example.com TXT "v=spf1 ip4:192.0.2.1 -all"
 *     example.com MX 10 mx.example.com
 *     1.2.0.192.in-addr.arpa PTR mail.example.com
 *     silent.example FAIL
 *
 * A name that is not there is NXDOMAIN.
 */
#ifndef MAIN_ANSWERS_H
#define MAIN_ANSWERS_H

#include "conf/conf.h"
#include "filters/facts.h"

struct answers;

/* --lookup TABLE VALUE yes|no */
struct answers_lookup {
	const char *table, *value;
	bool found;
};

struct answers_config {
	const struct conf *conf; /* its resolver, where dns_file is NULL */
	const char *dns_file;
	enum known_answer known;
	const char *known_text;
	struct scan_report scan;
	struct neighbour_verdict neighbours[NEIGHBOURS]; /* by enum neighbour */
	const struct answers_lookup *lookups; /* directories are not asked; borrowed */
	size_t n_lookups;
	bool state_used; /* all limits are used up and no sender is known; else the opposite */
};

/* NULL and err: a file that is not right, a resolver that cannot be used. config is copied. */
struct answers *answers_new(const struct answers_config *config, struct err *err);
void answers_free(struct answers **a);
/* The mail as it came, for libopendkim; borrowed. */
void answers_mail(struct answers *a, struct slice mail);
/* Asks all that is open in f, waits, and puts the answers in. False: nothing was open. */
bool answers_give(struct answers *a, struct facts *f);
/* The same for questions to the DNS that stand in a scope of the caller's. */
bool answers_dns(struct answers *a, struct questions *scope);
unsigned answers_dns_count(const struct answers *a);
/* A limit or the greylist was asked for. */
bool answers_state_assumed(const struct answers *a);

#endif
