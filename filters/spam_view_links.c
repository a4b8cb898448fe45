/*
 * Links: URLs of attributes and of text to hosts that can be compared. As loose as browsers
 * are: backslashes are slashes, blanks and tabs inside are nothing, an address may be one
 * number, a name may be escaped. A URL inside a URL (a redirect) is a link of its own.
 *
 * Bounded: SPAM_URL_MOST bytes of a URL, SPAM_URLS_MOST URLs of a mail, of which
 * SPAM_LINKS_MOST different ones are kept.
 */
#include <string.h>

#include "base/ip.h"
#include "filters/spam_view_priv.h"

enum { PATH_MOST = 200, NESTED_MOST = 3, SHOWN_MOST = 300 };

/* A URL taken apart. */
struct url {
	char bytes[SPAM_URL_MOST];
	struct slice rest; /* behind the authority */
	char host[SPAM_HOST_MOST];
	size_t n_host;
	unsigned flags;
};

static struct slice
percent_decode(struct slice in, char *to)
{
	size_t n = 0;
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];
		if (c == '%' && in.n - i > 2 && ascii_hex(in.p[i + 1]) >= 0 &&
			ascii_hex(in.p[i + 2]) >= 0) {
			c = (char)(ascii_hex(in.p[i + 1]) << 4 | ascii_hex(in.p[i + 2]));
			i += 2;
		}
		to[n++] = c;
	}
	return (struct slice){to, n};
}

/* What browsers take out of an attribute before they read it, entities undone. */
static struct slice
clean(struct slice in, bool html, char *to)
{
	size_t n = 0, i = 0, used;
	in = slice_first(in, SPAM_URL_MOST);
	while (i < in.n && n + 4 <= SPAM_URL_MOST) {
		char c = in.p[i];
		uint32_t u;
		if (c == '\r' || c == '\n' || c == '\t') {
			i++;
		} else if (html && c == '&' &&
			   (used = spam_entity(slice_from(in, i), &u)) > 0 &&
			   (in.p[i + used - 1] == ';' || in.p[i + 1] == '#')) {
			n += spam_char_put(u, to + n);
			i += used;
		} else {
			to[n++] = c;
			i++;
		}
	}
	struct slice s = slice_trim((struct slice){to, n});
	while (s.n > 0 && (unsigned char)s.p[0] <= ' ')
		s = slice_from(s, 1);
	return s;
}

static bool
is_slash(char c)
{
	return c == '/' || c == '\\';
}

/* inet_aton's spellings: one to four numbers, decimal, octal or hex. */
static bool
number_of(struct slice s, uint64_t *out)
{
	uint64_t base = 10, v = 0;
	if (s.n == 0)
		return false;
	if (s.n > 2 && s.p[0] == '0' && ascii_lower(s.p[1]) == 'x') {
		base = 16;
		s = slice_from(s, 2);
	} else if (s.n > 1 && s.p[0] == '0') {
		base = 8;
	}
	for (size_t i = 0; i < s.n; i++) {
		int d = ascii_hex(s.p[i]);
		if (d < 0 || (uint64_t)d >= base || v > UINT32_MAX)
			return false;
		v = v * base + (uint64_t)d;
	}
	*out = v;
	return v <= UINT32_MAX;
}

static bool
address_of(struct slice host, struct ip *ip)
{
	struct slice part, rest = host;
	uint64_t v = 0;
	uint32_t all = 0;
	unsigned n = 0;
	bool more = true;
	if (host.n == 0 || !ascii_digit(host.p[0]))
		return false;
	while (more) {
		if (n == 4)
			return false;
		more = slice_cut(rest, '.', &part, &rest);
		if (!number_of(part, &v))
			return false;
		n++;
		if (more && v > 255)
			return false;
		if (more)
			all |= (uint32_t)v << (32 - 8 * n);
	}
	if (v >> (8 * (5 - n)) != 0)
		return false;
	all |= (uint32_t)v;
	*ip = (struct ip){.family = 4,
		.bytes = {(uint8_t)(all >> 24), (uint8_t)(all >> 16), (uint8_t)(all >> 8),
			(uint8_t)all}};
	return true;
}

