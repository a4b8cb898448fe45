/*
 * Wildcards without exponential time; see glob.h. Used by tests of rules on names and
 * addresses, where both the pattern and the text can be long.
 */
#include "conf/glob.h"

#include <string.h>

/* Wildcards are kept as bytes that no UTF-8 text holds. */
enum { ANY_BYTES = 0xff, ANY_ONE = 0xfe };

struct glob {
	struct slice ways[GLOB_WAYS_MOST];
	size_t n;
};

/* One way to read the pattern while braces are expanded. */
struct expansion {
	struct glob *glob;
	struct arena *arena;
	const char *why;
};

static struct slice
join(struct arena *a, struct slice head, struct slice middle, struct slice tail)
{
	char *text = arena_alloc(a, head.n + middle.n + tail.n + 1);
	size_t n = 0;
	struct slice parts[] = {head, middle, tail};
	for (size_t i = 0; i < 3; i++) {
		if (parts[i].n != 0)
			memcpy(text + n, parts[i].p, parts[i].n);
		n += parts[i].n;
	}
	return (struct slice){text, n};
}

/* Where the brace opened at `open` closes, or s.n. */
static size_t
brace_end(struct slice s, size_t open)
{
	unsigned depth = 0;
	for (size_t i = open; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '{')
			depth++;
		else if (s.p[i] == '}' && --depth == 0)
			return i;
	}
	return s.n;
}

static size_t
brace_start(struct slice s)
{
	size_t i = 0;
	for (; i < s.n && s.p[i] != '{'; i++)
		if (s.p[i] == '\\')
			i++;
	return i < s.n ? i : s.n;
}

/* A way without braces: escapes and wildcards become single bytes. */
static void
add_way(struct expansion *e, struct slice s)
{
	if (e->glob->n == GLOB_WAYS_MOST) {
		e->why = "its braces stand for more than 256 names";
		return;
	}
	char *way = arena_alloc(e->arena, s.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c == '\\' && i + 1 < s.n)
			way[n++] = ascii_lower(s.p[++i]);
		else if (c == '*')
			way[n++] = (char)ANY_BYTES;
		else if (c == '?')
			way[n++] = (char)ANY_ONE;
		else
			way[n++] = ascii_lower(c);
	}
	e->glob->ways[e->glob->n++] = (struct slice){way, n};
}

static void
expand(struct expansion *e, struct slice s, unsigned depth)
{
	size_t open = brace_start(s);
	if (open == s.n) {
		add_way(e, s);
		return;
	}
	size_t close = brace_end(s, open);
	if (close == s.n || depth == 16) {
		e->why = close == s.n ? "a `{` is not closed" : "its braces are too many";
		return;
	}
	struct slice head = slice_first(s, open), tail = slice_from(s, close + 1);
	size_t from = open + 1;
	unsigned nested = 0;
	for (size_t i = from; i <= close && e->why == NULL; i++) {
		if (s.p[i] == '\\') {
			i++;
			continue;
		}
		if (nested == 0 && (s.p[i] == ',' || i == close)) {
			struct slice one = {s.p + from, i - from};
			expand(e, join(e->arena, head, one, tail), depth + 1);
			from = i + 1;
		} else if (s.p[i] == '{') {
			nested++;
		} else if (s.p[i] == '}') {
			nested--;
		}
	}
}

struct glob *
glob_compile(struct slice pattern, struct arena *a, const char **why_out)
{
	struct expansion e = {ARENA_NEW(a, struct glob), a, NULL};
	if (pattern.n > GLOB_BYTES_MOST)
		e.why = "it is longer than 1000 bytes";
	else if (slice_has(pattern, (char)ANY_BYTES) || slice_has(pattern, (char)ANY_ONE))
		e.why = "it is not UTF-8";
	else
		expand(&e, pattern, 0);
	*why_out = e.why;
	return e.why == NULL ? e.glob : NULL;
}

static size_t
character_bytes(struct slice text, size_t at)
{
	size_t n = 1;
	while (at + n < text.n && n < 4 && ((unsigned char)text.p[at + n] & 0xc0) == 0x80)
		n++;
	return n;
}

/* Only the last `*` is ever tried again: an earlier one could not match more (greedy halves).
 */
static bool
way_match(struct slice way, struct slice text)
{
	size_t w = 0, t = 0, star = way.n, retry = 0;
	while (t < text.n) {
		unsigned char c = w < way.n ? (unsigned char)way.p[w] : 0;
		if (w < way.n && c == ANY_BYTES) {
			star = w++;
			retry = t;
		} else if (w < way.n && c == ANY_ONE) {
			w++;
			t += character_bytes(text, t);
		} else if (w < way.n && way.p[w] == ascii_lower(text.p[t])) {
			w++;
			t++;
		} else if (star < way.n) {
			w = star + 1;
			t = ++retry;
		} else {
			return false;
		}
	}
	while (w < way.n && (unsigned char)way.p[w] == ANY_BYTES)
		w++;
	return w == way.n;
}

bool
glob_match(const struct glob *g, struct slice text)
{
	for (size_t i = 0; i < g->n; i++)
		if (way_match(g->ways[i], text))
			return true;
	return false;
}

bool
glob_same(const struct glob *a, const struct glob *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!slice_eq(a->ways[i], b->ways[i]))
			return false;
	return true;
}
