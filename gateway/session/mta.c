/*
 * The driver of a milter's gate: each event goes in, its questions are asked of the world, its
 * digests signed, its answer carried off by the front. While the answer to END takes long the
 * MTA is told so, lest it gives the mail up.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "session/mta_priv.h"

enum {
	IDLE_MS = 60 * 60 * 1000, /* an MTA keeps its milter as long as its client stays */
	STOP_IDLE_MS = 5 * 1000,  /* while the gateway ends */
	PROGRESS_MS = 20 * 1000,
};

static void
destroy(struct mta *m)
{
	struct process *p = m->process;
	signing_cancel(&m->signing);
	loop_timer_clear(&m->timer);
	loop_timer_clear(&m->progress);
	loop_task_clear(&m->task);
	milter_gate_free(&m->gate);
	account_leave(p->start->account, p->start->self, &(struct ip){0});
	TAILQ_REMOVE(&p->mtas, m, link);
	p->n_connections--;
	m->calls->free(m);
	process_connection_gone(p);
}

void
mta_end(struct mta *m)
{
	m->ending = true;
	loop_task_queue(&m->task);
}

void
mta_kill(struct mta *m)
{
	destroy(m);
}

void
mta_refuse(struct mta *m, const char *why)
{
	struct log_line l;
	log_begin(&l, EV_PROTOCOL, &(struct log_context){.key = "session"});
	log_text(&l, "session", m->id);
	log_slice(&l, "listener", m->front->milter.listener->text);
	log_text(&l, "error", "milter");
	log_text(&l, "why", why);
	log_end(&l);
	mta_end(m);
}

void
mta_offers_too_little(struct mta *m)
{
	mta_refuse(m, "the MTA does not offer what the rules need of a milter");
}

static void
ask_questions(struct mta *m)
{
	struct questions *scope;
	struct question *q;
	while ((q = milter_gate_question(m->gate, &scope)) != NULL)
		ask_world(&(struct asker){m->process, milter_gate_side(m->gate),
				  pipeline_spill(milter_gate_pipeline(m->gate)), &m->task},
			q, scope);
}

static void
set_times(struct mta *m)
{
	loop_timer_set(&m->timer, m->stopping ? STOP_IDLE_MS : IDLE_MS);
	if (!m->owes || !m->at_end)
		loop_timer_clear(&m->progress);
	else if (!loop_timer_is_set(&m->progress))
		loop_timer_set(&m->progress, PROGRESS_MS);
}

/* After every change of the gate; true: an answer was carried off. */
static bool
service(struct mta *m)
{
	struct milter_answer answer;
	ask_questions(m);
	if (milter_gate_wants_signatures(m->gate)) {
		size_t n;
		const struct sign_request *requests = milter_gate_signs(m->gate, &n);
		signing_begin(&m->signing, requests, n);
	}
	bool answered = milter_gate_answer(m->gate, &answer);
	if (answered) {
		m->owes = false;
		m->calls->answer(m, &answer);
		milter_gate_settled(m->gate);
	}
	set_times(m);
	return answered;
}

static void
work_on(struct mta *m)
{
	account_working(m->process->start->account, m->process->start->self,
		milter_gate_client(m->gate));
	milter_gate_clock(m->gate, clock_wall_ms());
}

static void
work_done(struct mta *m)
{
	account_working(m->process->start->account, m->process->start->self, NULL);
}

static void
on_task(void *arg)
{
	struct mta *m = arg;
	if (m->ending) {
		destroy(m);
		return;
	}
	work_on(m);
	milter_gate_answered(m->gate);
	bool answered = service(m);
	work_done(m);
	if (answered)
		m->calls->ready(m);
}

static void
on_signed(void *arg, const struct slice *signatures)
{
	struct mta *m = arg;
	milter_gate_signed(m->gate, signatures);
	loop_task_queue(&m->task);
}

static void
on_progress(void *arg)
{
	struct mta *m = arg;
	m->calls->progress(m);
	loop_timer_set(&m->progress, PROGRESS_MS);
}

/* A mail under way is waited for; process.c has the last word. */
static void
on_time(void *arg)
{
	struct mta *m = arg;
	if (m->owes || milter_gate_in_mail(m->gate))
		set_times(m);
	else
		mta_end(m);
}

void
mta_begin(struct mta *m, struct front *f, const struct mta_calls *calls)
{
	struct process *p = f->process;
	m->process = p;
	m->front = f;
	m->calls = calls;
	make_session_id(m->id);
	m->gate = milter_gate_new(&f->milter, m->id, clock_wall_ms());
	loop_task_init(&m->task, p->loop, on_task, m);
	loop_timer_init(&m->timer, p->loop, on_time, m);
	loop_timer_init(&m->progress, p->loop, on_progress, m);
	signing_init(&m->signing, p, on_signed, m);
	TAILQ_INSERT_TAIL(&p->mtas, m, link);
	p->n_connections++;
	(void)account_enter(p->start->account, p->start->self, &(struct ip){0});
	if (account_connections(p->start->account) > p->conf->limits.connections) {
		mta_refuse(m, "more connections than `limits { connections }`");
	} else if (p->stopping) {
		mta_stop(m);
	} else {
		set_times(m);
	}
}

void
mta_agreed(struct mta *m, const struct milter_offer *agreed)
{
	milter_gate_agreed(m->gate, agreed);
	set_times(m);
}

/* A step of a session, for the gate. */
static void
step(struct mta *m, const struct milter_event *ev)
{
	work_on(m);
	m->owes = ev->type != MILTER_EV_ABORT && ev->type != MILTER_EV_NEXT;
	m->at_end = ev->type == MILTER_EV_END;
	milter_gate_event(m->gate, ev);
	(void)service(m);
	work_done(m);
}

void
mta_event(struct mta *m, const struct milter_event *ev)
{
	switch (ev->type) {
	case MILTER_EV_NEGOTIATE: m->calls->negotiate(m, &ev->offer); break;
	case MILTER_EV_QUIT: mta_end(m); break;
	case MILTER_EV_BAD:
		mta_refuse(m, ev->why != NULL ? ev->why : "what came is no milter protocol");
		break;
	case MILTER_EV_CONNECT:
	case MILTER_EV_HELO:
	case MILTER_EV_MAIL:
	case MILTER_EV_RCPT:
	case MILTER_EV_DATA:
	case MILTER_EV_HEADER:
	case MILTER_EV_HEADER_END:
	case MILTER_EV_BODY:
	case MILTER_EV_END:
	case MILTER_EV_UNKNOWN:
	case MILTER_EV_ABORT:
	case MILTER_EV_NEXT: step(m, ev); break;
	case MILTER_EV_NONE:
	case MILTER_EVENTS: break;
	}
}

void
mta_stop(struct mta *m)
{
	m->stopping = true;
	set_times(m);
}