static void
set_host(struct url *u, struct slice s)
{
	u->n_host = s.n < SPAM_HOST_MOST ? s.n : SPAM_HOST_MOST;
	if (u->n_host != 0)
		memmove(u->host, s.p, u->n_host);
}

static void
set_address(struct url *u, const struct ip *ip)
{
	char text[IP_TEXT_BYTES];
	set_host(u, ip_text(ip, text));
	u->flags |= SPAM_LINK_IP;
}

/* A name with letters of other scripts to A-labels; one that is none stays as it is. */
static void
take_idn(struct url *u, struct arena *a)
{
	char folded[SPAM_HOST_MOST + 4];
	struct slice in = {u->host, u->n_host}, out;
	size_t n = 0, used;
	for (size_t i = 0; i < in.n && n + 4 <= SPAM_HOST_MOST; i += used) {
		uint32_t c = spam_char(slice_from(in, i), &used);
		if (c == 0x3002 || c == 0xff0e || c == 0xff61)
			c = '.';
		c = spam_char_fold(c);
		if (c != 0 && c != ' ')
			n += spam_char_put(
				c < 0x80 ? (uint32_t)(unsigned char)ascii_lower((char)c) : c,
				folded + n);
	}
	struct slice lower = spam_lower((struct slice){folded, n}, a);
	bool ascii = true;
	for (size_t i = 0; i < lower.n; i++)
		ascii &= ((unsigned char)lower.p[i] & 0x80) == 0;
	u->flags |= SPAM_LINK_IDN;
	set_host(u, !ascii && domain_to_ascii(lower, a, &out) ? out : lower);
}

static bool
is_host_char(char c)
{
	return ascii_alpha(c) || ascii_digit(c) || c == '.' || c == '-' || c == '_' ||
	       ((unsigned char)c & 0x80) != 0;
}

/* The name or address in an authority without user and port. False: neither. */
static bool
read_host(struct url *u, struct slice in, struct arena *a)
{
	char bytes[SPAM_URL_MOST];
	struct ip ip;
	if (slice_starts(in, SLICE("["))) {
		if (!ip_parse(slice_from(slice_first(in, slice_find(in, ']')), 1), &ip))
			return false;
		set_address(u, &ip);
		return true;
	}
	if (slice_has(in, '%')) {
		u->flags |= SPAM_LINK_ESCAPED;
		in = percent_decode(in, bytes);
	}
	bool high = false;
	size_t n = 0;
	while (n < in.n && n < SPAM_HOST_MOST && is_host_char(in.p[n])) {
		high |= ((unsigned char)in.p[n] & 0x80) != 0;
		u->host[n] = ascii_lower(in.p[n]);
		n++;
	}
	u->n_host = n;
	if (high)
		take_idn(u, a);
	while (u->n_host > 0 && u->host[u->n_host - 1] == '.')
		u->n_host--;
	struct slice host = {u->host, u->n_host};
	if (address_of(host, &ip))
		set_address(u, &ip);
	else if (slice_starts(host, SLICE("xn--")) ||
		 slice_find_slice(host, SLICE(".xn--")) < host.n)
		u->flags |= SPAM_LINK_IDN;
	return u->n_host != 0;
}

/* What stands behind "//": user, host, port, and the rest. */
static bool
read_authority(struct url *u, struct slice in, struct arena *a)
{
	size_t n = 0;
	while (n < in.n && !is_slash(in.p[n]) && in.p[n] != '?' && in.p[n] != '#' &&
		(unsigned char)in.p[n] > ' ')
		n++;
	struct slice host = slice_first(in, n), port = SLICE_NONE;
	u->rest = slice_from(in, n);
	size_t at = slice_find_last(host, '@');
	if (at < host.n) {
		u->flags |= SPAM_LINK_USERINFO;
		host = slice_from(host, at + 1);
	}
	size_t colon = slice_find_last(host, ':');
	if (colon < host.n && !slice_ends(host, SLICE("]"))) {
		port = slice_from(host, colon + 1);
		host = slice_first(host, colon);
	}
	if (port.n != 0 && ascii_digit(port.p[0]) && !slice_eq(port, SLICE("80")) &&
		!slice_eq(port, SLICE("443")))
		u->flags |= SPAM_LINK_PORT;
	return read_host(u, host, a);
}

