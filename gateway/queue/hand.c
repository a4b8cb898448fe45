/*
 * Serves `postern queue`: see hand.h. A client is a channel and at most one job; a job is a
 * question under way, which the store or the keeper will come back to: it outlives its client,
 * and the hand, as long as it must.
 */
#include "queue/hand.h"

#include <stdio.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "io/ipc.h"
#include "io/listen.h"

enum {
	SCRATCH_MOST = 64 * 1024 * 1024, /* envelope and note of one mail, unpacked */
	JOB_MOST = 64 * 1024,
	NAME_MOST = 512,
	QUEUE_MOST = HAND_STORED_MOST + 4 * 1024 * 1024, /* answers for a slow client */
};

struct job;

struct client {
	LIST_ENTRY(client) link;
	struct hand *hand;
	struct ipc *ipc;
	uint32_t uid;
	struct job *job;
	bool may_see; /* it has begun to read the mail `seen`, of quarantine */
	struct custody_id seen;
	struct loop_timer idle;
};
LIST_HEAD(client_list, client);

struct hand {
	struct hand_config config;
	struct listener *listener;
	struct client_list clients;
	unsigned n_clients;
	struct arena *scratch;
};

struct job {
	struct client *client; /* NULL: gone */
	uint32_t id;           /* of the question */
	uint32_t uid;          /* of the client, for the log */
	enum hand_msg type;
	struct arena *arena;
	struct hand_filter filter;
	struct custody_id mail;
	uint64_t offset; /* BODY */
	struct hand_act act;
};

static uint64_t
wall_ms(const struct hand *h)
{
	int64_t ms = h->config.wall_ms != NULL ? h->config.wall_ms() : clock_wall_ms();
	return ms > 0 ? (uint64_t)ms : 0;
}

/* ---- clients ---- */

static void
client_free(struct client *c)
{
	LIST_REMOVE(c, link);
	c->hand->n_clients--;
	if (c->job != NULL)
		c->job->client = NULL;
	loop_timer_clear(&c->idle);
	ipc_free(&c->ipc);
	mem_free(c);
}

/* False: the client does not read what it asked for, and is gone now. */
static bool
client_send(struct client *c, enum hand_msg type, uint32_t id, const struct ipc_out *out)
{
	struct slice payload;
	must(ipc_out_ok(out, &payload));
	if (ipc_send(c->ipc, (uint16_t)type, id, payload) == 0)
		return true;
	client_free(c);
	return false;
}

static bool
client_refuse(struct client *c, uint32_t id, const char *why)
{
	return ipc_send(c->ipc, HAND_MSG_ERROR, id, slice_of(why)) == 0;
}

static struct job *
job_new(struct client *c, const struct ipc_msg *m)
{
	struct job *j = MEM_NEW(struct job);
	j->client = c;
	j->id = m->id;
	j->uid = c->uid;
	j->type = (enum hand_msg)m->type;
	j->arena = arena_new(JOB_MOST);
	c->job = j;
	return j;
}

/* The client that still waits for it, or NULL. The job is gone after this. */
static struct client *
job_end(struct job *j)
{
	struct client *c = j->client;
	if (c != NULL) {
		c->job = NULL;
		loop_timer_set(&c->idle, HAND_IDLE_MS);
	}
	arena_free(&j->arena);
	mem_free(j);
	return c;
}

static void
job_fail(struct job *j, const char *why)
{
	uint32_t id = j->id;
	struct client *c = job_end(j);
	if (c != NULL && !client_refuse(c, id, why))
		client_free(c);
}

/* ---- lists ---- */

/* A mail of the store, unpacked into the scratch arena. False: it cannot be read. */
static bool
read_item(struct hand *h, const struct custody_item *item, struct stored_mail *m,
	struct stored_note *n)
{
	arena_reset(h->scratch);
	return stored_mail_unpack(item->envelope, h->scratch, m) &&
	       stored_note_unpack(item->note, m, h->scratch, n);
}

