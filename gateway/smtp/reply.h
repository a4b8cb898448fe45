/*
 * Replies (RFC 5321 4.2, 2034, 3463), both ways: those that we give, and those that we read.
 * Texts are printable ASCII (UTF-8 only where the session has SMTPUTF8); whoever sets one from
 * outside words goes through smtp_reply_text, which replaces every other byte by '?' (SMG-08).
 */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"

enum {
	SMTP_REPLY_LINES_MOST = 64,
	SMTP_REPLY_LINE_BYTES = 512,
	SMTP_REPLY_BYTES_MOST = 16 * 1024
};

struct smtp_reply {
	int code;             /* 200 to 599; 0: none */
	uint16_t enhanced[3]; /* class, subject, detail, each up to 999 (RFC 3463 2) */
	bool has_enhanced;
	struct slice text; /* lines joined by '\n', without codes */
};

/* From words of ours: "550 5.7.1 text"; must() be well formed with equal classes (EXT-02). */
struct smtp_reply smtp_reply_of(const char *text);
/* The same from outside (a configuration's `with`): false where it is not a reply of its class.
 */
bool smtp_reply_parse_text(struct slice text, struct smtp_reply *r_out);
/* With other words: "%.*s" of outside text is cleaned and cut; the text lives in the arena. */
struct smtp_reply smtp_reply_text(struct smtp_reply r, struct slice text, struct arena *a);
/*
 * Lines on the wire, with CRLF, each at most 512 bytes (longer ones go on in the next), 64 at
 * most; enhanced codes on every line; control characters become '?'. -1: out is full, nothing
 * was added.
 */
int smtp_reply_write(const struct smtp_reply *r, struct buf *out);
/* "550 5.7.1 text" in one line, for logs and for handing on. */
struct slice smtp_reply_line(const struct smtp_reply *r, struct arena *a);
static inline int
smtp_reply_class(const struct smtp_reply *r)
{
	return r->code / 100;
}

/*
 * Reads one reply from the front of in: 1 more bytes are needed, 0 done (*taken_out bytes), -1
 * not a reply (wrong code, lines with different codes, too long, bare CR or LF, NUL): the
 * connection is of no use any more. Enhanced codes are taken only where their class is the
 * code's. The text is cleaned as by smtp_reply_text and lives in the arena (room for
 * SMTP_REPLY_BYTES_MOST is needed).
 */
int
smtp_reply_read(struct slice in, struct arena *a, struct smtp_reply *r_out, size_t *taken_out);

#endif
