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
	struct facts *facts; /* for notices, and people; NULL: nothing is known */
};

bool hops_same(const struct hop_list *a, const struct hop_list *b);
bool hops_have_lmtp(const struct hop_list *l);
/* Where a recipient goes; NULL: to the outside. A filter has one way for all. */
const struct hop_list *
hops_of(const struct gate_config *config, const struct conf_domain *domain);

/* What a recipient's mail is sent to: the address itself, or where `redirect to` leads. */
struct address parcels_address(const struct parcels_input *in, size_t rcpt, struct arena *a);
/* The parcel of a decision without recipients and body: what is to happen with it. */
void parcels_fill(const struct parcels_input *in, const struct decision *d, struct arena *a,
	struct stored_mail *m);
/* A declared domain's address of ours, or of a rule, as the only way of a mail beside. */
void parcels_add_own(const struct parcels_input *in, struct slice address, struct arena *a,
	struct stored_mail *m);

/*
 * Whether the keeper takes the mail: with a spool all that leaves for the outside, is kept or
 * held or routed or redirected, has others beside it (copies.h), or is not for one next hop
 * that answers for all recipients at once.
 */
bool parcels_are_needed(const struct parcels_input *in, bool splits);
/*
 * The client's own ones and those beside; everything in the arena, bodies borrowed. 0: more
 * than QUEUE_PARCELS_MOST, or a body in too many pieces to be put into another mail.
 */
size_t parcels_make(
	const struct parcels_input *in, struct arena *a, struct queue_parcel **parcels_out);
/* `hold for`, `hold until`: when the mail goes on, wall clock. */
uint64_t hold_until_ms(const struct rule *r, int64_t wall_ms);

#endif
