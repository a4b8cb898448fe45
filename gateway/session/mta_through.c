/*
 * The other front of a milter: libmilter in a process of its own (milter/through), which hands
 * each session of an MTA over as a channel of events and answers (milter/messages.h). From
 * there on it is as if our own engine had read it.
 */
#include "milter/messages.h"

#include <unistd.h>

#include "base/mem.h"
#include "session/mta_priv.h"

enum { OUT_MOST = 1024 * 1024, EVENT_ARENA_MOST = 1024 * 1024, LINK_MOST = 4096 };

struct mta_through {
	struct mta mta;
	struct ipc *ipc;
	struct arena *arena; /* the event that is worked on */
	uint32_t id;         /* its number */
	bool negotiated;
	unsigned rank; /* how far the mail is */
};

static struct mta_through *
through_of(struct mta *m)
{
	return (struct mta_through *)(void *)((char *)m - offsetof(struct mta_through, mta));
}

static void
say(struct mta_through *t, enum milter_message type, struct ipc_out *out)
{
	struct slice payload;
	if (!ipc_out_ok(out, &payload))
		mta_refuse(&t->mta, "an answer that is larger than a message");
	else if (ipc_send(t->ipc, (uint16_t)type, t->id, payload) < 0)
		mta_refuse(&t->mta, "the process of libmilter does not read our answers");
	ipc_out_fini(out);
}

/* What is agreed is the same on both sides of the channel: the library negotiates so. */
static void
negotiate(struct mta *m, const struct milter_offer *offer)
{
	struct mta_through *t = through_of(m);
	const struct milter_wants *wants = &m->front->wants;
	struct milter_offer agreed = {.version = offer->version,
		.can = milter_can_agreed(wants, offer),
		.steps = wants->steps & offer->steps};
	struct ipc_out out;
	for (int stage = 0; stage < MILTER_STAGES; stage++)
		if (wants->macros[stage].n != 0)
			agreed.can |= offer->can & MILTER_CAN_CHOOSE_MACROS;
	t->negotiated = true;
	ipc_out_init(&out);
	milter_wants_pack(wants, &out);
	say(t, MILTER_MSG_WANTS, &out);
	if ((wants->can & ~offer->can) != 0)
		mta_offers_too_little(m);
	else
		mta_agreed(m, &agreed);
}

/* The steps of a mail come in their order; false: this one cannot be. */
static bool
in_order(struct mta_through *t, enum milter_event_type type)
{
	static const unsigned ranks[MILTER_EVENTS] = {
		[MILTER_EV_RCPT] = 1,
		[MILTER_EV_DATA] = 1,
		[MILTER_EV_HEADER] = 2,
		[MILTER_EV_HEADER_END] = 3,
		[MILTER_EV_BODY] = 4,
		[MILTER_EV_END] = 5,
	};
	if ((type == MILTER_EV_NEGOTIATE) == t->negotiated ||
		(ranks[type] != 0 && ranks[type] < t->rank))
		return false;
	if (type != MILTER_EV_UNKNOWN)
		t->rank = ranks[type];
	return true;
}

/* The event lives as long as its answer is owed, which is longer than the message. */
static void
on_message(void *arg, struct ipc_msg *m)
{
	struct mta_through *t = arg;
	struct milter_event ev;
	if (t->mta.ending)
		return;
	if (t->mta.owes) {
		mta_refuse(&t->mta, "an event before the answer to the last");
		return;
	}
	arena_reset(t->arena);
	if (m->type != MILTER_MSG_EVENT || m->nfds != 0 ||
		!milter_event_unpack(arena_slice(t->arena, m->payload), t->arena, &ev) ||
		!in_order(t, ev.type)) {
		mta_refuse(&t->mta, "no event of libmilter");
		return;
	}
	t->id = m->id;
	mta_event(&t->mta, &ev);
}

static void
on_gone(void *arg, const struct err *err)
{
	struct mta_through *t = arg;
	(void)err;
	mta_end(&t->mta);
}

static void
answer(struct mta *m, const struct milter_answer *a)
{
	struct ipc_out out;
	ipc_out_init(&out);
	milter_answer_pack(a, &out);
	say(through_of(m), MILTER_MSG_ANSWER, &out);
}

static void
progress(struct mta *m)
{
	struct mta_through *t = through_of(m);
	(void)ipc_send(t->ipc, MILTER_MSG_PROGRESS, t->id, SLICE_NONE); /* or not: it lives */
}

static void
ready(struct mta *m)
{
	(void)m; /* the next event comes by itself */
}

static void
free_through(struct mta *m)
{
	struct mta_through *t = through_of(m);
	ipc_free(&t->ipc);
	arena_free(&t->arena);
	mem_free(t);
}

static void
accept_session(struct front *f, int fd)
{
	static const struct ipc_calls ipc = {.on_message = on_message, .on_gone = on_gone};
	static const struct mta_calls calls = {

		.negotiate = negotiate,
		.answer = answer,
		.progress = progress,
		.ready = ready,
		.free = free_through};
	struct mta_through *t = MEM_NEW(struct mta_through);
	t->arena = arena_new(EVENT_ARENA_MOST);
	t->ipc = ipc_new(f->process->loop, fd, OUT_MOST, &ipc, t);
	mta_begin(&t->mta, f, &calls);
}

/* ---- the channel to a process of libmilter ---- */

static void
link_message(void *arg, struct ipc_msg *m)
{
	struct front *f = arg;
	int fd = m->type == MILTER_MSG_SESSION ? ipc_take_fd(m, 0) : -1;
	if (fd >= 0)
		accept_session(f, fd);
}

/* It is started again, and we are told of another. */
static void
link_gone(void *arg, const struct err *err)
{
	struct front *f = arg;
	(void)err;
	ipc_free(&f->through);
}

void
through_attach(struct process *p, unsigned index, int fd)
{
	static const struct ipc_calls calls = {
		.on_message = link_message, .on_gone = link_gone};
	for (size_t i = 0; i < p->n_fronts && !p->stopping; i++) {
		struct front *f = &p->fronts[i];
		if (!f->gate.listener->through_libmilter || index-- != 0)
			continue;
		ipc_free(&f->through);
		f->through = ipc_new(p->loop, fd, LINK_MOST, &calls, f);
		return;
	}
	close(fd);
}

/* Sessions that are open have channels of their own; who comes now is for other processes. */
void
through_close(struct process *p)
{
	for (size_t i = 0; i < p->n_fronts; i++)
		ipc_free(&p->fronts[i].through);
}
