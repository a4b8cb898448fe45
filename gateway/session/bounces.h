/*
 * Tagged senders at the gate (`domain ... bounces tagged`, filters/batv.h): put on where a mail
 * leaves, taken off where a bounce comes in, before anything else looks at the address.
 */
#ifndef SESSION_BOUNCES_H
#define SESSION_BOUNCES_H

#include "filters/batv.h"
#include "session/pipeline.h"

/*
 * The reverse-path that the next hop hears: tagged where the mail is outbound and its domain
 * tags. kept_ms: how long a rule may keep it first (hold, quarantine). What has no room for a
 * tag is told in the log, where there is one.
 */
struct address bounces_sender(const struct gate_config *config, const struct address *sender,
	int64_t wall_ms, uint64_t kept_ms, struct arena *a, const struct log_context *log);
/* A recipient with a tag of ours is the plain address. True: the tag still holds. */
bool
bounces_untag(const struct conf *conf, int64_t wall_ms, struct arena *a, struct address *rcpt);

#endif
