/*
 * Looking into one mail: what a part or a member of an archive is by its content, what is
 * inside of it, and the text that patterns are matched over. One struct look goes through a
 * whole mail and carries the bounds (MIM-06): what is beyond one is told in the report, never
 * passed over.
 */
#ifndef ENGINE_LOOK_H
#define ENGINE_LOOK_H

#include "base/arena.h"
#include "base/scan_report.h"
#include "engine/patterns.h"

enum {
	LOOK_DEPTH_MOST = 10,                /* archives, documents and mails in one another */
	LOOK_FILES_MOST = 10000,             /* members, of all archives of a mail */
	LOOK_FILE_BYTES = 100 * 1024 * 1024, /* of one member, unpacked */
	LOOK_BYTES_MOST = 400 * 1024 * 1024, /* of all members */
	LOOK_TEXT_MOST = 16 * 1024 * 1024,   /* of text, of a whole mail */
	LOOK_RATIO_MOST = 250,               /* unpacked to packed, beyond LOOK_RATIO_FREE */
	LOOK_RATIO_FREE = 16 * 1024 * 1024,
};

struct look {
	struct arena *arena;
	struct scan_report *report;
	const struct pattern_set *patterns; /* NULL: text is not asked for */
	unsigned want;                      /* SCAN_WANT_... */
	unsigned files, nested, members_of_package;
	uint64_t unpacked, text_bytes;
	uint64_t until_ms; /* monotonic */
	bool over;         /* over a bound of all archives together: no more is unpacked */
};

struct look_file {
	struct slice bytes;
	struct slice name;    /* for what its ending says; may be empty */
	struct slice type;    /* as declared, lower case; empty: not declared */
	struct slice charset; /* likewise */
	unsigned depth;       /* as an attachment's: 0 a part of the mail */
};

/* What is known of it besides its name. */
struct look_found {
	struct slice type; /* by content; empty: it does not tell */
	bool encrypted, hashed;
	uint8_t sha256[32];
};

void look_init(void); /* once in a process, before its sandbox and its workers */
void look_file(struct look *l, const struct look_file *f, struct look_found *found_out);
/* Adds an attachment to the report; one too many makes the mail unscannable. */
void look_attach(struct look *l, struct slice name, const struct look_file *f,
	const struct look_found *found);

/* The first reason stays, but that of a bound goes before damage and a pattern's limit. */
void look_unscannable(struct look *l, enum scan_reason reason, const char *why);
void look_unread(struct look *l, const char *why);
void look_encrypted(struct look *l, const char *what);
bool look_late(struct look *l); /* the time is over, and that was told */

/* Decoded text, UTF-8 as far as it goes: matched now. */
void look_text(struct look *l, struct slice utf8);
/* Two readings of one text: a match counts once. */
void look_text_twice(struct look *l, struct slice one, struct slice other);

#endif
