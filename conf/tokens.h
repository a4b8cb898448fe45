/*
 * The words of a configuration file. One token at a time, over text that is wholly in memory;
 * what is no token is reported here, where it stands, and comes as TOK_BAD.
 *
 * A newline ends a statement. It does not count behind a backslash, behind a comma, and where
 * the line ends or the next one begins with `and`, `or` or `then`.
 */
#ifndef CONF_TOKENS_H
#define CONF_TOKENS_H

#include "base/arena.h"
#include "conf/conf.h"

enum { STRING_MOST = 4096 };

enum token_kind {
	TOK_END,
	TOK_NEWLINE,
	TOK_BAD,
	TOK_WORD,   /* accept, recipient.domain */
	TOK_STRING, /* "..." with \" and \\: text is what it means */
	TOK_NUMBER, /* 12, 0.99, 25M, 10s */
	TOK_RATE,   /* 200/hour */
	TOK_PER,    /* recipients/hour: text is all of it */
	TOK_NET,    /* 10.0.0.0/8, 2001:db8::1 */
	TOK_REGEX,  /* /.../flags: text and flags */
	TOK_OPEN,
	TOK_CLOSE,
	TOK_LEFT,
	TOK_RIGHT,
	TOK_COMMA,
	TOK_LT,
	TOK_LE,
	TOK_GT,
	TOK_GE,
};

struct token {
	enum token_kind kind;
	struct conf_at at;
	struct slice raw; /* as written */
	struct slice text, flags;
	double number;    /* sizes in bytes, durations in ms */
	char unit;        /* 0 plain, 's' size, 'd' duration */
	uint64_t span_ms; /* RATE; 0: a week or a month */
	bool first;       /* of its line */
};

struct tokens {
	struct arena *arena; /* what strings mean lives here */
	struct conf_report *report;
	const char *file;
	struct slice text;
	size_t at, line_start;
	unsigned line;
	bool begun;    /* a token of this line has been given */
	bool open_end; /* the last one joins what follows: and, or, then, a comma */
};

void tokens_init(struct tokens *t, struct arena *a, struct conf_report *r, const char *file,
	struct slice text);
void tokens_next(struct tokens *t, struct token *out);
/* `"recieve"`, "the end of the line", as it stands behind "found" in an error. */
struct slice token_describe(const struct token *tok, struct arena *a);

#endif
