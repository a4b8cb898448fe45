/*
 * What the client hears after the data, from what became of all its recipients (DESIGN.md,
 * "Outbound"). Pure: tests/unit/queue_reply_test.c has the table.
 */
#include "queue/keeper_priv.h"

/* The remote's words behind ours, so that the sender's postmaster can read both. */
static struct smtp_reply
quote(const char *ours, const char *id, const struct stored_rcpt_note *theirs, struct arena *a)
{
	struct smtp_reply r = smtp_reply_of(ours);
	if (theirs == NULL || theirs->reply.code == 0)
		return smtp_reply_text(
			r, arena_printf(a, "%.*s (%s)", SLICE_ARG(r.text), id), a);
	if (theirs->reply.has_enhanced && theirs->reply.code / 100 == r.code / 100) {
		r.enhanced[1] = theirs->reply.enhanced[1];
		r.enhanced[2] = theirs->reply.enhanced[2];
	}
	/* 521 would end the session too (RFC 7504) */
	if (theirs->reply.code / 100 == 5 && r.code / 100 == 5 && theirs->reply.code != 521)
		r.code = theirs->reply.code;
	return smtp_reply_text(r,
		arena_printf(a, "%.*s (%s): %.*s", SLICE_ARG(r.text), id,
			SLICE_ARG(theirs->reply.text)),
		a);
}

static const char *
refused_words(const struct stored_rcpt_note *worst)
{
	if (worst == NULL)
		return "554 5.3.0 The destination refuses the mail";
	if (!worst->from_hop)
		return "554 5.3.0 This mail cannot be delivered";
	return worst->at == FAILURE_AT_RCPT ? "550 5.1.1 The destination refuses the recipient"
					    : "554 5.3.0 The destination refuses the mail";
}

void
reply_make(const struct reply_count *c, const char *id, enum queue_end end, struct arena *a,
	struct smtp_reply *reply_out)
{
	switch (end) {
	case QUEUE_REFUSED:
		*reply_out = quote(refused_words(c->worst), id, c->worst, a);
		return;
	case QUEUE_PUT_OFF:
		*reply_out =
			quote("451 4.4.1 The next hop does not take it now", id, c->later, a);
		return;
	case QUEUE_FULL:
		*reply_out =
			smtp_reply_of("452 4.3.1 Insufficient system storage, try again later");
		return;
	case QUEUE_FAILED:
	case QUEUE_CANCELLED:
	case QUEUE_ENDS:
		*reply_out = smtp_reply_of(
			"451 4.3.0 The mail cannot be stored now, try again later");
		return;
	case QUEUE_DELIVERED: *reply_out = quote("250 2.0.0 Delivered", id, c->best, a); return;
	case QUEUE_QUEUED: break;
	}
	*reply_out = smtp_reply_of("250 2.0.0 ok");
	*reply_out = smtp_reply_text(*reply_out,
		c->delivered == 0 && c->refused == 0 && c->waiting == 0
			? arena_printf(a, "Accepted (%s)", id)
		: c->delivered == 0 && c->refused == 0
			? arena_printf(a, "Queued (%s)", id)
			: arena_printf(a, "Accepted (%s): %u delivered, %u refused, %u queued",
				  id, (unsigned)c->delivered, (unsigned)c->refused,
				  (unsigned)(c->waiting + c->kept)),
		a);
}
