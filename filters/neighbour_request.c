/*
 * What a neighbour is sent in front of a mail; see neighbour.h. Everything that a stranger has
 * chosen (HELO, addresses, names) is written so that it stays inside its line and its comment.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/must.h"
#include "filters/neighbour.h"

enum { ENVELOPE_MOST = 128 * 1024, WORD_MOST = 255, ADDRESS_MOST = 1000 };

static const char *const names[NEIGHBOURS] = {
	[NEIGHBOUR_RSPAMD] = "rspamd", [NEIGHBOUR_SPAMD] = "spamassassin"};

const char *
neighbour_text(enum neighbour which)
{
	return names[which];
}

bool
neighbour_find(struct slice name, enum neighbour *which_out)
{
	for (int i = 0; i < NEIGHBOURS; i++) {
		*which_out = (enum neighbour)i;
		if (slice_eq(name, slice_of(names[i])))
			return true;
	}
	return false;
}

/* A word within a comment of Received: nothing that ends or nests either. */
static void
add_word(struct buf *out, struct slice s)
{
	for (size_t i = 0; i < s.n && i < WORD_MOST; i++) {
		char c = s.p[i];
		bool ok = c > ' ' && c < 0x7f && c != '(' && c != ')' && c != '\\' &&
			  c != '<' && c != '>' && c != ';' && c != ',' && c != '"';
		must(buf_add_byte(out, ok ? c : '?') == 0);
	}
}

/* A value within a line: of any bytes but those that end one. */
static void
add_value(struct buf *out, struct slice s)
{
	for (size_t i = 0; i < s.n && i < ADDRESS_MOST; i++) {
		unsigned char c = (unsigned char)s.p[i];
		must(buf_add_byte(out, c < ' ' || c == 0x7f ? '?' : (char)c) == 0);
	}
}

static void
add_text(struct buf *out, const char *text)
{
	must(buf_add_text(out, text) == 0);
}

static void
add_field(struct buf *out, const char *name, struct slice value)
{
	if (value.n == 0)
		return;
	add_text(out, name);
	add_value(out, value);
	add_text(out, "\r\n");
}

static void
add_address(struct buf *out, const char *name, struct slice address)
{
	add_text(out, name);
	add_text(out, "<");
	add_value(out, address);
	add_text(out, ">\r\n");
}

static void
rspamd_envelope(const struct neighbour_mail *m, struct buf *out)
{
	char ip[IP_TEXT_BYTES];
	add_address(out, "From: ", m->sender);
	for (size_t i = 0; i < m->n_recipients && i < NEIGHBOUR_RECIPIENTS_MOST; i++)
		add_address(out, "Rcpt: ", m->recipients[i]);
	if (m->client.family != 0)
		add_field(out, "IP: ", ip_text(&m->client, ip));
	add_field(out, "Helo: ", slice_first(m->helo, WORD_MOST));
	add_field(out, "Hostname: ", m->client_name);
	add_field(out, "User: ", m->user);
	add_field(out, "Queue-Id: ", m->id);
	add_field(out, "MTA-Name: ", m->hostname);
}

/* "from HELO (NAME [IP])": as Postfix and Sendmail write it, which is what spamd looks for. */
static void
add_from(const struct neighbour_mail *m, struct buf *out)
{
	char ip[IP_TEXT_BYTES];
	add_text(out, "Received: from ");
	add_word(out, m->helo.n != 0 ? m->helo : SLICE("unknown"));
	add_text(out, " (");
	add_word(out, m->client_name.n != 0 ? m->client_name : SLICE("unknown"));
	if (m->client.family != 0) {
		add_text(out, m->client.family == 6 ? " [IPv6:" : " [");
		add_word(out, ip_text(&m->client, ip));
		add_text(out, "]");
	}
	add_text(out, ")\r\n");
	if (m->user.n != 0) {
		add_text(out, "\t(Authenticated sender: ");
		add_word(out, m->user);
		add_text(out, ")\r\n");
	}
}

static void
spamd_envelope(const struct neighbour_mail *m, struct buf *out)
{
	char date[CLOCK_DATE_BYTES];
	add_address(out, "Return-Path: ", m->sender);
	add_from(m, out);
	add_text(out, "\tby ");
	add_word(out, m->hostname);
	add_text(out, " (Postfix) with ");
	add_word(out, m->protocol);
	if (m->id.n != 0) {
		add_text(out, " id ");
		add_word(out, m->id);
	}
	if (m->n_recipients == 1) { /* more would tell them of each other */
		add_text(out, "\r\n\tfor <");
		add_word(out, m->recipients[0]);
		add_text(out, ">");
	}
	add_text(out, ";\r\n\t");
	add_value(out, clock_date(m->wall_ms, date));
	add_text(out, "\r\n");
}

struct slice
neighbour_envelope(enum neighbour which, const struct neighbour_mail *m, struct arena *a)
{
	struct buf out;
	buf_init(&out, ENVELOPE_MOST);
	if (which == NEIGHBOUR_RSPAMD)
		rspamd_envelope(m, &out);
	else
		spamd_envelope(m, &out);
	struct slice text = arena_slice(a, buf_slice(&out));
	buf_fini(&out);
	return text;
}

/* HTTP/1.0: the reply then ends with the connection, and comes in one piece. */
struct slice
neighbour_request(
	enum neighbour which, struct slice envelope, uint64_t mail_bytes, struct arena *a)
{
	if (which == NEIGHBOUR_RSPAMD)
		return arena_printf(a,
			"POST /checkv2 HTTP/1.0\r\nContent-Length: %llu\r\n%.*s\r\n",
			(unsigned long long)mail_bytes, SLICE_ARG(envelope));
	return arena_printf(a, "CHECK SPAMC/1.5\r\nContent-length: %llu\r\n\r\n%.*s",
		(unsigned long long)mail_bytes + envelope.n, SLICE_ARG(envelope));
}
