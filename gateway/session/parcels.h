/*
 * What of a mail goes where, once its recipients are decided: over a connection of our own to
 * one next hop, or in parcels to the keeper (queue/messages.h). Pure.
 */
#ifndef SESSION_PARCELS_H
#define SESSION_PARCELS_H

#include "queue/messages.h"
#include "session/pipeline.h"

struct parcels_input {
	const struct gate_config *config;
	const struct flt_session *session;
	const struct flt_mail *mail;
	const struct address *sender;          /* as it leaves: tagged where its domain tags */
	const struct smtp_rcpt_params *params; /* by recipient */
	const struct outcome *outcome;         /* accept, after the data */
	const struct relay_body *bodies;       /* by its sets of edits */
	const char *id;                        /* of the mail, in the log */
};

bool hops_same(const struct hop_list *a, const struct hop_list *b);
bool hops_have_lmtp(const struct hop_list *l);
/* Where a recipient goes; NULL: to the outside. A filter has one way for all. */
const struct hop_list *
hops_of(const struct gate_config *config, const struct conf_domain *domain);

/*
 * Whether the keeper takes the mail: with a spool all that leaves for the outside, is kept or
 * held or routed, or is not for one next hop that answers for all recipients at once.
 */
bool parcels_are_needed(const struct parcels_input *in, bool splits);
/* At most DECISIONS_MOST; everything in the arena, bodies borrowed. */
size_t parcels_make(
	const struct parcels_input *in, struct arena *a, struct queue_parcel **parcels_out);
/* `hold for`, `hold until`: when the mail goes on, wall clock. */
uint64_t hold_until_ms(const struct rule *r, int64_t wall_ms);

#endif
