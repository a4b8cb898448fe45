/*
 * What kind of mail it is: HTML without a plain part beside it; a bounce or report, which no
 * word in it makes spam. Bounces of today say so by their type and have a part for machines;
 * older ones are known by who writes them, their subject, and what they tell.
 */
#include "filters/spam_view_priv.h"

static struct slice
value_of(const struct spam_view *v, struct slice name, struct arena *a)
{
	const struct message_field *f = message_field(v->message, name, 0);
	return f != NULL ? message_unfold(f->value, a) : SLICE_NONE;
}

static bool
has(struct slice text, struct slice word)
{
	for (size_t i = 0; i + word.n <= text.n; i++)
		if (slice_starts_nocase(slice_from(text, i), word))
			return true;
	return false;
}

static bool
has_any(struct slice text, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (has(text, slice_of(words[i])))
			return true;
	return false;
}

/* MAILER-DAEMON and postmaster as they write: by address, or a phrase before "<>". */
static bool
from_daemon(const struct spam_view *v, struct arena *a)
{
	static const char *const names[] = {
		"mailer-daemon", "postmaster", "mail.delivery.system"};
	struct slice from = value_of(v, SLICE("From"), a);
	size_t open = slice_find_last(from, '<');
	struct slice address = open < from.n ? slice_from(from, open + 1) : from;
	if (slice_starts(address, SLICE(">")))
		address = from;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (slice_starts_nocase(address, slice_of(names[i])))
			return true;
	return from.n <= 2 && v->message->n_fields != 0;
}

/* What a server says of a mail that it could not deliver, and of nothing else. */
static bool
tells_of_delivery(const struct spam_view *v)
{
	static const char *const words[] = {"message-id:", "return-path:", "received:", "smtp",
		"original message", "copy of your message", "copy of the message", "recipient",
		"550 ", "rcpt to", "subject:"};
	for (size_t i = 0; i < v->n_parts; i++)
		if (slice_starts(v->parts[i].type, SLICE("message/")) ||
			slice_eq(v->parts[i].type, SLICE("multipart/report")) ||
			slice_eq(v->parts[i].type, SLICE("text/rfc822-headers")))
			return true;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (slice_find_slice(v->text, slice_of(words[i])) < v->text.n)
			return true;
	return false;
}

/* A bounce from before RFC 3464, or of those who never heard of it. */
static bool
is_old_bounce(const struct spam_view *v, struct arena *a)
{
	static const char *const subjects[] = {"undeliver", "delivery status notification",
		"delivery fail", "delivery notification", "delivery delayed", "delivery failed",
		"failed delivery", "returned mail", "returning to sender", "failure notice",
		"mail failure", "delivery report", "non delivery", "non-delivery",
		"mail system error", "could not be delivered", "error sending your mail",
		"delayed mail"};
	if (!from_daemon(v, a))
		return false;
	struct slice automatic = value_of(v, SLICE("Auto-Submitted"), a);
	return (slice_starts_nocase(automatic, SLICE("auto-replied")) ||
		       has_any(v->message->subject, subjects,
			       sizeof(subjects) / sizeof(subjects[0]))) &&
	       tells_of_delivery(v);
}

/* RFC 3464 and 5965: a report is the whole mail, and has a part for machines. */
static bool
is_report(const struct spam_view *v)
{
	if (v->n_parts == 0)
		return false;
	bool whole = slice_eq(v->parts[0].type, SLICE("multipart/report"));
	for (size_t i = 0; i < v->n_parts; i++) {
		const struct spam_part *p = &v->parts[i];
		if (p->depth <= 1 &&
			(slice_eq(p->type, SLICE("message/delivery-status")) ||
				slice_eq(p->type, SLICE("message/global-delivery-status")) ||
				slice_eq(p->type, SLICE("message/feedback-report"))))
			return true;
		if (whole && slice_starts(p->type, SLICE("message/")))
			return true;
		if (whole && slice_eq(p->type, SLICE("text/rfc822-headers")))
			return true;
	}
	return false;
}

void
spam_note_kind(struct spam_view *v, struct arena *a)
{
	bool html = false, plain = false;
	for (size_t i = 0; i < v->n_parts; i++) {
		const struct spam_part *p = &v->parts[i];
		html |= !p->attachment && slice_eq(p->type, SLICE("text/html"));
		plain |= !p->attachment && slice_eq(p->type, SLICE("text/plain"));
	}
	v->html_only = html && !plain;
	v->bounce = is_report(v) || is_old_bounce(v, a);
}
