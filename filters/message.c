/*
 * The header of a mail, cut into fields once, with everything that is wrong with it. All else
 * that wants a field's text asks here, so that no two parts of the gateway can read a different
 * From. One pass over the bytes; what is not a field in the RFC's plain sense is a fault, never
 * repaired, since another program would repair it otherwise (HDR-01, HDR-02).
 */
#include "filters/message.h"

#include <string.h>

#include "base/map.h"

enum { FAULT_NAME_MOST = 60 }; /* bytes of a field's name in our words */

static const struct slice crlf = {"\r\n", 2};

size_t
message_header_end(struct slice bytes, size_t from)
{
	if (slice_starts(bytes, crlf))
		return crlf.n;
	struct slice rest = slice_from(bytes, from);
	size_t at = slice_find_slice(rest, SLICE("\r\n\r\n"));
	return at < rest.n ? from + at + 4 : 0;
}

static void
fault(struct message *m, enum message_fault which, struct slice text)
{
	if (m->fault_text.n == 0)
		m->fault_text = text;
	m->faults |= (unsigned)which;
}

static void
fault_of_field(struct message *m, enum message_fault which, const char *what, struct slice name,
	struct arena *a)
{
	if (m->fault_text.n != 0) {
		m->faults |= (unsigned)which;
		return;
	}
	name = slice_first(name, FAULT_NAME_MOST);
	fault(m, which, arena_printf(a, "%s: \"%.*s\"", what, SLICE_ARG(name)));
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_name_char(char c)
{
	return c > ' ' && c < 0x7f && c != ':';
}

/* The line at the front with its CRLF, or all that is left. */
static struct slice
line_of(struct slice in)
{
	size_t end = slice_find_slice(in, crlf);
	return slice_first(in, end < in.n ? end + crlf.n : in.n);
}

/* A field with its folded lines. */
static struct slice
field_of(struct slice in)
{
	size_t n = line_of(in).n;
	while (n < in.n && is_blank(in.p[n]))
		n += line_of(slice_from(in, n)).n;
	return slice_first(in, n);
}

static struct slice
without_crlf(struct slice s)
{
	return slice_ends(s, crlf) ? slice_first(s, s.n - crlf.n) : s;
}

/* False: no field. A name with blanks behind it is taken, with its fault, so that it is seen.
 */
static bool
cut_field(struct message *m, struct slice raw, struct message_field *f, struct arena *a)
{
	struct slice line = without_crlf(line_of(raw));
	size_t n = 0;
	while (n < line.n && is_name_char(line.p[n]))
		n++;
	size_t colon = n;
	while (colon < line.n && is_blank(line.p[colon]))
		colon++;
	f->name = slice_first(line, n);
	f->raw = raw;
	if (n == 0 || colon == line.n || line.p[colon] != ':') {
		bool named = slice_has(line, ':') && n < line.n && !is_blank(line.p[n]);
		fault_of_field(m, named ? MESSAGE_BAD_NAME : MESSAGE_NOT_A_FIELD,
			named ? "bad field name" : "not a header field", f->name, a);
		return false;
	}
	if (colon != n)
		fault_of_field(m, MESSAGE_BAD_NAME, "blank before the colon", f->name, a);
	f->value = without_crlf(slice_from(raw, colon + 1));
	return true;
}

/* How many fields there may be, at most as many as are taken. */
static size_t
count_lines(struct slice in)
{
	size_t count = 0;
	while (in.n > 0 && count < MESSAGE_FIELDS_MOST) {
		in = slice_from(in, field_of(in).n);
		count++;
	}
	return count;
}

static void
cut_fields(struct message *m, struct slice in, struct arena *a)
{
	m->fields = arena_array(a, count_lines(in), sizeof(*m->fields));
	if (in.n > 0 && is_blank(in.p[0]))
		fault(m, MESSAGE_NOT_A_FIELD, SLICE("the header begins with a blank (SMG-05)"));
	for (size_t taken = 0; in.n > 0; taken++) {
		if (taken == MESSAGE_FIELDS_MOST) {
			fault(m, MESSAGE_TOO_MANY, SLICE("too many header fields"));
			return;
		}
		struct slice raw = field_of(in);
		if (cut_field(m, raw, &m->fields[m->n_fields], a))
			m->n_fields++;
		in = slice_from(in, raw.n);
	}
}

/* RFC 5322 3.6, RFC 2045: these stand once; so does whatever begins with Content- (HDR-01). */
static bool
stands_once(struct slice name)
{
	static const char *const names[] = {"Bcc", "Cc", "Date", "In-Reply-To", "MIME-Version",
		"Message-ID", "References", "Reply-To", "Sender", "Subject", "To"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (slice_eq_nocase(name, slice_of(names[i])))
			return true;
	return slice_starts_nocase(name, SLICE("Content-"));
}

static void
find_duplicates(struct message *m, struct arena *a)
{
	struct map *seen = map_new(a, true);
	for (size_t i = 0; i < m->n_fields; i++) {
		struct slice name = m->fields[i].name;
		if (!stands_once(name))
			continue;
		if (map_get(seen, name) != NULL)
			fault_of_field(m, MESSAGE_DUPLICATE, "field stands twice", name, a);
		map_put(seen, name, &m->fields[i]);
	}
	if (map_get(seen, SLICE("Date")) == NULL)
		fault(m, MESSAGE_DATE_MISSING, SLICE("no Date field"));
}

/* All mailboxes of one domain, or none (HDR-03: RFC 9989 passes over mail with several). */
static void
find_author_domain(struct message *m)
{
	for (size_t i = 0; i < m->n_from; i++) {
		if (!slice_eq(m->from[i].domain, m->from[0].domain)) {
			fault(m, MESSAGE_FROM_DOMAINS,
				SLICE("From has mailboxes of several domains"));
			return;
		}
	}
	if (m->n_from != 0 && !slice_starts(m->from[0].domain, SLICE("[")))
		m->from_domain = m->from[0].domain;
}

static void
find_from(struct message *m, bool smtputf8, struct arena *a)
{
	const struct message_field *from = message_field(m, SLICE("From"), 0);
	if ((m->faults & MESSAGE_TOO_MANY) != 0)
		return;
	if (from == NULL) {
		fault(m, MESSAGE_FROM_MISSING, SLICE("no From field"));
		return;
	}
	if (message_field(m, SLICE("From"), 1) != NULL) {
		fault(m, MESSAGE_FROM_SEVERAL, SLICE("more than one From field"));
		return;
	}
	if (!message_addresses(from->value, smtputf8, a, &m->from, &m->n_from)) {
		m->n_from = 0;
		fault(m, MESSAGE_FROM_BAD, SLICE("From is not a list of addresses"));
		return;
	}
	find_author_domain(m);
}

/* The next word of a Received field outside comments, cut off *in; empty at the end. */
static struct slice
received_word(struct slice *in)
{
	size_t at = 0, depth = 0;
	for (; at < in->n; at++) {
		char c = in->p[at];
		if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (depth == 0 && !is_blank(c) && c != '\r' && c != '\n' && c != ';')
			break;
	}
	size_t end = at;
	while (end < in->n && in->p[end] != '(' && in->p[end] != ';' && !is_blank(in->p[end]) &&
		in->p[end] != '\r')
		end++;
	struct slice word = slice_first(slice_from(*in, at), end - at);
	*in = slice_from(*in, end);
	return word;
}

bool
message_received_by(struct slice value, struct slice hostname)
{
	for (;;) {
		struct slice word = received_word(&value);
		if (word.n == 0)
			return false;
		if (slice_eq_nocase(word, SLICE("by")))
			return slice_eq_nocase(received_word(&value), hostname);
	}
}

static void
find_others(struct message *m, struct slice hostname, struct arena *a)
{
	const struct message_field *f = message_field(m, SLICE("Subject"), 0);
	if (f != NULL)
		m->subject = message_decode_words(message_unfold(f->value, a), a);
	f = message_field(m, SLICE("Message-ID"), 0);
	if (f != NULL)
		m->message_id = message_unfold(f->value, a);
	for (size_t i = 0; i < m->n_fields; i++) {
		if (!slice_eq_nocase(m->fields[i].name, SLICE("Received")))
			continue;
		m->received++;
		m->own_received += message_received_by(m->fields[i].value, hostname);
	}
}

void
message_parse(struct slice header, struct slice hostname, bool smtputf8, struct arena *a,
	struct message *m_out)
{
	struct message *m = m_out;
	*m = (struct message){.header_bytes = header.n};
	size_t end = message_header_end(header, 0);
	struct slice fields = header;
	if (end != 0) {
		m->header_bytes = end;
		fields = slice_first(header, end - crlf.n);
	} else {
		fault(m, MESSAGE_NO_BLANK_LINE, SLICE_NONE);
	}
	if (fields.n > MESSAGE_HEADER_MOST) {
		fault(m, MESSAGE_TOO_MANY, SLICE("header too large"));
		fields = slice_first(fields, MESSAGE_HEADER_MOST);
	}
	cut_fields(m, fields, a);
	find_from(m, smtputf8, a);
	find_duplicates(m, a);
	find_others(m, hostname, a);
}

const struct message_field *
message_field(const struct message *m, struct slice name, size_t i)
{
	for (size_t at = 0; at < m->n_fields; at++)
		if (slice_eq_nocase(m->fields[at].name, name) && i-- == 0)
			return &m->fields[at];
	return NULL;
}

struct slice
message_unfold(struct slice value, struct arena *a)
{
	value = slice_trim(value);
	if (!slice_has(value, '\r') && !slice_has(value, '\n'))
		return value;
	char *to = arena_alloc(a, value.n);
	size_t used = 0;
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] != '\r' && value.p[i] != '\n')
			to[used++] = value.p[i];
	return (struct slice){to, used};
}

struct smtp_reply
message_refusal(
	const struct message *m, bool submission, unsigned received_most, struct arena *a)
{
	unsigned forgiven = MESSAGE_NO_BLANK_LINE;
	if (submission)
		forgiven |= MESSAGE_FROM_MISSING | MESSAGE_DATE_MISSING;
	if ((m->faults & MESSAGE_TOO_MANY) != 0)
		return smtp_reply_of("552 5.3.4 Header too large");
	if (m->received > received_most || m->own_received > MESSAGE_OWN_RECEIVED_MOST)
		return smtp_reply_of("554 5.4.6 Too many hops");
	if ((m->faults & ~forgiven) == 0)
		return (struct smtp_reply){0};
	struct smtp_reply r = smtp_reply_of("550 5.6.0 Malformed header");
	return smtp_reply_text(
		r, arena_printf(a, "Malformed header: %.*s", SLICE_ARG(m->fault_text)), a);
}
