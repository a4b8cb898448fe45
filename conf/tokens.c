/*
 * Cuts a configuration into tokens (POLICY.md, "Settings"): words, strings, numbers with units,
 * rates, networks, regular expressions, signs. Knows no statement. The text is an
 * administrator's, not a peer's, but a file may be anything: every byte is looked at within
 * bounds, and control characters and broken UTF-8 are errors rather than part of a string.
 */
#include "conf/tokens.h"

#include <string.h>

#include "base/must.h"
#include "conf/habits.h"
#include "conf/number.h"

/* No statement begins or ends with these. */
static const char *const joints[] = {"and", "or", "then"};
enum { JOINTS = sizeof(joints) / sizeof(joints[0]) };

void
tokens_init(struct tokens *t, struct arena *a, struct conf_report *r, const char *file,
	struct slice text)
{
	*t = (struct tokens){.arena = a, .report = r, .file = file, .text = text, .line = 1};
}

static int
byte_at(const struct tokens *t, size_t at)
{
	return at < t->text.n ? (unsigned char)t->text.p[at] : -1;
}

static struct conf_at
here(const struct tokens *t)
{
	return (struct conf_at){t->file, t->line, (unsigned)(t->at - t->line_start) + 1};
}

static void
new_line(struct tokens *t)
{
	t->line++;
	t->line_start = t->at;
	t->begun = false;
}