/* Adds the mail to out where the filter means it; sends what was in out where it is full. */
static bool
list_item(
	struct job *j, const struct custody_item *item, struct ipc_out *out, uint32_t *matched)
{
	struct hand *h = j->client->hand;
	struct stored_mail m;
	struct stored_note n;
	struct hand_item shown = {0};
	bool readable = read_item(h, item, &m, &n);
	if (!hand_filter_matches(&j->filter, &item->id, readable ? &m : NULL, &n, wall_ms(h)))
		return true;
	if (readable)
		hand_item_of(&m, &n, h->scratch, &shown);
	shown.id = item->id;
	shown.bytes = item->body_bytes;
	++*matched;
	if (hand_items_add(&shown, out) == 0)
		return true;
	if (!client_send(j->client, HAND_MSG_ITEMS, j->id, out))
		return false;
	ipc_out_fini(out);
	ipc_out_init(out);
	must(hand_items_add(&shown, out) == 0);
	return true;
}

static bool
list_items(struct job *j, const struct custody_item *items, size_t n, struct hand_page *page)
{
	struct ipc_out out;
	struct slice payload;
	bool there = true;
	ipc_out_init(&out);
	for (size_t i = 0; i < n && there; i++)
		there = list_item(j, &items[i], &out, &page->matched);
	if (there && ipc_out_ok(&out, &payload) && payload.n != 0)
		there = client_send(j->client, HAND_MSG_ITEMS, j->id, &out);
	ipc_out_fini(&out);
	return there;
}

static void
on_list(void *arg, enum custody_result r, const struct custody_item *items, size_t n,
	uint64_t next, bool end)
{
	struct job *j = arg;
	uint32_t id = j->id;
	struct hand_page page = {.next = next, .end = end, .seen = (uint32_t)n};
	if (r != CUSTODY_OK) {
		job_fail(j, "the spool cannot be read now");
		return;
	}
	if (j->client == NULL || !list_items(j, items, n, &page)) {
		job_end(j); /* the client is gone, and has let go of it */
		return;
	}
	struct client *c = job_end(j);
	struct ipc_out out;
	ipc_out_init(&out);
	hand_page_pack(&page, &out);
	client_send(c, HAND_MSG_PAGE, id, &out);
	ipc_out_fini(&out);
}

/* One mail by its id is all that there is. */
static void
on_list_one(void *arg, enum custody_result r, const struct custody_item *items, size_t n,
	uint64_t next, bool end)
{
	(void)next;
	(void)end;
	on_list(arg, r, items, n, 0, true);
}

static bool
ask_list(struct client *c, const struct ipc_msg *m)
{
	struct custody *store = c->hand->config.custody;
	struct hand_list q;
	if (!hand_list_unpack(m->payload, &q))
		return false;
	struct job *j = job_new(c, m);
	j->filter = q.filter;
	j->filter.sender = arena_slice(j->arena, q.filter.sender);
	j->filter.recipient = arena_slice(j->arena, q.filter.recipient);
	j->filter.destination = arena_slice(j->arena, q.filter.destination);
	j->filter.quarantine = arena_slice(j->arena, q.filter.quarantine);
	j->filter.client = arena_slice(j->arena, q.filter.client);
	j->filter.rule = arena_slice(j->arena, q.filter.rule);
	if (q.filter.by_id)
		custody_get(store, &j->filter.id, on_list_one, j);
	else
		custody_scan(store, q.from, HAND_PAGE_MOST, on_list, j);
	return true;
}

/* ---- one mail ---- */

static void
send_bytes(struct client *c, uint32_t id, struct slice bytes)
{
	bool there = true, last = false;
	while (there && !last) {
		struct slice piece = slice_first(bytes, HAND_BYTES_MOST);
		struct ipc_out out;
		bytes = slice_from(bytes, piece.n);
		last = bytes.n == 0;
		ipc_out_init(&out);
		hand_bytes_pack(piece, last, &out);
		there = client_send(c, HAND_MSG_BYTES, id, &out);
		ipc_out_fini(&out);
	}
}

