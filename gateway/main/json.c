/*
 * Writes JSON for the commands' --json; see json.h. There is no tree: what is known is written
 * at once, so that a list of a hundred thousand mails needs no memory.
 */
#include "main/json.h"

#include <inttypes.h>
#include <math.h>

#include "queue/hand_words.h"

void
json_init(struct json *j, FILE *f)
{
	*j = (struct json){.f = f};
}

/* How many bytes the character at the front of s has; 0: it is none of UTF-8 (RFC 3629 4). */
static size_t
utf8_bytes(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] > 0xf4 || n == 0 || n > s.n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	bool bad = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		   (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f);
	return bad ? 0 : n;
}

static void
write_text(FILE *f, struct slice s)
{
	fputc('"', f);
	while (s.n > 0) {
		size_t n = utf8_bytes(s);
		unsigned char c = (unsigned char)s.p[0];
		if (n == 0)
			fputs("\\ufffd", f);
		else if (c == '"' || c == '\\')
			fprintf(f, "\\%c", c);
		else if (c < ' ' || c == 0x7f)
			fprintf(f, "\\u%04x", c);
		else
			fwrite(s.p, 1, n, f);
		s = slice_from(s, n != 0 ? n : 1);
	}
	fputc('"', f);
}

static void
write_key(struct json *j, const char *key)
{
	if (j->comma)
		fputc(',', j->f);
	j->comma = true;
	if (key != NULL)
		fprintf(j->f, "\"%s\":", key);
}

void
json_begin(struct json *j, const char *key, char kind)
{
	write_key(j, key);
	fputc(kind, j->f);
	j->comma = false;
}

void
json_end(struct json *j, char kind)
{
	fputc(kind, j->f);
	j->comma = true;
}

void
json_text(struct json *j, const char *key, struct slice text)
{
	write_key(j, key);
	write_text(j->f, text);
}

void
json_number(struct json *j, const char *key, uint64_t value)
{
	write_key(j, key);
	fprintf(j->f, "%" PRIu64, value);
}

void
json_null(struct json *j, const char *key)
{
	write_key(j, key);
	fputs("null", j->f);
}

void
json_real(struct json *j, const char *key, double value)
{
	if (!isfinite(value)) {
		json_null(j, key);
		return;
	}
	write_key(j, key);
	fprintf(j->f, "%.6g", value);
}

void
json_bool(struct json *j, const char *key, bool value)
{
	write_key(j, key);
	fputs(value ? "true" : "false", j->f);
}

void
json_time(struct json *j, const char *key, uint64_t wall_ms)
{
	char time[HAND_TIME_BYTES];
	write_key(j, key);
	if (wall_ms == 0)
		fputs("null", j->f);
	else
		write_text(j->f, slice_of(hand_time(wall_ms, time)));
}

void
json_line(struct json *j)
{
	fputc('\n', j->f);
	j->comma = false;
}
