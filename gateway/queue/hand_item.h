/*
 * What `postern queue` shows of a stored mail, which mails a filter means, and the answer to
 * `why`: values from values, no I/O.
 */
#ifndef QUEUE_HAND_ITEM_H
#define QUEUE_HAND_ITEM_H

#include "queue/hand_messages.h"
#include "queue/settings.h"

/* A recipient of which something is still to come. */
bool hand_is_open(enum rcpt_state s);

/* Borrows from m and n; arrays in the arena. id and bytes are the caller's to set. */
void hand_item_of(const struct stored_mail *m, const struct stored_note *n, struct arena *a,
	struct hand_item *item_out);
/* m NULL: the mail cannot be read; only a filter by id, or one that asks for nothing, means it.
 */
bool hand_filter_matches(const struct hand_filter *f, const struct custody_id *id,
	const struct stored_mail *m, const struct stored_note *n, uint64_t wall_ms);

/* The part of the mail (schedule.h) that this recipient belongs to, as the keeper counts. */
typedef uint32_t
hand_part_fn(void *arg, const struct stored_mail *m, const struct stored_note *n, size_t rcpt);

struct hand_why {
	struct custody_id id;
	const struct stored_mail *mail;
	const struct stored_note *note;
	uint64_t bytes;
	uint64_t wall_ms, now_ms; /* now_ms: monotonic, the schedule's */
	struct schedule *schedule;
	const struct queue_settings *settings;
	enum egress_state egress;
	hand_part_fn *part_of;
	void *arg;
};
enum { HAND_WHY_MOST = 1024 * 1024 };
/* Lines of text; cut, and said so, where it is more than HAND_WHY_MOST (out's maximum). */
void hand_why_write(const struct hand_why *w, struct arena *a, struct buf *out);

#endif