static void
write_why(struct hand *h, const struct custody_item *item, struct buf *out)
{
	const struct hand_config *config = &h->config;
	struct stored_mail m;
	struct stored_note n;
	if (!read_item(h, item, &m, &n)) {
		buf_add_text(out, "it cannot be read: damaged, or of a later release; it stays "
				  "where it is\n");
		return;
	}
	struct hand_why w = {.id = item->id,
		.mail = &m,
		.note = &n,
		.bytes = item->body_bytes,
		.wall_ms = wall_ms(h),
		.now_ms = loop_now(config->loop),
		.schedule = config->schedule,
		.settings = config->settings(config->arg),
		.egress = config->egress_state(config->arg),
		.part_of = config->part_of,
		.arg = config->arg};
	hand_why_write(&w, h->scratch, out);
}

static void
on_mail(void *arg, enum custody_result r, const struct custody_item *items, size_t n,
	uint64_t next, bool end)
{
	struct job *j = arg;
	struct buf bytes;
	(void)next;
	(void)end;
	if (r != CUSTODY_OK || n == 0) {
		job_fail(j, r != CUSTODY_OK ? "the spool cannot be read now"
					    : "there is no such mail in the queue");
		return;
	}
	if (j->client == NULL) {
		job_end(j);
		return;
	}
	enum hand_msg type = j->type;
	uint32_t id = j->id;
	struct client *c = job_end(j);
	buf_init(&bytes, type == HAND_MSG_WHY ? HAND_WHY_MOST : HAND_STORED_MOST);
	if (type == HAND_MSG_WHY) {
		write_why(c->hand, &items[0], &bytes);
	} else {
		struct hand_stored s = {items[0].body_bytes, items[0].envelope, items[0].note};
		must(hand_stored_pack(&s, &bytes) == 0);
	}
	send_bytes(c, id, buf_slice(&bytes));
	buf_fini(&bytes);
}

static bool
ask_mail(struct client *c, const struct ipc_msg *m)
{
	struct custody_id id;
	if (!hand_id_unpack(m->payload, &id))
		return false;
	struct job *j = job_new(c, m);
	j->mail = id;
	custody_get(c->hand->config.custody, &j->mail, on_mail, j);
	return true;
}

static void
on_body(void *arg, enum custody_result r, struct slice bytes)
{
	struct job *j = arg;
	uint32_t id = j->id;
	if (r != CUSTODY_OK) {
		job_fail(j, "there is no such mail in the queue, or it cannot be read");
		return;
	}
	struct client *c = job_end(j);
	if (c == NULL)
		return;
	struct ipc_out out;
	ipc_out_init(&out);
	hand_bytes_pack(bytes, bytes.n < HAND_BYTES_MOST, &out);
	client_send(c, HAND_MSG_BYTES, id, &out);
	ipc_out_fini(&out);
}

static void
read_body(struct job *j, custody_body_fn *fn)
{
	custody_body_read(
		j->client->hand->config.custody, &j->mail, j->offset, HAND_BYTES_MOST, fn, j);
}

/* "root", "postern, for anna", "uid 1000". */
static struct slice
by_text(const struct client *c, struct slice name, struct arena *a)
{
	const char *user = c->hand->config.user;
	struct slice who = c->uid == 0 ? SLICE("root")
			   : c->uid == geteuid() && user != NULL
				   ? slice_of(user)
				   : arena_printf(a, "uid %u", (unsigned)c->uid);
	if (name.n == 0)
		return who;
	return arena_printf(a, "%.*s, for %.*s", SLICE_ARG(who), SLICE_ARG(name));
}

static void
on_may_see(void *arg, const struct hand_done *d)
{
	struct job *j = arg;
	char why[NAME_MOST];
	if (d->done == 0) {
		snprintf(why, sizeof(why), "%.*s",
			SLICE_ARG(d->why.n != 0 ? d->why : SLICE("it is gone by now")));
		job_fail(j, why);
	} else if (j->client == NULL) {
		job_end(j);
	} else {
		j->client->may_see = true;
		j->client->seen = j->mail;
		read_body(j, on_body);
	}
}

