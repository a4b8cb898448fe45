/*
 * Sender rights, held against `user "NAME" sends as { ... }` and `network NET sends as { ...
 * }`, at MAIL and again when the header is there; see rights.h. Both fronts ask here, SMTP and
 * milter.
 */
#include "session/rights.h"

#include "base/must.h"

/* Whose rights hold; none: the mail is judged by the rules alone. */
enum holder { HOLDER_NONE, HOLDER_ACCOUNT, HOLDER_NETWORK };

struct held {
	enum holder by;
	const struct conf_rights *rights; /* NULL: an account that may send as nobody */
};

/* The smallest network that has the client; a program on the MTA's machine is 127.0.0.1. */
static const struct conf_network *
network_of(const struct conf *c, const struct ip *of_session)
{
	const struct conf_network *best = NULL;
	struct ip client = *of_session;
	if (client.family == 0)
		must(ip_parse(SLICE("127.0.0.1"), &client));
	for (size_t i = 0; i < c->n_networks; i++) {
		const struct conf_network *n = &c->networks[i];
		if (ip_in_net(&client, &n->net) &&
			(best == NULL || n->net.prefix > best->net.prefix))
			best = n;
	}
	return best;
}

/* A milter's accounts are the MTA's: they are held to rights where some are named here. */
static bool
accounts_are_held(const struct conf *c, enum listen_kind kind)
{
	return kind != LISTEN_MILTER || map_count(c->users) != 0;
}

bool
rights_are_named(const struct conf *c, enum listen_kind kind)
{
	return accounts_are_held(c, kind) || c->n_networks != 0;
}

static struct held
held_to(const struct conf *c, enum listen_kind kind, const struct flt_session *s)
{
	if (s->user.n != 0) {
		const struct conf_user *u = map_get(c->users, s->user);
		return accounts_are_held(c, kind)
			       ? (struct held){HOLDER_ACCOUNT, u != NULL ? &u->rights : NULL}
			       : (struct held){0};
	}
	const struct conf_network *n =
		s->direction == OUTBOUND ? network_of(c, &s->client) : NULL;
	return n != NULL ? (struct held){HOLDER_NETWORK, &n->rights} : (struct held){0};
}

/* "@d" and "d" stand for all addresses of a domain. */
static bool
sends_as(const struct conf_rights *r, const struct address *a)
{
	for (size_t i = 0; r != NULL && i < r->n_sends_as; i++) {
		struct slice right = r->sends_as[i], local, domain;
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

struct smtp_reply
rights_envelope(const struct conf *c, enum listen_kind kind, const struct flt_session *s,
	const struct address *sender)
{
	struct held h = held_to(c, kind, s);
	bool null_ok = h.by != HOLDER_ACCOUNT || h.rights != NULL;
	if (h.by == HOLDER_NONE || (sender->is_null ? null_ok : sends_as(h.rights, sender)))
		return (struct smtp_reply){0};
	return smtp_reply_of(h.by == HOLDER_ACCOUNT
				     ? "553 5.7.1 This account may not send as this address"
				     : "553 5.7.1 This network may not send as this address");
}

static bool
may_be_all(const struct conf_rights *r, const struct address *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!sends_as(r, &list[i]))
			return false;
	return true;
}

static bool
authors_are_own(const struct conf_rights *r, const struct message *m)
{
	const unsigned unclear = MESSAGE_FROM_SEVERAL | MESSAGE_FROM_BAD | MESSAGE_TOO_MANY;
	return (m->faults & unclear) == 0 && may_be_all(r, m->from, m->n_from);
}

/* Programs show "SENDER on behalf of FROM": a name that is not theirs there is a lie too. */
static bool
senders_are_own(const struct conf_rights *r, const struct flt_mail *mail, struct arena *a)
{
	const struct message_field *f;
	for (size_t i = 0; (f = message_field(mail->message, SLICE("Sender"), i)) != NULL;
		i++) {
		struct address *list;
		size_t n;
		if (!message_addresses(f->value, mail->params.smtputf8, a, &list, &n) ||
			!may_be_all(r, list, n))
			return false;
	}
	return true;
}

struct smtp_reply
rights_author(const struct conf *c, enum listen_kind kind, const struct flt_session *s,
	const struct flt_mail *mail, struct arena *a)
{
	struct held h = held_to(c, kind, s);
	if (h.by == HOLDER_NONE || mail->message == NULL)
		return (struct smtp_reply){0};
	if (!authors_are_own(h.rights, mail->message))
		return smtp_reply_of(h.by == HOLDER_ACCOUNT
					     ? "550 5.7.1 This account may not send as the "
					       "address in From"
					     : "550 5.7.1 This network may not send as the "
					       "address in From");
	if (!senders_are_own(h.rights, mail, a))
		return smtp_reply_of(h.by == HOLDER_ACCOUNT
					     ? "550 5.7.1 This account may not send as the "
					       "address in Sender"
					     : "550 5.7.1 This network may not send as the "
					       "address in Sender");
	return (struct smtp_reply){0};
}
