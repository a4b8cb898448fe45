/*
 * `answer at rcpt`: one recipient asked of its remote while the client waits at RCPT, over a
 * connection that is then kept for the mail (relay_ask). Nothing is at stake before a mail:
 * what goes away is dropped at once, and what is not known in time is not known.
 */
#include <stdio.h>

#include "base/mem.h"
#include "base/must.h"
#include "delivery/delivery_priv.h"

enum { QUESTION_ARENA_BYTES = 256 * 1024 };

struct delivery_question {
	TAILQ_ENTRY(delivery_question) link;
	struct delivery *delivery;
	struct service_client *client;
	uint32_t id;
	struct arena *arena;
	struct log_context log;
	struct delivery_rcpt_question asked;
	struct delivery_route route;
	struct relay_rcpt rcpt;
	struct relay_mail send;
	struct relay_transfer *transfer; /* NULL: over */
};

static void
free_question(struct delivery_question *q)
{
	TAILQ_REMOVE(&q->delivery->questions, q, link);
	q->delivery->n_questions--;
	relay_abandon(&q->transfer);
	arena_free(&q->arena);
	mem_free(q);
}

static void
answer(struct delivery_question *q, const struct smtp_reply *r)
{
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	delivery_rcpt_answer_pack(r, &out);
	must(ipc_out_ok(&out, &payload));
	/* A client that takes nothing has its own time for the answer. */
	(void)service_answer(q->client, DELIVERY_MSG_RCPT_SAYS, q->id, payload);
	ipc_out_fini(&out);
}

static void
finish(struct delivery_question *q, const struct smtp_reply *r)
{
	answer(q, r);
	free_question(q);
}

/*
 * A refusal of the recipient. One that is aimed at our address is not: its mail may go by the
 * smarthost or later, and nobody is told that the recipient does not exist.
 */
static bool
is_known(const struct delivery_question *q, const struct relay_result *r)
{
	struct failure f;
	if (smtp_reply_class(&q->rcpt.reply) != 5)
		return r->from_hop;
	failure_judge(q->delivery->rules,
		&(struct failure_input){.reply = &q->rcpt.reply,
			.from_hop = r->from_hop,
			.phase = r->phase == SMTP_CL_MAIL ? FAILURE_AT_MAIL : FAILURE_AT_RCPT,
			.host = r->host},
		&f);
	return f.permanent;
}

static void
on_asked(void *arg, const struct relay_result *r)
{
	struct delivery_question *q = arg;
	bool known = is_known(q, r);
	q->transfer = NULL;
	finish(q, known ? &q->rcpt.reply : &(struct smtp_reply){0});
}

static void
ask(struct delivery_question *q)
{
	struct delivery *d = q->delivery;
	q->rcpt = (struct relay_rcpt){.address = q->asked.rcpt, .params = q->asked.rcpt_params};
	q->send = (struct relay_mail){.sender = q->asked.sender,
		.params = q->asked.params,
		.rcpts = &q->rcpt,
		.n_rcpts = 1,
		.times = q->route.times,
		.arena = q->arena,
		.log = &q->log};
	if (q->asked.budget_ms != 0)
		q->send.deadline_ms = loop_now(d->loop) + q->asked.budget_ms;
	q->transfer = relay_ask(d->pool, &q->route.way, &q->send, on_asked, q);
}

static struct delivery_question *
new_question(struct delivery *d, struct service_client *client, uint32_t id)
{
	struct delivery_question *q = MEM_NEW(struct delivery_question);
	q->delivery = d;
	q->client = client;
	q->id = id;
	q->arena = arena_new(QUESTION_ARENA_BYTES);
	q->log.key = "mail";
	TAILQ_INSERT_TAIL(&d->questions, q, link);
	d->n_questions++;
	return q;
}

void
delivery_question_start(struct delivery *d, struct service_client *client, struct ipc_msg *m)
{
	struct delivery_question *q = new_question(d, client, m->id);
	struct smtp_reply none = {0}, reply;
	/* Its largest question is far smaller than what a message may hold. */
	struct slice payload = slice_first(m->payload, QUESTION_ARENA_BYTES / 4);
	payload = arena_slice(q->arena, payload);
	if (!delivery_rcpt_question_unpack(payload, q->arena, &q->asked)) {
		struct err err;
		err_set(&err, "a client sent what is no question for a recipient");
		log_error(EV_SYSTEM_ERROR, NULL, &err);
		finish(q, &none);
		return;
	}
	snprintf(q->log.value, sizeof(q->log.value), "%.*s", SLICE_ARG(q->asked.log));
	if (d->n_questions > DELIVERY_MAILS_MOST || d->stopping)
		finish(q, &none);
	else if (!delivery_route_send(d->conf, q->asked.site, &q->route, &reply))
		finish(q, smtp_reply_class(&reply) == 5 ? &reply : &none);
	else
		ask(q);
}

void
delivery_question_cancel(struct delivery *d, struct service_client *client, uint32_t id)
{
	struct delivery_question *q;
	TAILQ_FOREACH (q, &d->questions, link)
		if (q->client == client && q->id == id) {
			finish(q, &(struct smtp_reply){0});
			return;
		}
}

void
delivery_questions_orphan(struct delivery *d, struct service_client *client)
{
	struct delivery_question *q, *next;
	for (q = TAILQ_FIRST(&d->questions); q != NULL; q = next) {
		next = TAILQ_NEXT(q, link);
		if (q->client == client)
			free_question(q);
	}
}

void
delivery_questions_stop(struct delivery *d)
{
	for (struct delivery_question *q; (q = TAILQ_FIRST(&d->questions)) != NULL;)
		finish(q, &(struct smtp_reply){0});
}
