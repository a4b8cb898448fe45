/*
 * JSON, pushed through byte by byte; see neighbour_json.h. Why no library: what is needed are
 * three values of one object, and the readers to be had build a tree of all that a reply holds,
 * on the heap, before the first of them can be asked for.
 */
#include "filters/neighbour_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum state {
	VALUE,        /* one has to come */
	VALUE_OR_END, /* behind [ */
	KEY_OR_END,   /* behind { */
	KEY,          /* behind , of an object */
	COLON,
	AFTER, /* a value: , or what closes its container */
	TEXT,
	ESCAPE,
	HEX,
	LITERAL,
	MINUS, /* of numbers: what stood last */
	ZERO,
	WHOLE,
	POINT,
	FRACTION,
	EXPONENT,
	EXPONENT_SIGN,
	EXPONENT_DIGITS,
	END, /* behind the outermost value */
};

enum { SCORE, REQUIRED, ACTION, WANTED, NOTHING = WANTED };
enum { NUMBER_MOST = 1000000 };

static const char *const names[WANTED] = {
	[SCORE] = "score", [REQUIRED] = "required_score", [ACTION] = "action"};

void
neighbour_json_init(struct neighbour_json *j)
{
	*j = (struct neighbour_json){.state = VALUE, .wanted = NOTHING};
}

static bool
wrong(struct neighbour_json *j, const char *why)
{
	j->why = why;
	return false;
}

static bool
in_object(const struct neighbour_json *j)
{
	return j->depth > 0 && (j->objects >> (j->depth - 1) & 1) != 0;
}

/* Kept as far as it fits; how long it was is known all the same. */
static void
keep(struct neighbour_json *j, char c)
{
	if (j->token_bytes < sizeof(j->token))
		j->token[j->token_bytes] = c;
	j->token_bytes++;
}

static struct slice
token(const struct neighbour_json *j)
{
	return (struct slice){j->token, j->token_bytes};
}

static bool
fits(const struct neighbour_json *j)
{
	return j->token_bytes < sizeof(j->token);
}

/* --- values */

/* Past the digits; false: there are none. */
static bool
digits(const char **p)
{
	const char *first = *p;
	while (ascii_digit(**p))
		(*p)++;
	return *p != first;
}

/* strtod takes more than these: "inf", "0x1", blanks in front. */
bool
neighbour_number(struct slice s, double *out)
{
	char text[NEIGHBOUR_JSON_TOKEN];
	if (s.n == 0 || s.n >= sizeof(text) || slice_has(s, '\0'))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	const char *p = text[0] == '-' ? text + 1 : text;
	if (!digits(&p))
		return false;
	if (*p == '.' && (p++, !digits(&p)))
		return false;
	if (*p == 'e' || *p == 'E') {
		p += p[1] == '+' || p[1] == '-' ? 2 : 1;
		if (!digits(&p))
			return false;
	}
	*out = strtod(text, NULL);
	return *p == '\0' && fabs(*out) <= NUMBER_MOST;
}

static bool
take_number(struct neighbour_json *j, double *out)
{
	if (!fits(j) || !neighbour_number(token(j), out))
		return wrong(j, "a score is out of bounds");
	return true;
}

static bool
take_action(struct neighbour_json *j)
{
	if (j->token_bytes == 0 || !fits(j))
		return wrong(j, "its action is no word");
	for (size_t i = 0; i < j->token_bytes; i++)
		if (j->token[i] < ' ' || j->token[i] > '~')
			return wrong(j, "its action is no word");
	memcpy(j->action, j->token, j->token_bytes);
	j->action[j->token_bytes] = '\0';
	return true;
}

/* A value is whole. number, text: which of them it was; else neither. */
static bool
value_done(struct neighbour_json *j, bool number, bool text)
{
	int wanted = j->wanted;
	j->state = j->depth == 0 ? END : AFTER;
	j->wanted = NOTHING;
	if (wanted == NOTHING)
		return true;
	if (wanted == ACTION ? !text : !number)
		return wrong(j, "a score or action is of another type");
	if ((j->have >> wanted & 1) != 0)
		return wrong(j, "a score or action stands in it twice");
	j->have |= 1u << wanted;
	if (wanted == ACTION)
		return take_action(j);
	return take_number(j, wanted == SCORE ? &j->score : &j->required);
}

static bool
key_done(struct neighbour_json *j)
{
	j->state = COLON;
	j->key = false;
	j->wanted = NOTHING;
	for (int i = 0; j->depth == 1 && fits(j) && i < WANTED; i++)
		if (slice_eq(token(j), slice_of(names[i])))
			j->wanted = i;
	return true;
}

/* --- containers */

static bool
open_container(struct neighbour_json *j, bool object)
{
	if (j->depth == NEIGHBOUR_JSON_DEPTH)
		return wrong(j, "it is too deep");
	if (j->depth == 0 && !object)
		return wrong(j, "it is no object");
	if (j->wanted != NOTHING)
		return wrong(j, "a score or action is of another type");
	uint32_t bit = (uint32_t)1 << j->depth++;
	j->objects = object ? j->objects | bit : j->objects & ~bit;
	j->state = object ? KEY_OR_END : VALUE_OR_END;
	return true;
}

static bool
close_container(struct neighbour_json *j, char c)
{
	if (c != (in_object(j) ? '}' : ']'))
		return wrong(j, "it is no JSON");
	j->depth--;
	return value_done(j, false, false);
}

/* --- one byte, by state */

