/*
 * A mail is shown to Rspamd or spamd, and what they say is brought back; see neighbour.h. What
 * fails at one server is tried at the next; a server that cannot be reached or is silent is
 * passed over for a while, as long as there is another one. What a server answers wrongly, or
 * dies of, may be the mail's doing, and keeps nobody else from it.
 */
#include "session/neighbour.h"

#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "io/stream.h"
#include "relay/body.h"

enum { WHY_BYTES = 256, ARENA_MOST = 1024 * 1024 };

/* By enum neighbour, where the configuration says nothing. */
static const struct {
	uint32_t timeout_ms;
	unsigned most;
} defaults[NEIGHBOURS] = {
	[NEIGHBOUR_RSPAMD] = {10 * 1000, 16}, /* its own limit for a mail is 8 s */
	[NEIGHBOUR_SPAMD] = {30 * 1000, 8},   /* with its look-ups a mail takes seconds */
};

struct server {
	struct slice text;
	struct stream_addr addr;
	bool down;
	uint64_t down_until_ms;
};

TAILQ_HEAD(ask_list, neighbour_ask);

/* The servers of one neighbour. */
struct group {
	struct loop *loop;
	enum neighbour which;
	bool quiet;
	struct server servers[CONF_SERVERS_MOST];
	size_t n;
	uint32_t timeout_ms;
	unsigned most, busy;
	struct ask_list waiting, asked;
	struct loop_task task; /* one of those that wait may be asked, or has to fail */
};

struct neighbours {
	struct group groups[NEIGHBOURS];
};

struct neighbour_ask {
	TAILQ_ENTRY(neighbour_ask) link;
	struct group *group;
	neighbour_fn *fn;
	void *arg;
	struct slice envelope;
	struct spill *mail;
	struct loop_timer limit; /* over all */
	struct loop_timer turn;  /* of the server that is asked now */
	uint64_t due_ms;
	bool is_asked;
	unsigned tried;    /* a bit for each server */
	struct server *at; /* asked now */
	struct stream *stream;
	struct arena *arena; /* of the request */
	struct relay_body body;
	struct relay_reader reader;
	struct buf scratch;
	struct neighbour_reply reply;
	char why[WHY_BYTES]; /* what was wrong last */
};

static void next_server(struct neighbour_ask *a);

/* --- servers */

static void
log_server(const struct group *g, const struct server *s, enum log_event ev, const char *error)
{
	struct log_line l;
	if (g->quiet)
		return;
	log_begin(&l, ev, NULL);
	log_text(&l, "filter", neighbour_text(g->which));
	log_slice(&l, "server", s->text);
	if (error != NULL)
		log_text(&l, "error", error);
	log_end(&l);
}

static void
server_down(struct group *g, struct server *s, const char *error)
{
	if (!s->down)
		log_server(g, s, EV_NEIGHBOUR_DOWN, error);
	s->down = true;
	s->down_until_ms = loop_now(g->loop) + NEIGHBOUR_DOWN_MS;
}

static void
server_up(struct group *g, struct server *s)
{
	if (s->down)
		log_server(g, s, EV_NEIGHBOUR_UP, NULL);
	s->down = false;
	s->down_until_ms = 0;
}

static size_t
untried(const struct neighbour_ask *a)
{
	size_t n = 0;
	for (size_t i = 0; i < a->group->n; i++)
		n += (a->tried >> i & 1) == 0;
	return n;
}

/* As they were written, those that are passed over behind the others. NULL: all were tried. */
static struct server *
choose(struct neighbour_ask *a)
{
	struct group *g = a->group;
	uint64_t now = loop_now(g->loop);
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < g->n; i++) {
			struct server *s = &g->servers[i];
			if ((a->tried >> i & 1) != 0 || (pass == 0 && s->down_until_ms > now))
				continue;
			a->tried |= 1u << i;
			return s;
		}
	return NULL;
}

/* --- the end of an ask */

static void
leave_server(struct neighbour_ask *a)
{
	loop_timer_clear(&a->turn);
	stream_free(&a->stream);
	buf_clear(&a->scratch);
	a->at = NULL;
}

static void
ask_free(struct neighbour_ask *a)
{
	struct group *g = a->group;
	leave_server(a);
	loop_timer_clear(&a->limit);
	if (a->is_asked) {
		TAILQ_REMOVE(&g->asked, a, link);
		g->busy--;
		loop_task_queue(&g->task);
	} else {
		TAILQ_REMOVE(&g->waiting, a, link);
	}
	buf_fini(&a->scratch);
	arena_free(&a->arena);
	mem_free(a);
}

