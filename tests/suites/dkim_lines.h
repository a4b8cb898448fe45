/*
 * What dkim_ours and dkim_theirs have in common: commands on the standard input, each a line of
 * words, the last of which is the length of the bytes that follow it.
 *
 *   zone N            "NAME text" lines: the DNS from here on
 *   key N             a private key in PEM
 *   sign ALGORITHM HEADER BODY LENGTH DOMAIN SELECTOR N    a mail; answered by "M" and M bytes:
 * the field verify N          a mail; answered by one line, a word a signature
 */
#ifndef DKIM_LINES_H
#define DKIM_LINES_H

#include <stddef.h>

enum { LINES_WORDS_MOST = 8 };

struct lines {
	char *word[LINES_WORDS_MOST];
	size_t n;
	char *bytes; /* with a NUL behind them */
	size_t bytes_n;
	char line[1024];
	struct {
		char *name, *text;
	} zone[512];
	size_t n_zone;
	char *zone_bytes;
};

/* 1: a command; 0: the end. Ends the process on what is no command. `zone` is dealt with here.
 */
int lines_next(struct lines *l);
const char *lines_zone(const struct lines *l, const char *name, size_t name_n); /* or NULL */
void lines_fini(struct lines *l);

#endif
