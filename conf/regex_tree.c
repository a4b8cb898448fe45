/*
 * Reads what PCRE2 has already found to be an expression; see regex_tree.h. Where a construct's
 * characters are hard to tell (properties of Unicode), they are any: the cost is then taken for
 * higher than it is, never for lower.
 */
#include "conf/regex_tree.h"

enum { DEPTH_MOST = 200 };

struct reader {
	struct slice s;
	size_t i;
	bool nocase;
	struct arena *arena;
	const char *why;
	size_t at;
	unsigned depth;
};

static struct regex_node *alternatives(struct reader *r);

static struct regex_node *
node(struct reader *r, enum regex_kind kind, size_t at)
{
	struct regex_node *n = ARENA_NEW(r->arena, struct regex_node);
	n->kind = kind;
	n->at = at;
	return n;
}

static struct regex_node *
refuse(struct reader *r, size_t at, const char *why)
{
	if (r->why == NULL) {
		r->why = why;
		r->at = at;
	}
	return node(r, REGEX_EMPTY, at);
}

static char
peek(const struct reader *r, size_t ahead)
{
	return r->i + ahead < r->s.n ? r->s.p[r->i + ahead] : '\0';
}

static bool
take(struct reader *r, const char *text)
{
	struct slice t = slice_of(text);
	if (!slice_starts(slice_from(r->s, r->i), t))
		return false;
	r->i += t.n;
	return true;
}

/* --- sets */

static void
set_add(struct regex_set *set, unsigned char c)
{
	unsigned bit = c < 0x80 ? c : 0x80;
	set->bits[bit / 64] |= UINT64_C(1) << bit % 64;
}

static void
set_range(struct regex_set *set, unsigned from, unsigned to)
{
	for (unsigned c = from; c <= to && c <= 0x80; c++)
		set_add(set, (unsigned char)c);
}

static void
set_turn(struct regex_set *set)
{
	set->bits[0] = ~set->bits[0];
	set->bits[1] = ~set->bits[1];
	set->bits[2] |= 1; /* some of the others are in either */
}

static void
set_any(struct regex_set *set)
{
	set_range(set, 0, 0x80);
}

static void
set_both_cases(struct regex_set *set)
{
	for (unsigned c = 'a'; c <= 'z'; c++) {
		uint64_t upper = set->bits[1] >> (c - 32 - 64) & 1,
			 lower = set->bits[1] >> (c - 64) & 1;
		if ((upper | lower) != 0) {
			set_add(set, (unsigned char)c);
			set_add(set, (unsigned char)(c - 32));
		}
	}
}

/* \d \w \s \h and their opposites. False: c is none of them. */
static bool
set_letter(struct regex_set *set, char c)
{
	struct regex_set one = {{0}};
	switch (ascii_lower(c)) {
	case 'd': set_range(&one, '0', '9'); break;
	case 'w':
		set_range(&one, '0', '9');
		set_range(&one, 'a', 'z');
		set_range(&one, 'A', 'Z');
		set_add(&one, '_');
		break;
	case 's':
		set_range(&one, '\t', '\r');
		set_add(&one, ' ');
		break;
	case 'h':
		set_add(&one, '\t');
		set_add(&one, ' ');
		set_add(&one, 0x80);
		break;
	case 'v':
		set_range(&one, '\n', '\r');
		set_add(&one, 0x80);
		break;
	default: return false;
	}
	if (c < 'a')
		set_turn(&one);
	for (size_t i = 0; i < 3; i++)
		set->bits[i] |= one.bits[i];
	return true;
}

static void
skip_braces(struct reader *r)
{
	if (peek(r, 0) == '{') {
		while (r->i < r->s.n && peek(r, 0) != '}')
			r->i++;
		r->i++;
	} else if (r->i < r->s.n) {
		r->i++;
	}
}

/* \x41, \x{2014}: its code, 0x80 for all that is not ASCII. */
static unsigned
hex_code(struct reader *r)
{
	unsigned v = 0;
	bool braces = take(r, "{");
	for (unsigned n = 0; (braces || n < 2) && ascii_hex(peek(r, 0)) >= 0; n++, r->i++)
		v = v < 0x10000 ? v * 16 + (unsigned)ascii_hex(peek(r, 0)) : v;
	if (braces)
		(void)take(r, "}");
	return v < 0x80 ? v : 0x80;
}