/* "http:", "https:", "ftp:": its length; 0: none of them. */
static size_t
web_scheme(struct slice s)
{
	return slice_starts_nocase(s, SLICE("http:"))    ? 5
	       : slice_starts_nocase(s, SLICE("https:")) ? 6
	       : slice_starts_nocase(s, SLICE("ftp:"))   ? 4
							 : 0;
}

/* Whether another scheme, or none, stands in front. */
static bool
has_scheme(struct slice s)
{
	size_t n = 0;
	while (n < s.n && (ascii_alpha(s.p[n]) || ascii_digit(s.p[n]) || s.p[n] == '-' ||
				  s.p[n] == '+' || s.p[n] == '.'))
		n++;
	return n > 0 && n < s.n && s.p[n] == ':';
}

/* A clean URL taken apart; base: what a relative one hangs on. False: it leads to no web site.
 */
static bool
read_url(struct url *u, struct slice in, struct slice base, struct arena *a)
{
	size_t n = web_scheme(in);
	if (n == 0 && (has_scheme(in) || in.n == 0 || in.p[0] == '#'))
		return false;
	if (n != 0 || (in.n > 1 && is_slash(in.p[0]) && is_slash(in.p[1]))) {
		while (n < in.n && is_slash(in.p[n]))
			n++;
		return read_authority(u, slice_from(in, n), a);
	}
	if (base.n == 0)
		return false;
	set_host(u, base);
	u->rest = in;
	return true;
}

static uint32_t
hash_of(struct slice a, struct slice b)
{
	uint32_t h = 2166136261U;
	for (size_t i = 0; i < a.n; i++)
		h = (h ^ (unsigned char)a.p[i]) * 16777619U;
	h = (h ^ '/') * 16777619U;
	for (size_t i = 0; i < b.n; i++)
		h = (h ^ (unsigned char)b.p[i]) * 16777619U;
	return h;
}

/* What marks a link as less than one to be clicked stays only where all of them have it. */
static void
merge_flags(struct spam_link *l, unsigned flags)
{
	unsigned weak = SPAM_LINK_IMAGE | SPAM_LINK_TEXT;
	l->flags = ((l->flags | flags) & ~weak) | (l->flags & flags & weak);
}

static struct spam_link *
keep(struct spam_reading *r, const struct url *u)
{
	struct spam_view *v = r->v;
	struct slice host = {u->host, u->n_host}, path = slice_first(u->rest, PATH_MOST);
	uint32_t hash = hash_of(host, path);
	for (size_t i = 0; i < v->n_links; i++) {
		struct spam_link *l = &v->links[i];
		if (r->link_hash[i] == hash && slice_eq(l->host, host) &&
			slice_eq(l->path, path)) {
			merge_flags(l, u->flags);
			return l;
		}
	}
	if (v->n_links == SPAM_LINKS_MOST)
		return NULL;
	r->link_hash[v->n_links] = hash;
	struct spam_link *l = &v->links[v->n_links++];
	*l = (struct spam_link){arena_slice(r->a, host), arena_slice(r->a, path), u->flags};
	return l;
}

/* Where a URL begins in what stands behind a host; rest.n: nowhere. */
static size_t
nested_at(struct slice rest)
{
	for (size_t i = 0; i + 4 < rest.n; i++) {
		if (ascii_lower(rest.p[i]) == 'h' && web_scheme(slice_from(rest, i)) != 0) {
			size_t n = i + web_scheme(slice_from(rest, i));
			if (rest.n - n > 2 && is_slash(rest.p[n]))
				return i;
		} else if (rest.p[i] == '=') {
			struct slice to = slice_from(rest, i + 1);
			if (slice_starts_nocase(to, SLICE("www.")) ||
				slice_starts(to, SLICE("//")))
				return i + 1;
		}
	}
	return rest.n;
}

