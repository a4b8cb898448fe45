/*
 * A blocking client of the keeper; see hand_client.h. The keeper runs as another account, so
 * what it answers is unpacked as strictly as anything from outside.
 */
#include "main/hand_client.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/ipc.h"

enum {
	ANSWER_MS = 60 * 1000,        /* a page, a mail */
	ACT_MS = 30 * 60 * 1000,      /* a thousand mails, each scanned, written and synced */
	BODY_MS = 6 * 60 * 1000,      /* a scan has five minutes */
	ITEMS_MOST = 8 * 1024 * 1024, /* one message of them, unpacked */
};

struct hand_client {
	int fd;
	uint32_t id;     /* of the last question */
	uint32_t open;   /* questions of hand_client_send without their answers yet */
	uint32_t behind; /* how many were sent behind the one whose answer is read */
	struct buf buf;  /* the last answer */
	struct arena *arena;
};

static int
say_why_not(struct err *err, const char *path)
{
	if (err->code == ENOENT || err->code == ECONNREFUSED)
		return err_set(err, "posternd does not run: nobody listens at %s", path);
	if (err->code == EACCES || err->code == EPERM)
		return err_set(err,
			"%s: only root and the gateway's own user may look into the queue",
			path);
	return -1;
}

struct hand_client *
hand_client_open(struct slice spool, struct err *err)
{
	struct arena *a = arena_new(ITEMS_MOST);
	const char *path = arena_printf(a, "%.*s/control", SLICE_ARG(spool)).p;
	int fd = -1;
	if (spool.n == 0)
		err_set(err, "the configuration names no `spool`: there is no queue");
	else if ((fd = ipc_connect(path, err)) < 0)
		say_why_not(err, path);
	if (fd < 0) {
		arena_free(&a);
		return NULL;
	}
	struct hand_client *c = MEM_NEW(struct hand_client);
	c->fd = fd;
	c->arena = a;
	buf_init(&c->buf, IPC_PAYLOAD_BYTES);
	return c;
}

void
hand_client_close(struct hand_client **cp)
{
	struct hand_client *c = *cp;
	if (c == NULL)
		return;
	*cp = NULL;
	close(c->fd);
	buf_fini(&c->buf);
	arena_free(&c->arena);
	mem_free(c);
}

/* The next answer: of one of these types, or -1. */
static int
receive(struct hand_client *c, enum hand_msg wanted, enum hand_msg or_else, struct ipc_msg *m,
	struct err *err)
{
	int got = ipc_read_blocking(c->fd, &c->buf, m, err);
	if (got < 0)
		return err->code == EAGAIN ? err_set(err, "the keeper does not answer in time")
					   : -1;
	if (got == 0)
		return err_set(err, "the keeper closed the connection");
	for (size_t i = 0; i < m->nfds; i++)
		close(m->fds[i]);
	if (m->type == HAND_MSG_ERROR) {
		struct slice words = slice_first(m->payload, 200);
		return err_set(err, "%.*s", SLICE_ARG(words));
	}
	if (m->id != c->id - c->behind || (m->type != wanted && m->type != or_else))
		return err_set(err, "the keeper answers something else than was asked: is "
				    "posternd of another version?");
	return 0;
}

static int
ask(struct hand_client *c, enum hand_msg type, const struct ipc_out *out, struct err *err)
{
	struct slice payload;
	struct ipc_msg m;
	if (!ipc_out_ok(out, &payload))
		return err_set(err, "the question is too long");
	uint32_t ms = type == HAND_MSG_ACT    ? ACT_MS
		      : type == HAND_MSG_BODY ? BODY_MS
					      : ANSWER_MS;
	if (ipc_bound_waits(c->fd, ms, err) < 0)
		return -1;
	c->id++;
	if (ipc_write_blocking(c->fd, (uint16_t)type, c->id, payload, err) == 0)
		return 0;
	/* It may have said why before it closed. */
	struct err said;
	if (err->code == EPIPE && receive(c, HAND_MSG_ERROR, HAND_MSG_ERROR, &m, &said) < 0)
		*err = said;
	return -1;
}

static int
wrong(struct err *err)
{
	return err_set(err, "the keeper's answer cannot be read: is posternd of another "
			    "version?");
}

int
hand_client_list(struct hand_client *c, const struct hand_list *q, hand_items_fn *fn, void *arg,
	struct hand_page *page, struct err *err)
{
	struct ipc_out out;
	struct ipc_msg m;
	ipc_out_init(&out);
	hand_list_pack(q, &out);
	int result = ask(c, HAND_MSG_LIST, &out, err);
	ipc_out_fini(&out);
	while (result == 0) {
		struct hand_item *items;
		size_t n;
		result = receive(c, HAND_MSG_ITEMS, HAND_MSG_PAGE, &m, err);
		if (result < 0)
			break;
		if (m.type == HAND_MSG_PAGE)
			return hand_page_unpack(m.payload, page) ? 0 : wrong(err);
		arena_reset(c->arena);
		if (!hand_items_unpack(m.payload, c->arena, &items, &n))
			return wrong(err);
		fn(arg, items, n);
	}
	return result;
}

