/*
 * SPF macros (RFC 7208 section 7): their grammar, checked when a record is read, and their
 * expansion within a buffer's bounds. What a record asks for never decides how much is written.
 */
#include "filters/spf_priv.h"

#include <stdio.h>
#include <string.h>

enum {
	PARTS_MOST = 4096
}; /* delimiters in one value; a value is a name, an address or a path */

/* "%{" letter digits r delimiters "}" taken apart. */
struct macro {
	char letter;   /* lower case */
	bool escape;   /* it was upper case: URL-escaped */
	unsigned keep; /* parts from the right; 0: all */
	bool reverse;
	struct slice delimiters;
};

static bool
one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* The macro at the front: its length, 0 where it is malformed. "%%", "%_" and "%-" have letter
 * '%'. */
static size_t
macro_at(struct slice s, bool exp, struct macro *m)
{
	*m = (struct macro){.letter = '%'};
	if (s.n >= 2 && one_of(s.p[1], "%_-"))
		return 2;
	if (s.n < 4 || s.p[1] != '{')
		return 0;
	m->letter = ascii_lower(s.p[2]);
	m->escape = m->letter != s.p[2];
	if (!one_of(m->letter, exp ? "slodiphvcrt" : "slodiphv"))
		return 0;
	size_t at = 3;
	bool digits = false;
	for (; at < s.n && ascii_digit(s.p[at]); at++) {
		digits = true;
		m->keep = m->keep > PARTS_MOST ? m->keep
					       : m->keep * 10 + (unsigned)(s.p[at] - '0');
	}
	if (digits && m->keep == 0)
		return 0;
	if (at < s.n && ascii_lower(s.p[at]) == 'r') {
		m->reverse = true;
		at++;
	}
	size_t start = at;
	while (at < s.n && one_of(s.p[at], ".-+,/_="))
		at++;
	m->delimiters = slice_first(slice_from(s, start), at - start);
	return at < s.n && s.p[at] == '}' ? at + 1 : 0;
}

bool
spf_macro_ok(struct slice s, bool exp)
{
	struct macro m;
	for (size_t i = 0; i < s.n;) {
		unsigned char c = (unsigned char)s.p[i];
		size_t n = c == '%' ? macro_at(slice_from(s, i), exp, &m) : 1;
		if (n == 0 || c > 0x7e || c < (exp ? 0x20 : 0x21))
			return false;
		i += n;
	}
	return true;
}

/* alphanum with a letter among them, or with a dash inside (RFC 7208 section 12: toplabel). */
static bool
is_top_label(struct slice s)
{
	bool letter = false;
	if (s.n == 0 || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && s.p[i] != '-')
			return false;
		letter |= !ascii_digit(s.p[i]);
	}
	return letter;
}

bool
spf_domain_spec_ok(struct slice s)
{
	struct macro m;
	size_t literal = 0; /* where the text behind the last macro begins */
	if (s.n == 0 || !spf_macro_ok(s, false))
		return false;
	for (size_t i = 0; i < s.n;) {
		size_t n = s.p[i] == '%' ? macro_at(slice_from(s, i), false, &m) : 1;
		if (s.p[i] == '%')
			literal = i + n;
		i += n;
	}
	struct slice tail = slice_from(s, literal);
	if (literal != 0 && tail.n == 0)
		return true;
	if (tail.n > 0 && tail.p[tail.n - 1] == '.')
		tail.n--;
	size_t dot = slice_find_last(tail, '.');
	return dot < tail.n && is_top_label(slice_from(tail, dot + 1));
}

bool
spf_macro_uses_ptr(struct slice s)
{
	struct macro m;
	for (size_t i = 0; i < s.n;) {
		size_t n = s.p[i] == '%' ? macro_at(slice_from(s, i), true, &m) : 1;
		if (n == 0)
			return false;
		if (s.p[i] == '%' && m.letter == 'p')
			return true;
		i += n;
	}
	return false;
}

static bool
add_escaped(struct buf *out, struct slice s, bool escape)
{
	bool room = true;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool plain =
			ascii_alpha((char)c) || ascii_digit((char)c) || one_of((char)c, "-._~");
		room &= (escape && !plain ? buf_printf(out, "%%%02X", c)
					  : buf_add_byte(out, (char)c)) == 0;
	}
	return room;
}

