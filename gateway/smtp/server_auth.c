/*
 * The wire of AUTH (RFC 4954): which mechanism, with or without a first answer, and the lines
 * that follow. The mechanisms themselves are the driver's. Whatever goes wrong with the framing
 * in the middle of an exchange ends the connection (server.c), so that no answer is taken for a
 * command.
 */
#include "base/must.h"
#include "smtp/server_priv.h"

enum { MECHANISM_MOST = 20 }; /* RFC 4422 3.1 */

static bool
is_offered(const char *list, struct slice mechanism)
{
	struct slice rest = slice_of(list);
	for (bool more = true; more;) {
		struct slice one;
		more = slice_cut(rest, ' ', &one, &rest);
		if (one.n > 0 && slice_eq_nocase(one, mechanism))
			return true;
	}
	return false;
}

void
server_auth(struct smtp_server *s, struct slice args, struct slice line)
{
	struct slice mechanism, initial;
	if (s->authenticated) {
		server_refuse(s, "503 5.5.1 You are authenticated", line);
		return;
	}
	if (s->offer.auth == NULL || !s->esmtp) {
		server_refuse(s, "502 5.5.1 AUTH is not offered", line);
		return;
	}
	bool has_initial = slice_cut(args, ' ', &mechanism, &initial);
	if (mechanism.n == 0 || (has_initial && (initial.n == 0 || slice_has(initial, ' ')))) {
		server_refuse(s, "501 5.5.4 AUTH needs a mechanism", line);
		return;
	}
	if (mechanism.n > MECHANISM_MOST || !is_offered(s->offer.auth, mechanism)) {
		server_refuse(s, "504 5.5.4 Mechanism not offered", line);
		return;
	}
	struct slice kept = server_keep(s, args);
	for (size_t i = 0; i < mechanism.n; i++)
		if (s->words.data[s->words.start + i] >= 'a')
			s->words.data[s->words.start + i] -= 'a' - 'A';
	initial = slice_from(kept, mechanism.n + 1);
	if (slice_eq(initial, SLICE("="))) /* RFC 4954 4: an empty answer */
		initial = SLICE_NONE;
	server_owe(s, (struct waiting_event){.type = SMTP_EV_AUTH,
			      .name = slice_first(kept, mechanism.n),
			      .data = initial,
			      .has_data = has_initial});
}

void
server_auth_line(struct smtp_server *s, struct slice line)
{
	server_owe(s, (struct waiting_event){.type = SMTP_EV_AUTH_DATA,
			      .data = server_keep(s, line),
			      .has_data = true});
}

void
server_auth_replied(struct smtp_server *s, const struct smtp_reply *r)
{
	s->state = r->code == 334 ? SMTP_ST_AUTH : SMTP_ST_READY;
	s->authenticated = smtp_reply_class(r) == 2;
}
