/*
 * XCLIENT and XFORWARD on the wire, both ways; see xclient.h. Read where a peer speaks for its
 * client (server_named.c), written where we tell a next hop of ours (client_named.c).
 */
#include "smtp/xclient.h"

#include <string.h>

#include "base/must.h"
#include "smtp/param.h"

static const char bad_syntax[] = "501 5.5.4 NAME=VALUE was expected, once each";
static const char bad_value[] = "501 5.5.4 This value is none for its attribute";

/* clang-format off */
static const struct {
	struct slice name;
	unsigned bit;
} attributes[] = {
	{SLICE("NAME"), XCLIENT_NAME},         {SLICE("ADDR"), XCLIENT_ADDR},
	{SLICE("PORT"), XCLIENT_PORT},         {SLICE("PROTO"), XCLIENT_PROTO},
	{SLICE("HELO"), XCLIENT_HELO},         {SLICE("LOGIN"), XCLIENT_LOGIN},
	{SLICE("DESTADDR"), XCLIENT_DESTADDR}, {SLICE("DESTPORT"), XCLIENT_DESTPORT},
	{SLICE("IDENT"), XCLIENT_IDENT},       {SLICE("SOURCE"), XCLIENT_SOURCE},
};
/* clang-format on */
enum { ATTRIBUTES = sizeof(attributes) / sizeof(attributes[0]) };

static unsigned
find_attribute(struct slice name)
{
	for (size_t i = 0; i < ATTRIBUTES; i++)
		if (slice_eq_nocase(name, attributes[i].name))
			return attributes[i].bit;
	return 0;
}

static struct xclient_word *
word_of(struct xclient *x, unsigned bit)
{
	switch (bit) {
	case XCLIENT_NAME: return &x->name;
	case XCLIENT_HELO: return &x->helo;
	case XCLIENT_LOGIN: return &x->login;
	case XCLIENT_IDENT: return &x->ident;
	default: return NULL;
	}
}

/* The next byte of xtext, or -1. */
static int
next_byte(struct slice *in)
{
	char c = in->p[0];
	if (c != '+') {
		*in = slice_from(*in, 1);
		return c > ' ' && c <= '~' && c != '=' ? c : -1;
	}
	int high = in->n > 2 ? ascii_hex(in->p[1]) : -1;
	int low = in->n > 2 ? ascii_hex(in->p[2]) : -1;
	*in = slice_from(*in, 3);
	return high >= 0 && low >= 0 ? high * 16 + low : -1;
}

static bool
has_place(unsigned bit, char c)
{
	if (bit == XCLIENT_LOGIN || bit == XCLIENT_IDENT)
		return c > ' ' && c <= '~';
	return smtp_helo_byte(c);
}

static bool
add_byte(struct xclient_word *w, unsigned bit, char c)
{
	bool strict = bit == XCLIENT_LOGIN, fits = w->n < XCLIENT_WORD_MOST;
	if (strict && (!fits || !has_place(bit, c)))
		return false;
	if (fits)
		w->text[w->n++] = has_place(bit, c) ? c : '?';
	return true;
}

static bool
read_word(struct slice value, unsigned bit, struct xclient_word *w)
{
	w->n = 0;
	while (value.n > 0) {
		int c = next_byte(&value);
		if (c < 0 || !add_byte(w, bit, (char)c))
			return false;
	}
	return true;
}

/* "192.0.2.1", "IPV6:2001:db8::1" */
static bool
read_address(struct slice value, struct ip *ip_out)
{
	struct slice prefix = SLICE("IPV6:");
	if (slice_starts_nocase(value, prefix))
		return slice_has(slice_from(value, prefix.n), ':') &&
		       ip_parse(slice_from(value, prefix.n), ip_out);
	return !slice_has(value, ':') && ip_parse(value, ip_out);
}

static bool
read_port(struct slice value, uint16_t *port_out)
{
	uint64_t port;
	if (!slice_u64(value, &port) || port > UINT16_MAX)
		return false;
	*port_out = (uint16_t)port;
	return true;
}

/* Either word without case; *first_out: it is the first. */
static bool
read_choice(struct slice value, const char *first, const char *second, bool *first_out)
{
	*first_out = slice_eq_nocase(value, slice_of(first));
	return *first_out || slice_eq_nocase(value, slice_of(second));
}

/* False: no such value. XFORWARD may name a protocol and an address that are not of the
 * Internet. */
static bool
read_value(struct xclient *x, unsigned bit, bool forward, struct slice value)
{
	x->known |= bit;
	if (word_of(x, bit) != NULL)
		return read_word(value, bit, word_of(x, bit));
	switch (bit) {
	case XCLIENT_ADDR:
		if (read_address(value, &x->addr))
			return true;
		x->known &= ~bit;
		return forward;
	case XCLIENT_PORT: return read_port(value, &x->port);
	case XCLIENT_PROTO: return read_choice(value, "ESMTP", "SMTP", &x->esmtp) || forward;
	case XCLIENT_DESTADDR: return read_address(value, &x->dest);
	case XCLIENT_DESTPORT: return read_port(value, &x->dest_port);
	default: return read_choice(value, "LOCAL", "REMOTE", &x->local);
	}
}