/* A mail of the queue is shown as it is; one in quarantine is asked for first. */
static void
on_whose_body(void *arg, enum custody_result r, const struct custody_item *items, size_t n,
	uint64_t next, bool end)
{
	struct job *j = arg;
	struct stored_mail m;
	struct stored_note note;
	(void)next;
	(void)end;
	if (r != CUSTODY_OK || n == 0) {
		job_fail(j, "there is no such mail in the queue, or it cannot be read");
		return;
	}
	if (j->client == NULL) {
		job_end(j);
		return;
	}
	struct hand *h = j->client->hand;
	if (!read_item(h, &items[0], &m, &note))
		job_fail(j, "it cannot be read: damaged, or of a later release");
	else if (m.kind == STORED_QUARANTINE)
		h->config.act(h->config.arg, &j->act, on_may_see, j);
	else
		read_body(j, on_body);
}

static bool
ask_body(struct client *c, const struct ipc_msg *m)
{
	struct hand_body b;
	if (!hand_body_unpack(m->payload, &b))
		return false;
	struct job *j = job_new(c, m);
	j->mail = b.id;
	j->offset = b.offset;
	j->act = (struct hand_act){.action = HAND_LOOK,
		.unscannable = b.unscannable,
		.by = by_text(c, arena_slice(j->arena, b.by), j->arena),
		.ids = &j->mail,
		.n = 1};
	if (b.offset != 0 && c->may_see && custody_id_eq(&c->seen, &b.id))
		read_body(j, on_body);
	else
		custody_get(c->hand->config.custody, &j->mail, on_whose_body, j);
	return true;
}

/* The header alone, of any mail: what no scanner is needed for. */
static void
on_head(void *arg, enum custody_result r, struct slice bytes)
{
	struct slice end = SLICE("\r\n\r\n");
	size_t at = slice_find_slice(bytes, end);
	on_body(arg, r, slice_first(bytes, at < bytes.n ? at + 2 : bytes.n));
}

static bool
ask_head(struct client *c, const struct ipc_msg *m)
{
	struct custody_id id;
	if (!hand_id_unpack(m->payload, &id))
		return false;
	struct job *j = job_new(c, m);
	j->mail = id;
	read_body(j, on_head);
	return true;
}

/* ---- actions and counts ---- */

static void
on_done(void *arg, const struct hand_done *d)
{
	struct job *j = arg;
	uint32_t id = j->id;
	struct log_line l;
	log_begin(&l, EV_HAND, NULL);
	log_number(&l, "uid", j->uid);
	log_slice(&l, "by", j->act.by);
	log_text(&l, "action", hand_action_text(j->act.action));
	log_number(&l, "mails", (int64_t)j->act.n);
	log_number(&l, "done", d->done);
	log_number(&l, "missing", d->missing);
	log_number(&l, "failed", d->failed);
	log_number(&l, "refused", d->refused);
	log_end(&l);
	struct client *c = job_end(j);
	if (c == NULL)
		return;
	struct ipc_out out;
	ipc_out_init(&out);
	hand_done_pack(d, &out);
	client_send(c, HAND_MSG_DONE, id, &out);
	ipc_out_fini(&out);
}

static bool
ask_act(struct client *c, const struct ipc_msg *m)
{
	const struct hand_config *config = &c->hand->config;
	struct job *j = job_new(c, m);
	if (!hand_act_unpack(m->payload, j->arena, &j->act)) {
		job_end(j);
		return false;
	}
	j->act.by = by_text(c, j->act.by, j->arena);
	config->act(config->arg, &j->act, on_done, j);
	return true;
}

static bool
ask_counts(struct client *c, const struct ipc_msg *m)
{
	struct hand *h = c->hand;
	const struct hand_config *config = &h->config;
	struct hand_state s = {.egress = config->egress_state(config->arg)};
	struct ipc_out out;
	if (m->payload.n != 0)
		return false;
	arena_reset(h->scratch);
	schedule_counts(config->schedule, &s.schedule);
	custody_space(config->custody, &s.space);
	s.quarantine = config->fill(config->arg);
	s.egress_text = config->egress_text(config->arg, h->scratch);
	ipc_out_init(&out);
	hand_state_pack(&s, &out);
	client_send(c, HAND_MSG_STATE, m->id, &out);
	ipc_out_fini(&out);
	return true;
}

