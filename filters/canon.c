/*
 * Canonicalisation, see canon.h. A body goes by in two gears: step() is the whole truth, a
 * machine of one byte a step; run_length() finds how far ahead nothing happens that the machine
 * would have to change, and that stretch goes to the sink as it stands, without being copied.
 * Nearly all of a real mail passes in the second gear, at the speed of the hash behind it.
 */
#include "filters/canon.h"

#include <string.h>

enum { RUN_BLOCK = 64, RUN_LEAST = 32 };

void
canon_out_init(struct canon_out *out, canon_sink *sink, void *arg)
{
	out->sink = sink;
	out->arg = arg;
	out->n = 0;
}

void
canon_out_flush(struct canon_out *out)
{
	if (out->n > 0)
		out->sink(out->arg, (struct slice){out->bytes, out->n});
	out->n = 0;
}

static void
out_add(struct canon_out *out, struct slice s)
{
	if (s.n > CANON_OUT_BYTES - out->n)
		canon_out_flush(out);
	if (s.n >= CANON_OUT_BYTES) {
		out->sink(out->arg, s);
		return;
	}
	if (s.n > 0)
		memcpy(out->bytes + out->n, s.p, s.n);
	out->n += s.n;
}

void
canon_body_init(struct canon_body *c, bool relaxed, uint64_t limit, canon_sink *sink, void *arg)
{
	c->relaxed = relaxed;
	c->in_line = c->cr = c->blank = false;
	c->lines = c->total = 0;
	c->left = limit;
	canon_out_init(&c->out, sink, arg);
}

/* Gives out canonical bytes: all are counted, those within l= go to the sink. */
static void
emit(struct canon_body *c, struct slice s)
{
	c->total += s.n;
	if (s.n > c->left)
		s.n = (size_t)c->left;
	c->left -= s.n;
	out_add(&c->out, s);
}

static void
emit_lines(struct canon_body *c)
{
	static const char crlf[] = "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";
	while (c->lines > 0) {
		uint64_t n = c->lines < 8 ? c->lines : 8;
		emit(c, (struct slice){crlf, (size_t)n * 2});
		c->lines -= n;
	}
}

/* What was held back was not at the end of the body: out with it. */
static void
emit_held(struct canon_body *c)
{
	emit_lines(c);
	if (c->blank)
		emit(c, SLICE(" "));
	c->blank = false;
}

static void
step(struct canon_body *c, const char *p)
{
	if (c->cr) {
		c->cr = false;
		if (*p == '\n') { /* blanks before a line end are dropped with it */
			c->blank = c->in_line = false;
			c->lines++;
			return;
		}
		emit_held(c);
		emit(c, SLICE("\r"));
		c->in_line = true;
	}
	if (*p == '\r') {
		c->cr = true;
		return;
	}
	if (c->relaxed && (*p == ' ' || *p == '\t')) {
		c->blank = true;
		return;
	}
	emit_held(c);
	emit(c, (struct slice){p, 1});
	c->in_line = true;
}

/* Where the relaxed form changes something; next is the byte behind. */
static inline unsigned char
irregular(char c, char next)
{
	return (unsigned char)((c == '\t') | ((c == ' ') & ((next == ' ') | (next == '\t') |
								   (next == '\r'))));
}

/* How many bytes at the front stay as they are and leave the machine with nothing held back. */
static size_t
run_length(const struct canon_body *c, const char *p, size_t n)
{
	size_t i = n;
	if (c->relaxed) {
		/* The inner loop has a fixed count and no branch, so that it becomes a few
		 * vectors. */
		for (i = 0; i + RUN_BLOCK < n; i += RUN_BLOCK) {
			unsigned char found = 0;
			for (size_t k = 0; k < RUN_BLOCK; k++)
				found |= irregular(p[i + k], p[i + k + 1]);
			if (found != 0)
				break;
		}
		while (i + 1 < n && irregular(p[i], p[i + 1]) == 0)
			i++;
	}
	/* Line ends at its end may be the trailing ones: they are the machine's. */
	if (i > 0 && p[i - 1] == '\r')
		i--;
	while (i >= 2 && p[i - 2] == '\r' && p[i - 1] == '\n')
		i -= 2;
	return i;
}

void
canon_body_feed(struct canon_body *c, struct slice piece)
{
	const char *p = piece.p;
	size_t n = piece.n;
	while (n > 0) {
		if (c->in_line && !c->cr && !c->blank && n >= RUN_LEAST) {
			size_t run = run_length(c, p, n);
			emit(c, (struct slice){p, run});
			p += run;
			n -= run;
			if (n == 0)
				return;
		}
		/* The machine takes the odd stretch, and a few bytes more, to find its feet
		 * again. */
		size_t steps = n < 8 ? n : 8;
		for (size_t i = 0; i < steps; i++)
			step(c, p++);
		n -= steps;
	}
}

void
canon_body_end(struct canon_body *c)
{
	if (c->cr) { /* a bare CR at the very end is data */
		c->cr = false;
		emit_held(c);
		emit(c, SLICE("\r"));
		c->in_line = true;
	}
	/* Simple: an empty body is one CRLF. Relaxed: it stays empty. */
	if (c->in_line || c->total > 0 || !c->relaxed)
		emit(c, SLICE("\r\n"));
	c->lines = 0;
	c->blank = c->in_line = false;
	canon_out_flush(&c->out);
}

void
canon_field_begin(struct canon_field *c, bool relaxed, struct canon_out *out, struct slice name)
{
	*c = (struct canon_field){.relaxed = relaxed, .out = out};
	if (relaxed) {
		name = slice_trim(name);
		for (size_t i = 0; i < name.n; i++) {
			char lower = ascii_lower(name.p[i]);
			out_add(out, (struct slice){&lower, 1});
		}
	} else {
		out_add(out, name);
	}
	out_add(out, SLICE(":"));
}

void
canon_field_feed(struct canon_field *c, struct slice piece)
{
	if (!c->relaxed) {
		out_add(c->out, piece);
		return;
	}
	for (size_t i = 0, from = 0; i <= piece.n; i++) {
		char b = i < piece.n ? piece.p[i] : ' ';
		bool blank = b == ' ' || b == '\t' || b == '\r' || b == '\n';
		if (!blank)
			continue;
		if (i > from) {
			if (c->blank && c->begun)
				out_add(c->out, SLICE(" "));
			out_add(c->out, (struct slice){piece.p + from, i - from});
			c->begun = true;
			c->blank = false;
		}
		from = i + 1;
		if (i < piece.n)
			c->blank = true;
	}
}

void
canon_field_end(struct canon_field *c, bool crlf)
{
	if (crlf)
		out_add(c->out, SLICE("\r\n"));
}
