/*
 * What libmilter calls: a step of an MTA's session becomes an event, the answer to it becomes
 * the library's words. The library calls from any of its threads, for one session from one at a
 * time; all that a session has hangs on its context (talk.h).
 */
#include "through/callbacks.h"

#include <libmilter/mfapi.h>
#include <string.h>

#include "base/log.h"
#include "base/must.h"
#include "through/answer.h"
#include "through/offers.h"
#include "through/talk.h"

enum { BACKLOG = 1024, NAMES_BYTES = 2048 };

static struct channels *channels; /* set before the first thread, kept for good */

static void
alive(void *arg)
{
	(void)smfi_progress(arg);
}

/* The macros of that stage as far as the MTA has sent them. */
static void
add_macros(SMFICTX *ctx, struct talk *t, enum milter_macro_stage stage,
	struct milter_macro room[MILTER_MACROS_MOST], struct milter_event *ev)
{
	size_t n;
	const struct talk_macro *asked = talk_macros(t, stage, &n);
	ev->macros = room;
	for (size_t i = 0; i < n; i++) {
		const char *value = smfi_getsymval(ctx, asked[i].asked);
		if (value != NULL)
			room[ev->n_macros++] =
				(struct milter_macro){asked[i].name, slice_of(value)};
	}
	ev->has_macros = ev->n_macros != 0;
}

/* An event that owes an answer. A talk that is over is a temporary failure of every step. */
static sfsistat
step(SMFICTX *ctx, const struct milter_event *ev)
{
	struct talk *t = smfi_getpriv(ctx);
	struct milter_answer answer;
	sfsistat said = SMFIS_TEMPFAIL;
	if (t != NULL && talk_ask(t, ev, alive, ctx, &answer))
		said = answer_say(ctx, ev->type, &answer, talk_steps(t));
	/* The MTA waits for none, but the session process has answered: it is not flooded. */
	return t != NULL && (talk_steps(t) & milter_not_answered(ev->type)) != 0 ? SMFIS_NOREPLY
										 : said;
}

static sfsistat
step_with_macros(SMFICTX *ctx, struct milter_event *ev, enum milter_macro_stage stage)
{
	struct milter_macro room[MILTER_MACROS_MOST];
	struct talk *t = smfi_getpriv(ctx);
	if (t != NULL)
		add_macros(ctx, t, stage, room, ev);
	return step(ctx, ev);
}

/*
 * An unanswered body is not for us: where an MTA sends body with its end, the library then
 * forgets to say that the mail has ended.
 */
static sfsistat
on_negotiate(SMFICTX *ctx, unsigned long can, unsigned long steps, unsigned long f2,
	unsigned long f3, unsigned long *can_out, unsigned long *steps_out,
	unsigned long *f2_out, unsigned long *f3_out)
{
	struct milter_offer offer = {.version = MILTER_VERSION_MOST,
		.can = (uint32_t)can,
		.steps = (uint32_t)steps & ~(uint32_t)MILTER_NR_BODY};
	(void)f2;
	(void)f3;
	struct talk *t = talk_new(channels, &offer);
	if (t == NULL)
		return SMFIS_REJECT; /* the library hangs up: as if no milter were there */
	const struct milter_wants *wants = talk_wants(t);
	*can_out = talk_can(t);
	*steps_out = talk_steps(t);
	*f2_out = *f3_out = 0;
	for (int stage = 0; stage < MILTER_STAGES; stage++) {
		char names[NAMES_BYTES];
		struct slice list = wants->macros[stage];
		if ((can & MILTER_CAN_CHOOSE_MACROS) == 0 || list.n == 0 ||
			list.n >= sizeof(names))
			continue;
		memcpy(names, list.p, list.n);
		names[list.n] = '\0';
		if (smfi_setsymlist(ctx, stage, names) == MI_SUCCESS)
			*can_out |= MILTER_CAN_CHOOSE_MACROS;
	}
	smfi_setpriv(ctx, t);
	return SMFIS_CONTINUE;
}

/* After another session over the same connection: the negotiation of the first one holds. */
static bool
reopen(SMFICTX *ctx)
{
	struct milter_offer offer;
	uint32_t can, steps;
	if (smfi_getpriv(ctx) != NULL)
		return true;
	if (!offers_find(ctx, &offer, &can, &steps))
		return false;
	struct talk *t = talk_new(channels, &offer);
	if (t != NULL && talk_can(t) == can && talk_steps(t) == steps) {
		smfi_setpriv(ctx, t);
		return true;
	}
	talk_free(&t); /* none, or other rules since: the MTA has to negotiate anew */
	return false;
}

static sfsistat
on_connect(SMFICTX *ctx, char *name, struct sockaddr *address)
{
	struct milter_event ev = {.type = MILTER_EV_CONNECT, .name = slice_of(name)};
	if (!reopen(ctx))
		return SMFIS_TEMPFAIL;
	if (address != NULL && address->sa_family != AF_UNIX)
		ip_from_sockaddr(address, &ev.ip, &ev.port);
	return step_with_macros(ctx, &ev, MILTER_AT_CONNECT);
}