static bool
is_blank(int c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* A bare word's bytes; '@', '*' and 8-bit are none, but belong to what lacks its quotes. */
static bool
is_bare(int c)
{
	return c >= 0x80 || (c >= '0' && c <= '9') || (c > 0 && ascii_alpha((char)c)) ||
	       (c > 0 && strchr("_.:/-@*", c) != NULL);
}

/* Blanks, comments, and a backslash before the end of a line. */
static void
skip_blanks(struct tokens *t)
{
	for (;;) {
		int c = byte_at(t, t->at);
		size_t after = t->at + 1;
		if (c == '\\' && byte_at(t, after) == '\r')
			after++;
		if (c == '\\' && byte_at(t, after) == '\n') {
			bool begun = t->begun;
			t->at = after + 1;
			new_line(t);
			t->begun = begun;
		} else if (c == '#') {
			while (byte_at(t, t->at) != '\n' && t->at < t->text.n)
				t->at++;
		} else if (is_blank(c)) {
			t->at++;
		} else {
			return;
		}
	}
}

/* Whether the statement goes on: this line ends with a joint, or the next that says anything
 * begins with one. */
static bool
goes_on(const struct tokens *t)
{
	if (t->open_end)
		return true;
	struct tokens ahead = *t;
	do {
		ahead.at++;
		skip_blanks(&ahead);
	} while (byte_at(&ahead, ahead.at) == '\n');
	for (size_t i = 0; i < JOINTS; i++) {
		struct slice word = slice_of(joints[i]);
		if (slice_starts(slice_from(ahead.text, ahead.at), word) &&
			!is_bare(byte_at(&ahead, ahead.at + word.n)))
			return true;
	}
	return false;
}

/* Words and signs that no statement can end with. */
static bool
is_open_end(const struct token *tok)
{
	if (tok->kind != TOK_WORD)
		return tok->kind == TOK_COMMA;
	for (size_t i = 0; i < JOINTS; i++)
		if (slice_eq(tok->text, slice_of(joints[i])))
			return true;
	return false;
}

static enum token_kind
bad(struct tokens *t, struct conf_at at, const char *text)
{
	conf_error(t->report, at, "%s", text);
	return TOK_BAD;
}

/* The length of a well-formed UTF-8 sequence at s, 0 where it is none (RFC 3629 4). */
static size_t
utf8_length(struct slice s)
{
	unsigned char c = (unsigned char)s.p[0];
	size_t n = c < 0x80                ? 1
		   : c >= 0xc2 && c < 0xe0 ? 2
		   : c >= 0xe0 && c < 0xf0 ? 3
		   : c >= 0xf0 && c < 0xf5 ? 4
					   : 0;
	if (n == 0 || n > s.n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if (((unsigned char)s.p[i] & 0xc0) != 0x80)
			return 0;
	unsigned char d = n > 1 ? (unsigned char)s.p[1] : 0;
	if ((c == 0xe0 && d < 0xa0) || (c == 0xed && d > 0x9f) || (c == 0xf0 && d < 0x90) ||
		(c == 0xf4 && d > 0x8f))
		return 0;
	return n;
}

/* The bytes between the quotes, before escapes are read: as much as the string can need. */
static size_t
string_span(const struct tokens *t)
{
	size_t at = t->at + 1;
	while (at < t->text.n && t->text.p[at] != '"' && t->text.p[at] != '\n')
		at += t->text.p[at] == '\\' ? 2 : 1;
	return at - t->at;
}

static enum token_kind
string(struct tokens *t, struct token *tok)
{
	char *out = arena_alloc(t->arena, string_span(t) + 1);
	size_t n = 0;
	enum token_kind kind = TOK_STRING;
	for (t->at++;;) {
		int c = byte_at(t, t->at);
		if (c == '"')
			break;
		if (c < 0 || c == '\n' || (c == '\r' && byte_at(t, t->at + 1) == '\n'))
			return bad(t, tok->at, "the string has no closing quote on its line");
		size_t length = utf8_length(slice_from(t->text, t->at));
		if (length == 0 || (c < 0x20 && c != '\t') || c == 0x7f) {
			if (kind != TOK_BAD)
				kind = bad(t, here(t),
					length == 0 ? "the string is not UTF-8"
						    : "the string holds a control character");
			length = 1;
		} else if (c == '\\') {
			t->at++;
			c = byte_at(t, t->at);
			if (c != '"' && c != '\\') {
				if (kind != TOK_BAD)
					kind = bad(t, here(t),
						"a backslash in a string stands before "
						"\" or \\ only (write \\\\ for one)");
				continue;
			}
		}
		memcpy(out + n, t->text.p + t->at, length);
		n += length;
		t->at += length;
	}
	t->at++;
	tok->text = (struct slice){out, n};
	if (n > STRING_MOST)
		return bad(t, tok->at, "the string is longer than 4096 bytes");
	return kind;
}

static enum token_kind
regex(struct tokens *t, struct token *tok)
{
	size_t start = ++t->at;
	int c;
	while ((c = byte_at(t, t->at)) != '/') {
		if (c == '\\' && byte_at(t, t->at + 1) != '\n')
			c = byte_at(t, ++t->at);
		if (c < 0 || c == '\n')
			return bad(t, tok->at,
				byte_at(t, start) == ' '
					? "a rate is written without blanks, as in 200/hour"
					: "the expression has no closing / on its line "
					  "(a file's name needs double quotes)");
		if (c == 0)
			return bad(t, here(t), "the expression holds a NUL");
		t->at++;
	}
	tok->text = slice_first(slice_from(t->text, start), t->at - start);
	size_t flags = ++t->at;
	while (byte_at(t, t->at) > 0 && ascii_alpha(t->text.p[t->at]))
		t->at++;
	tok->flags = slice_first(slice_from(t->text, flags), t->at - flags);
	if (tok->text.n > STRING_MOST)
		return bad(t, tok->at, "the expression is longer than 4096 bytes");
	return TOK_REGEX;
}

static bool
is_word(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) &&
			(s.p[i] == '\0' || strchr("_.-", s.p[i]) == NULL))
			return false;
	return ascii_alpha(s.p[0]) && s.p[s.n - 1] != '.';
}

/* All that stands without quotes: a word, a number, a rate, a network. */
static enum token_kind
bare(struct tokens *t, struct token *tok)
{
	size_t start = t->at;
	while (is_bare(byte_at(t, t->at)))
		t->at++;
	struct slice s = slice_first(slice_from(t->text, start), t->at - start);
	tok->text = s;
	if (is_word(s) || slice_eq(s, SLICE("4xx"))) /* a class of replies */
		return TOK_WORD;
	if (number_parse(s, &tok->number, &tok->unit))
		return TOK_NUMBER;
	if (number_rate_parse(s, &tok->number, &tok->span_ms))
		return TOK_RATE;
	struct ip_net net;
	struct slice address, behind;
	enum limit_span span;
	slice_cut(s, '/', &address, &behind);
	if (is_word(address) &&
		(slice_eq(address, SLICE("recipients")) || limit_span_find(behind, &span)))
		return TOK_PER;
	if (ip_net_parse(s, &net))
		return TOK_NET;
	struct slice shown = slice_first(s, 80);
	if (habit_is_net(s)) {
		struct slice why = habit_of_net(s, t->arena);
		conf_error(t->report, tok->at, "\"%.*s\" is no network%.*s", SLICE_ARG(shown),
			SLICE_ARG(why));
	} else if (ascii_digit(s.p[0]) && !slice_has(s, ':')) {
		struct slice hint = habit_of_number(s, t->arena);
		conf_error(t->report, tok->at,
			"\"%.*s\" is no number, size (25M), duration (10s, 5m), "
			"rate (200/hour) or network (10.0.0.0/8)%.*s",
			SLICE_ARG(shown), SLICE_ARG(hint));
	} else {
		conf_error(t->report, tok->at, "\"%.*s\" is no word: %s", SLICE_ARG(shown),
			s.p[s.n - 1] == ':'
				? "a setting's value stands behind its name without a colon"
				: "it needs double quotes");
	}
	return TOK_BAD;
}

