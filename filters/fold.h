/*
 * Writes a header field, folded at 78 columns between tokens (RFC 5322 2.1.1, 2.2.3); a tab at
 * the front of a line counts for eight. A token longer than a line stands on one of its own.
 */
#ifndef FILTERS_FOLD_H
#define FILTERS_FOLD_H

#include "base/buf.h"

enum { FOLD_COLUMNS = 78, FOLD_TAB_COLUMNS = 8 };

struct fold {
	struct buf text; /* its maximum bounds the field; beyond it is our bug (must) */
	size_t column;
};

/* start: "Name:", or what was written before, to be gone on with. */
void fold_init(struct fold *f, size_t bytes_most, struct slice start);
void fold_fini(struct fold *f);
void fold_line(struct fold *f); /* a new line here */
/* blank: a space stands before the token unless a line begins with it. */
void fold_add(struct fold *f, bool blank, struct slice token);
/* Text that may be cut anywhere: base64. */
void fold_add_cut(struct fold *f, struct slice text);

#endif
