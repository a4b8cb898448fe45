/*
 * `filter NAME { ... }` and `destination "site" { ... }`: settings for one filter, one far
 * site. Which filters there are is known here by name only; what a setting means is theirs.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "conf/file.h"
#include "conf/parse_priv.h"
#include "conf/words.h"

/* Filters that have settings, with the second engine that each has beside ours. */
static const struct {
	const char *name, *engine;
} filters[] = {
	{"spf", "libspf2"},
	{"dkim", "libopendkim"},
	{"dmarc", NULL},
	{"dnsbl", NULL},
	{"virus", NULL},
	{"attachment", NULL},
	{"encrypted", NULL},
	{"unscannable", NULL},
	{"text", NULL},
	{"recipient", NULL},
	{"client", NULL},
	{"body", NULL},
	{"directory", NULL},
	{"rate", NULL},
	{"quota", NULL},
	{"greylist", NULL},
	{"spam", NULL},
	{"rspamd", NULL},
	{"spamassassin", NULL},
};
enum {
	FILTERS = sizeof(filters) / sizeof(filters[0]),
	RATE_MOST = 1000000,
	MINUTE_MS = 60 * 1000,
	DAY_MS = 24 * 60 * MINUTE_MS,
};

/* RFC 6647 5: a wait of minutes, a retry within days, and to be known for weeks. */
static const struct conf_filter greylist_defaults = {
	.delay_ms = 5 * MINUTE_MS,
	.retry_ms = (uint64_t)2 * DAY_MS,
	.remember_ms = (uint64_t)36 * DAY_MS,
	.passers = 5,
};

struct conf_filter
conf_greylist(const struct conf *c)
{
	const struct conf_filter *set = conf_filter_find(c, "greylist");
	struct conf_filter f = set != NULL ? *set : greylist_defaults;
	if (f.delay_ms == 0)
		f.delay_ms = greylist_defaults.delay_ms;
	if (f.retry_ms == 0)
		f.retry_ms = greylist_defaults.retry_ms;
	if (f.remember_ms == 0)
		f.remember_ms = greylist_defaults.remember_ms;
	if (f.passers == 0)
		f.passers = greylist_defaults.passers;
	return f;
}

static void
check_greylist(struct parser *p, struct conf_at at, const struct conf_filter *f)
{
	bool any =
		f->delay_ms != 0 || f->retry_ms != 0 || f->remember_ms != 0 || f->passers != 0;
	if (!slice_eq(f->name, SLICE("greylist"))) {
		if (any)
			parse_fail(p, at,
				"only \"filter greylist\" has \"delay\", \"retry within\", "
				"\"remember\" and \"passers\"");
		return;
	}
	struct conf_filter g = conf_greylist(p->conf);
	if (g.delay_ms >= g.retry_ms)
		parse_fail(p, at,
			"\"delay\" must be shorter than \"retry within\": nobody could come in "
			"between");
}

bool
parse_filter(struct parser *p, struct conf_at at, void *target)
{
	struct conf *c = target;
	const char *names[FILTERS];
	for (size_t i = 0; i < FILTERS; i++)
		names[i] = filters[i].name;
	int which = parse_choice(p,
		"the name of a filter (spf, dkim, dmarc, dnsbl, virus, ...)", names, FILTERS);
	if (which < 0)
		return false;
	struct conf_filter f = {.at = at, .name = slice_of(filters[which].name)};
	const struct conf_filter *other = conf_filter_find(c, filters[which].name);
	if (other != NULL)
		return parse_fail(p, at, "\"filter %s\" stands a second time, first at %s:%u",
			filters[which].name, other->at.file, other->at.line);
	bool ok = parse_settings_block(p, "filter", &f);
	if (f.engine.n != 0 && f.compare.n != 0)
		parse_fail(p, at, "\"engine\" and \"compare\" exclude each other");
	bool directory = slice_eq(f.name, SLICE("directory"));
	bool served = conf_server_port(f.name) != 0;
	if (f.timeout_ms != 0 && !directory && !served && !slice_eq(f.name, SLICE("virus")))
		parse_fail(p, at,
			"only \"filter virus\", \"filter directory\", \"filter rspamd\" and "
			"\"filter spamassassin\" have a timeout");
	if (f.cache_ms != 0 && !directory)
		parse_fail(p, at,
			"\"cache\" is of \"filter directory\", for tables with ldap or sql");
	if (f.connections != 0 && !directory && !served)
		parse_fail(p, at,
			"\"connections\" is of \"filter directory\", \"filter rspamd\" and "
			"\"filter spamassassin\"");
	parse_check_servers(p, at, &f);
	c->filters = parse_room(p, c->filters, c->n_filters, sizeof(f));
	c->filters[c->n_filters++] = f;
	check_greylist(p, at, &f);
	return ok;
}