static bool
begin_text(struct neighbour_json *j, bool key)
{
	j->state = TEXT;
	j->key = key;
	j->token_bytes = 0;
	return true;
}

static bool
begin_value(struct neighbour_json *j, char c)
{
	static const char *const literals[] = {"true", "false", "null"};
	if (c == '{' || c == '[')
		return open_container(j, c == '{');
	if (j->depth == 0)
		return wrong(j, "it is no object");
	if (c == '"')
		return begin_text(j, false);
	j->token_bytes = 0;
	keep(j, c);
	if (c == '-' || ascii_digit(c)) {
		j->state = c == '-' ? MINUS : c == '0' ? ZERO : WHOLE;
		return true;
	}
	for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++) {
		if (c != literals[i][0])
			continue;
		j->literal = literals[i] + 1;
		j->state = LITERAL;
		return true;
	}
	return wrong(j, "it is no JSON");
}

static bool
text_byte(struct neighbour_json *j, char c)
{
	if (c == '"')
		return j->key ? key_done(j) : value_done(j, false, true);
	if ((unsigned char)c < ' ')
		return wrong(j, "it is no JSON");
	if (c == '\\')
		j->state = ESCAPE;
	else
		keep(j, c);
	return true;
}

static bool
escape_byte(struct neighbour_json *j, char c)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at = c != '\0' ? strchr(from, c) : NULL;
	j->state = TEXT;
	if (at != NULL) {
		keep(j, to[at - from]);
		return true;
	}
	j->state = HEX;
	j->hex = 0;
	j->hex_left = 4;
	return c == 'u' || wrong(j, "it is no JSON");
}

/* What is wanted is ASCII: a character that is none becomes a byte that no word has. */
static bool
hex_byte(struct neighbour_json *j, char c)
{
	int digit = ascii_hex(c);
	if (digit < 0)
		return wrong(j, "it is no JSON");
	j->hex = j->hex << 4 | (unsigned)digit;
	if (--j->hex_left > 0)
		return true;
	j->state = TEXT;
	keep(j, j->hex < 0x80 ? (char)j->hex : '\x7f');
	return true;
}

/* The state behind c in a number, or -1: c is not of it. */
static int
number_next(int state, char c)
{
	bool digit = ascii_digit(c), e = c == 'e' || c == 'E';
	switch (state) {
	case MINUS: return c == '0' ? ZERO : digit ? WHOLE : -1;
	case ZERO: return c == '.' ? POINT : e ? EXPONENT : -1;
	case WHOLE: return digit ? WHOLE : c == '.' ? POINT : e ? EXPONENT : -1;
	case POINT: return digit ? FRACTION : -1;
	case FRACTION: return digit ? FRACTION : e ? EXPONENT : -1;
	case EXPONENT:
		return c == '+' || c == '-' ? EXPONENT_SIGN : digit ? EXPONENT_DIGITS : -1;
	default: return digit ? EXPONENT_DIGITS : -1;
	}
}

static bool one_byte(struct neighbour_json *j, char c);

static bool
number_byte(struct neighbour_json *j, char c)
{
	int then = number_next(j->state, c);
	if (then >= 0) {
		j->state = then;
		keep(j, c);
		return true;
	}
	if (j->state == MINUS || j->state == POINT || j->state == EXPONENT ||
		j->state == EXPONENT_SIGN)
		return wrong(j, "it is no JSON");
	return value_done(j, true, false) && one_byte(j, c);
}

static bool
literal_byte(struct neighbour_json *j, char c)
{
	if (c != *j->literal)
		return wrong(j, "it is no JSON");
	j->literal++;
	return *j->literal != '\0' || value_done(j, false, false);
}

/* Between tokens, where blanks may stand. */
static bool
between(struct neighbour_json *j, char c)
{
	switch (j->state) {
	case VALUE_OR_END: return c == ']' ? close_container(j, c) : begin_value(j, c);
	case VALUE: return begin_value(j, c);
	case KEY_OR_END:
		if (c == '}')
			return close_container(j, c);
		return c == '"' ? begin_text(j, true) : wrong(j, "it is no JSON");
	case KEY: return c == '"' ? begin_text(j, true) : wrong(j, "it is no JSON");
	case COLON: j->state = VALUE; return c == ':' || wrong(j, "it is no JSON");
	case AFTER:
		if (c != ',')
			return close_container(j, c);
		j->state = in_object(j) ? KEY : VALUE;
		return true;
	default: return wrong(j, "something stands behind it");
	}
}

static bool
one_byte(struct neighbour_json *j, char c)
{
	switch (j->state) {
	case TEXT: return text_byte(j, c);
	case ESCAPE: return escape_byte(j, c);
	case HEX: return hex_byte(j, c);
	case LITERAL: return literal_byte(j, c);
	case MINUS:
	case ZERO:
	case WHOLE:
	case POINT:
	case FRACTION:
	case EXPONENT:
	case EXPONENT_SIGN:
	case EXPONENT_DIGITS: return number_byte(j, c);
	default: break;
	}
	bool blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';
	return blank || between(j, c);
}

bool
neighbour_json_feed(struct neighbour_json *j, struct slice in)
{
	for (size_t i = 0; i < in.n && j->why == NULL; i++)
		(void)one_byte(j, in.p[i]);
	return j->why == NULL;
}

bool
neighbour_json_end(struct neighbour_json *j)
{
	if (j->why != NULL)
		return false;
	if (j->state != END)
		return wrong(j, "it ends in the middle");
	if (j->have != (1u << WANTED) - 1)
		return wrong(j, "no score or no action is in it");
	return true;
}
