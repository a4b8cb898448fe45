/*
 * What a refusal says where the administrator wrote no words: the reason, by the fact that the
 * rule asks for, with the enhanced code that fits (RFC 3463, 7372), and the mail's id to ask
 * about. Where a limit is used up, or the sender is new, it says when to come again.
 */
#ifndef SESSION_REFUSAL_H
#define SESSION_REFUSAL_H

#include "filters/facts.h"
#include "smtp/reply.h"

/*
 * v: decided for that recipient, reject or defer; observed or softened (session/modes.h), one
 * that was decided so: what it would have said. The reply's words live in the arena.
 */
struct smtp_reply refusal_reply(const struct verdict *v, struct facts *facts, size_t rcpt,
	const char *id, struct arena *a);

#endif