bool
parse_on_failure(struct parser *p, struct conf_at at, void *target)
{
	static const char *const words[] = {"defer", "skip"};
	struct conf_filter *f = target;
	(void)at;
	int i = parse_choice(p, "\"defer\" or \"skip\"", words, 2);
	f->on_failure = i == 0 ? ON_FAILURE_DEFER : ON_FAILURE_SKIP;
	return i >= 0;
}

/* The second engine of the filter; our own is what stands where nothing is said. */
static bool
second_engine(struct parser *p, const struct conf_filter *f, struct slice *out)
{
	for (size_t i = 0; i < FILTERS; i++) {
		if (!slice_eq(f->name, slice_of(filters[i].name)))
			continue;
		if (filters[i].engine == NULL)
			return parse_fail(p, p->tok.at, "\"filter %s\" has one engine only",
				filters[i].name);
		*out = slice_of(filters[i].engine);
		return parse_word(p, filters[i].engine);
	}
	return false;
}

bool
parse_engine(struct parser *p, struct conf_at at, void *target)
{
	struct conf_filter *f = target;
	(void)at;
	return second_engine(p, f, &f->engine);
}

bool
parse_compare(struct parser *p, struct conf_at at, void *target)
{
	struct conf_filter *f = target;
	(void)at;
	return second_engine(p, f, &f->compare);
}

/* A folder of signatures, or one file of them. */
bool
parse_database(struct parser *p, struct conf_at at, void *target)
{
	struct conf_filter *f = target;
	struct conf_at path_at = p->tok.at;
	struct slice path;
	if (!slice_eq(f->name, SLICE("virus")))
		return parse_fail(p, at, "only \"filter virus\" has a database");
	if (!parse_string(p, "the folder of the signatures", &path))
		return false;
	f->database = file_absolute(path, p->source->folder, p->arena);
	if (access(f->database.p, R_OK) < 0)
		parse_fail(p, path_at, "cannot read %s: %s", f->database.p, strerror(errno));
	return true;
}

bool
parse_destination(struct parser *p, struct conf_at at, void *target)
{
	struct conf *c = target;
	struct conf_destination d = {0};
	if (!parse_domain(p, "the destination's domain", &d.site))
		return false;
	for (size_t i = 0; i < c->n_destinations; i++)
		if (slice_eq(c->destinations[i].site, d.site))
			return parse_fail(p, at,
				"the destination \"%.*s\" stands a second time",
				SLICE_ARG(d.site));
	schema_group_defaults("destination", &d);
	if (!parse_settings_block(p, "destination", &d))
		return false;
	c->destinations = parse_room(p, c->destinations, c->n_destinations, sizeof(d));
	c->destinations[c->n_destinations++] = d;
	return true;
}

bool
parse_destination_rate(struct parser *p, struct conf_at at, void *target)
{
	struct conf_destination *d = target;
	(void)at;
	if (p->tok.kind != TOK_RATE || p->tok.span_ms == 0)
		return parse_expected(p, "a rate, as in 3000/hour or 20000/day");
	if (p->tok.number < 1 || p->tok.number > RATE_MOST)
		return parse_fail(p, p->tok.at,
			"\"rate\" must be from 1 to %d mails in its span of time", RATE_MOST);
	d->rate = (uint64_t)p->tok.number;
	d->rate_ms = p->tok.span_ms;
	parse_next(p);
	return true;
}

const struct conf_filter *
conf_filter_find(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->n_filters; i++)
		if (slice_eq(c->filters[i].name, slice_of(name)))
			return &c->filters[i];
	return NULL;
}