/* A single character that is written as \c, behind the \. */
static unsigned
escaped_code(struct reader *r)
{
	char c = peek(r, 0);
	r->i++;
	switch (c) {
	case 'n': return '\n';
	case 'r': return '\r';
	case 't': return '\t';
	case 'f': return '\f';
	case 'a': return 7;
	case 'e': return 27;
	case 'x': return hex_code(r);
	case 'c': r->i++; return 1;
	case '0': return 0;
	default: return (unsigned char)c < 0x80 ? (unsigned char)c : 0x80;
	}
}

/* "[:alpha:]", behind the [: whatever it is, more than it is. */
static bool
posix_class(struct reader *r, struct regex_set *set)
{
	struct slice rest = slice_from(r->s, r->i);
	size_t end = slice_find_slice(rest, SLICE(":]"));
	if (peek(r, 0) != ':' || end >= rest.n || slice_has(slice_first(rest, end), ']'))
		return false;
	struct slice name = slice_first(slice_from(rest, 1), end - 1);
	if (!(slice_eq(name, SLICE("digit")) && set_letter(set, 'd')) &&
		!(slice_eq(name, SLICE("space")) && set_letter(set, 's')) &&
		!(slice_eq(name, SLICE("word")) && set_letter(set, 'w')))
		set_any(set);
	r->i += end + 2;
	return true;
}

/* One of a class: its code, or UINT32_MAX where it was a set, which is added. */
static uint32_t
class_item(struct reader *r, struct regex_set *set)
{
	char c = peek(r, 0);
	r->i++;
	if (c == '[' && posix_class(r, set))
		return UINT32_MAX;
	if (c != '\\')
		return (unsigned char)c < 0x80 ? (unsigned char)c : 0x80;
	char letter = peek(r, 0);
	if (set_letter(set, letter)) {
		r->i++;
		return UINT32_MAX;
	}
	if (letter == 'p' || letter == 'P' || letter == 'N' || letter == 'R') {
		r->i++;
		if (letter != 'R')
			skip_braces(r);
		set_any(set);
		return UINT32_MAX;
	}
	if (letter == 'b') {
		r->i++;
		return 8;
	}
	return escaped_code(r);
}

/* Behind the [. */
static struct regex_node *class(struct reader *r, size_t at)
{
	struct regex_node *n = node(r, REGEX_SET, at);
	bool turned = take(r, "^");
	for (bool first = true; r->i < r->s.n && (first || peek(r, 0) != ']'); first = false) {
		if (take(r, "\\Q") || take(r, "\\E"))
			continue;
		uint32_t from = class_item(r, &n->set), to = from;
		if (from != UINT32_MAX && peek(r, 0) == '-' && peek(r, 1) != ']') {
			r->i++;
			to = class_item(r, &n->set);
		}
		if (from == UINT32_MAX || to == UINT32_MAX)
			to = from != UINT32_MAX ? from : to;
		if (from != UINT32_MAX)
			set_range(&n->set, from, to);
	}
	r->i++;
	if (r->nocase)
		set_both_cases(&n->set);
	if (turned)
		set_turn(&n->set);
	return n;
}

static struct regex_node *
literal(struct reader *r, unsigned code, size_t at)
{
	struct regex_node *n = node(r, REGEX_SET, at);
	set_add(&n->set, (unsigned char)code);
	if (r->nocase)
		set_both_cases(&n->set);
	return n;
}

/* --- groups */

static const char recursion[] = "an expression that calls itself cannot be bounded: write out "
				"as many levels as it needs";

static struct regex_node *
body(struct reader *r, enum regex_kind kind, size_t at)
{
	struct regex_node *inside = alternatives(r);
	(void)take(r, ")");
	if (kind == REGEX_EMPTY)
		return inside;
	struct regex_node *n = node(r, kind, at);
	n->a = inside;
	return n;
}

/* (?i), (?i-m:...): flags, for the rest of the group or for this one. */
static struct regex_node *
flags(struct reader *r, size_t at)
{
	bool on = true, before = r->nocase;
	for (; r->i < r->s.n && peek(r, 0) != ')' && peek(r, 0) != ':'; r->i++) {
		if (peek(r, 0) == '-')
			on = false;
		else if (peek(r, 0) == 'i')
			r->nocase = on;
	}
	if (take(r, ")"))
		return node(r, REGEX_EMPTY, at);
	r->i++;
	struct regex_node *n = body(r, REGEX_EMPTY, at);
	r->nocase = before;
	return n;
}

