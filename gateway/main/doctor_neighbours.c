/*
 * `postern doctor`: do the scanners beside us answer? Each server of `filter rspamd` and
 * `filter spamassassin` is asked about a mail of our own, as a session would ask it: the same
 * driver, the same time.
 */
#include "base/clock.h"
#include "io/loop.h"
#include "main/doctor_priv.h"
#include "session/neighbour.h"

struct showing {
	struct doctor *doctor;
	struct loop *loop;
	struct conf_server *server;
	const char *check;
};

static void
on_verdict(void *arg, const struct neighbour_verdict *v)
{
	struct showing *s = arg;
	struct doctor *d = s->doctor;
	if (v->failed)
		doctor_say(d, DOCTOR_FAIL, s->check, s->server->text, v->why,
			"see that it runs and listens there; rules that ask it put mails off, "
			"or pass it over, as \"on failure\" of filter %s says",
			s->check);
	else
		doctor_say(d, DOCTOR_OK, s->check, s->server->text,
			arena_printf(d->arena, "answers: %.2f of %.2f%s%.*s for a mail of ours",
				v->score, v->required, v->action.n != 0 ? ", " : "",
				SLICE_ARG(v->action)),
			NULL);
	loop_stop(s->loop);
}

/* As from a client of this machine; the one recipient is its own postmaster. */
static struct slice
make_envelope(struct doctor *d, enum neighbour which, struct slice postmaster)
{
	struct neighbour_mail m = {.hostname = d->conf->hostname,
		.helo = d->conf->hostname,
		.protocol = SLICE("ESMTP"),
		.id = SLICE("doctor"),
		.sender = postmaster,
		.recipients = &postmaster,
		.n_recipients = 1,
		.wall_ms = clock_wall_ms()};
	return neighbour_envelope(which, &m, d->arena);
}

static struct slice
make_mail(struct doctor *d, struct slice postmaster)
{
	char date[CLOCK_DATE_BYTES];
	return arena_printf(d->arena,
		"From: <%.*s>\r\nTo: <%.*s>\r\nSubject: postern doctor\r\nDate: %.*s\r\n"
		"Message-ID: <doctor.%llu@%.*s>\r\n\r\nIs a scanner there?\r\n",
		SLICE_ARG(postmaster), SLICE_ARG(postmaster),
		SLICE_ARG(clock_date(clock_wall_ms(), date)),
		(unsigned long long)clock_wall_ms(), SLICE_ARG(d->conf->hostname));
}

/* A configuration of this server alone, so that no other one answers for it. */
static void
check_server(struct doctor *d, const struct conf_filter *f, size_t i, enum neighbour which)
{
	struct err err;
	struct conf_filter alone = *f;
	struct conf conf = *d->conf;
	struct spill *mail = spill_new(-1);
	struct showing s = {.doctor = d,
		.loop = loop_new(&err),
		.server = &alone.servers[0],
		.check = neighbour_text(which)};
	alone.servers[0] = f->servers[i];
	alone.n_servers = 1;
	conf.filters = &alone;
	conf.n_filters = 1;
	struct slice postmaster =
		arena_printf(d->arena, "postmaster@%.*s", SLICE_ARG(conf.hostname));
	if (s.loop == NULL || spill_add(mail, make_mail(d, postmaster), &err) < 0) {
		doctor_say(d, DOCTOR_FAIL, s.check, s.server->text, slice_of(err.text), NULL);
	} else {
		struct neighbours *n = neighbours_new(s.loop, &conf, true);
		struct neighbour_ask *ask = neighbours_ask(
			n, which, make_envelope(d, which, postmaster), mail, on_verdict, &s);
		if (loop_run(s.loop, &err) < 0)
			neighbours_cancel(&ask);
		neighbours_free(&n);
	}
	spill_free(&mail);
	loop_free(&s.loop);
}

void
doctor_neighbours(struct doctor *d)
{
	for (int which = 0; which < NEIGHBOURS; which++) {
		const struct conf_filter *f =
			conf_filter_find(d->conf, neighbour_text((enum neighbour)which));
		for (size_t i = 0; f != NULL && i < f->n_servers; i++)
			check_server(d, f, i, (enum neighbour)which);
	}
}