static sfsistat
on_helo(SMFICTX *ctx, char *name)
{
	struct milter_event ev = {.type = MILTER_EV_HELO, .name = slice_of(name)};
	return step_with_macros(ctx, &ev, MILTER_AT_HELO);
}

static sfsistat
on_path(SMFICTX *ctx, char **argv, enum milter_event_type type, enum milter_macro_stage stage)
{
	struct slice args[MILTER_ARGS_MOST];
	struct milter_event ev = {.type = type, .args = args};
	while (argv[ev.n_args] != NULL && ev.n_args < MILTER_ARGS_MOST) {
		args[ev.n_args] = slice_of(argv[ev.n_args]);
		ev.n_args++;
	}
	return step_with_macros(ctx, &ev, stage);
}

static sfsistat
on_mail(SMFICTX *ctx, char **argv)
{
	return on_path(ctx, argv, MILTER_EV_MAIL, MILTER_AT_MAIL);
}

static sfsistat
on_rcpt(SMFICTX *ctx, char **argv)
{
	return on_path(ctx, argv, MILTER_EV_RCPT, MILTER_AT_RCPT);
}

static sfsistat
on_data(SMFICTX *ctx)
{
	struct milter_event ev = {.type = MILTER_EV_DATA};
	return step_with_macros(ctx, &ev, MILTER_AT_DATA);
}

static sfsistat
on_unknown(SMFICTX *ctx, const char *command)
{
	struct milter_event ev = {.type = MILTER_EV_UNKNOWN, .name = slice_of(command)};
	return step(ctx, &ev);
}

static sfsistat
on_header(SMFICTX *ctx, char *name, char *value)
{
	struct talk *t = smfi_getpriv(ctx);
	struct milter_event ev = {.type = MILTER_EV_HEADER,
		.name = slice_of(name),
		.value = slice_of(value),
		.has_space = t != NULL && (talk_steps(t) & MILTER_HEADER_SPACE) != 0};
	return step(ctx, &ev);
}

static sfsistat
on_header_end(SMFICTX *ctx)
{
	struct milter_event ev = {.type = MILTER_EV_HEADER_END};
	return step_with_macros(ctx, &ev, MILTER_AT_HEADER_END);
}

static sfsistat
on_body(SMFICTX *ctx, unsigned char *bytes, size_t n)
{
	struct milter_event ev = {.type = MILTER_EV_BODY, .value = {(const char *)bytes, n}};
	return step(ctx, &ev);
}

static sfsistat
on_end(SMFICTX *ctx)
{
	struct milter_event ev = {.type = MILTER_EV_END};
	return step_with_macros(ctx, &ev, MILTER_AT_END);
}

static sfsistat
on_abort(SMFICTX *ctx)
{
	struct milter_event ev = {.type = MILTER_EV_ABORT};
	struct talk *t = smfi_getpriv(ctx);
	if (t != NULL)
		talk_tell(t, &ev);
	return SMFIS_CONTINUE;
}

/* The end of a session, and maybe of the connection: the library does not say which. */
static sfsistat
on_close(SMFICTX *ctx)
{
	struct talk *t = smfi_getpriv(ctx);
	if (t == NULL)
		return SMFIS_CONTINUE;
	offers_keep(ctx, talk_offer(t), talk_can(t), talk_steps(t));
	smfi_setpriv(ctx, NULL);
	talk_free(&t);
	return SMFIS_CONTINUE;
}

int
library_open(char *connection, struct channels *c, struct err *err)
{
	static char name[] = "postern";
	struct smfiDesc desc = {.xxfi_name = name,
		.xxfi_version = SMFI_VERSION,
		.xxfi_negotiate = on_negotiate,
		.xxfi_connect = on_connect,
		.xxfi_helo = on_helo,
		.xxfi_envfrom = on_mail,
		.xxfi_envrcpt = on_rcpt,
		.xxfi_data = on_data,
		.xxfi_unknown = on_unknown,
		.xxfi_header = on_header,
		.xxfi_eoh = on_header_end,
		.xxfi_body = on_body,
		.xxfi_eom = on_end,
		.xxfi_abort = on_abort,
		.xxfi_close = on_close};
	channels = c;
	if (smfi_register(desc) != MI_SUCCESS || smfi_setbacklog(BACKLOG) != MI_SUCCESS ||
		smfi_setconn(connection) != MI_SUCCESS)
		return err_set(err, "libmilter takes no \"%s\"", connection);
	if (smfi_opensocket(true) != MI_SUCCESS)
		return err_set(
			err, "listen on %s: libmilter cannot; is it in use?", connection);
	return 0;
}

void
library_run(void)
{
	(void)smfi_main();
}