int
hand_client_list_all(struct hand_client *c, const struct hand_filter *f, hand_items_fn *fn,
	void (*progress)(void *arg, uint64_t seen), void *arg, struct err *err)
{
	struct hand_list q = {.filter = *f};
	struct hand_page page;
	uint64_t seen = 0;
	do {
		if (hand_client_list(c, &q, fn, arg, &page, err) < 0)
			return -1;
		q.from = page.next;
		seen += page.seen;
		if (progress != NULL)
			progress(arg, seen);
	} while (!page.end);
	return 0;
}

int
hand_client_mail(struct hand_client *c, enum hand_msg type, const struct custody_id *id,
	struct buf *bytes, struct err *err)
{
	struct ipc_out out;
	struct ipc_msg m;
	bool last = false;
	ipc_out_init(&out);
	hand_id_pack(id, &out);
	int result = ask(c, type, &out, err);
	ipc_out_fini(&out);
	while (result == 0 && !last) {
		struct slice piece;
		result = receive(c, HAND_MSG_BYTES, HAND_MSG_BYTES, &m, err);
		if (result == 0 && (!hand_bytes_unpack(m.payload, &piece, &last) ||
					   buf_add(bytes, piece) < 0))
			return wrong(err);
	}
	return result;
}

static int
ask_piece(struct hand_client *c, enum hand_msg type, struct ipc_out *out, struct slice *piece,
	bool *last, struct err *err)
{
	struct ipc_msg m;
	int result = ask(c, type, out, err);
	ipc_out_fini(out);
	if (result == 0)
		result = receive(c, HAND_MSG_BYTES, HAND_MSG_BYTES, &m, err);
	if (result == 0 && !hand_bytes_unpack(m.payload, piece, last))
		return wrong(err);
	return result;
}

int
hand_client_body(struct hand_client *c, const struct hand_body *b, struct slice *piece,
	bool *last, struct err *err)
{
	struct ipc_out out;
	ipc_out_init(&out);
	hand_body_pack(b, &out);
	return ask_piece(c, HAND_MSG_BODY, &out, piece, last, err);
}

int
hand_client_head(
	struct hand_client *c, const struct custody_id *id, struct slice *head, struct err *err)
{
	struct ipc_out out;
	bool last;
	ipc_out_init(&out);
	hand_id_pack(id, &out);
	return ask_piece(c, HAND_MSG_HEAD, &out, head, &last, err);
}

int
hand_client_act(
	struct hand_client *c, const struct hand_act *act, struct hand_done *d, struct err *err)
{
	struct ipc_out out;
	struct ipc_msg m;
	ipc_out_init(&out);
	hand_act_pack(act, &out);
	int result = ask(c, HAND_MSG_ACT, &out, err);
	ipc_out_fini(&out);
	if (result == 0)
		result = receive(c, HAND_MSG_DONE, HAND_MSG_DONE, &m, err);
	if (result == 0 && !hand_done_unpack(m.payload, d))
		return wrong(err);
	return result;
}

int
hand_client_state(struct hand_client *c, struct hand_state *s, struct err *err)
{
	struct ipc_out out;
	struct ipc_msg m;
	ipc_out_init(&out);
	int result = ask(c, HAND_MSG_COUNTS, &out, err);
	ipc_out_fini(&out);
	if (result == 0)
		result = receive(c, HAND_MSG_STATE, HAND_MSG_STATE, &m, err);
	if (result == 0 && !hand_state_unpack(m.payload, s))
		return wrong(err);
	return result;
}

int
hand_client_send(
	struct hand_client *c, uint16_t type, const struct ipc_out *out, struct err *err)
{
	if (ask(c, (enum hand_msg)type, out, err) < 0)
		return -1;
	c->open++;
	return 0;
}

int
hand_client_receive(
	struct hand_client *c, uint16_t answer, struct slice *payload, struct err *err)
{
	struct ipc_msg m;
	c->behind = --c->open;
	int result = receive(c, (enum hand_msg)answer, (enum hand_msg)answer, &m, err);
	c->behind = 0;
	if (result == 0)
		*payload = m.payload;
	return result;
}

int
hand_client_ask(struct hand_client *c, uint16_t type, const struct ipc_out *out,
	uint16_t answer, struct slice *payload, struct err *err)
{
	return hand_client_send(c, type, out, err) < 0
		       ? -1
		       : hand_client_receive(c, answer, payload, err);
}