static const char *
read_attribute(struct xclient *x, bool forward, struct slice one)
{
	struct slice name, value;
	slice_cut(one, '=', &name, &value);
	unsigned bit = find_attribute(name);
	if (value.n == 0 || bit == 0 || (x->given & bit) != 0 ||
		(bit & (forward ? XFORWARD_ALL : XCLIENT_ALL)) == 0)
		return bad_syntax;
	x->given |= bit;
	bool later = slice_eq_nocase(value, SLICE("[TEMPUNAVAIL]"));
	x->later |= later ? bit : 0;
	if (later || slice_eq_nocase(value, SLICE("[UNAVAILABLE]")))
		return NULL;
	return read_value(x, bit, forward, value) ? NULL : bad_value;
}

const char *
xclient_parse(struct slice args, bool forward, struct xclient *x_out)
{
	*x_out = (struct xclient){0};
	while (args.n > 0) {
		struct slice one;
		slice_cut(args, ' ', &one, &args);
		if (one.n == 0)
			continue;
		const char *why = read_attribute(x_out, forward, one);
		if (why != NULL)
			return why;
	}
	return x_out->given != 0 ? NULL : bad_syntax;
}

void
xclient_add(struct xclient *x, const struct xclient *later)
{
	struct xclient copy = *later;
	x->given |= later->given;
	x->known = (x->known & ~later->given) | later->known;
	x->later = (x->later & ~later->given) | later->later;
	for (size_t i = 0; i < ATTRIBUTES; i++) {
		unsigned bit = attributes[i].bit;
		if ((later->given & bit) != 0 && word_of(x, bit) != NULL)
			*word_of(x, bit) = *word_of(&copy, bit);
	}
	if ((later->given & XCLIENT_ADDR) != 0)
		x->addr = later->addr;
	if ((later->given & XCLIENT_PORT) != 0)
		x->port = later->port;
	if ((later->given & XCLIENT_PROTO) != 0)
		x->esmtp = later->esmtp;
	if ((later->given & XCLIENT_DESTADDR) != 0)
		x->dest = later->dest;
	if ((later->given & XCLIENT_DESTPORT) != 0)
		x->dest_port = later->dest_port;
	if ((later->given & XCLIENT_SOURCE) != 0)
		x->local = later->local;
}

void
xclient_set(struct xclient *x, unsigned attribute, struct slice value)
{
	struct xclient_word *w = word_of(x, attribute);
	must(w != NULL);
	w->n = 0;
	bool good = value.n > 0;
	for (size_t i = 0; i < value.n && good; i++)
		good = add_byte(w, attribute, value.p[i]);
	x->given |= attribute;
	x->known = (x->known & ~attribute) | (good ? attribute : 0);
}

static void
write_word(struct slice word, struct buf *out)
{
	for (size_t i = 0; i < word.n; i++) {
		char c = word.p[i];
		int full = c == '+' || c == '=' ? buf_printf(out, "+%02X", (unsigned)c)
						: buf_add_byte(out, c);
		must(full == 0);
	}
}

static void
write_address(const struct ip *ip, struct buf *out)
{
	char text[IP_TEXT_BYTES];
	struct slice words = ip_text(ip, text);
	must(buf_printf(out, "%s%.*s", ip->family == 6 ? "IPV6:" : "", SLICE_ARG(words)) == 0);
}

static void
write_value(const struct xclient *x, unsigned bit, struct buf *out)
{
	int full = 0;
	switch (bit) {
	case XCLIENT_NAME: write_word(xclient_slice(&x->name), out); break;
	case XCLIENT_HELO: write_word(xclient_slice(&x->helo), out); break;
	case XCLIENT_LOGIN: write_word(xclient_slice(&x->login), out); break;
	case XCLIENT_IDENT: write_word(xclient_slice(&x->ident), out); break;
	case XCLIENT_ADDR: write_address(&x->addr, out); break;
	case XCLIENT_DESTADDR: write_address(&x->dest, out); break;
	case XCLIENT_PORT: full = buf_printf(out, "%u", (unsigned)x->port); break;
	case XCLIENT_DESTPORT: full = buf_printf(out, "%u", (unsigned)x->dest_port); break;
	case XCLIENT_PROTO: full = buf_add_text(out, x->esmtp ? "ESMTP" : "SMTP"); break;
	default: full = buf_add_text(out, x->local ? "LOCAL" : "REMOTE"); break;
	}
	must(full == 0);
}

bool
xclient_write(const struct xclient *x, const char *verb, unsigned wanted, struct buf *out)
{
	wanted &= x->given;
	if (wanted == 0)
		return false;
	must(buf_left(out) >= XCLIENT_LINE_MOST);
	(void)buf_add_text(out, verb); /* there is room: as must() has just said */
	for (size_t i = 0; i < ATTRIBUTES; i++) {
		unsigned bit = attributes[i].bit;
		if ((wanted & bit) == 0)
			continue;
		must(buf_printf(out, " %.*s=", SLICE_ARG(attributes[i].name)) == 0);
		if ((x->known & bit) != 0)
			write_value(x, bit, out);
		else
			must(buf_add_text(out, (x->later & bit) != 0 ? "[TEMPUNAVAIL]"
								     : "[UNAVAILABLE]") == 0);
	}
	return true;
}

void
xclient_names_write(unsigned wanted, struct buf *out)
{
	for (size_t i = 0; i < ATTRIBUTES; i++)
		if ((wanted & attributes[i].bit) != 0)
			must(buf_printf(out, " %.*s", SLICE_ARG(attributes[i].name)) == 0);
}

unsigned
xclient_names(struct slice words)
{
	unsigned found = 0;
	while (words.n > 0) {
		struct slice one;
		slice_cut(words, ' ', &one, &words);
		found |= find_attribute(one);
	}
	return found;
}
