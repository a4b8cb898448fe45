/*
 * Mailboxes and paths of the envelope; see address.h. The grammar is RFC 5321 4.1.2 with RFC
 * 6531's UTF-8, and narrower in one place (SRV-07): $ ` { | } are taken in quotes only, since
 * local parts reach tables, scripts and other programs behind us.
 */
#include "smtp/address.h"

#include <string.h>

#include "base/must.h"

/* Where the parser stands; each step takes bytes off the front of `in`. */
struct cursor {
	struct slice in;
	bool smtputf8;
	bool utf8; /* a byte beyond ASCII was met */
	struct arena *arena;
};

static bool
is_atext(unsigned char c)
{
	return ascii_alpha((char)c) || ascii_digit((char)c) ||
	       (c != '\0' && c < 0x80 && strchr("!#%&'*+-/=?^_~", c) != NULL);
}

static bool
is_forbidden(unsigned char c)
{
	return c < ' ' || c == 0x7f || c == '$' || c == '`' || (c >= '{' && c <= '}');
}

/* Length of the UTF-8 character at the front (RFC 3629), 0 where there is none; C1 is refused.
 */
static size_t
utf8_length(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || s.n < n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f) ||
		(p[0] == 0xc2 && p[1] < 0xa0))
		return 0;
	return n;
}

/* A character beyond ASCII at the front: its length in *n_out. */
static enum address_error
take_utf8(struct cursor *c, size_t *n_out)
{
	if (!c->smtputf8)
		return ADDRESS_UTF8;
	*n_out = utf8_length(c->in);
	c->utf8 = true;
	return *n_out != 0 ? ADDRESS_OK : ADDRESS_SYNTAX;
}

static void
advance(struct cursor *c, size_t n)
{
	c->in = slice_from(c->in, n);
}

static enum address_error
parse_dot_string(struct cursor *c, struct slice *local_out)
{
	struct slice start = c->in;
	bool atom = false; /* something stands since the last dot */
	while (c->in.n > 0 && c->in.p[0] != '@') {
		unsigned char ch = (unsigned char)c->in.p[0];
		size_t n = 1;
		if (ch == '.' && atom) {
			atom = false;
			advance(c, 1);
			continue;
		}
		if (ch >= 0x80) {
			enum address_error e = take_utf8(c, &n);
			if (e != ADDRESS_OK)
				return e;
		} else if (!is_atext(ch)) {
			return is_forbidden(ch) ? ADDRESS_FORBIDDEN : ADDRESS_SYNTAX;
		}
		atom = true;
		advance(c, n);
	}
	*local_out = slice_first(start, start.n - c->in.n);
	return atom ? ADDRESS_OK : ADDRESS_SYNTAX;
}

static enum address_error
parse_quoted(struct cursor *c, struct slice *local_out)
{
	char *to = arena_alloc(c->arena, slice_first(c->in, ADDRESS_PATH_MOST).n + 4);
	size_t used = 0;
	advance(c, 1);
	while (c->in.n > 0 && c->in.p[0] != '"') {
		unsigned char ch = (unsigned char)c->in.p[0];
		size_t n = 1;
		if (ch == '\\' && c->in.n > 1 && (c->in.p[1] & 0x80) == 0) {
			advance(c, 1);
			ch = (unsigned char)c->in.p[0];
		} else if (ch == '\\') {
			return ADDRESS_SYNTAX;
		}
		if (ch < ' ' || ch == 0x7f)
			return ADDRESS_FORBIDDEN;
		if (ch >= 0x80) {
			enum address_error e = take_utf8(c, &n);
			if (e != ADDRESS_OK)
				return e;
		}
		if (used + n > ADDRESS_LOCAL_MOST)
			return ADDRESS_TOO_LONG;
		memcpy(to + used, c->in.p, n);
		used += n;
		advance(c, n);
	}
	if (c->in.n == 0)
		return ADDRESS_SYNTAX;
	advance(c, 1);
	*local_out = (struct slice){to, used};
	return ADDRESS_OK;
}

/* The bytes of a domain or literal, as far as they go: up to '>', ',', ':' or a blank. */
static struct slice
cut_domain(struct cursor *c)
{
	struct slice start = c->in;
	size_t n = 0;
	if (start.n > 0 && start.p[0] == '[') {
		n = slice_find(start, ']');
		n += n < start.n;
	}
	while (n < start.n && strchr("> \t,:", start.p[n]) == NULL)
		n++;
	advance(c, n);
	return slice_first(start, n);
}

static enum address_error
parse_domain(struct cursor *c, bool literal_ok, struct slice *domain_out)
{
	struct slice text = cut_domain(c);
	for (size_t i = 0; i < text.n; i++) {
		unsigned char ch = (unsigned char)text.p[i];
		if (ch >= 0x80 && !c->smtputf8)
			return ADDRESS_UTF8;
		if (is_forbidden(ch))
			return ADDRESS_FORBIDDEN;
		c->utf8 |= ch >= 0x80;
	}
	if (text.n > ADDRESS_PATH_MOST)
		return ADDRESS_TOO_LONG;
	if (!domain_parse(text, c->smtputf8, literal_ok, c->arena, domain_out))
		return ADDRESS_DOMAIN;
	return ADDRESS_OK;
}

/* Whether a local part needs no quotes on the wire: a dot-string without what SRV-07 keeps out.
 */
static bool
is_dot_string(struct slice local)
{
	struct cursor c = {.in = local, .smtputf8 = true};
	struct slice all;
	return parse_dot_string(&c, &all) == ADDRESS_OK && c.in.n == 0;
}