static void
on_other(void *arg, uint16_t type, struct slice payload)
{
	struct job *j = arg;
	uint32_t id = j->id;
	struct client *c = job_end(j);
	if (c != NULL && ipc_send(c->ipc, type, id, payload) < 0)
		client_free(c);
}

static bool
ask_other(struct client *c, const struct ipc_msg *m)
{
	const struct hand_config *config = &c->hand->config;
	struct job *j = job_new(c, m);
	if (config->other != NULL && config->other(config->arg, c->uid, m, on_other, j))
		return true;
	job_end(j);
	return false;
}

static bool
ask(struct client *c, const struct ipc_msg *m)
{
	switch (m->type) {
	case HAND_MSG_LIST: return ask_list(c, m);
	case HAND_MSG_SHOW:
	case HAND_MSG_WHY: return ask_mail(c, m);
	case HAND_MSG_BODY: return ask_body(c, m);
	case HAND_MSG_HEAD: return ask_head(c, m);
	case HAND_MSG_ACT: return ask_act(c, m);
	case HAND_MSG_COUNTS: return ask_counts(c, m);
	default: return ask_other(c, m);
	}
}

static void
on_message(void *arg, struct ipc_msg *m)
{
	struct client *c = arg;
	loop_timer_set(&c->idle, HAND_IDLE_MS);
	if (c->job != NULL || !ask(c, m))
		client_free(c); /* not a program of ours */
}

static void
on_gone(void *arg, const struct err *err)
{
	(void)err;
	client_free(arg);
}

static void
on_idle(void *arg)
{
	client_free(arg);
}

/* ---- the socket ---- */

/* The new socket has room for one short message, so this never waits. */
static void
refuse(int fd, const char *why)
{
	struct err err;
	if (ipc_write_blocking(fd, HAND_MSG_ERROR, 0, slice_of(why), &err) < 0)
		log_error(EV_WARNING, NULL, &err);
	close(fd);
}

static void
on_accept(void *arg, int fd, const struct stream_addr *peer)
{
	static const struct ipc_calls calls = {.on_message = on_message, .on_gone = on_gone};
	struct hand *h = arg;
	struct err err;
	uint32_t uid;
	(void)peer;
	if (ipc_peer_uid(fd, &uid, &err) < 0 || (uid != 0 && uid != geteuid())) {
		refuse(fd, "only root and the gateway's own user may look into the queue");
		return;
	}
	if (h->n_clients == HAND_CLIENTS_MOST) {
		refuse(fd, "too many at once look into the queue: try again later");
		return;
	}
	struct client *c = MEM_NEW(struct client);
	c->hand = h;
	c->uid = uid;
	c->ipc = ipc_new(h->config.loop, fd, QUEUE_MOST, &calls, c);
	loop_timer_init(&c->idle, h->config.loop, on_idle, c);
	loop_timer_set(&c->idle, HAND_IDLE_MS);
	LIST_INSERT_HEAD(&h->clients, c, link);
	h->n_clients++;
}

static void
on_accept_error(void *arg, const struct err *err)
{
	(void)arg;
	log_error(EV_SYSTEM_ERROR, NULL, err);
}

struct hand *
hand_new(const struct hand_config *config)
{
	static const struct listen_calls calls = {on_accept, on_accept_error};
	struct hand *h = MEM_NEW(struct hand);
	h->config = *config;
	LIST_INIT(&h->clients);
	h->scratch = arena_new(SCRATCH_MOST);
	h->listener = listener_new(config->loop, config->listen_fd, &calls, h);
	return h;
}

void
hand_free(struct hand **hp)
{
	struct hand *h = *hp;
	struct client *c;
	if (h == NULL)
		return;
	*hp = NULL;
	while ((c = LIST_FIRST(&h->clients)) != NULL)
		client_free(c);
	listener_free(&h->listener);
	close(h->config.listen_fd);
	arena_free(&h->scratch);
	mem_free(h);
}
