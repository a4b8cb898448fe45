/*
 * A mail in the queue of the MTA of the plays: fields in order, and a body. It reads a header
 * as Postfix does (a line that is no field begins the body), and edits by place: "insert"
 * counts all fields with the MTA's own Received, "delete" those of a name without it
 * (libmilter, smfi_insheader, smfi_chgheader).
 */
#ifndef PLAY_MTA_MAIL_H
#define PLAY_MTA_MAIL_H

#include "base/arena.h"
#include "base/slice.h"

struct mta_field {
	struct slice name; /* without blanks before the colon */
	struct slice text; /* all of it, folds by CRLF, without the last one */
	struct slice tail; /* of text, what stands behind the colon */
	bool own, deleted;
};

struct mta_mail {
	struct arena *arena;
	struct mta_field *fields;
	size_t n, room;
	struct slice body;   /* with the blank line in front, where there was one */
	bool counts_deleted; /* a field that is gone keeps its place for later edits */
};

/* text: as the client sent it, dots unstuffed. */
void mta_mail_read(struct mta_mail *m, struct slice text);
/* The MTA's own field, on top. */
void mta_mail_stamp(struct mta_mail *m, struct slice name, struct slice value);
/* value: folds by LF, with its first blank. */
void mta_mail_insert(struct mta_mail *m, size_t index, struct slice name, struct slice value);
/* False: there is no such field. */
bool mta_mail_delete(struct mta_mail *m, size_t index, struct slice name);
/* Right below the MTA's own, where the mail has none of that name. */
void mta_mail_complete(struct mta_mail *m, struct slice name, struct slice value);
/* What a milter is told of a field: folds by LF, with its first blank. */
struct slice mta_mail_value(const struct mta_mail *m, const struct mta_field *f);
struct slice mta_mail_text(const struct mta_mail *m);

#endif
