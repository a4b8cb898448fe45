/*
 * Sender rights, held against `user "NAME" sends as { ... }`, at MAIL and again when the header
 * is there; see rights.h. Both fronts ask here, SMTP and milter.
 */
#include "session/rights.h"

/* "@d" and "d" stand for all addresses of a domain. */
static bool
sends_as(const struct conf_user *u, const struct address *a)
{
	for (size_t i = 0; i < u->n_sends_as; i++) {
		struct slice right = u->sends_as[i], local, domain;
		if (!slice_cut(right, '@', &local, &domain)) {
			domain = local;
			local = SLICE_NONE;
		}
		if (slice_eq_nocase(domain, a->domain) &&
			(local.n == 0 || slice_eq_nocase(local, a->local)))
			return true;
	}
	return false;
}

bool
rights_envelope(const struct conf *c, struct slice user, const struct address *sender)
{
	if (user.n == 0)
		return true;
	const struct conf_user *u = map_get(c->users, user);
	return u != NULL && (sender->is_null || sends_as(u, sender));
}

bool
rights_author(const struct conf *c, struct slice user, const struct message *m)
{
	const unsigned unclear = MESSAGE_FROM_SEVERAL | MESSAGE_FROM_BAD | MESSAGE_TOO_MANY;
	if (user.n != 0 && m != NULL && (m->faults & unclear) != 0)
		return false;
	for (size_t i = 0; m != NULL && i < m->n_from; i++)
		if (!rights_envelope(c, user, &m->from[i]))
			return false;
	return true;
}
