/*
 * An MTA's session, told event by event to the session process that decides; see talk.h. The
 * callbacks of libmilter (callbacks.c) stand above, the socket pair of this session below.
 */
#include "through/talk.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "milter/messages.h"

/* The end of a mail takes scans and look-ups; more than the MTA itself waits is of no use. */
enum {
	BEGIN_WAIT_MS = 10 * 1000, /* then another session process is tried */
	STEP_WAIT_MS = 5 * 60 * 1000,
	END_WAIT_MS = 15 * 60 * 1000,
	END_MOST_MS = 60 * 60 * 1000, /* with all its signs of life */
	ARENA_MOST = 4 * 1024 * 1024,
	TRIES_MOST = 4 /* session processes that end, or have as many sessions as they may */
};

struct talk {
	int fd;       /* -1: over */
	bool begun;   /* negotiated */
	bool refused; /* the session process has closed it before that */
	uint32_t id;
	struct milter_offer offer;
	struct milter_wants wants;
	struct talk_macro *macros[MILTER_STAGES];
	size_t n_macros[MILTER_STAGES];
	struct arena *lasting;
	struct arena *arena; /* of the answer at hand */
};

static void
talk_end(struct talk *t)
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}

/* The session process is at fault or gone: told once, the MTA puts the mail off. */
static void
talk_fail(struct talk *t, struct err *err)
{
	err_wrap(err, "a session of the MTA");
	log_error(EV_SYSTEM_ERROR, NULL, err);
	talk_end(t);
}

/* Its channel has failed: before anything was said, another session process is tried. */
static void
talk_lose(struct talk *t, struct err *err)
{
	t->refused = !t->begun;
	if (t->begun)
		talk_fail(t, err);
	else
		talk_end(t);
}

static bool
talk_send(struct talk *t, const struct milter_event *ev)
{
	struct ipc_out out;
	struct slice payload;
	struct err err;
	bool sent = false;
	if (t->fd < 0)
		return false;
	ipc_out_init(&out);
	milter_event_pack(ev, &out);
	bool fits = ipc_out_ok(&out, &payload);
	if (!fits)
		err_set(&err, "%s is larger than a message", milter_event_text(ev->type));
	else
		sent = ipc_write_blocking(t->fd, MILTER_MSG_EVENT, ++t->id, payload, &err) == 0;
	ipc_out_fini(&out);
	if (!fits)
		talk_fail(t, &err);
	else if (!sent)
		talk_lose(t, &err);
	return sent;
}

/* The next message of the session process; its payload is in the arena. */
static bool
talk_read(struct talk *t, struct arena *a, struct ipc_msg *m)
{
	struct err err;
	struct buf buf;
	buf_init(&buf, IPC_PAYLOAD_BYTES);
	int got = ipc_read_blocking(t->fd, &buf, m, &err);
	if (got == 1 && m->payload.n != 0)
		m->payload = arena_slice(a, m->payload);
	buf_fini(&buf);
	if (got == 0)
		err_set(&err, "the session process is gone");
	if (got != 1) {
		talk_lose(t, &err);
		return false;
	}
	for (size_t i = 0; i < m->nfds; i++)
		close(ipc_take_fd(m, i));
	if (m->nfds == 0 && m->id == t->id)
		return true;
	err_set(&err, "an answer to something else");
	talk_fail(t, &err);
	return false;
}

static void
keep_macros(struct talk *t, enum milter_macro_stage stage)
{
	struct slice rest = t->wants.macros[stage], name;
	size_t n = 0;
	if (rest.n == 0)
		return;
	struct talk_macro *all =
		arena_array(t->lasting, MILTER_MACROS_MOST, sizeof(struct talk_macro));
	while (rest.n != 0 && n < MILTER_MACROS_MOST) {
		slice_cut(rest, ' ', &name, &rest);
		if (name.n == 0)
			continue;
		struct talk_macro *m = &all[n++];
		m->asked = arena_text(t->lasting, name);
		m->name = slice_of(m->asked);
		if (name.n > 2 && name.p[0] == '{' && name.p[name.n - 1] == '}')
			m->name = slice_first(slice_from(m->name, 1), name.n - 2);
	}
	t->macros[stage] = all;
	t->n_macros[stage] = n;
}

