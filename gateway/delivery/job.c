/*
 * One mail in a delivery process: unpacked, routed, handed to relay, answered once. A job
 * outlives its client only while a final dot is out: then there is nobody to tell, and the log
 * says what became of it.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"
#include "delivery/delivery_priv.h"

enum { JOB_ARENA_BYTES = 4 * 1024 * 1024 };

struct delivery_job {
	TAILQ_ENTRY(delivery_job) link;
	struct delivery *delivery;
	struct service_client *client; /* NULL: gone */
	uint32_t id;
	int fd; /* a session's spill file, or what the keeper has read; or -1 */
	struct arena *arena;
	struct log_context log;
	struct delivery_mail mail;
	struct delivery_route route;
	struct relay_mail send;
	struct relay_transfer *transfer;
};

static void
free_job(struct delivery_job *j)
{
	struct delivery *d = j->delivery;
	TAILQ_REMOVE(&d->jobs, j, link);
	d->n_jobs--;
	if (j->fd >= 0)
		close(j->fd);
	arena_free(&j->arena);
	mem_free(j);
	if (d->stopping && d->n_jobs == 0)
		loop_stop(d->loop);
}

static void
answer(struct delivery_job *j, const struct delivery_result *r)
{
	struct ipc_out out;
	struct slice payload;
	if (j->client == NULL)
		return;
	ipc_out_init(&out);
	delivery_result_pack(r, &out);
	must(ipc_out_ok(&out, &payload));
	if (service_answer(j->client, DELIVERY_MSG_RESULT, j->id, payload) < 0) {
		struct err err;
		err_set(&err, "a client takes no results: its mail will be in doubt");
		log_error(EV_SYSTEM_ERROR, &j->log, &err);
	}
	ipc_out_fini(&out);
}

/* Nothing was sent to anybody, or even tried: a reply of ours for all recipients. */
static void
finish_unsent(struct delivery_job *j, struct smtp_reply reply)
{
	struct delivery_result r = {.reply = reply,
		.phase = SMTP_CL_GREETING,
		.at = FAILURE_AT_CONNECT,
		.rcpts = j->mail.rcpts,
		.n_rcpts = j->mail.n_rcpts};
	for (size_t i = 0; i < r.n_rcpts; i++) {
		r.rcpts[i].fate =
			smtp_reply_class(&reply) == 5 ? RELAY_REFUSED : RELAY_DEFERRED;
		r.rcpts[i].reply = reply;
		r.rcpts[i].phase = r.phase;
	}
	answer(j, &r);
	free_job(j);
}

static enum failure_phase
phase_of(enum relay_stage stage)
{
	static const enum failure_phase phases[RELAY_STAGES] = {
		[RELAY_AT_DNS] = FAILURE_AT_DNS,
		[RELAY_AT_CONNECT] = FAILURE_AT_CONNECT,
		[RELAY_AT_GREETING] = FAILURE_AT_GREETING,
		[RELAY_AT_TLS] = FAILURE_AT_TLS,
		[RELAY_AT_AUTH] = FAILURE_AT_AUTH,
		[RELAY_AT_MAIL] = FAILURE_AT_MAIL,
		[RELAY_AT_RCPT] = FAILURE_AT_RCPT,
		[RELAY_AT_DATA] = FAILURE_AT_DATA,
		[RELAY_AT_DOT] = FAILURE_AT_DOT,
	};
	return phases[stage];
}

/*
 * Nobody has answered, but one that was reached had words for us, before it heard of the mail
 * ("554 5.7.1 you are listed", to the connection): those tell more than ours. Never for good:
 * another server, or another day, may see it otherwise.
 */
static void
tell_words(struct delivery_result *r, const struct smtp_reply *said)
{
	if (r->from_hop || smtp_reply_class(&r->reply) != 4 || said->code < 400)
		return;
	r->reply = *said;
	r->from_hop = true;
	if (said->code >= 500 || said->code == 421) /* 421 would end our client's session */
		r->reply.code = 451;
	r->reply.enhanced[0] = 4;
	for (size_t i = 0; i < r->n_rcpts; i++)
		r->rcpts[i].reply = r->reply;
}