static void
skip_to(struct reader *r, char c)
{
	while (r->i < r->s.n && peek(r, 0) != c)
		r->i++;
	r->i++;
}

/* Behind "(?". */
static struct regex_node *
special(struct reader *r, size_t at)
{
	char c = peek(r, 0), next = peek(r, 1);
	if (c == '#') {
		skip_to(r, ')');
		return node(r, REGEX_EMPTY, at);
	}
	if (take(r, ":") || take(r, "|"))
		return body(r, REGEX_EMPTY, at);
	if (take(r, ">"))
		return body(r, REGEX_ATOMIC, at);
	if (take(r, "=") || take(r, "!") || take(r, "*") || take(r, "<=") || take(r, "<!") ||
		take(r, "<*"))
		return body(r, REGEX_LOOK, at);
	if (c == 'R' || c == '&' || ascii_digit(c) || (c == 'P' && next == '>') ||
		((c == '+' || c == '-') && ascii_digit(next)))
		return refuse(r, at, recursion);
	if (c == '(')
		return refuse(r, at,
			"a condition inside of an expression is not taken: write both cases as "
			"alternatives");
	if (c == 'C')
		return refuse(r, at, "a callout is not taken");
	if (c == 'P' && next == '=') {
		skip_to(r, ')');
		return node(r, REGEX_REFERENCE, at);
	}
	if (c == '<' || c == '\'' || (c == 'P' && next == '<')) {
		r->i += c == 'P' ? 2 : 1;
		skip_to(r, c == '\'' ? '\'' : '>');
		return body(r, REGEX_EMPTY, at);
	}
	return flags(r, at);
}

/* Behind the (. */
static struct regex_node *
group(struct reader *r, size_t at)
{
	if (++r->depth > DEPTH_MOST)
		return refuse(r, at, "nested too deep");
	bool nocase = r->nocase;
	struct regex_node *n;
	if (take(r, "?")) {
		bool only_flags = peek(r, 0) != ':' && peek(r, 0) != '<' && peek(r, 0) != '=';
		n = special(r, at);
		if (!only_flags)
			r->nocase = nocase;
	} else if (take(r, "*")) {
		if (ascii_lower(peek(r, 0)) == peek(r, 0))
			n = refuse(r, at,
				"this form of a group is not taken: write (?=...), (?!...), "
				"(?<=...), (?<!...) or (?>...)");
		else {
			skip_to(r, ')');
			n = node(r, REGEX_EMPTY, at);
		}
	} else {
		n = body(r, REGEX_EMPTY, at);
		r->nocase = nocase;
	}
	r->depth--;
	return n;
}

/* --- atoms */

static struct regex_node *
any_of(struct reader *r, size_t at)
{
	struct regex_node *n = node(r, REGEX_SET, at);
	set_any(&n->set);
	return n;
}

/* \g{1}, \g1, \k<name> again; \g<name>, \g'1' call. */
static struct regex_node *
reference(struct reader *r, size_t at)
{
	char kind = peek(r, 0), open = peek(r, 1);
	r->i++;
	if (kind == 'g' && (open == '<' || open == '\''))
		return refuse(r, at, recursion);
	if (open == '{' || open == '<' || open == '\'') {
		r->i++;
		skip_to(r, open == '{' ? '}' : open == '<' ? '>' : '\'');
	} else {
		while (ascii_digit(peek(r, 0)) || peek(r, 0) == '-' || peek(r, 0) == '+')
			r->i++;
	}
	return node(r, REGEX_REFERENCE, at);
}

/* Behind the \. */
static struct regex_node *
escape(struct reader *r, size_t at)
{
	char c = peek(r, 0);
	struct regex_node *n = node(r, REGEX_SET, at);
	if (c >= '1' && c <= '9') {
		while (ascii_digit(peek(r, 0)))
			r->i++;
		return node(r, REGEX_REFERENCE, at);
	}
	if (c == 'g' || c == 'k')
		return reference(r, at);
	if (set_letter(&n->set, c)) {
		r->i++;
		return n;
	}
	if (c == 'p' || c == 'P' || (c == 'N' && peek(r, 1) == '{')) {
		r->i++;
		skip_braces(r);
		return any_of(r, at);
	}
	if (c == 'R' || c == 'X' || c == 'N' || c == 'C') {
		r->i++;
		return any_of(r, at);
	}
	if (c == 'b' || c == 'B' || c == 'A' || c == 'z' || c == 'Z' || c == 'G' || c == 'K' ||
		c == 'E') {
		r->i++;
		return node(r, REGEX_EMPTY, at);
	}
	return literal(r, escaped_code(r), at);
}

