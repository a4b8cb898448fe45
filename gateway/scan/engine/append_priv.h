/* Shared by the files of `append`; nobody else includes it. */
#ifndef ENGINE_APPEND_PRIV_H
#define ENGINE_APPEND_PRIV_H

#include "engine/append.h"

enum append_encoding { AS_IT_IS_7BIT, AS_IT_IS_8BIT, AS_QUOTED_PRINTABLE, AS_BASE64 };

enum { BODY_BYTES_MOST = 8 * 1024 * 1024 };

/* A part that gets a text. Offsets are of the mail. */
struct append_body {
	bool html, top;     /* top: its fields are the mail's */
	uint64_t at, bytes; /* of its content, encoded */
	struct slice raw;   /* those bytes */
	enum append_encoding encoding;
	const char *charset; /* as written; NULL: none */
	bool flowed;
	struct slice type_params; /* ";\r\n\tname=value" of all but charset; for a new field */
	bool params_bad;          /* one cannot be written anew */
	/* fields of the part: 0 bytes where there is none */
	uint64_t type_at, type_bytes, encoding_at, encoding_bytes;
	bool has_version; /* top: MIME-Version */
	struct slice decoded;
};

/* --- append_find.c: NULL, or why the mail gets no text. bodies_out: one or two. */
const char *append_find(struct slice mail, struct arena *a, struct append_body bodies_out[2],
	size_t *n_out, unsigned *parts_out);

/* --- append_code.c: encodings, and where in them a byte stands. False: malformed. */
bool append_decode(
	enum append_encoding e, struct slice raw, struct arena *a, struct slice *decoded_out);
/*
 * What to cut at which offset of raw, and to put there, so that `insert` stands before byte
 * `where` of what is decoded.
 */
bool append_insert(enum append_encoding e, struct slice raw, struct slice decoded, size_t where,
	struct slice insert, struct arena *a, struct append_splice *splice_out);
struct slice append_quoted_printable(struct slice s, struct arena *a);
struct slice append_base64_lines(struct slice s, size_t column, struct arena *a);
/* From charset to charset, every character or none. */
bool append_convert(
	const char *from, const char *to, struct slice s, struct arena *a, struct slice *out);
bool append_is_ascii(struct slice s);

/* --- append_text.c: what a text becomes in this part. NULL: put into plan; else why not. */
const char *append_text(struct append_body *b, struct slice text, struct arena *a,
	struct append_plan *plan, struct slice *expect_out);
const char *append_html(struct append_body *b, struct slice html, struct arena *a,
	struct append_plan *plan, struct slice *expect_out);

#endif
