/*
 * Tables that a directory or a database holds: their URL, filter or query, and password. What
 * can be seen to be wrong is said here, where its line is: a URL that names too little, a value
 * that would be pasted instead of passed. Who looks the values up is gateway/directory/.
 */
#include "conf/table_directory.h"

#include "base/mem.h"
#include "conf/file.h"

enum { PASSWORD_BYTES_MOST = 4096 };

#define LDAP_FORM       "\"ldap://HOST[:PORT]/BASE\" or \"ldaps://...\""
#define POSTGRESQL_FORM "\"postgresql://USER@HOST[:PORT]/DATABASE\""

/* %41 in a part of a URL. False: it is broken, or stands for NUL. */
static bool
decoded(struct parser *p, struct slice text, struct slice *out)
{
	char *to = arena_alloc(p->arena, text.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < text.n; i++) {
		to[n] = text.p[i];
		if (text.p[i] == '%') {
			bool whole = i + 2 < text.n;
			int high = whole ? ascii_hex(text.p[i + 1]) : -1;
			int low = whole ? ascii_hex(text.p[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			to[n] = (char)(high * 16 + low);
			i += 2;
		}
		if (to[n++] == '\0')
			return false;
	}
	*out = (struct slice){to, n};
	return true;
}

/* "HOST", "HOST:PORT", "[ADDRESS]:PORT". */
static bool
host_port(struct parser *p, struct slice text, struct conf_directory *d)
{
	struct slice host, port = SLICE_NONE;
	uint64_t number = d->port;
	if (slice_starts(text, SLICE("["))) {
		if (!slice_cut(slice_from(text, 1), ']', &host, &port) ||
			(port.n != 0 && port.p[0] != ':') || !ip_parse(host, &d->ip))
			return false;
		port = slice_from(port, 1);
		if (port.n == 0 && slice_ends(text, SLICE(":")))
			return false;
	} else if (slice_cut(text, ':', &host, &port) && port.n == 0) {
		return false;
	}
	if (port.n != 0 && (!slice_u64(port, &number) || number < 1 || number > 65535))
		return false;
	if (!ip_parse(host, &d->ip) && !domain_to_ascii(host, p->arena, &host))
		return false;
	d->host = arena_slice(p->arena, host);
	d->port = (uint16_t)number;
	return true;
}

/* With a NUL behind each, as libraries want them. */
static void
keep_texts(struct parser *p, struct conf_directory *d)
{
	struct slice *texts[] = {
		&d->text, &d->base, &d->database, &d->user, &d->query, &d->host};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		*texts[i] = arena_slice(p->arena, *texts[i]);
}

static bool
password(struct parser *p, struct conf_directory *d)
{
	struct conf_at at = p->tok.at;
	struct slice text;
	struct err err;
	if (!parse_string(p, "the file of the password", &text))
		return false;
	d->password_file = file_absolute(text, p->source->folder, p->arena);
	if (file_read(d->password_file.p, PASSWORD_BYTES_MOST, p->arena, &text, &err) < 0)
		return parse_fail(p, at, "%s", err.text);
	struct slice line, rest;
	slice_cut(text, '\n', &line, &rest);
	d->password = arena_slice(p->arena, slice_trim(line));
	mem_wipe((void *)(uintptr_t)text.p, text.n); /* one copy, which others can wipe */
	if (d->password.n == 0 || slice_has(d->password, '\0'))
		parse_fail(p, at, "%.*s holds no password", SLICE_ARG(d->password_file));
	return true;
}

/* What goes over the network for others to read. */
static void
warn_clear(struct parser *p, struct conf_at at, const struct conf_directory *d)
{
	if (d->password.n == 0 || d->tls_required || d->tls_implicit ||
		ip_is_loopback(&d->ip) || slice_eq_nocase(d->host, SLICE("localhost")))
		return;
	conf_warn(p->report, at, "the password goes to %.*s in clear: add \"tls required\"%s",
		SLICE_ARG(d->host), d->kind == DIRECTORY_LDAP ? ", or write \"ldaps://\"" : "");
}

/* --- LDAP */

static bool
ldap_url(struct parser *p, struct conf_directory *d, struct conf_at at)
{
	struct slice rest, host, base;
	d->tls_implicit = slice_starts_nocase(d->text, SLICE("ldaps://"));
	if (!d->tls_implicit && !slice_starts_nocase(d->text, SLICE("ldap://")))
		return parse_fail(p, at, "\"%.*s\" is no directory: write " LDAP_FORM,
			SLICE_ARG(slice_first(d->text, 80)));
	rest = slice_from(d->text, d->tls_implicit ? 8 : 7);
	slice_cut(rest, '/', &host, &base);
	d->port = d->tls_implicit ? 636 : 389;
	if (!host_port(p, host, d))
		return parse_fail(p, at, "\"%.*s\" is no host with its port: write " LDAP_FORM,
			SLICE_ARG(slice_first(host, 80)));
	if (slice_has(base, '?'))
		return parse_fail(p, at,
			"\"%.*s\": what stands behind ? has no meaning here; the filter stands "
			"behind \"filter\"",
			SLICE_ARG(slice_first(d->text, 80)));
	if (base.n == 0)
		return parse_fail(p, at,
			"\"%.*s\" does not say below which entry to look: write "
			"\"ldap://HOST/dc=example,dc=com\"",
			SLICE_ARG(slice_first(d->text, 80)));
	if (!decoded(p, base, &d->base))
		return parse_fail(p, at, "\"%.*s\" has a %% without two hexadecimal digits",
			SLICE_ARG(slice_first(base, 80)));
	return true;
}

/* What a server would call a bad filter, as far as it can be seen without one. */
static bool
ldap_filter(struct parser *p, const struct conf_directory *d, struct conf_at at)
{
	struct slice f = d->query;
	int depth = 0;
	bool value = false, closed = false;
	for (size_t i = 0; i < f.n; i++) {
		depth += f.p[i] == '(' ? 1 : f.p[i] == ')' ? -1 : 0;
		closed = closed || depth < 0 || (depth == 0 && i + 1 < f.n);
		if (f.p[i] != '%')
			continue;
		if (i + 1 == f.n || f.p[i + 1] != 's')
			return parse_fail(p, at,
				"%%s is the only %% of a filter: a real one is written \\25");
		value = true;
	}
	if (f.p[0] != '(' || depth != 0 || closed)
		return parse_fail(p, at,
			"\"%.*s\" is no filter: it stands in ( ), as in \"(mail=%%s)\"",
			SLICE_ARG(slice_first(f, 80)));
	return value || parse_fail(p, at,
				"\"%.*s\" does not ask for the value: write %%s where it "
				"belongs, as in \"(mail=%%s)\"",
				SLICE_ARG(slice_first(f, 80)));
}

bool
table_ldap(struct parser *p, struct conf_table *t)
{
	struct conf_directory *d = ARENA_NEW(p->arena, struct conf_directory);
	struct conf_at at = p->tok.at, filter_at;
	d->kind = DIRECTORY_LDAP;
	t->directory = d;
	if (!parse_string(p, "a directory, " LDAP_FORM, &d->text) || !ldap_url(p, d, at) ||
		!parse_word(p, "filter"))
		return false;
	filter_at = p->tok.at;
	if (!parse_string(p, "a filter, as in \"(mail=%s)\"", &d->query) ||
		!ldap_filter(p, d, filter_at))
		return false;
	if (parse_accept(p, "bind") && (!parse_string(p, "the DN to bind as", &d->user) ||
					       !parse_word(p, "password") || !password(p, d)))
		return false;
	struct conf_at tls_at = p->tok.at;
	if (parse_accept(p, "tls")) {
		if (!parse_word(p, "required"))
			return false;
		if (d->tls_implicit)
			return parse_fail(p, tls_at,
				"\"ldaps://\" always has TLS: leave \"tls required\"");
		d->tls_required = true;
	}
	warn_clear(p, at, d);
	keep_texts(p, d);
	return true;
}

/* --- SQL */

static bool
postgresql_url(struct parser *p, struct conf_directory *d, struct conf_at at)
{
	struct slice rest = slice_from(d->text, 13), user, host, database, more;
	slice_cut(rest, '/', &rest, &database);
	if (slice_has(database, '?'))
		return parse_fail(p, at,
			"what stands behind ? has no meaning here: write " POSTGRESQL_FORM);
	size_t mark = slice_find_last(rest, '@');
	host = mark < rest.n ? slice_from(rest, mark + 1) : rest;
	user = mark < rest.n ? slice_first(rest, mark) : SLICE_NONE;
	if (slice_cut(user, ':', &user, &more))
		return parse_fail(p, at,
			"a password does not stand in the URL: write it into a file of its "
			"own, and password \"FILE\" behind the query");
	d->port = 5432;
	if (user.n == 0 || database.n == 0 || !host_port(p, host, d) ||
		!decoded(p, user, &d->user) || !decoded(p, database, &d->database))
		return parse_fail(p, at, "\"%.*s\" is no database: write " POSTGRESQL_FORM,
			SLICE_ARG(slice_first(d->text, 80)));
	return true;
}

static bool
sqlite_url(struct parser *p, struct conf_directory *d, struct conf_at at)
{
	struct err err;
	d->kind = DIRECTORY_SQLITE;
	d->database = arena_slice(p->arena, slice_from(d->text, 7));
	if (!slice_starts(d->database, SLICE("/")))
		return parse_fail(p, at, "\"%.*s\" is no file: write \"sqlite:/PATH\"",
			SLICE_ARG(slice_first(d->text, 80)));
	if (file_is_readable(d->database.p, &err) < 0)
		return parse_fail(p, at, "%s", err.text);
	return true;
}

static bool
sql_url(struct parser *p, struct conf_directory *d, struct conf_at at)
{
	if (slice_starts(d->text, SLICE("sqlite:")))
		return sqlite_url(p, d, at);
	d->kind = DIRECTORY_POSTGRESQL;
	if (slice_starts(d->text, SLICE("postgresql://")))
		return postgresql_url(p, d, at);
	return parse_fail(p, at,
		"\"%.*s\" is no database: write " POSTGRESQL_FORM " or \"sqlite:/PATH\"",
		SLICE_ARG(slice_first(d->text, 80)));
}

/* The value is passed beside the query, never put into it: so it cannot become part of it. */
static bool
sql_query(struct parser *p, const struct conf_directory *d, struct conf_at at)
{
	struct slice q = d->query,
		     value = d->kind == DIRECTORY_SQLITE ? SLICE("?1") : SLICE("$1");
	size_t where = slice_find_slice(q, value);
	if (!slice_starts_nocase(q, SLICE("select")) && !slice_starts_nocase(q, SLICE("with")))
		return parse_fail(p, at,
			"a look-up only reads: the query begins with SELECT, as in \"SELECT 1 "
			"FROM people WHERE mail = %.*s\"",
			SLICE_ARG(value));
	if (slice_find(q, ';') < q.n)
		return parse_fail(p, at, "the query is one statement, without \";\"");
	if (where == q.n)
		return parse_fail(p, at,
			"the query does not ask for the value: write %.*s where it belongs, as "
			"in \"... WHERE mail = %.*s\"",
			SLICE_ARG(value), SLICE_ARG(value));
	if (where > 0 && q.p[where - 1] == '\'')
		return parse_fail(p, at,
			"%.*s in quotes is a text and not the value: leave the quotes",
			SLICE_ARG(value));
	return true;
}

bool
table_sql(struct parser *p, struct conf_table *t)
{
	struct conf_directory *d = ARENA_NEW(p->arena, struct conf_directory);
	struct conf_at at = p->tok.at, query_at;
	t->directory = d;
	if (!parse_string(p, "a database, " POSTGRESQL_FORM " or \"sqlite:/PATH\"", &d->text) ||
		!sql_url(p, d, at) || !parse_word(p, "query"))
		return false;
	query_at = p->tok.at;
	if (!parse_string(
		    p, "a query, as in \"SELECT 1 FROM people WHERE mail = $1\"", &d->query) ||
		!sql_query(p, d, query_at))
		return false;
	struct conf_at more_at = p->tok.at;
	if (d->kind == DIRECTORY_SQLITE) {
		if (parse_at(p, "password") || parse_at(p, "tls"))
			return parse_fail(p, more_at, "a file has neither password nor TLS");
		keep_texts(p, d);
		return true;
	}
	if (parse_accept(p, "password") && !password(p, d))
		return false;
	if (parse_accept(p, "tls")) {
		if (!parse_word(p, "required"))
			return false;
		d->tls_required = true;
	}
	warn_clear(p, at, d);
	keep_texts(p, d);
	return true;
}
