/*
 * A slice borrows bytes: it never owns them and is never kept beyond the arena or buffer that
 * it points into. It may hold any byte, NUL too. p may be NULL where n is 0.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slice {
	const char *p;
	size_t n;
};

#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})
#define SLICE_NONE     ((struct slice){NULL, 0})
/* For printf: printf("%.*s", SLICE_ARG(s)); only for what has no NUL. */
#define SLICE_ARG(s) (int)(s).n, ((s).n != 0 ? (s).p : "")

struct slice slice_of(const char *text); /* up to its NUL; NULL gives empty */
bool slice_eq(struct slice a, struct slice b);
bool slice_eq_nocase(struct slice a, struct slice b); /* ASCII case only */
int slice_cmp(struct slice a, struct slice b);        /* by bytes, as memcmp then length */
bool slice_starts(struct slice s, struct slice prefix);
bool slice_starts_nocase(struct slice s, struct slice prefix);
bool slice_ends(struct slice s, struct slice suffix);
bool slice_ends_nocase(struct slice s, struct slice suffix);
struct slice slice_first(struct slice s, size_t n); /* at most n bytes from the front */
struct slice slice_from(struct slice s, size_t at); /* what follows the first `at` bytes */
struct slice slice_trim(struct slice s);            /* SP, HTAB, CR, LF off both ends */
/* Where c stands, or s.n. */
size_t slice_find(struct slice s, char c);
size_t slice_find_last(struct slice s, char c);
/* Where needle begins, or s.n; an empty needle is found at 0. */
size_t slice_find_slice(struct slice s, struct slice needle);
bool slice_has(struct slice s, char c);
/*
 * Cuts at the first c: *head_out is what stands before it, *rest_out what stands after. Without
 * c the head is all, the rest empty, and false is returned. in and the outs may be the same
 * object.
 */
bool slice_cut(struct slice in, char c, struct slice *head_out, struct slice *rest_out);
/* Decimal digits only, no sign, no space; false on anything else or on overflow. */
bool slice_u64(struct slice s, uint64_t *value_out);
uint64_t slice_hash(struct slice s); /* keyed once per process: safe for maps */
uint64_t slice_hash_nocase(struct slice s);

/* ASCII, whatever the locale. */
static inline bool
ascii_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool
ascii_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline char
ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* 0 to 15, or -1. */
static inline int
ascii_hex(char c)
{
	if (ascii_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif
