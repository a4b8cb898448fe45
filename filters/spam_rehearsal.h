/*
 * Some mails of each kind that a model has learned, for it to go over again. Who teaches a
 * folder of honest mail and then one of spam teaches in long runs, and every weight that all
 * mails share would end on the side of the last run; so after each mail one of the other kind
 * is learned once more (spam_model.c).
 *
 * Packed: places in order, the gaps between them in seven bits a byte; 4 to 6 KB a mail.
 */
#ifndef FILTERS_SPAM_REHEARSAL_H
#define FILTERS_SPAM_REHEARSAL_H

#include "filters/spam_features.h"

enum { SPAM_REHEARSED = 256 }; /* mails of each kind: measured, contrib/spam/README.md */

struct spam_rehearsal;

struct spam_rehearsal *spam_rehearsal_new(void);
void spam_rehearsal_free(struct spam_rehearsal **r);

/* In the place of another of its kind where all are taken: which one, its id says. */
void spam_rehearsal_keep(struct spam_rehearsal *r, const struct spam_features *f, bool spam);
void spam_rehearsal_drop(struct spam_rehearsal *r, const uint8_t id[SPAM_ID_BYTES]);
/* One of that kind, which one `salt` says. False: there is none. Valid until the next call. */
bool spam_rehearsal_take(
	struct spam_rehearsal *r, bool spam, uint32_t salt, struct spam_features *f_out);

/* As bytes of a file: pack fills spam_rehearsal_bytes. */
size_t spam_rehearsal_bytes(const struct spam_rehearsal *r);
void spam_rehearsal_pack(const struct spam_rehearsal *r, uint8_t *bytes);
/* All of them, and nothing behind. False: not what pack writes; r is then to be freed. */
bool spam_rehearsal_unpack(struct spam_rehearsal *r, const uint8_t *bytes, size_t n);

#endif