/* Parts between delimiters; the last ones, perhaps turned round, joined by dots. */
static bool
add_transformed(struct buf *out, const struct macro *m, struct slice value)
{
	struct slice delimiters = m->delimiters.n != 0 ? m->delimiters : SLICE(".");
	if (m->keep == 0 && !m->reverse && m->delimiters.n == 0)
		return add_escaped(out, value, m->escape);
	size_t starts[PARTS_MOST + 1], n = 0, start = 0;
	for (size_t i = 0; i <= value.n && n < PARTS_MOST; i++) {
		if (i < value.n && !slice_has(delimiters, value.p[i]))
			continue;
		starts[n++] = start;
		start = i + 1;
	}
	starts[n] = start;
	size_t keep = m->keep != 0 && m->keep < n ? m->keep : n;
	bool room = true;
	for (size_t k = 0; k < keep; k++) {
		size_t i = m->reverse ? keep - 1 - k : n - keep + k;
		struct slice part = slice_first(
			slice_from(value, starts[i]), starts[i + 1] - 1 - starts[i]);
		if (k != 0)
			room &= buf_add_byte(out, '.') == 0;
		room &= add_escaped(out, part, m->escape);
	}
	return room;
}

/* "192.0.2.1", or 32 nibbles with dots (7.3). */
static struct slice
dotted_ip(const struct ip *ip, char text[80])
{
	if (ip->family == 4)
		return ip_text(ip, text);
	size_t n = 0;
	for (size_t i = 0; i < 16; i++) {
		text[n++] = "0123456789ABCDEF"[ip->bytes[i] >> 4];
		text[n++] = '.';
		text[n++] = "0123456789ABCDEF"[ip->bytes[i] & 15];
		text[n++] = '.';
	}
	return (struct slice){text, n - 1};
}

static bool
add_macro(const struct spf_macros *m, const struct macro *one, struct buf *out)
{
	const struct spf_request *r = m->request;
	char text[80];
	struct slice local = r->sender_local.n != 0 ? r->sender_local : SLICE("postmaster");
	struct buf sender;
	bool room;
	switch (one->letter) {
	case 's':
		buf_init(&sender, 1024);
		room = buf_add(&sender, local) == 0 && buf_add_byte(&sender, '@') == 0 &&
		       buf_add(&sender, r->sender_domain) == 0 &&
		       add_transformed(out, one, buf_slice(&sender));
		buf_fini(&sender);
		return room;
	case 'l': return add_transformed(out, one, local);
	case 'o': return add_transformed(out, one, r->sender_domain);
	case 'd': return add_transformed(out, one, m->domain);
	case 'i': return add_transformed(out, one, dotted_ip(&r->client, text));
	case 'p': return add_transformed(out, one, m->ptr);
	case 'h': return add_transformed(out, one, r->helo);
	case 'v':
		return add_transformed(
			out, one, r->client.family == 4 ? SLICE("in-addr") : SLICE("ip6"));
	case 'c': return add_transformed(out, one, ip_text(&r->client, text));
	case 'r': return add_transformed(out, one, r->hostname);
	default: /* t */
		snprintf(text, sizeof(text), "%lld", (long long)r->now_s);
		return add_transformed(out, one, slice_of(text));
	}
}

bool
spf_macro_expand(const struct spf_macros *m, struct slice s, struct buf *out)
{
	struct macro one;
	bool room = true;
	for (size_t i = 0; i < s.n && room;) {
		if (s.p[i] != '%') {
			size_t n = slice_find(slice_from(s, i), '%');
			room = buf_add(out, slice_first(slice_from(s, i), n)) == 0;
			i += n;
			continue;
		}
		size_t n = macro_at(slice_from(s, i), true, &one);
		if (n == 0)
			return false;
		if (one.letter != '%')
			room = add_macro(m, &one, out);
		else
			room = buf_add_text(out, s.p[i + 1] == '%'   ? "%"
						 : s.p[i + 1] == '_' ? " "
								     : "%20") == 0;
		i += n;
	}
	return room;
}
