/*
 * What the running gateway knows: the keeper is asked over its socket for the state of the way
 * out, with its evidence, and for the state of the store; with --listen each listener is
 * connected to. See doctor_priv.h.
 */
#include <inttypes.h>

#include "io/stream.h"
#include "main/doctor_priv.h"
#include "main/hand_client.h"

enum { GREETING_MS = 10 * 1000, GREETING_MOST = 512 };

static void
say_store(struct doctor *d, const struct custody_space *s)
{
	struct slice found = arena_printf(d->arena,
		"%" PRIu64 " mails, %" PRIu64 " bytes, %" PRIu64 " failures of %" PRIu64
		" syncs",
		s->items, s->live_bytes, s->failures, s->syncs);
	if (s->failing)
		doctor_say(d, DOCTOR_FAIL, "store", d->conf->spool, found,
			"the last write or sync failed: look at the disk, and at event=spool "
			"in "
			"the log");
	else if (s->full)
		doctor_say(d, DOCTOR_FAIL, "store", d->conf->spool, found,
			"it is full: make room, mails are refused with 452");
	else
		doctor_say(d, s->failures == 0 ? DOCTOR_OK : DOCTOR_WARN, "store",
			d->conf->spool, found,
			s->failures == 0 ? NULL : "look at event=spool in the log");
}

static void
say_quarantine(struct doctor *d, const struct hand_fill *q)
{
	if (q->items == 0 && q->most == 0)
		return;
	unsigned percent = q->most == 0          ? 0
			   : q->bytes >= q->most ? 100
						 : (unsigned)(q->bytes * 100 / q->most);
	struct slice found =
		q->most == 0 ? arena_printf(d->arena, "%" PRIu64 " mails, %" PRIu64 " bytes",
				       q->items, q->bytes)
			     : arena_printf(d->arena,
				       "%" PRIu64 " mails, %" PRIu64
				       " bytes, %u %% of `quarantine size`",
				       q->items, q->bytes, percent);
	doctor_say(d,
		percent >= 100  ? DOCTOR_FAIL
		: percent >= 80 ? DOCTOR_WARN
				: DOCTOR_OK,
		"quarantine", SLICE_NONE, found,
		percent >= 80 ? "what has no room is put off with 452: look at it with "
				"`postern quarantine`, let go or delete, or give it more room"
			      : NULL);
}

static void
say_egress(struct doctor *d, const struct hand_state *s)
{
	static const char *const advice[EGRESS_STATES] = {
		[EGRESS_BLOCKED] = "ask your provider whether port 25 is open, or say `send "
				   "direct then smarthost`",
		[EGRESS_INTERCEPTED] =
			"one machine answers for everybody: ask your provider who "
			"intercepts port 25",
		[EGRESS_LISTED] =
			"see which block list has the address, and why; then ask to be "
			"taken out",
	};
	doctor_say(d, s->egress == EGRESS_OPEN ? DOCTOR_OK : DOCTOR_FAIL, "egress",
		slice_of(egress_state_text(s->egress)), slice_trim(s->egress_text),
		s->egress == EGRESS_OPEN ? NULL : "%s", advice[s->egress]);
}

void
doctor_keeper(struct doctor *d)
{
	struct hand_state s;
	struct err err;
	if (d->conf->spool.n == 0)
		return;
	struct hand_client *c = hand_client_open(d->conf->spool, &err);
	if (c == NULL || hand_client_state(c, &s, &err) < 0) {
		doctor_say(d, DOCTOR_WARN, "keeper", SLICE_NONE, slice_of(err.text),
			"start posternd, and run this as root: only the running gateway knows "
			"how the way out is");
	} else {
		say_store(d, &s.space);
		say_quarantine(d, &s.quarantine);
		say_egress(d, &s);
	}
	hand_client_close(&c);
}

/* ---- --listen ---- */