/* Sites that a URL is told to lead on to. */
static void
add_nested(struct spam_reading *r, const struct url *outer)
{
	char bytes[SPAM_URL_MOST];
	unsigned flags = outer->flags & (SPAM_LINK_TEXT | SPAM_LINK_IMAGE | SPAM_LINK_FORM);
	struct slice rest = outer->rest;
	if (!slice_has(rest, '=') && slice_find_slice(rest, SLICE("http")) == rest.n)
		return;
	for (int i = 0; i < NESTED_MOST; i++) {
		struct url u = {.flags = flags};
		rest = percent_decode(rest, bytes);
		size_t at = nested_at(rest);
		if (at == rest.n)
			return;
		rest = slice_from(rest, at);
		bool ok = slice_starts_nocase(rest, SLICE("www."))
				  ? read_authority(&u, rest, r->a)
				  : read_url(&u, rest, SLICE_NONE, r->a);
		if (!ok)
			return;
		keep(r, &u);
		rest = u.rest;
	}
}

/* An entity in the authority is there to hide it. */
static bool
escapes_host(struct slice url)
{
	size_t at = slice_find_slice(url, SLICE("//"));
	struct slice s = slice_from(url, at < url.n ? at + 2 : 0);
	for (size_t i = 0; i + 1 < s.n && !is_slash(s.p[i]) && s.p[i] != '?'; i++)
		if (s.p[i] == '&' && s.p[i + 1] == '#')
			return true;
	return false;
}

struct spam_link *
spam_link_add(struct spam_reading *r, struct slice url, unsigned flags, bool html)
{
	struct url u;
	if (url.n == 0 || r->urls == SPAM_URLS_MOST)
		return NULL;
	r->urls++;
	u.flags = flags;
	u.n_host = 0;
	struct slice in = clean(url, html, u.bytes);
	bool ok = (flags & SPAM_LINK_TEXT) != 0 && web_scheme(in) == 0
			  ? read_authority(&u, in, r->a)
			  : read_url(&u, in, r->base_host, r->a);
	if (!ok)
		return NULL;
	if (html && escapes_host(url))
		u.flags |= SPAM_LINK_ESCAPED;
	struct spam_link *l = keep(r, &u);
	add_nested(r, &u);
	return l;
}

struct slice
spam_link_base(struct spam_reading *r, struct slice url)
{
	struct url u;
	u.flags = 0;
	u.n_host = 0;
	if (r->urls == SPAM_URLS_MOST)
		return SLICE_NONE;
	r->urls++;
	if (!read_url(&u, clean(url, true, u.bytes), SLICE_NONE, r->a))
		return SLICE_NONE;
	return arena_slice(r->a, (struct slice){u.host, u.n_host});
}

static bool
ends_url(char c)
{
	return (unsigned char)c <= ' ' || c == '<' || c == '>' || c == '"' || c == ')' ||
	       c == ']' || c == '}';
}

/* The URL that stands around a "://" or begins with "www." at `at`; *end_out: behind it. */
static struct slice
url_around(struct slice text, size_t from, size_t at, size_t *end_out)
{
	size_t end = at, begin = at;
	while (end < text.n && end - at < SPAM_URL_MOST / 2 && !ends_url(text.p[end]))
		end++;
	while (begin > from && at - begin < 5 && ascii_alpha(text.p[begin - 1]))
		begin--;
	*end_out = end;
	while (end > at && memchr(".,;:!?'*_", text.p[end - 1], 9) != NULL)
		end--;
	struct slice url = slice_first(slice_from(text, begin), end - begin);
	/* "xhttp://": what stands in front is no scheme. */
	while (begin < at && web_scheme(url) == 0) {
		begin++;
		url = slice_from(url, 1);
	}
	return url;
}