static struct regex_node *
joined(struct reader *r, struct regex_node *a, struct regex_node *b)
{
	if (a->kind == REGEX_EMPTY || b->kind == REGEX_EMPTY)
		return a->kind == REGEX_EMPTY ? b : a;
	struct regex_node *n = node(r, REGEX_CAT, a->at);
	n->a = a;
	n->b = b;
	return n;
}

static struct regex_node *
quoted(struct reader *r)
{
	struct regex_node *all = node(r, REGEX_EMPTY, r->i);
	while (r->i < r->s.n && !take(r, "\\E")) {
		unsigned char c = (unsigned char)peek(r, 0);
		all = joined(r, all, literal(r, c, r->i));
		r->i++;
	}
	return all;
}

static struct regex_node *
atom(struct reader *r)
{
	size_t at = r->i;
	unsigned char c = (unsigned char)peek(r, 0);
	r->i++;
	switch (c) {
	case '(': return group(r, at);
	case '[': return class(r, at);
	case '.': return any_of(r, at);
	case '^':
	case '$': return node(r, REGEX_EMPTY, at);
	case '\\':
		if (take(r, "Q"))
			return quoted(r);
		return escape(r, at);
	default: break;
	}
	while (c >= 0x80 && ((unsigned char)peek(r, 0) & 0xc0) == 0x80)
		r->i++; /* the rest of one character of UTF-8 */
	return literal(r, c, at);
}

/* "{n}", "{n,}", "{n,m}", as PCRE2 takes it; else it is text. */
static bool
braces(struct reader *r, uint32_t *least, uint32_t *most)
{
	size_t i = r->i + 1;
	uint32_t v[2] = {0, 0};
	unsigned digits[2] = {0, 0}, which = 0;
	for (; i < r->s.n && r->s.p[i] != '}'; i++) {
		if (r->s.p[i] == ',' && which == 0)
			which = 1;
		else if (ascii_digit(r->s.p[i]) && digits[which]++ < 6)
			v[which] = v[which] * 10 + (uint32_t)(r->s.p[i] - '0');
		else
			return false;
	}
	if (i >= r->s.n || digits[0] == 0)
		return false;
	*least = v[0];
	*most = which == 0 ? v[0] : digits[1] != 0 ? v[1] : UINT32_MAX;
	r->i = i + 1;
	return true;
}

static struct regex_node *
repeated(struct reader *r, struct regex_node *one)
{
	for (;;) {
		size_t at = r->i;
		uint32_t least = 0, most = UINT32_MAX;
		char c = peek(r, 0);
		if (c == '*' || c == '+' || c == '?') {
			r->i++;
			least = c == '+';
			most = c == '?' ? 1 : UINT32_MAX;
		} else if (c != '{' || !braces(r, &least, &most)) {
			return one;
		}
		struct regex_node *n = node(r, REGEX_REPEAT, at);
		n->a = one;
		n->least = least;
		n->most = most;
		n->possessive = take(r, "+");
		if (!n->possessive)
			(void)take(r, "?");
		one = n;
	}
}

static struct regex_node *
sequence(struct reader *r)
{
	struct regex_node *all = node(r, REGEX_EMPTY, r->i);
	while (r->i < r->s.n && peek(r, 0) != '|' && peek(r, 0) != ')' && r->why == NULL)
		all = joined(r, all, repeated(r, atom(r)));
	return all;
}

static struct regex_node *
alternatives(struct reader *r)
{
	struct regex_node *all = sequence(r);
	while (r->why == NULL && take(r, "|")) {
		struct regex_node *n = node(r, REGEX_ALT, all->at);
		n->a = all;
		n->b = sequence(r);
		all = n;
	}
	return all;
}

struct regex_node *
regex_tree(
	struct slice regex, bool nocase, struct arena *a, size_t *at_out, const char **why_out)
{
	struct reader r = {.s = regex, .nocase = nocase, .arena = a};
	struct regex_node *n = alternatives(&r);
	*why_out = r.why;
	*at_out = r.at;
	return r.why == NULL ? n : NULL;
}
