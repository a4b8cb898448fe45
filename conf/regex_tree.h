/*
 * A regular expression of PCRE2 as a tree of what matters for its cost: sets of characters, one
 * after the other, alternatives, repeats. What matches no character (anchors, comments, flags)
 * is left away.
 */
#ifndef CONF_REGEX_TREE_H
#define CONF_REGEX_TREE_H

#include <stdint.h>

#include "base/arena.h"

/* Each of ASCII, and all others as one. */
struct regex_set {
	uint64_t bits[3];
};

enum regex_kind {
	REGEX_EMPTY,
	REGEX_SET,
	REGEX_CAT,       /* a, b */
	REGEX_ALT,       /* a, b */
	REGEX_REPEAT,    /* of a, least to most times; UINT32_MAX: without a bound */
	REGEX_ATOMIC,    /* a: no way back into it */
	REGEX_LOOK,      /* a: looks around, takes nothing */
	REGEX_REFERENCE, /* what a group has matched, again */
};

struct regex_node {
	enum regex_kind kind;
	size_t at; /* in the expression */
	struct regex_set set;
	uint32_t least, most;
	bool possessive;
	struct regex_node *a, *b;
};

/* NULL: what is written at *at_out is refused, *why_out says why. */
struct regex_node *regex_tree(
	struct slice regex, bool nocase, struct arena *a, size_t *at_out, const char **why_out);

#endif