/* Where "://" stands, or s.n. */
static size_t
find_slashes(struct slice s)
{
	size_t at = slice_find(s, ':');
	while (at < s.n && !slice_starts(slice_from(s, at), SLICE("://")))
		at += 1 + slice_find(slice_from(s, at + 1), ':');
	return at < s.n ? at : s.n;
}

/* The next URL of a text from *at on, and where to look on; empty: none. */
static struct slice
next_url(struct slice text, size_t *at)
{
	for (;;) {
		struct slice rest = slice_from(text, *at);
		size_t web = find_slashes(rest), www = web;
		struct slice head = slice_first(rest, web);
		for (size_t i = 0; i + 4 < head.n;) {
			i += slice_find(slice_from(head, i), '.');
			if (i >= 3 && i + 1 < head.n &&
				slice_eq_nocase(slice_first(slice_from(head, i - 3), 3),
					SLICE("www")) &&
				(i == 3 || !(ascii_alpha(head.p[i - 4]) ||
						   ascii_digit(head.p[i - 4]) ||
						   strchr("@.-_/", head.p[i - 4]) != NULL))) {
				www = i - 3;
				break;
			}
			i++;
		}
		if (www == rest.n)
			return SLICE_NONE;
		size_t end;
		struct slice url = url_around(text, *at, *at + www, &end);
		*at = end > *at + www ? end : *at + www + 3;
		if (www < web ? url.n > 4 : web_scheme(url) != 0)
			return url;
	}
}

void
spam_links_of_text(struct spam_reading *r, struct slice text)
{
	size_t at = 0;
	while (r->urls < SPAM_URLS_MOST) {
		struct slice url = next_url(text, &at);
		if (url.n == 0)
			return;
		spam_link_add(r, url, SPAM_LINK_TEXT, false);
	}
}

/* The labels that a site is told by: two, or three where the second is short ("co.uk"). */
static struct slice
site_of(struct slice host)
{
	size_t last = slice_find_last(host, '.');
	if (last == host.n)
		return host;
	struct slice head = slice_first(host, last);
	size_t second = slice_find_last(head, '.');
	if (second == head.n)
		return host;
	if (last - second - 1 <= 3 && host.n - last - 1 == 2) {
		head = slice_first(host, second);
		second = slice_find_last(head, '.');
		if (second == head.n)
			return host;
	}
	return slice_from(host, second + 1);
}

/* A word that is a name of a site without saying so: "bank.example.com", not "report.pdf". */
static bool
looks_like_name(struct slice s)
{
	static const char *const known[] = {"com", "net", "org", "info", "biz", "edu", "gov"};
	unsigned dots = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (!is_host_char(s.p[i]))
			return false;
		dots += s.p[i] == '.';
	}
	struct slice top = slice_from(s, slice_find_last(s, '.') + 1);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (slice_eq_nocase(top, slice_of(known[i])))
			return dots > 0;
	return dots > 1 && top.n == 2 && ascii_alpha(top.p[0]) && ascii_alpha(top.p[1]);
}

bool
spam_link_shows_other(struct slice text, struct slice host)
{
	char bytes[SHOWN_MOST];
	size_t at = 0;
	text = slice_first(text, SHOWN_MOST);
	struct slice shown = next_url(text, &at), name = text;
	if (shown.n != 0) {
		size_t n = web_scheme(shown);
		while (n < shown.n && is_slash(shown.p[n]))
			n++;
		name = slice_from(shown, n);
	} else if (!looks_like_name(text)) {
		return false;
	}
	size_t n = 0;
	while (n < name.n && is_host_char(name.p[n])) {
		bytes[n] = ascii_lower(name.p[n]);
		n++;
	}
	while (n > 0 && bytes[n - 1] == '.')
		n--;
	struct slice is = {bytes, n};
	return slice_has(is, '.') && !slice_eq(site_of(is), site_of(host));
}
