/*
 * The recipients that a protected server has refused after we had accepted them (DESIGN.md,
 * "Inbound"): nothing was sent then and the client got 451; when it tries again, these alone
 * hear the refusal and the others get their mail. One fixed table in shared memory for all
 * session processes; old entries give way.
 *
 * A refusal that says "no such user" (550, 551, 553 with 5.1.x, but not 5.1.7 and 5.1.8, which
 * mean the sender) holds for every sender; any other one, and one without enhanced code, for
 * the sender that it was said to: nobody can have mail of others refused. Both for ten minutes.
 */
#ifndef SESSION_REFUSALS_H
#define SESSION_REFUSALS_H

#include "base/err.h"
#include "smtp/address.h"
#include "smtp/reply.h"

enum { REFUSALS_MOST = 8192, REFUSAL_MS = 600 * 1000, REFUSAL_TEXT_BYTES = 200 };

struct refusals;

struct refusals *refusals_new(struct err *err); /* in the parent, before the first fork */
/* r: a 5yz to RCPT. now_ms: monotonic. */
void refusals_note(struct refusals *t, const struct address *sender, const struct address *rcpt,
	const struct smtp_reply *r, uint64_t now_ms);
/* True: it was refused not long ago, in these words. */
bool refusals_find(struct refusals *t, const struct address *sender, const struct address *rcpt,
	uint64_t now_ms, struct arena *a, struct smtp_reply *r_out);

#endif