static struct slice
canonical_text(struct slice local, struct slice domain, struct arena *a)
{
	char *text = arena_alloc(a, 2 * local.n + 2 + 1 + domain.n + 1), *to = text;
	bool quote = !is_dot_string(local);
	if (quote)
		*to++ = '"';
	for (size_t i = 0; i < local.n; i++) {
		if (quote && (local.p[i] == '"' || local.p[i] == '\\'))
			*to++ = '\\';
		*to++ = local.p[i];
	}
	if (quote)
		*to++ = '"';
	*to++ = '@';
	memcpy(to, domain.p, domain.n);
	return (struct slice){text, (size_t)(to - text) + domain.n};
}

static enum address_error
parse_mailbox(struct cursor *c, struct address *out)
{
	struct slice start = c->in, local, domain;
	bool quoted = start.n > 0 && start.p[0] == '"';
	enum address_error e = quoted ? parse_quoted(c, &local) : parse_dot_string(c, &local);
	if (e != ADDRESS_OK)
		return e;
	if (start.n - c->in.n > ADDRESS_LOCAL_MOST)
		return ADDRESS_TOO_LONG;
	if (c->in.n == 0 || c->in.p[0] != '@')
		return ADDRESS_SYNTAX;
	advance(c, 1);
	e = parse_domain(c, true, &domain);
	if (e != ADDRESS_OK)
		return e;
	struct slice raw = slice_first(start, start.n - c->in.n);
	if (raw.n > ADDRESS_PATH_MOST)
		return ADDRESS_TOO_LONG;
	out->local = quoted ? local : arena_slice(c->arena, local);
	out->domain = domain;
	out->raw = arena_slice(c->arena, raw);
	out->text = canonical_text(local, domain, c->arena);
	out->utf8 = c->utf8;
	return ADDRESS_OK;
}

/* RFC 5321 C: "@one,@two:" is taken and forgotten. */
static enum address_error
pass_source_route(struct cursor *c)
{
	struct slice dropped;
	while (c->in.n > 0 && c->in.p[0] == '@') {
		advance(c, 1);
		enum address_error e = parse_domain(c, false, &dropped);
		if (e != ADDRESS_OK)
			return e;
		if (c->in.n == 0 || (c->in.p[0] != ',' && c->in.p[0] != ':'))
			return ADDRESS_SYNTAX;
		bool last = c->in.p[0] == ':';
		advance(c, 1);
		if (last)
			return ADDRESS_OK;
	}
	return ADDRESS_SYNTAX;
}

static enum address_error
parse_in_brackets(struct cursor *c, bool reverse, struct address *out)
{
	struct slice postmaster = SLICE("postmaster>");
	if (reverse && c->in.n > 0 && c->in.p[0] == '>') {
		out->is_null = true;
		return ADDRESS_OK;
	}
	if (!reverse && slice_starts_nocase(c->in, postmaster)) {
		out->raw = out->local = out->text = SLICE("postmaster");
		advance(c, postmaster.n - 1);
		return ADDRESS_OK;
	}
	if (c->in.n > 0 && c->in.p[0] == '@') {
		enum address_error e = pass_source_route(c);
		if (e != ADDRESS_OK)
			return e;
		c->utf8 = false; /* of what was dropped */
	}
	return parse_mailbox(c, out);
}

enum address_error
address_parse_path(struct slice in, bool reverse, bool smtputf8, struct arena *a,
	struct address *address_out, struct slice *rest_out)
{
	struct cursor c = {.in = in, .smtputf8 = smtputf8, .arena = a};
	bool bracket = in.n > 0 && in.p[0] == '<';
	*address_out = (struct address){0};
	if (bracket)
		advance(&c, 1);
	enum address_error e = bracket ? parse_in_brackets(&c, reverse, address_out)
				       : parse_mailbox(&c, address_out);
	if (e != ADDRESS_OK)
		return e;
	if (bracket) {
		if (c.in.n == 0 || c.in.p[0] != '>')
			return ADDRESS_SYNTAX;
		advance(&c, 1);
	}
	*rest_out = c.in;
	return c.in.n == 0 || c.in.p[0] == ' ' ? ADDRESS_OK : ADDRESS_SYNTAX;
}

enum address_error
address_parse(struct slice in, bool smtputf8, struct arena *a, struct address *address_out)
{
	struct cursor c = {.in = in, .smtputf8 = smtputf8, .arena = a};
	*address_out = (struct address){0};
	enum address_error e = parse_mailbox(&c, address_out);
	return e == ADDRESS_OK && c.in.n > 0 ? ADDRESS_SYNTAX : e;
}

enum address_error
address_make(
	struct slice local, struct slice domain, struct arena *a, struct address *address_out)
{
	if (local.n == 0)
		return ADDRESS_SYNTAX;
	if (local.n > ADDRESS_LOCAL_MOST)
		return ADDRESS_TOO_LONG;
	return address_parse(canonical_text(local, domain, a), true, a, address_out);
}

const char *
address_error_text(enum address_error e)
{
	switch (e) {
	case ADDRESS_OK: return "Fine";
	case ADDRESS_SYNTAX: return "Not an address as RFC 5321 has it";
	case ADDRESS_TOO_LONG: return "The address is too long";
	case ADDRESS_FORBIDDEN: return "The address has a character that is not taken";
	case ADDRESS_UTF8: return "An address in UTF-8 needs SMTPUTF8";
	case ADDRESS_DOMAIN: return "No domain name or address literal behind the @";
	}
	return "Not an address";
}
