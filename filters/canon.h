/*
 * Canonicalisation (RFC 6376 3.4), streaming, for verifying, signing and ARC. The input may
 * come in any pieces: the output is the same. Output goes to a sink in runs as long as can be
 * had, for what stands behind it is a hash. No allocation, no failure.
 */
#ifndef FILTERS_CANON_H
#define FILTERS_CANON_H

#include "base/slice.h"

/* Takes the canonical bytes; the slice is valid during the call. */
typedef void canon_sink(void *arg, struct slice bytes);

enum { CANON_OUT_BYTES = 2048 };

/* Small pieces are gathered here, so that a sink is not called for each blank. */
struct canon_out {
	canon_sink *sink;
	void *arg;
	size_t n;
	char bytes[CANON_OUT_BYTES];
};

/*
 * One body. Both forms end in exactly one CRLF, but for the relaxed form of a body of blank
 * lines, which is empty. Bare CR and bare LF are data, not line ends.
 */
struct canon_body {
	bool relaxed;
	bool in_line;   /* the line at hand has bytes that were given out */
	bool cr, blank; /* seen last and not given out: it depends on what follows */
	uint64_t lines; /* line ends not given out, for they may be the trailing ones */
	uint64_t left;  /* what l= still lets through */
	uint64_t total; /* canonical bytes there were, let through or not */
	struct canon_out out;
};

/* limit: l=, or UINT64_MAX. */
void canon_body_init(
	struct canon_body *c, bool relaxed, uint64_t limit, canon_sink *sink, void *arg);
void canon_body_feed(struct canon_body *c, struct slice piece);
/* Once, after the last piece: total is the length of the canonical body from here on. */
void canon_body_end(struct canon_body *c);

/* One header field: begin with its name, feed what stands behind the colon, end. */
struct canon_field {
	bool relaxed;
	bool begun, blank; /* relaxed: something was given out; blanks since */
	struct canon_out *out;
};

void canon_out_init(struct canon_out *out, canon_sink *sink, void *arg);
void canon_out_flush(struct canon_out *out);
/* The final CRLF of a field is not fed: canon_field_end gives it out where crlf is said. */
void canon_field_begin(
	struct canon_field *c, bool relaxed, struct canon_out *out, struct slice name);
void canon_field_feed(struct canon_field *c, struct slice piece);
void canon_field_end(struct canon_field *c, bool crlf);

#endif
