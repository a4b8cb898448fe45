/*
 * The data of a mail on the wire (RFC 5321 4.5.2; SRV-01, SMG-01 to SMG-06): the reader that
 * finds its end, and the writer that makes it. The end is CRLF.CRLF and nothing else (the CRLF
 * in front may be that of the DATA command). Neither keeps memory of how earlier lines ended.
 */
#ifndef SMTP_DOT_H
#define SMTP_DOT_H

#include "base/buf.h"
#include "base/slice.h"
#include "smtp/reply.h"

enum dot_fault {
	DOT_CLEAN = 0,
	DOT_BARE_CR = 1,
	DOT_BARE_LF = 2,
	DOT_NUL = 4,
	DOT_LONG_LINE = 8,
	DOT_TOO_LARGE = 16,
};

struct dot_reader {
	uint8_t state;
	unsigned faults;  /* of the whole mail so far, bits of enum dot_fault */
	size_t line;      /* bytes in the line so far */
	size_t line_most; /* without CRLF */
	uint64_t bytes;   /* unstuffed, so far */
	uint64_t bytes_most;
	bool plain; /* dots mean nothing, the end is told: dot_reader_end */
	bool ended;
};

void dot_reader_init(struct dot_reader *r, size_t line_most, uint64_t bytes_most);
/*
 * Takes bytes from the front of in; *data_out is a piece of them that belongs to the mail (may
 * be empty). Returns the bytes taken; with r->ended set, what follows is not of this mail. Call
 * again until in is empty. Once a fault is set no more data comes out, but the end is still
 * found.
 */
size_t dot_reader_feed(struct dot_reader *r, struct slice in, struct slice *data_out);

/* Of plain text, from elsewhere than SMTP: nothing more comes. A last line may be without CRLF.
 */
void dot_reader_end(struct dot_reader *r);
/* SRV-01, SRV-05: the refusal for what was wrong (faults not 0), once for the whole mail. */
struct smtp_reply dot_refusal(unsigned faults);

struct dot_writer {
	bool line_start;
	bool after_cr;
	bool clean; /* false: bare CR, LF or NUL was given: nothing more is written */
};

void dot_writer_init(struct dot_writer *w);
/* Stuffs and appends; -1 where out is full (nothing was taken), or the data is not clean. */
int dot_writer_add(struct dot_writer *w, struct slice data, struct buf *out);
int dot_writer_end(struct dot_writer *w, struct buf *out); /* [CRLF] . CRLF */

#endif
