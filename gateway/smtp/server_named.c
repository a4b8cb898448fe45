/*
 * A peer speaks for its client: XCLIENT and XFORWARD as events (EXT-09). Who may do so is the
 * driver's to say, by what it offers; to anybody else the verbs do not exist. What they tell is
 * read in xclient.c and kept until the reply.
 */
#include "base/mem.h"
#include "smtp/server_priv.h"

static void
named(struct smtp_server *s, struct slice args, struct slice line, bool forward)
{
	if ((forward ? s->offer.xforward : s->offer.xclient) == 0) {
		server_refuse(s, "502 5.5.1 Not offered here", line);
		return;
	}
	if (s->named == NULL)
		s->named = MEM_NEW(struct xclient);
	const char *why = xclient_parse(args, forward, s->named);
	if (why != NULL)
		server_refuse(s, why, line);
	else
		server_owe(s, (struct waiting_event){
				      .type = forward ? SMTP_EV_XFORWARD : SMTP_EV_XCLIENT});
}

void
server_xclient(struct smtp_server *s, struct slice args, struct slice line)
{
	named(s, args, line, false);
}

void
server_xforward(struct smtp_server *s, struct slice args, struct slice line)
{
	named(s, args, line, true);
}
