/*
 * Lines of commands; see line.h. A line that lies whole in the input is handed out from there;
 * one that comes in pieces is put together in a buffer as long as a line may be (SRV-05).
 */
#include "smtp/line.h"

#include "base/must.h"

void
line_reader_init(struct line_reader *r)
{
	*r = (struct line_reader){0};
	buf_init(&r->held, LINE_BYTES_MOST);
}

void
line_reader_fini(struct line_reader *r)
{
	buf_fini(&r->held);
}

bool
line_reader_is_empty(const struct line_reader *r)
{
	return !r->skipping && (r->handed_out || r->held.used == 0);
}

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Passes over what is left of a line that was told already. */
static size_t
skip_line(struct line_reader *r, struct slice in, enum line_result *result_out)
{
	size_t lf = slice_find(in, '\n');
	bool cr = lf > 0 ? in.p[lf - 1] == '\r' : r->after_cr;
	r->after_cr = lf == in.n && cr;
	if (lf == in.n)
		return in.n;
	r->skipping = !cr;
	if (!cr)
		*result_out = LINE_BARE_AGAIN;
	return lf + 1;
}

/* The bytes of in up to `taken` hold the fault; the last may be the CR of a CRLF all the same.
 */
static size_t
fail_line(struct line_reader *r, enum line_result why, struct slice in, size_t taken,
	enum line_result *result_out)
{
	buf_clear(&r->held);
	r->skipping = true;
	r->after_cr = slice_ends(slice_first(in, taken), SLICE("\r"));
	*result_out = why;
	return taken;
}

/* Where in text, which lf says whether a LF follows, the first fault is; text.n: nowhere. */
static size_t
find_fault(const struct line_reader *r, struct slice text, bool lf, enum line_result *why_out)
{
	size_t cr = slice_find(text, '\r'), nul = slice_find(text, '\0');
	size_t too_long = LINE_BYTES_MOST - 1 - r->held.used;
	if (cr + 1 == text.n) /* goes with the LF, or waits for it */
		cr = text.n;
	size_t at = least(least(cr, nul), least(too_long, text.n));
	*why_out = at == too_long && at < text.n ? LINE_LONG : LINE_BARE;
	bool ended = lf && (text.n > 0 ? text.p[text.n - 1] == '\r'
				       : slice_ends(buf_slice(&r->held), SLICE("\r")));
	if (at == text.n && lf && !ended)
		return at; /* the LF itself is bare */
	return at < text.n ? at : SIZE_MAX;
}

size_t
line_reader_feed(struct line_reader *r, struct slice in, enum line_result *result_out,
	struct slice *line_out)
{
	*result_out = LINE_MORE;
	*line_out = SLICE_NONE;
	if (r->handed_out)
		buf_clear(&r->held);
	r->handed_out = false;
	if (in.n == 0)
		return 0;
	if (r->skipping)
		return skip_line(r, in, result_out);
	size_t end = slice_find(in, '\n');
	bool lf = end < in.n;
	struct slice text = slice_first(in, end);
	if (text.n > 0 && slice_ends(buf_slice(&r->held), SLICE("\r")))
		return fail_line(r, LINE_BARE, in, 0, result_out);
	enum line_result why;
	size_t fault = find_fault(r, text, lf, &why);
	if (fault != SIZE_MAX)
		return fail_line(r, why, in, fault + 1, result_out);
	if (!lf || r->held.used > 0) {
		int full = buf_add(&r->held, text);
		must(full == 0);
	}
	if (!lf)
		return in.n;
	r->handed_out = r->held.used > 0;
	*line_out = r->handed_out ? buf_slice(&r->held) : text;
	line_out->n--; /* the CR */
	*result_out = LINE_WHOLE;
	return end + 1;
}
