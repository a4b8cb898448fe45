/*
 * Tag lists (RFC 6376 3.2): "v=1; a=rsa-sha256; ...", as in DKIM signatures and keys, DMARC
 * records and ARC. One strict parser for all of them. Everything borrows from the input;
 * nothing allocates.
 */
#ifndef FILTERS_TAG_H
#define FILTERS_TAG_H

#include "base/slice.h"

enum {
	TAG_COUNT_MOST = 32,
	TAG_LIST_BYTES_MOST = 32 * 1024, /* a tag list longer than this is not read */
};

struct tag {
	struct slice name;
	struct slice
		value; /* blanks and folds off both ends, those inside kept; may be empty */
	struct slice
		gap; /* all between '=' and ';': value with its blanks, what b= is emptied of */
};

struct tags {
	struct tag tag[TAG_COUNT_MOST];
	size_t n;
};

enum tag_step { TAG_STEP_END, TAG_STEP_TAG, TAG_STEP_BAD };

enum tag_error {
	TAG_OK,
	TAG_SYNTAX,    /* a name or '=' missing, a byte that may not stand in a value */
	TAG_DUPLICATE, /* a name twice: the whole list is invalid (3.2) */
	TAG_TOO_LONG,  /* more than TAG_COUNT_MOST tags or TAG_LIST_BYTES_MOST bytes */
};

/*
 * Takes one tag off the front of *rest, with its ';'. TAG_STEP_BAD: what stood there is no tag;
 * *rest is behind it, so that a reader who must pass over what is malformed (DMARC) can go on.
 * Names compare with case. 8-bit bytes are allowed in values only where utf8 is said (RFC
 * 8616).
 */
enum tag_step tag_next(struct slice *rest, bool utf8, struct tag *tag_out);

/* The whole list, strictly; an empty list is a syntax error, one final ';' is not. */
enum tag_error tags_parse(struct slice in, bool utf8, struct tags *tags_out);
/* NULL: not there. */
const struct tag *tags_find(const struct tags *t, const char *name);
/*
 * Takes the next item off a list inside a value ("a : b : c"), blanks and folds off both ends;
 * false at the end. Empty items are given out: it is for the caller to say whether they may be.
 */
bool tag_list_next(struct slice *rest, char separator, struct slice *item_out);

#endif
