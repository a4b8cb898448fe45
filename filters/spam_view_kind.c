/*
 * What kind of mail it is: a bounce or report, which are judged by nobody's words, and HTML
 * without a plain part beside it. Bounces of today say so by their type (spam_view_parts.c);
 * these are the ones that only look like it.
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

static bool
is_old_bounce(const struct spam_view *v, struct arena *a)
{
	static const char *const daemons[] = {"mailer-daemon", "postmaster", "mail delivery"};
	static const char *const subjects[] = {"undeliver", "delivery status notification",
		"delivery failure", "delivery notification", "mail delivery failed",
		"returned mail", "failure notice", "delivery report", "non delivery",
		"non-delivery", "mail system error", "could not be delivered"};
	struct slice from = value_of(v, SLICE("From"), a);
	if (!has_any(from, daemons, sizeof(daemons) / sizeof(daemons[0])))
		return false;
	struct slice automatic = value_of(v, SLICE("Auto-Submitted"), a);
	return slice_starts_nocase(automatic, SLICE("auto-replied")) ||
	       has_any(v->message->subject, subjects, sizeof(subjects) / sizeof(subjects[0]));
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
	v->bounce |= is_old_bounce(v, a);
}