static void
answer(struct neighbour_ask *a, const struct neighbour_verdict *v)
{
	a->fn(a->arg, v);
	ask_free(a);
}

static void
fail_with(struct neighbour_ask *a, const char *why)
{
	answer(a, &(struct neighbour_verdict){.failed = true, .why = slice_of(why)});
}

static void
say_why(struct neighbour_ask *a, const char *why)
{
	snprintf(a->why, sizeof(a->why), "%.*s: %s",
		SLICE_ARG(slice_first(a->at->text, WHY_BYTES / 2)), why);
}

/* This server has no answer for us; down: to nobody. */
static void
give_up_server(struct neighbour_ask *a, const char *why, bool down)
{
	say_why(a, why);
	if (down)
		server_down(a->group, a->at, why);
	leave_server(a);
	next_server(a);
}

static void
on_limit(void *arg)
{
	struct neighbour_ask *a = arg;
	if (!a->is_asked) {
		fail_with(a, "too many mails wait for an answer");
		return;
	}
	if (a->at != NULL) {
		say_why(a, "it did not answer in time");
		server_down(a->group, a->at, "it did not answer in time");
	}
	fail_with(a, a->why);
}

static void
on_turn(void *arg)
{
	give_up_server(arg, "it did not answer in time", true);
}

/* --- one server */

/* False: the mail cannot be read, and the ask has ended. */
static bool
send_more(struct neighbour_ask *a)
{
	struct err err;
	struct slice piece;
	for (size_t room; (room = stream_room(a->stream)) > 0;) {
		if (relay_reader_next(&a->reader, room, &a->scratch, &piece, &err) < 0) {
			fail_with(a, err.text);
			return false;
		}
		if (piece.n == 0) {
			buf_clear(&a->scratch);
			return true;
		}
		must(stream_write(a->stream, piece) == 0);
	}
	return true;
}

static void
on_connected(void *arg)
{
	(void)send_more(arg);
}

static void
on_drained(void *arg)
{
	(void)send_more(arg);
}

static void
on_reply(struct neighbour_ask *a, enum neighbour_state state)
{
	if (state == NEIGHBOUR_BROKEN) {
		give_up_server(a, neighbour_reply_why(&a->reply), false);
	} else if (state == NEIGHBOUR_DONE) {
		struct neighbour_verdict v = neighbour_reply_verdict(&a->reply);
		v.why = a->at->text;
		server_up(a->group, a->at);
		answer(a, &v);
	}
}

static size_t
on_bytes(void *arg, struct slice in)
{
	struct neighbour_ask *a = arg;
	on_reply(a, neighbour_reply_feed(&a->reply, in));
	return in.n;
}

static void
on_end(void *arg)
{
	struct neighbour_ask *a = arg;
	on_reply(a, neighbour_reply_end(&a->reply));
}

static void
on_lost(void *arg, enum stream_lost lost, const struct err *err)
{
	give_up_server(arg, err->text, lost != STREAM_LOST_PEER);
}

static const struct stream_calls calls = {.on_connected = on_connected,
	.on_bytes = on_bytes,
	.on_end = on_end,
	.on_drained = on_drained,
	.on_lost = on_lost};

/* The request and the mail behind it, from its first byte on: another server may have read. */
static int
make_body(struct neighbour_ask *a, struct err *err)
{
	struct slice mail;
	uint64_t bytes = spill_bytes(a->mail);
	if (a->arena == NULL)
		a->arena = arena_new(ARENA_MOST);
	arena_reset(a->arena);
	relay_body_init(&a->body, a->arena);
	struct slice request = neighbour_request(a->group->which, a->envelope, bytes, a->arena);
	must(relay_body_add(&a->body, request) == 0);
	if (spill_memory(a->mail, &mail)) {
		must(relay_body_add(&a->body, mail) == 0);
	} else {
		int fd = spill_file(a->mail, err);
		if (fd < 0)
			return -1;
		must(relay_body_add_file(&a->body, fd, 0, bytes) == 0);
	}
	relay_reader_init(&a->reader, &a->body);
	return 0;
}

/* What is left of the time is shared by the servers that are left. */
static uint32_t
share_ms(const struct neighbour_ask *a)
{
	uint64_t now = loop_now(a->group->loop);
	uint64_t left = a->due_ms > now ? a->due_ms - now : 0;
	uint64_t share = left / (untried(a) + 1);
	return share != 0 ? (uint32_t)share : 1;
}

