/*
 * What one MTA tells another of the client that it serves: XCLIENT (the client is that one, for
 * the rest of the session) and XFORWARD (this mail came from that one), as Postfix speaks them
 * (EXT-09). Who may say so is the driver's affair: such a peer can be anybody.
 *
 *   XCLIENT NAME=mail.example ADDR=IPV6:2001:db8::25 PORT=40000 HELO=mail.example LOGIN=alice
 *
 * A value is xtext (RFC 3461 4); [UNAVAILABLE] and [TEMPUNAVAIL] stand for one that is not
 * known. A client chose its own HELO, and a mail must not fail because of what the peer made of
 * it: in NAME, HELO and IDENT a byte that has no place in a header becomes '?', and what stands
 * behind 255 bytes is cut. LOGIN is who he is: there the command is refused.
 */
#ifndef SMTP_XCLIENT_H
#define SMTP_XCLIENT_H

#include "base/buf.h"
#include "base/ip.h"

enum {
	XCLIENT_NAME = 1 << 0,
	XCLIENT_ADDR = 1 << 1,
	XCLIENT_PORT = 1 << 2,
	XCLIENT_PROTO = 1 << 3,
	XCLIENT_HELO = 1 << 4,
	XCLIENT_LOGIN = 1 << 5,
	XCLIENT_DESTADDR = 1 << 6,
	XCLIENT_DESTPORT = 1 << 7,
	XCLIENT_IDENT = 1 << 8,
	XCLIENT_SOURCE = 1 << 9,
	XCLIENT_ALL = 0x0ff,  /* of XCLIENT */
	XFORWARD_ALL = 0x31f, /* of XFORWARD */
};
enum {
	XCLIENT_WORD_MOST = 255,
	/* The longest command that is written: three words, each byte of them encoded. */
	XCLIENT_LINE_MOST = 3 * 3 * XCLIENT_WORD_MOST + 300,
};

struct xclient_word {
	uint8_t n;
	char text[XCLIENT_WORD_MOST];
};

/* A value: it points to nothing. */
struct xclient {
	unsigned given; /* attributes that were told of */
	unsigned known; /* those of them that have a value */
	unsigned later; /* ... and those that may have one later: [TEMPUNAVAIL] */
	struct ip addr, dest;
	uint16_t port, dest_port;
	bool esmtp; /* PROTO */
	bool local; /* SOURCE */
	struct xclient_word name, helo, login, ident;
};

static inline struct slice
xclient_slice(const struct xclient_word *w)
{
	return (struct slice){w->text, w->n};
}

/* args: what stands behind the verb. NULL, or the reply that refuses: "501 5.5.4 ...". */
const char *xclient_parse(struct slice args, bool forward, struct xclient *x_out);
/* What a later command tells replaces what was told. */
void xclient_add(struct xclient *x, const struct xclient *later);
/* Sets NAME, HELO, LOGIN or IDENT, by the rules above; empty, or a LOGIN that cannot be: not
 * known. */
void xclient_set(struct xclient *x, unsigned attribute, struct slice value);
/*
 * "VERB NAME=... ADDR=..." with those of the attributes that were told of; the line's end is
 * the caller's. False: there is none, nothing was written. out has room for XCLIENT_LINE_MOST
 * (must): at most three words in one line.
 */
bool
xclient_write(const struct xclient *x, const char *verb, unsigned attributes, struct buf *out);
/* EHLO: "NAME ADDR PORT ..." as attributes and back; names that we do not know are passed over.
 */
void xclient_names_write(unsigned attributes, struct buf *out);
unsigned xclient_names(struct slice words);

#endif