static void
on_relayed(void *arg, const struct relay_result *from)
{
	struct delivery_job *j = arg;
	char text[STREAM_ADDR_TEXT_BYTES];
	struct delivery_result r = {.reply = from->reply,
		.phase = from->phase,
		.from_hop = from->from_hop,
		.hop = from->hop,
		.host = from->host,
		.tls = from->tls,
		.tls_verified = from->tls_verified,
		.dsn = from->offer.dsn,
		.attempts = from->attempts,
		.at = phase_of(from->stage),
		.banner = from->banner,
		.starttls = from->starttls,
		.certificate = from->certificate,
		.mx_set = from->mx_set,
		.rcpts = j->mail.rcpts,
		.n_rcpts = j->mail.n_rcpts};
	if (from->attempts > 0)
		r.address = slice_of(stream_addr_text(&from->address, text));
	j->transfer = NULL;
	tell_words(&r, &from->said);
	answer(j, &r);
	free_job(j);
}

static void
send_mail(struct delivery_job *j)
{
	struct delivery *d = j->delivery;
	j->send = (struct relay_mail){.sender = j->mail.sender,
		.params = j->mail.params,
		.rcpts = j->mail.rcpts,
		.n_rcpts = j->mail.n_rcpts,
		.all_or_none = j->mail.all_or_none,
		.body = &j->mail.body,
		.prefer = j->mail.prefer,
		.times = j->route.times,
		.arena = j->arena,
		.log = &j->log};
	if (j->mail.budget_ms != 0)
		j->send.deadline_ms = loop_now(d->loop) + j->mail.budget_ms;
	j->transfer = relay_send(d->pool, &j->route.way, &j->send, on_relayed, j);
}

static struct delivery_job *
new_job(struct delivery *d, struct service_client *client, struct ipc_msg *m)
{
	struct delivery_job *j = MEM_NEW(struct delivery_job);
	j->delivery = d;
	j->client = client;
	j->id = m->id;
	j->fd = ipc_take_fd(m, 0);
	j->arena = arena_new(JOB_ARENA_BYTES);
	j->log.key = "mail";
	TAILQ_INSERT_TAIL(&d->jobs, j, link);
	d->n_jobs++;
	return j;
}

void
delivery_job_start(struct delivery *d, struct service_client *client, struct ipc_msg *m)
{
	struct delivery_job *j = new_job(d, client, m);
	struct smtp_reply reply;
	struct slice payload = arena_slice(j->arena, m->payload);
	if (!delivery_mail_unpack(payload, j->fd, j->arena, &j->mail)) {
		struct err err;
		err_set(&err, "a client sent what is no mail");
		log_error(EV_SYSTEM_ERROR, NULL, &err);
		j->mail.n_rcpts = 0;
		finish_unsent(j, smtp_reply_of("451 4.3.0 The mail was damaged on its way"));
		return;
	}
	snprintf(j->log.value, sizeof(j->log.value), "%.*s", SLICE_ARG(j->mail.log));
	if (d->n_jobs > DELIVERY_MAILS_MOST || d->stopping)
		finish_unsent(j, smtp_reply_of("451 4.3.2 Too many mails are on their way"));
	else if (!delivery_route(d->conf, &j->mail, j->arena, &j->log, &j->route, &reply))
		finish_unsent(j, reply);
	else
		send_mail(j);
}

/* True: it is over. */
static bool
cancel(struct delivery_job *j, const char *words)
{
	if (!relay_cancel(&j->transfer))
		return false;
	finish_unsent(j, smtp_reply_of(words));
	return true;
}

void
delivery_job_cancel(struct delivery *d, struct service_client *client, uint32_t id)
{
	struct delivery_job *j;
	TAILQ_FOREACH (j, &d->jobs, link)
		if (j->client == client && j->id == id) {
			cancel(j, "451 4.4.2 The client went away, nothing was sent");
			return;
		}
}

void
delivery_jobs_orphan(struct delivery *d, struct service_client *client)
{
	struct delivery_job *j, *next;
	for (j = TAILQ_FIRST(&d->jobs); j != NULL; j = next) {
		next = TAILQ_NEXT(j, link);
		if (j->client != client)
			continue;
		j->client = NULL;
		cancel(j, "451 4.4.2 The session went away, nothing was sent");
	}
}

void
delivery_jobs_stop(struct delivery *d)
{
	struct delivery_job *j, *next;
	d->stopping = true;
	for (j = TAILQ_FIRST(&d->jobs); j != NULL; j = next) {
		next = TAILQ_NEXT(j, link);
		cancel(j, "451 4.3.2 The gateway stops, nothing was sent");
	}
}