static void
next_server(struct neighbour_ask *a)
{
	struct group *g = a->group;
	struct err err;
	while ((a->at = choose(a)) != NULL) {
		if (make_body(a, &err) < 0) {
			fail_with(a, err.text);
			return;
		}
		uint32_t ms = share_ms(a);
		neighbour_reply_init(&a->reply, g->which);
		a->stream = stream_connect(
			g->loop, &a->at->addr, NULL, ms, NEIGHBOUR_OUT_BYTES, &calls, a, &err);
		if (a->stream != NULL) {
			loop_timer_set(&a->turn, ms);
			return;
		}
		say_why(a, err.text);
		server_down(g, a->at, err.text);
	}
	fail_with(a, a->why);
}

/* --- all that are asked */

static void
on_task(void *arg)
{
	struct group *g = arg;
	struct neighbour_ask *a;
	while (g->busy < g->most && (a = TAILQ_FIRST(&g->waiting)) != NULL) {
		TAILQ_REMOVE(&g->waiting, a, link);
		TAILQ_INSERT_TAIL(&g->asked, a, link);
		a->is_asked = true;
		g->busy++;
		next_server(a);
	}
}

struct neighbour_ask *
neighbours_ask(struct neighbours *n, enum neighbour which, struct slice envelope,
	struct spill *mail, neighbour_fn *fn, void *arg)
{
	struct neighbour_ask *a = MEM_NEW(struct neighbour_ask);
	struct group *g = &n->groups[which];
	a->group = g;
	a->fn = fn;
	a->arg = arg;
	a->envelope = envelope;
	a->mail = mail;
	a->due_ms = loop_now(g->loop) + g->timeout_ms;
	snprintf(a->why, sizeof(a->why), "no server is named");
	loop_timer_init(&a->limit, g->loop, on_limit, a);
	loop_timer_init(&a->turn, g->loop, on_turn, a);
	loop_timer_set(&a->limit, g->timeout_ms);
	buf_init(&a->scratch, NEIGHBOUR_OUT_BYTES);
	TAILQ_INSERT_TAIL(&g->waiting, a, link);
	loop_task_queue(&g->task);
	return a;
}

void
neighbours_cancel(struct neighbour_ask **a)
{
	if (*a != NULL)
		ask_free(*a);
	*a = NULL;
}

static void
group_init(struct group *g, struct loop *l, enum neighbour which, const struct conf_filter *f)
{
	g->loop = l;
	g->which = which;
	g->timeout_ms = defaults[which].timeout_ms;
	g->most = defaults[which].most;
	TAILQ_INIT(&g->waiting);
	TAILQ_INIT(&g->asked);
	loop_task_init(&g->task, l, on_task, g);
	if (f == NULL)
		return;
	if (f->timeout_ms != 0)
		g->timeout_ms = (uint32_t)f->timeout_ms;
	if (f->connections != 0)
		g->most = (unsigned)f->connections;
	for (size_t i = 0; i < f->n_servers; i++) {
		struct server *s = &g->servers[g->n++];
		s->text = f->servers[i].text;
		s->addr = (struct stream_addr){
			.ip = f->servers[i].ip, .port = f->servers[i].port};
		must(f->servers[i].path.n < sizeof(s->addr.path));
		if (f->servers[i].path.n != 0)
			memcpy(s->addr.path, f->servers[i].path.p, f->servers[i].path.n);
	}
}

struct neighbours *
neighbours_new(struct loop *l, const struct conf *conf, bool quiet)
{
	struct neighbours *n = MEM_NEW(struct neighbours);
	for (int i = 0; i < NEIGHBOURS; i++) {
		group_init(&n->groups[i], l, (enum neighbour)i,
			conf_filter_find(conf, neighbour_text((enum neighbour)i)));
		n->groups[i].quiet = quiet;
	}
	return n;
}

void
neighbours_free(struct neighbours **np)
{
	struct neighbours *n = *np;
	if (n == NULL)
		return;
	for (int i = 0; i < NEIGHBOURS; i++) {
		must(TAILQ_EMPTY(&n->groups[i].waiting) && TAILQ_EMPTY(&n->groups[i].asked));
		loop_task_clear(&n->groups[i].task);
	}
	mem_free(n);
	*np = NULL;
}
