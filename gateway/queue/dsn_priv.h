/*
 * Within the making of a DSN: its three parts, and how bytes of strangers (replies, addresses,
 * the header of the original) are written so that they never break a line, a field or a part.
 */
#ifndef QUEUE_DSN_PRIV_H
#define QUEUE_DSN_PRIV_H

#include "base/buf.h"
#include "queue/dsn.h"

enum {
	DSN_COLUMNS = 76,
	DSN_ADDRESS_MOST = 512, /* bytes that are written of an address */
	DSN_HOST_MOST = 253,
};

/* What each part has in common: the input, and whether UTF-8 may be written. */
struct dsn_context {
	const struct dsn_input *in;
	struct arena *arena;
	bool utf8;
	bool returns;     /* there is a third part, */
	bool returns_all; /* and it is the mail, not only its header */
};

/* ---- dsn_words.c ---- */

bool dsn_is_ascii(struct slice s); /* 7 bits; controls are counted in */
/* Bytes of the UTF-8 character at the front; 0: there is none. */
size_t dsn_utf8_length(struct slice s);
/* The buffers have room for all that can come: a full one is our fault. */
void dsn_put(struct buf *b, struct slice s);
void dsn_put_text(struct buf *b, const char *text);
/* In one line, cut; '?' for controls, for what turns the writing direction, and for 8-bit bytes
 * that are no UTF-8 or where utf8 is false. */
void dsn_put_clean(struct buf *b, struct slice s, size_t most, bool utf8);
/*
 * Words, cleaned, behind `column` bytes of the line; where one would pass DSN_COLUMNS a line
 * begins with `indent`. Any white space is one space. No CRLF at the end.
 */
void dsn_put_words(struct buf *b, struct slice s, size_t column, const char *indent, bool utf8);
/* " 550 5.1.1", or nothing. */
void dsn_put_codes(struct buf *b, const struct smtp_reply *r);
void dsn_put_date(struct buf *b, uint64_t wall_ms);
/* RFC 2045 6.7, for text with CRLF; all other bytes pass too, as "=XX". */
void dsn_put_quoted_printable(struct buf *b, struct slice s);
/*
 * RFC 3461 4: "+XX"; utf8: RFC 6533 3 too, "\x{XX}". What is none of them stays. Cut to the
 * room.
 */
struct slice dsn_decode_xtext(struct slice s, bool utf8, char room[DSN_ADDRESS_MOST]);
/* "type;xtext" as ORCPT gives it. False: there is none. */
bool dsn_original_recipient(struct slice orcpt, bool utf8, char room[DSN_ADDRESS_MOST],
	struct slice *type_out, struct slice *address_out);

/* ---- the parts ---- */

void dsn_put_people(struct buf *b, const struct dsn_context *c); /* text/plain */
void dsn_put_status(struct buf *b, const struct dsn_context *c); /* message/delivery-status */

#endif
