/*
 * The rules of failures in memory: failure_parse.c makes them, failure.c asks them. Patterns
 * are in lower case with single spaces, as the words are that they are looked for in. All of a
 * file lives in the arena of its set.
 */
#ifndef DELIVERY_FAILURE_PRIV_H
#define DELIVERY_FAILURE_PRIV_H

#include "delivery/failure.h"

enum {
	FAILURE_FILE_MOST = 256 * 1024,
	FAILURE_LINE_MOST = 1000,
	FAILURE_RULES_MOST = 2000, /* of one file */
	FAILURE_SETS_MOST = 16,    /* files */
	FAILURE_ANY_OF_MOST = 128, /* alternatives of a clause */
	FAILURE_CLAUSES_MOST = 8,  /* of words, of one rule */
	FAILURE_WORDS_MOST = 2048  /* bytes that are looked at */
};

struct failure_any_of {
	const struct slice *p;
	size_t n; /* 0: the rule does not ask */
};

struct failure_words {
	struct failure_any_of any;
	bool but; /* none of them may stand there */
};

struct failure_enhanced {
	uint16_t least[3], most[3]; /* all 0: "none", where the reply has no enhanced code */
};

enum failure_lasts { LASTS_BY_CODE, LASTS_PERMANENT, LASTS_TEMPORARY };

struct failure_rule {
	const char *name;
	unsigned phases;             /* 1u << phase; 0: any */
	struct failure_any_of codes; /* three digits, 'x' is any */
	const struct failure_enhanced *enhanced;
	size_t n_enhanced;
	struct failure_any_of hosts;
	const struct failure_words *words;
	size_t n_words;
	enum failure_class class;
	enum failure_lasts lasts;
};

/* The rules of one file. */
struct failure_set {
	struct arena *arena;
	struct failure_rule *rules;
	size_t n;
	struct failure_set *next;
};

struct failure_rules {
	struct failure_set *first;
	size_t n_sets;
};

struct failure_set *failure_set_parse(struct slice text, const char *name, struct err *err);
void failure_set_free(struct failure_set **set);

/*
 * Words as the rules see them, into `room` bytes at out: lower case, one space for each run of
 * blanks and line ends, '@' for a mail address (what somebody calls a mailbox says nothing),
 * '%' for an IP address.
 */
struct slice failure_clean(struct slice words, char *out, size_t room);
/*
 * Clean words without URLs and names of hosts ('~' for each), in at most words.n bytes: that a
 * server is called spam.example.com says nothing. Alternatives that begin with '*' see them.
 */
struct slice failure_without_names(struct slice words, char *out);
/* The leftmost place of each piece between the stars is enough: no way back is needed. */
bool failure_words_fit(struct slice pattern, struct slice words);
bool failure_host_fits(struct slice pattern, struct slice host); /* both in lower case */
static inline bool
failure_in_a_word(char c)
{
	return ascii_alpha(c) || ascii_digit(c);
}

/* gateway/delivery/failure.rules, by contrib/cmake/PosternTargets.cmake. */
extern const char failure_builtin[];
extern const size_t failure_builtin_bytes;

#endif