struct caller {
	struct loop *loop;
	struct loop_timer late;
	bool wants_greeting, connected, greeted;
	size_t n;
	char greeting[GREETING_MOST];
	struct err err;
};

static void
end_call(struct caller *c, const char *why)
{
	if (why != NULL)
		err_set(&c->err, "%s", why);
	loop_stop(c->loop);
}

static void
on_connected(void *arg)
{
	struct caller *c = arg;
	c->connected = true;
	if (!c->wants_greeting)
		end_call(c, NULL);
}

static size_t
on_bytes(void *arg, struct slice in)
{
	struct caller *c = arg;
	for (size_t i = 0; i < in.n && c->n < sizeof(c->greeting); i++)
		c->greeting[c->n++] = in.p[i];
	struct slice line = slice_first((struct slice){c->greeting, c->n}, c->n);
	if (slice_has(line, '\n') || c->n == sizeof(c->greeting)) {
		c->greeted = true;
		end_call(c, NULL);
	}
	return in.n;
}

static void
on_end(void *arg)
{
	end_call(arg, "closed without a greeting");
}

static void
on_lost(void *arg, enum stream_lost why, const struct err *err)
{
	(void)why;
	end_call(arg, err->text);
}

static void
on_late(void *arg)
{
	end_call(arg, "no greeting within ten seconds");
}

/* True: reached, and greeted where a greeting is due. */
static bool
call(struct caller *c, const struct stream_addr *to)
{
	static const struct stream_calls calls = {.on_connected = on_connected,
		.on_bytes = on_bytes,
		.on_end = on_end,
		.on_lost = on_lost};
	c->loop = loop_new(&c->err);
	if (c->loop == NULL)
		return false;
	loop_timer_init(&c->late, c->loop, on_late, c);
	loop_timer_set(&c->late, GREETING_MS);
	struct stream *s = stream_connect(
		c->loop, to, NULL, GREETING_MS, GREETING_MOST, &calls, c, &c->err);
	if (s != NULL)
		loop_run(c->loop, &c->err);
	stream_free(&s);
	loop_timer_clear(&c->late);
	loop_free(&c->loop);
	return c->connected && (c->greeted || !c->wants_greeting);
}

static void
check_listener(struct doctor *d, const struct conf_listener *l)
{
	struct caller c = {
		.wants_greeting = l->kind != LISTEN_MILTER && l->tls != LISTEN_TLS_IMPLICIT};
	struct stream_addr to = {.ip = l->ip, .port = l->port};
	struct ip any;
	if (l->ip.family == 0)
		return; /* a socket of the MTA beside us */
	ip_parse(l->ip.family == 4 ? SLICE("0.0.0.0") : SLICE("::"), &any);
	if (ip_eq(&any, &l->ip))
		ip_parse(l->ip.family == 4 ? SLICE("127.0.0.1") : SLICE("::1"), &to.ip);
	bool reached = call(&c, &to);
	struct slice line;
	slice_cut((struct slice){c.greeting, c.n}, '\n', &line, &(struct slice){0});
	line = slice_trim(line);
	if (!reached)
		doctor_say(d, DOCTOR_FAIL, "listen", l->text, slice_of(c.err.text),
			"see whether posternd runs, and its log");
	else if (c.wants_greeting && !slice_starts(line, SLICE("220")))
		doctor_say(d, DOCTOR_WARN, "listen", l->text,
			arena_printf(d->arena, "answers: %.*s", SLICE_ARG(line)),
			"it takes no mail from this address now");
	else
		doctor_say(d, DOCTOR_OK, "listen", l->text,
			c.wants_greeting
				? arena_printf(d->arena, "answers: %.*s", SLICE_ARG(line))
				: SLICE("takes connections"),
			NULL);
}

void
doctor_listeners(struct doctor *d)
{
	for (size_t i = 0; d->listen && i < d->conf->n_listeners; i++)
		check_listener(d, &d->conf->listeners[i]);
}