/* True: the session process has said what the rules need, and the MTA can do it. */
static bool
talk_negotiate(struct talk *t)
{
	struct milter_event ev = {.type = MILTER_EV_NEGOTIATE, .offer = t->offer};
	struct ipc_msg m;
	struct err err;
	if (!talk_send(t, &ev) || !talk_read(t, t->lasting, &m))
		return false;
	if (m.type != MILTER_MSG_WANTS || !milter_wants_unpack(m.payload, &t->wants)) {
		err_set(&err, "no answer to a negotiation");
	} else if ((t->wants.can & ~t->offer.can) != 0) {
		talk_end(t); /* the MTA's fault, not the system's: the session process tells it
			      */
		return false;
	} else {
		for (int s = 0; s < MILTER_STAGES; s++)
			keep_macros(t, (enum milter_macro_stage)s);
		t->begun = ipc_bound_waits(t->fd, STEP_WAIT_MS, &err) == 0;
		if (t->begun)
			return true;
	}
	talk_fail(t, &err);
	return false;
}

/* One end of a new pair of sockets to a session process, the other for us. */
static bool
talk_connect(struct talk *t, struct channels *c, struct err *err)
{
	int pair[2];
	if (ipc_pair(pair, err) < 0)
		return false;
	bool handed = channels_hand(c, pair[1]);
	close(pair[1]);
	t->fd = pair[0];
	if (!handed)
		err_set(err, "there is no session process");
	return handed && ipc_bound_waits(t->fd, BEGIN_WAIT_MS, err) == 0;
}

/* A session process that ends, or has as many sessions as it may, closes at once: then another.
 */
static bool
talk_begin(struct talk *t, struct channels *c)
{
	struct err err;
	for (int tries = 0; tries < TRIES_MOST; tries++) {
		t->refused = false;
		if (!talk_connect(t, c, &err)) {
			talk_fail(t, &err);
			return false;
		}
		if (talk_negotiate(t))
			return true;
		if (!t->refused)
			return false;
	}
	err_set(&err, "no session process takes it");
	talk_fail(t, &err);
	return false;
}

struct talk *
talk_new(struct channels *c, const struct milter_offer *offer)
{
	struct talk *t = MEM_NEW(struct talk);
	*t = (struct talk){.fd = -1, .offer = *offer};
	t->arena = arena_new(ARENA_MOST);
	t->lasting = arena_new(ARENA_MOST);
	if (!talk_begin(t, c))
		talk_free(&t);
	return t;
}

void
talk_free(struct talk **t)
{
	if (*t == NULL)
		return;
	talk_end(*t);
	arena_free(&(*t)->arena);
	arena_free(&(*t)->lasting);
	mem_free(*t);
	*t = NULL;
}

const struct milter_wants *
talk_wants(const struct talk *t)
{
	return &t->wants;
}

const struct milter_offer *
talk_offer(const struct talk *t)
{
	return &t->offer;
}

uint32_t
talk_can(const struct talk *t)
{
	return milter_can_agreed(&t->wants, &t->offer);
}

uint32_t
talk_steps(const struct talk *t)
{
	return t->wants.steps & t->offer.steps;
}

const struct talk_macro *
talk_macros(const struct talk *t, enum milter_macro_stage stage, size_t *n_out)
{
	*n_out = t->n_macros[stage];
	return t->macros[stage];
}

bool
talk_ask(struct talk *t, const struct milter_event *ev, talk_alive_fn *alive, void *arg,
	struct milter_answer *answer_out)
{
	struct ipc_msg m;
	struct err err;
	bool end = ev->type == MILTER_EV_END;
	uint64_t late_ms = clock_ms() + END_MOST_MS;
	if (t->fd >= 0 && end && ipc_bound_waits(t->fd, END_WAIT_MS, &err) < 0)
		talk_fail(t, &err);
	if (!talk_send(t, ev))
		return false;
	arena_reset(t->arena);
	while (talk_read(t, t->arena, &m)) {
		if (m.type == MILTER_MSG_PROGRESS && end && m.payload.n == 0 &&
			clock_ms() < late_ms) {
			alive(arg);
			continue;
		}
		if (m.type == MILTER_MSG_ANSWER &&
			milter_answer_unpack(m.payload, t->arena, answer_out) &&
			(!end || ipc_bound_waits(t->fd, STEP_WAIT_MS, &err) == 0))
			return true;
		err_set(&err, "no answer to %s", milter_event_text(ev->type));
		talk_fail(t, &err);
		return false;
	}
	return false;
}

void
talk_tell(struct talk *t, const struct milter_event *ev)
{
	(void)talk_send(t, ev);
}
