/*
 * The bytes of a mail as they leave: pieces in order, in memory or in a spill file, nothing
 * copied. What was added in front and what was cut out of the header are pieces like any other,
 * so that all else is what came in, byte for byte (MIM-09). CRLF lines; dots are stuffed later
 * (smtp/dot.h).
 */
#ifndef RELAY_BODY_H
#define RELAY_BODY_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum { RELAY_PARTS_MOST = 512 };

struct relay_part {
	struct slice bytes; /* in memory; or, where fd is not -1, */
	int fd;             /* a file of the caller's, read with pread, never moved or closed */
	uint64_t offset;
	uint64_t length; /* of this part, in memory or file */
};

struct relay_body {
	struct relay_part *parts;
	size_t n, room;
	uint64_t bytes;      /* all parts together */
	struct arena *arena; /* the parts live here; the bytes are borrowed */
};

void relay_body_init(struct relay_body *b, struct arena *a);
/* -1: RELAY_PARTS_MOST parts are there already. */
int relay_body_add(struct relay_body *b, struct slice bytes);
int relay_body_add_file(struct relay_body *b, int fd, uint64_t offset, uint64_t length);
/* All parts of another body behind what is in it now. */
int relay_body_add_all(struct relay_body *b, const struct relay_body *other);
/* Takes out `length` bytes at `offset` of what is in it now: cut from the back to the front,
 * then put lines in front. -1: too many parts. */
int relay_body_cut(struct relay_body *b, uint64_t offset, uint64_t length);
int relay_body_prefix(struct relay_body *b, struct slice bytes);
/* Puts bytes at `offset`, between what is in it now. -1: too many parts. */
int relay_body_insert(struct relay_body *b, uint64_t offset, struct slice bytes);

/* Where a reader stands; several may read one body. */
struct relay_reader {
	const struct relay_body *body;
	size_t part;
	uint64_t at; /* in that part */
};

void relay_reader_init(struct relay_reader *r, const struct relay_body *b);
/*
 * The next piece, at most `most` bytes: a slice of memory, or read from the file into scratch
 * (whose content it replaces). Empty: the end. -1 and err: the file cannot be read, or is
 * shorter than said.
 */
int relay_reader_next(struct relay_reader *r, size_t most, struct buf *scratch,
	struct slice *piece_out, struct err *err);

#endif
