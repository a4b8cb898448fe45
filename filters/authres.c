/*
 * Authentication-Results, see authres.h: writing ours, and recognising forged ones. The reader
 * is strict about what belongs to others and generous about what is ours: a field that does not
 * parse and has our name somewhere in it goes, for a careless reader behind us might take
 * it for ours.
 */
#include "filters/authres.h"

#include <string.h>

#include "base/must.h"
#include "filters/fold.h"

enum { FIELD_BYTES_MOST = 64 * 1024 };

static bool
is_token(char c)
{
	return c > ' ' && c < 0x7f && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

static bool
all_token(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!is_token(s.p[i]))
			return false;
	}
	return s.n > 0;
}

/* A dot-atom of the plainest kind before '@' and a domain behind it may stand as they are. */
static bool
plain_address(struct slice s)
{
	struct slice local, domain;
	if (!slice_cut(s, '@', &local, &domain) || !all_token(local) || !all_token(domain))
		return false;
	for (size_t i = 0; i < local.n; i++) {
		if (!ascii_alpha(local.p[i]) && !ascii_digit(local.p[i]) &&
			!slice_has(SLICE(".+-_"), local.p[i]))
			return false;
	}
	return true;
}

/* token / quoted-string (RFC 2045 5.1); what is not printable ASCII becomes '?'. */
static struct slice
write_value(struct slice s, struct arena *a)
{
	s = slice_first(s, AUTHRES_VALUE_MOST);
	if (all_token(s))
		return s;
	char *out = arena_alloc(a, s.n * 2 + 2);
	size_t n = 0;
	out[n++] = '"';
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			out[n++] = '\\';
		out[n++] = s.p[i] >= ' ' && s.p[i] < 0x7f ? s.p[i] : '?';
	}
	out[n++] = '"';
	return (struct slice){out, n};
}

/* What stands in a property may be an address too (RFC 8601 2.2, pvalue). */
static struct slice
write_pvalue(struct slice s, struct arena *a)
{
	return s.n <= AUTHRES_VALUE_MOST && plain_address(s) ? s : write_value(s, a);
}

static void
write_result(struct fold *f, const struct authres_result *r, struct arena *a)
{
	struct slice value;
	fold_line(f);
	fold_add(f, false, arena_printf(a, "%s=%s", r->method, r->result));
	if (r->reason.n > 0) {
		value = write_value(r->reason, a);
		fold_add(f, true, arena_printf(a, "reason=%.*s", SLICE_ARG(value)));
	}
	must(r->n <= AUTHRES_PROPERTIES_MOST);
	for (size_t i = 0; i < r->n; i++) {
		value = write_pvalue(r->property[i].value, a);
		fold_add(f, true,
			arena_printf(a, "%s=%.*s", r->property[i].name, SLICE_ARG(value)));
	}
}

struct slice
authres_field(struct slice authserv_id, const struct authres_result *results, size_t n,
	struct arena *a)
{
	struct fold f;
	fold_init(&f, FIELD_BYTES_MOST, SLICE("Authentication-Results:"));
	fold_add(&f, true, write_value(authserv_id, a));
	fold_add(&f, false, SLICE(";"));
	for (size_t i = 0; i < n; i++) {
		write_result(&f, &results[i], a);
		if (i + 1 < n)
			fold_add(&f, false, SLICE(";"));
	}
	if (n == 0)
		fold_add(&f, true, SLICE("none"));
	must(buf_add(&f.text, SLICE("\r\n")) == 0);
	struct slice out = arena_slice(a, buf_slice(&f.text));
	fold_fini(&f);
	return out;
}

/* Passes over blanks, folds and nested comments (RFC 5322 3.2.2); false: a comment has no end.
 */
static bool
skip_cfws(struct slice *s)
{
	size_t depth = 0, i = 0;
	for (; i < s->n; i++) {
		char c = s->p[i];
		if (depth > 0 && c == '\\')
			i++;
		else if (c == '(')
			depth++;
		else if (depth > 0 && c == ')')
			depth--;
		else if (depth == 0 && c != ' ' && c != '\t' && c != '\r' && c != '\n')
			break;
	}
	*s = slice_from(*s, i);
	return depth == 0;
}

/* The authserv-id at the front, unquoted; false: there is none. */
static bool
take_id(struct slice *s, struct arena *a, struct slice *id_out)
{
	size_t n = 0;
	if (s->n > 0 && s->p[0] == '"') {
		char *out = arena_alloc(a, s->n);
		size_t i = 1;
		for (; i < s->n && s->p[i] != '"'; i++) {
			if (s->p[i] == '\\' && i + 1 < s->n)
				i++;
			if (s->p[i] != '\r' && s->p[i] != '\n')
				out[n++] = s->p[i];
		}
		*id_out = slice_trim((struct slice){out, n});
		bool closed = i < s->n;
		*s = slice_from(*s, i + 1);
		return closed;
	}
	while (n < s->n && is_token(s->p[n]))
		n++;
	*id_out = slice_first(*s, n);
	*s = slice_from(*s, n);
	return n > 0;
}

/* [CFWS] authserv-id [CFWS version] [CFWS] then ';' or the end. */
static bool
parse_head(struct slice value, struct arena *a, struct slice *id_out)
{
	struct slice s = value;
	if (!skip_cfws(&s) || !take_id(&s, a, id_out) || !skip_cfws(&s))
		return false;
	size_t digits = 0;
	while (digits < s.n && ascii_digit(s.p[digits]))
		digits++;
	s = slice_from(s, digits);
	return skip_cfws(&s) && (s.n == 0 || s.p[0] == ';');
}

/* Our name anywhere in it once all that could hide it is taken out: blanks, quotes, comments.
 */
static bool
names_us(struct slice value, struct slice id, bool comments, struct arena *a)
{
	char *out = arena_alloc(a, value.n + 1);
	size_t n = 0, depth = 0;
	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];
		depth += c == '(';
		if ((comments || depth == 0) && !slice_has(SLICE(" \t\r\n\"\\()"), c))
			out[n++] = ascii_lower(c);
		depth -= c == ')' && depth > 0;
	}
	struct slice bare = {out, n};
	return slice_find_slice(bare, arena_lower(a, id)) < bare.n;
}

bool
authres_is_ours(struct slice value, struct slice authserv_id, struct arena *a)
{
	struct slice id;
	if (!parse_head(value, a, &id))
		return names_us(value, authserv_id, false, a) ||
		       names_us(value, authserv_id, true, a);
	if (slice_ends(id, SLICE(".")))
		id.n--;
	return slice_eq_nocase(id, authserv_id);
}

size_t
authres_forged(
	const struct message *m, struct slice authserv_id, struct arena *a, size_t **places_out)
{
	size_t n = 0, *places = arena_array(a, m->n_fields + 1, sizeof(*places));
	for (size_t i = 0; i < m->n_fields; i++) {
		const struct message_field *f = &m->fields[i];
		if (slice_eq_nocase(slice_trim(f->name), SLICE("authentication-results")) &&
			authres_is_ours(f->value, authserv_id, a))
			places[n++] = i;
	}
	*places_out = places;
	return n;
}
