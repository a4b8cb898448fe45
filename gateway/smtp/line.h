/*
 * Lines of commands (SRV-02, SMG-01): they end in CRLF and in nothing else. A bare CR, a bare
 * LF, a NUL or too many bytes are told once, where they are met; then the rest of the line, up
 * to its CRLF, is passed over without a word. What comes out does not depend on how the input
 * was cut.
 */
#ifndef SMTP_LINE_H
#define SMTP_LINE_H

#include "base/buf.h"
#include "base/slice.h"

enum { LINE_BYTES_MOST = 12288 }; /* with CRLF: RFC 4954 4 */

enum line_result {
	LINE_MORE, /* no line is complete */
	LINE_WHOLE,
	LINE_BARE, /* a bare CR, a bare LF or a NUL */
	LINE_LONG,
	LINE_BARE_AGAIN, /* a bare LF in a line that was told already: a peer that ends lines so
			  */
};

struct line_reader {
	struct buf held; /* of a line that came in pieces */
	bool handed_out; /* held was a line: dropped at the next feed */
	bool skipping;
	bool after_cr; /* while skipping */
};

void line_reader_init(struct line_reader *r);
void line_reader_fini(struct line_reader *r);
/*
 * Takes bytes from the front of in, up to the end of one line or the first fault; returns how
 * many. *line_out (LINE_WHOLE: without CRLF) is valid until the next feed and as long as in.
 */
size_t line_reader_feed(struct line_reader *r, struct slice in, enum line_result *result_out,
	struct slice *line_out);
/* Nothing of a line has come. */
bool line_reader_is_empty(const struct line_reader *r);

#endif
