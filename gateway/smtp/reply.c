/*
 * Replies, those that we give and those that we read; see reply.h. All text that came from
 * outside passes clean_bytes, so that what a next hop says can neither end a line of ours nor
 * begin one.
 */
#include "smtp/reply.h"

#include <stdio.h>
#include <string.h>

#include "base/must.h"

enum { CODE_LEAST = 200, CODE_MOST = 599, ENHANCED_DIGITS_MOST = 3 };

/* "550", with a first digit from 2 to 5. */
static bool
read_code(struct slice s, int *code_out)
{
	if (s.n < 3 || s.p[0] < '2' || s.p[0] > '5' || !ascii_digit(s.p[1]) ||
		!ascii_digit(s.p[2]))
		return false;
	*code_out = (s.p[0] - '0') * 100 + (s.p[1] - '0') * 10 + (s.p[2] - '0');
	return true;
}

/* A number of one to three digits off the front of *s. */
static bool
read_number(struct slice *s, uint16_t *number_out)
{
	size_t n = 0;
	unsigned value = 0;
	while (n < s->n && n < ENHANCED_DIGITS_MOST && ascii_digit(s->p[n]))
		value = value * 10 + (unsigned)(s->p[n++] - '0');
	*s = slice_from(*s, n);
	*number_out = (uint16_t)value;
	return n > 0;
}

static bool
read_dot(struct slice *s)
{
	if (s->n == 0 || s->p[0] != '.')
		return false;
	*s = slice_from(*s, 1);
	return true;
}

/* "5.7.1 " off the front of *s (RFC 3463 2); *s is untouched where there is none. */
static bool
read_enhanced(struct slice *s, uint16_t enhanced[3])
{
	struct slice rest = *s;
	if (!read_number(&rest, &enhanced[0]) || !read_dot(&rest) ||
		!read_number(&rest, &enhanced[1]) || !read_dot(&rest) ||
		!read_number(&rest, &enhanced[2]))
		return false;
	if (rest.n > 0 && rest.p[0] != ' ')
		return false;
	*s = slice_from(rest, 1);
	return true;
}

bool
smtp_reply_parse_text(struct slice text, struct smtp_reply *r_out)
{
	struct smtp_reply r = {0};
	if (!read_code(text, &r.code) || (text.n > 3 && text.p[3] != ' '))
		return false;
	r.text = slice_from(text, 4);
	uint16_t enhanced[3];
	if (read_enhanced(&r.text, enhanced)) {
		if (enhanced[0] != smtp_reply_class(&r) || enhanced[0] == 3)
			return false;
		r.has_enhanced = true;
		memcpy(r.enhanced, enhanced, sizeof(enhanced));
	}
	for (size_t i = 0; i < r.text.n; i++)
		if (r.text.p[i] != '\n' && (r.text.p[i] < ' ' || r.text.p[i] > '~'))
			return false;
	*r_out = r;
	return true;
}

struct smtp_reply
smtp_reply_of(const char *text)
{
	struct smtp_reply r;
	bool well_formed = smtp_reply_parse_text(slice_of(text), &r);
	must(well_formed);
	return r;
}

/* '?' for all but printable ASCII; '\n' stays, it divides lines. */
static void
clean_bytes(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != '\n' && (p[i] < ' ' || p[i] > '~'))
			p[i] = '?';
}

struct smtp_reply
smtp_reply_text(struct smtp_reply r, struct slice text, struct arena *a)
{
	text = slice_first(text, SMTP_REPLY_BYTES_MOST);
	char *copy = arena_text(a, text);
	clean_bytes(copy, text.n);
	r.text = (struct slice){copy, text.n};
	return r;
}

/*
 * Takes the next line of at most `most` bytes off *text; false: that was the last. Lines that
 * are too long go on in a line of their own.
 */
static bool
next_line(struct slice *text, size_t most, struct slice *line_out)
{
	size_t end = slice_find(*text, '\n');
	if (end > most) {
		*line_out = slice_first(*text, most);
		*text = slice_from(*text, most);
		return true;
	}
	return slice_cut(*text, '\n', line_out, text);
}

/* A last guard: whatever the text holds, it cannot end its line. */
static void
add_words(struct buf *out, struct slice words)
{
	char *to = buf_reserve(out, words.n);
	must(to != NULL);
	for (size_t i = 0; i < words.n; i++) {
		unsigned char c = (unsigned char)words.p[i];
		to[i] = c < ' ' || c == 0x7f ? '?' : words.p[i];
	}
	buf_commit(out, words.n);
}