static enum token_kind
sign(struct tokens *t)
{
	static const struct {
		char c;
		enum token_kind kind;
	} signs[] = {
		{'{', TOK_OPEN},
		{'}', TOK_CLOSE},
		{'(', TOK_LEFT},
		{')', TOK_RIGHT},
		{',', TOK_COMMA},
	};
	struct conf_at at = here(t);
	int c = byte_at(t, t->at++);
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (c == signs[i].c)
			return signs[i].kind;
	if (c == '<' || c == '>') {
		bool equal = byte_at(t, t->at) == '=';
		t->at += equal;
		return c == '<' ? (equal ? TOK_LE : TOK_LT) : (equal ? TOK_GE : TOK_GT);
	}
	if (c > 0x20 && c < 0x7f) {
		struct slice rest = slice_from(t->text, t->at - 1);
		size_t n;
		const char *hint = habit_of_sign(rest, &n);
		conf_error(t->report, at, "the character%s %.*s mean%s nothing here%s",
			n > 1 ? "s" : "", SLICE_ARG(slice_first(rest, n)), n > 1 ? "" : "s",
			hint);
		t->at += n - 1;
		/* what stands in quotes of another kind is one error */
		size_t line = slice_find(rest, '\n'), end;
		if (c == '\'' && (end = slice_find(slice_from(rest, 1), '\'')) + 1 < line)
			t->at += end + 1;
	} else
		conf_error(t->report, at, "the byte 0x%02x has no place in a configuration", c);
	return TOK_BAD;
}

void
tokens_next(struct tokens *t, struct token *out)
{
	*out = (struct token){0};
	for (;;) {
		skip_blanks(t);
		if (byte_at(t, t->at) != '\n' || (t->begun && !goes_on(t)))
			break;
		bool begun = t->begun;
		t->at++;
		new_line(t);
		t->begun = begun;
	}
	out->at = here(t);
	out->first = !t->begun;
	size_t start = t->at;
	int c = byte_at(t, t->at);
	t->begun = true;
	if (c < 0) {
		out->kind = TOK_END;
	} else if (c == '\n') {
		out->kind = TOK_NEWLINE;
		t->at++;
		new_line(t);
	} else if (c == '"') {
		out->kind = string(t, out);
	} else if (c == '/') {
		out->kind = regex(t, out);
	} else if (is_bare(c)) {
		out->kind = bare(t, out);
	} else {
		out->kind = sign(t);
	}
	out->raw = slice_first(slice_from(t->text, start), t->at - start);
	t->open_end = is_open_end(out);
}

struct slice
token_describe(const struct token *tok, struct arena *a)
{
	switch (tok->kind) {
	case TOK_END: return SLICE("the end of the file");
	case TOK_NEWLINE: return SLICE("the end of the line");
	case TOK_STRING:
		return arena_printf(
			a, "the string \"%.*s\"", SLICE_ARG(slice_first(tok->text, 60)));
	case TOK_REGEX: return SLICE("a regular expression");
	case TOK_BAD:
	case TOK_WORD:
	case TOK_NUMBER:
	case TOK_RATE:
	case TOK_PER:
	case TOK_NET:
	case TOK_OPEN:
	case TOK_CLOSE:
	case TOK_LEFT:
	case TOK_RIGHT:
	case TOK_COMMA:
	case TOK_LT:
	case TOK_LE:
	case TOK_GT:
	case TOK_GE: break;
	}
	return arena_printf(a, "\"%.*s\"", SLICE_ARG(slice_first(tok->raw, 60)));
}
