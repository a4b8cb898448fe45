/*
 * The data of a mail on the wire; see dot.h. Both ways work by lines: memchr finds their ends,
 * so that most bytes are looked at by the C library's vector code and never copied here.
 *
 * The reader needs no memory of its own: a dot at the start of a line is always dropped,
 * whether it was the end or stuffed, and a CR behind it belongs to no mail: with LF it ends the
 * data, with anything else it is bare and the mail is refused.
 */
#include "smtp/dot.h"

#include <string.h>

enum { AT_LINE_START, IN_TEXT, AFTER_CR, AFTER_DOT, AFTER_DOT_CR };

void
dot_reader_init(struct dot_reader *r, size_t line_most, uint64_t bytes_most)
{
	*r = (struct dot_reader){
		.state = AT_LINE_START, .line_most = line_most, .bytes_most = bytes_most};
}

static void
line_grows(struct dot_reader *r, size_t n)
{
	r->line += n;
	if (r->line > r->line_most)
		r->faults |= DOT_LONG_LINE;
}

/* Text up to and with the next LF, or all there is; returns the bytes passed over. */
static size_t
pass_text(struct dot_reader *r, struct slice in)
{
	const char *lf = memchr(in.p, '\n', in.n);
	struct slice text = lf != NULL ? slice_first(in, (size_t)(lf - in.p)) : in;
	size_t passed = lf != NULL ? text.n + 1 : text.n;
	bool cr = text.n > 0 && text.p[text.n - 1] == '\r';
	if (cr)
		text.n--;
	if (slice_has(text, '\r'))
		r->faults |= DOT_BARE_CR;
	line_grows(r, text.n);
	if (cr) {
		r->state = lf != NULL ? AT_LINE_START : AFTER_CR;
	} else if (lf != NULL) {
		r->faults |= DOT_BARE_LF;
		line_grows(r, 1);
	}
	return passed;
}

/* One byte behind something that was waiting for it; returns 1 where the byte was used up. */
static size_t
pass_waited_for(struct dot_reader *r, char c)
{
	if (r->state == AFTER_DOT && c == '\r') {
		r->state = AFTER_DOT_CR;
		return 1;
	}
	if (r->state != AFTER_DOT && c == '\n') {
		r->ended = r->state == AFTER_DOT_CR;
		r->state = AT_LINE_START;
		return 1;
	}
	if (r->state != AFTER_DOT) {
		r->faults |= DOT_BARE_CR;
		line_grows(r, 1);
	}
	r->state = IN_TEXT;
	return 0;
}

size_t
dot_reader_feed(struct dot_reader *r, struct slice in, struct slice *data_out)
{
	size_t at = 0, from = 0;
	while (at < in.n && !r->ended) {
		if (r->state == IN_TEXT) {
			at += pass_text(r, slice_from(in, at));
			continue;
		}
		if (r->state == AT_LINE_START) {
			r->line = 0;
			r->state = IN_TEXT;
			if (r->plain || in.p[at] != '.')
				continue;
			r->state = AT_LINE_START;
			if (at > from)
				break; /* the data in front of the dot goes out first */
			r->state = AFTER_DOT;
			from = ++at;
			continue;
		}
		bool of_mail = r->state == AFTER_CR;
		at += pass_waited_for(r, in.p[at]);
		if (!of_mail)
			from = at;
	}
	struct slice data = slice_first(slice_from(in, from), at - from);
	r->bytes += data.n;
	if (r->bytes > r->bytes_most)
		r->faults |= DOT_TOO_LARGE;
	if (slice_has(slice_first(in, at), '\0'))
		r->faults |= DOT_NUL;
	*data_out = r->faults == DOT_CLEAN ? data : SLICE_NONE;
	return at;
}

void
dot_reader_end(struct dot_reader *r)
{
	if (r->state == AFTER_CR)
		r->faults |= DOT_BARE_CR;
	r->ended = true;
}

struct smtp_reply
dot_refusal(unsigned faults)
{
	if ((faults & (DOT_BARE_CR | DOT_BARE_LF | DOT_NUL)) != 0)
		return smtp_reply_of("550 5.6.0 Bare CR, bare LF or NUL in the mail");
	if ((faults & DOT_TOO_LARGE) != 0)
		return smtp_reply_of("552 5.3.4 The mail is larger than is taken here");
	return smtp_reply_of("550 5.6.0 A line of the mail is too long");
}

void
dot_writer_init(struct dot_writer *w)
{
	*w = (struct dot_writer){.line_start = true, .clean = true};
}

/* The first piece of data that needs no dot in front of its end: a whole line, or what there
 * is. */
static struct slice
first_line(struct slice data)
{
	return slice_first(data, slice_find(data, '\n') + 1);
}

/*
 * Walks over data without writing: counts the dots to be stuffed, leaves in *w the state behind
 * it, and finds what may not be on the wire (SMG-03).
 */
static size_t
count_dots(struct dot_writer *w, struct slice data)
{
	size_t dots = 0;
	if (slice_has(data, '\0'))
		w->clean = false;
	while (data.n > 0 && w->clean) {
		struct slice line = first_line(data);
		data = slice_from(data, line.n);
		dots += w->line_start && line.p[0] == '.';
		if (w->after_cr && line.p[0] != '\n')
			w->clean = false;
		bool lf = line.p[line.n - 1] == '\n';
		if (lf)
			line.n--;
		bool cr = line.n > 0 ? line.p[line.n - 1] == '\r' : w->after_cr;
		if (lf && !cr)
			w->clean = false;
		if (line.n > 0 && cr)
			line.n--;
		if (slice_has(line, '\r'))
			w->clean = false;
		w->after_cr = cr && !lf;
		w->line_start = lf;
	}
	return dots;
}

int
dot_writer_add(struct dot_writer *w, struct slice data, struct buf *out)
{
	if (!w->clean)
		return -1;
	struct dot_writer after = *w;
	size_t dots = count_dots(&after, data);
	if (!after.clean) {
		w->clean = false;
		return -1;
	}
	if (dots > buf_left(out) || data.n > buf_left(out) - dots)
		return -1;
	if (data.n == 0)
		return 0;
	if (dots == 0) {
		buf_add(out, data);
		*w = after;
		return 0;
	}
	for (bool start = w->line_start; data.n > 0; start = true) {
		struct slice line = first_line(data);
		if (start && line.p[0] == '.')
			buf_add_byte(out, '.');
		buf_add(out, line);
		data = slice_from(data, line.n);
	}
	*w = after;
	return 0;
}

int
dot_writer_end(struct dot_writer *w, struct buf *out)
{
	if (w->after_cr)
		w->clean = false;
	if (!w->clean)
		return -1;
	return buf_add(out, w->line_start ? SLICE(".\r\n") : SLICE("\r\n.\r\n"));
}
