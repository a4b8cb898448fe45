/*
 * What both fronts of the milter share once a mail is decided: a reply in the form in which the
 * protocol carries it, what an offer leaves of what is asked for, and names of events.
 */
#include "milter/milter.h"

#include "base/must.h"

bool
milter_is_reason(struct slice text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] < ' ' || text.p[i] > '~')
			return false;
	return text.n != 0 && text.n <= MILTER_REASON_MOST;
}

uint32_t
milter_can_agreed(const struct milter_wants *wants, const struct milter_offer *offer)
{
	return wants->can | (wants->may & offer->can);
}

uint32_t
milter_not_answered(enum milter_event_type t)
{
	static const uint32_t bits[MILTER_EVENTS] = {
		[MILTER_EV_CONNECT] = MILTER_NR_CONNECT,
		[MILTER_EV_HELO] = MILTER_NR_HELO,
		[MILTER_EV_MAIL] = MILTER_NR_MAIL,
		[MILTER_EV_RCPT] = MILTER_NR_RCPT,
		[MILTER_EV_DATA] = MILTER_NR_DATA,
		[MILTER_EV_HEADER] = MILTER_NR_HEADERS,
		[MILTER_EV_HEADER_END] = MILTER_NR_HEADER_END,
		[MILTER_EV_BODY] = MILTER_NR_BODY,
		[MILTER_EV_UNKNOWN] = MILTER_NR_UNKNOWN,
	};
	return bits[t];
}

const char *
milter_event_text(enum milter_event_type t)
{
	static const char *const texts[MILTER_EVENTS] = {
		[MILTER_EV_NONE] = "none",
		[MILTER_EV_NEGOTIATE] = "negotiate",
		[MILTER_EV_CONNECT] = "connect",
		[MILTER_EV_HELO] = "helo",
		[MILTER_EV_MAIL] = "mail",
		[MILTER_EV_RCPT] = "rcpt",
		[MILTER_EV_DATA] = "data",
		[MILTER_EV_HEADER] = "header",
		[MILTER_EV_HEADER_END] = "header-end",
		[MILTER_EV_BODY] = "body",
		[MILTER_EV_END] = "end",
		[MILTER_EV_UNKNOWN] = "unknown",
		[MILTER_EV_ABORT] = "abort",
		[MILTER_EV_NEXT] = "next",
		[MILTER_EV_QUIT] = "quit",
		[MILTER_EV_BAD] = "bad",
	};
	must(t < MILTER_EVENTS);
	return texts[t];
}

/* The MTA hands the text to a function that reads formats: each '%' twice. */
static void
double_percent(struct slice line, struct buf *out)
{
	for (size_t i = 0; i < line.n; i++) {
		must(buf_add_byte(out, line.p[i]) == 0);
		if (line.p[i] == '%')
			must(buf_add_byte(out, '%') == 0);
	}
}

static size_t
doubled_bytes(struct slice line)
{
	size_t bytes = line.n;
	for (size_t i = 0; i < line.n; i++)
		bytes += line.p[i] == '%';
	return bytes;
}

void
milter_reply_write(const struct smtp_reply *r, struct buf *out)
{
	enum { CODE_DIGITS = 3 };
	struct buf lines;
	must(r->code >= 400 && r->code <= 599);
	must(buf_left(out) >= MILTER_REPLY_BYTES_MOST);
	buf_init(&lines, (size_t)SMTP_REPLY_LINES_MOST * SMTP_REPLY_LINE_BYTES);
	must(smtp_reply_write(r, &lines) == 0);
	struct slice rest = buf_slice(&lines), line;
	size_t end = out->used + MILTER_REPLY_BYTES_MOST, last = out->used;
	while (slice_cut(rest, '\n', &line, &rest)) {
		line.n--; /* its CR */
		bool first = last == out->used;
		if (doubled_bytes(line) + (first ? 0 : 2) > end - out->used)
			break; /* lines of nothing but '%': the rest is not said */
		if (!first)
			must(buf_add(out, SLICE("\r\n")) == 0);
		last = out->used;
		double_percent(line, out);
	}
	out->data[out->start + last + CODE_DIGITS] = ' '; /* as none follows */
	buf_fini(&lines);
}
