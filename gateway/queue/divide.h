/*
 * The parts of a mail: recipients that can travel in one transaction. Made from the envelope
 * alone, so that a part has the same number whenever the mail is read again. Pure.
 */
#ifndef QUEUE_DIVIDE_H
#define QUEUE_DIVIDE_H

#include "queue/stored.h"

enum { DIVIDE_RCPTS_MOST = 100 }; /* recipients of one part (RFC 5321 4.5.3.1.8) */

struct division {
	uint32_t *rcpts; /* places in the envelope */
	uint32_t n;
	struct slice site; /* for the schedule, at first: a domain, "smarthost", "route:..." */
};

/* In the arena; at least one. */
size_t divide_mail(const struct stored_mail *m, struct arena *a, struct division **parts_out);
/* What the schedule calls the place that a recipient goes to, this way. */
struct slice divide_site(const struct stored_mail *m, const struct stored_rcpt *r,
	enum delivery_way way, struct arena *a);

#endif
