/*
 * The words of a refusal; see refusal.h. Users of other systems complain of none more than of
 * these: each says what was refused, by whom, and what its sender can do.
 */
#include "session/refusal.h"

#include <inttypes.h>

#include "base/must.h"
#include "filters/whom.h"

struct reason {
	const char *fact;
	const char *reject, *defer; /* after the code */
};

static const struct reason reasons[] = {
	{"known", "550 5.1.1 Recipient unknown", "450 4.1.1 Recipient cannot be checked now"},
	{"dnsbl", "554 5.7.1 Client address is on a block list",
		"451 4.7.1 Client address is on a block list"},
	{"spf", "550 5.7.23 SPF does not allow this client to send for the sender's domain",
		"451 4.7.24 SPF could not be checked"},
	{"dkim", "550 5.7.20 No DKIM signature passes", "451 4.7.20 DKIM could not be checked"},
	{"dmarc", "550 5.7.26 The domain of From does not vouch for this mail (DMARC)",
		"451 4.7.26 DMARC could not be checked"},
	{"virus", "554 5.7.1 A virus was found", "451 4.7.1 The mail could not be scanned"},
	{"attachment.name", "554 5.7.1 An attachment is not allowed here", NULL},
	{"attachment.type", "554 5.7.1 An attachment is not allowed here", NULL},
	{"body", "554 5.7.1 The content is not allowed to pass", NULL},
	{"size", "552 5.3.4 The mail is too large", NULL},
	{"client.name", "550 5.7.25 The client's address has no matching name",
		"450 4.7.25 The client's address has no matching name"},
	{"recipient.domain", "550 5.7.1 Mail for this domain is not taken here", NULL},
	{"sender.domain", "550 5.7.1 Mail from this sender is not taken here", NULL},
	{"sender", "550 5.7.1 Mail from this sender is not taken here", NULL},
};

/* The fact that a condition asks for first; what stands under `not` and in sets counts too. */
static const struct reason *
reason_of(const struct cond *c)
{
	if (c == NULL || c->kind == COND_ALWAYS)
		return NULL;
	if (c->kind != COND_TEST && c->kind != COND_ANY) {
		/* the last part of an `and` is the usual point: `if from.domain in domains and
		 * dmarc is ...` */
		const struct reason *b = reason_of(c->b);
		return b != NULL ? b : reason_of(c->a);
	}
	if (slice_eq(c->fact, SLICE("recipient")) && slice_eq(c->value.text, SLICE("known")))
		return &reasons[0];
	if (slice_eq(c->value.text, SLICE("dnsbl")))
		return &reasons[1];
	for (size_t i = 2; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (slice_eq(c->fact, slice_of(reasons[i].fact)))
			return &reasons[i];
	return NULL;
}

/* The facts' own words where there are some: the signature's name, SPF's explanation. */
static struct slice
detail_of(const struct reason *r, struct facts *facts)
{
	struct value v = {0};
	if (r == NULL)
		return SLICE_NONE;
	if (slice_eq(slice_of(r->fact), SLICE("virus")) &&
		facts_read(facts, "virus.name", SLICE_NONE, SIZE_MAX, COST_FREE, &v) ==
			FACT_KNOWN)
		return v.text;
	return SLICE_NONE;
}

/* --- what is only put off: limits, and senders that are new */

static const char *
counted_for(enum limit_key k)
{
	switch (k) {
	case LIMIT_USER: return "this account";
	case LIMIT_CLIENT: return "this client";
	case LIMIT_SENDER: return "this sender";
	case LIMIT_SENDER_DOMAIN: return "this sender's domain";
	case LIMIT_RECIPIENT: return "this recipient";
	case LIMIT_RECIPIENT_DOMAIN: return "this recipient's domain";
	case LIMIT_KEYS: break;
	}
	must(false && "a key of limits");
	return "";
}

/* The words where this test is what stopped the mail, else empty. */
static struct slice
waits_by(const struct cond *c, struct facts *facts, size_t rcpt, struct arena *a)
{
	bool greylisted = slice_eq(c->fact, SLICE("greylisted"));
	struct value v;
	if (c->limit == NULL && !greylisted)
		return SLICE_NONE;
	const char *fact = greylisted ? "greylisted" : limit_fact(c->limit);
	struct slice arg = greylisted ? SLICE_NONE : limit_text(c->limit, a);
	if (facts_read(facts, fact, arg, rcpt, COST_FREE, &v) != FACT_KNOWN || !v.flag)
		return SLICE_NONE;
	struct slice again = whom_again((uint64_t)v.number, a);
	if (greylisted)
		return arena_printf(a, "This sender is not known here yet, try again %.*s",
			SLICE_ARG(again));
	return arena_printf(a,
		"Limit of %" PRIu64 " %s per %s for %s is used up, try again %.*s", c->limit->n,
		c->limit->recipients ? "recipients" : "mails", limit_span_text(c->limit->span),
		counted_for(c->limit->key), SLICE_ARG(again));
}

static struct slice
waits_of(const struct cond *c, struct facts *facts, size_t rcpt, struct arena *a)
{
	if (c == NULL || c->kind == COND_ALWAYS || c->kind == COND_ANY)
		return SLICE_NONE;
	if (c->kind == COND_TEST)
		return waits_by(c, facts, rcpt, a);
	struct slice words = waits_of(c->a, facts, rcpt, a);
	return words.n != 0 ? words : waits_of(c->b, facts, rcpt, a);
}

struct smtp_reply
refusal_reply(const struct verdict *v, struct facts *facts, size_t rcpt, const char *id,
	struct arena *a)
{
	struct smtp_reply r;
	bool reject = (v->mode == VERDICT_HOLDS ? v->action : v->would) == ACTION_REJECT;
	if (v->reply.n != 0 && smtp_reply_parse_text(v->reply, &r))
		return smtp_reply_text(r, r.text, a);
	struct slice waits =
		v->rule != NULL ? waits_of(v->rule->cond, facts, rcpt, a) : SLICE_NONE;
	if (waits.n != 0)
		return smtp_reply_text(smtp_reply_of(reject ? "550 5.7.1 no" : "450 4.7.1 no"),
			arena_printf(a, "%.*s (%s)", SLICE_ARG(waits), id), a);
	const struct reason *reason = v->rule != NULL ? reason_of(v->rule->cond) : NULL;
	const char *words = reason == NULL ? NULL : reject ? reason->reject : reason->defer;
	if (words == NULL)
		words = reject ? "550 5.7.1 Refused by policy"
			       : "451 4.7.1 Deferred by policy, try again later";
	r = smtp_reply_of(words);
	struct slice detail = detail_of(reason, facts);
	return smtp_reply_text(r,
		arena_printf(a, "%.*s%s%.*s (%s)", SLICE_ARG(r.text), detail.n != 0 ? ": " : "",
			SLICE_ARG(detail), id),
		a);
}