int
smtp_reply_write(const struct smtp_reply *r, struct buf *out)
{
	char enhanced[16] = "";
	must(r->code >= CODE_LEAST && r->code <= CODE_MOST);
	if (r->has_enhanced) {
		must(r->enhanced[0] == smtp_reply_class(r)); /* EXT-02 */
		snprintf(enhanced, sizeof(enhanced), "%u.%u.%u ", r->enhanced[0],
			r->enhanced[1] % 1000u, r->enhanced[2] % 1000u);
	}
	size_t around = 4 + strlen(enhanced) + 2, bytes = 0;
	struct slice lines[SMTP_REPLY_LINES_MOST];
	int n = 0;
	bool more = true;
	for (struct slice text = r->text; more && n < SMTP_REPLY_LINES_MOST; n++) {
		more = next_line(&text, SMTP_REPLY_LINE_BYTES - around, &lines[n]);
		bytes += around + lines[n].n;
	}
	if (bytes > buf_left(out))
		return -1;
	for (int i = 0; i < n; i++) {
		char prefix[32];
		int len = snprintf(prefix, sizeof(prefix), "%d%c%s", r->code,
			i + 1 < n ? '-' : ' ', enhanced);
		buf_add(out, (struct slice){prefix, (size_t)len});
		add_words(out, lines[i]);
		buf_add(out, SLICE("\r\n"));
	}
	return 0;
}

struct slice
smtp_reply_line(const struct smtp_reply *r, struct arena *a)
{
	char prefix[32];
	int n = r->has_enhanced ? snprintf(prefix, sizeof(prefix), "%d %u.%u.%u", r->code,
					  r->enhanced[0], r->enhanced[1], r->enhanced[2])
				: snprintf(prefix, sizeof(prefix), "%d", r->code);
	const char *space = r->text.n > 0 ? " " : "";
	struct slice line = arena_printf(a, "%.*s%s%.*s", n, prefix, space, SLICE_ARG(r->text));
	char *p = arena_text(a, line);
	clean_bytes(p, line.n);
	for (size_t i = 0; i < line.n; i++)
		if (p[i] == '\n')
			p[i] = ' ';
	return (struct slice){p, line.n};
}

/*
 * One line without its CRLF off the front of *in; 1 more bytes are needed, -1 no line of a
 * reply: bare CR, bare LF, NUL, or one that does not begin with a code.
 */
static int
read_line(struct slice *in, int *code_out, bool *last_out, struct slice *text_out)
{
	size_t end = slice_find(*in, '\n');
	struct slice line = slice_first(*in, end);
	bool whole = end < in->n;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	else if (whole)
		return -1;
	if (slice_has(line, '\r') || slice_has(line, '\0'))
		return -1;
	if (!whole && line.n < 4)
		return line.n == 0 || (line.p[0] >= '2' && line.p[0] <= '5') ? 1 : -1;
	if (!read_code(line, code_out) || (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-'))
		return -1;
	if (!whole)
		return 1;
	*last_out = line.n == 3 || line.p[3] == ' ';
	*text_out = slice_from(line, 4);
	*in = slice_from(*in, end + 1);
	return 0;
}

/* Joins lines by '\n', cleaned, in the arena. */
static struct slice
join_lines(const struct slice *lines, size_t n, struct arena *a)
{
	size_t bytes = n - 1;
	for (size_t i = 0; i < n; i++)
		bytes += lines[i].n;
	char *text = arena_alloc(a, bytes + 1), *to = text;
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			*to++ = '\n';
		if (lines[i].n > 0)
			memcpy(to, lines[i].p, lines[i].n);
		to += lines[i].n;
	}
	clean_bytes(text, bytes);
	return (struct slice){text, bytes};
}

int
smtp_reply_read(struct slice in, struct arena *a, struct smtp_reply *r_out, size_t *taken_out)
{
	struct smtp_reply r = {0};
	struct slice rest = in, lines[SMTP_REPLY_LINES_MOST];
	bool last = false;
	size_t n = 0;
	for (; !last; n++) {
		int code;
		if (n == SMTP_REPLY_LINES_MOST)
			return -1;
		int result = read_line(&rest, &code, &last, &lines[n]);
		if (result > 0 && in.n >= SMTP_REPLY_BYTES_MOST)
			return -1;
		if (result != 0)
			return result;
		if (in.n - rest.n > SMTP_REPLY_BYTES_MOST || (n > 0 && code != r.code))
			return -1;
		r.code = code;
		struct slice words = lines[n];
		uint16_t enhanced[3];
		if (!read_enhanced(&words, enhanced) || enhanced[0] != code / 100 ||
			code / 100 == 3)
			continue;
		if (n == 0) {
			r.has_enhanced = true;
			memcpy(r.enhanced, enhanced, sizeof(enhanced));
		}
		if (r.has_enhanced && memcmp(r.enhanced, enhanced, sizeof(enhanced)) == 0)
			lines[n] = words;
	}
	r.text = join_lines(lines, n, a);
	*r_out = r;
	*taken_out = in.n - rest.n;
	return 0;
}
