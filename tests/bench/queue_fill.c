/*
 * Puts mails into a spool as the keeper stores them, without a gateway: mails of our own users
 * to one recipient each, all of one site, never tried; or in the quarantine of that name. The
 * spool must not be in use.
 *
 *	queue_fill FOLDER MAILS BODY-BYTES SITE [QUARANTINE]
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "custody/segments.h"
#include "queue/stored.h"

enum { BATCH = 500, SENDERS = 1000, BODY_MOST = 1024 * 1024 };

static struct loop *loop;
static struct custody *store;
static struct slice site, body, quarantine;
static size_t wanted, done;

static struct address
address_of(struct arena *a, const char *local, size_t number, struct slice domain)
{
	struct address x = {.local = arena_printf(a, "%s%zu", local, number), .domain = domain};
	x.raw = x.text = arena_printf(a, "%.*s@%.*s", SLICE_ARG(x.local), SLICE_ARG(domain));
	return x;
}

static void
envelope(struct arena *a, size_t number, struct buf *out)
{
	struct stored_rcpt rcpt = {.address = address_of(a, "recipient", number, site),
		.way = DELIVERY_BY_SEND,
		.site = site};
	struct stored_mail m = {.kind = quarantine.n != 0 ? STORED_QUARANTINE : STORED_SEND,
		.quarantine = quarantine,
		.direction = OUTBOUND,
		.own = true,
		.arrived_ms = (uint64_t)clock_wall_ms(),
		.log = arena_printf(a, "fill.%zu", number),
		.reason = SLICE("postern.conf:9"),
		.sender = address_of(a, "user", number % SENDERS, SLICE("ours.example")),
		.rcpts = &rcpt,
		.n_rcpts = 1};
	if (stored_mail_pack(&m, out) < 0)
		errx(1, "an envelope does not fit");
}

static void put(void);

struct batch { /* borrowed by the store until it has answered */
	struct arena *arena;
	struct buf envelopes[BATCH];
	size_t n;
};

static void
on_put(void *arg, enum custody_result r, struct slice why)
{
	struct batch *b = arg;
	if (r != CUSTODY_OK)
		errx(1, "a commit failed: %.*s", SLICE_ARG(why));
	for (size_t i = 0; i < b->n; i++)
		buf_fini(&b->envelopes[i]);
	arena_free(&b->arena);
	mem_free(b);
	if (done < wanted)
		put();
	else
		loop_stop(loop);
}

static void
put(void)
{
	struct batch *b = MEM_NEW(struct batch);
	struct custody_change changes[BATCH];
	b->arena = arena_new(16 * 1024 * 1024);
	struct relay_body *one = ARENA_NEW(b->arena, struct relay_body);
	relay_body_init(one, b->arena);
	if (relay_body_add(one, body) < 0)
		errx(1, "the body does not fit");
	while (b->n < BATCH && done < wanted) {
		struct buf *e = &b->envelopes[b->n];
		buf_init(e, CUSTODY_ENVELOPE_MOST);
		envelope(b->arena, done++, e);
		changes[b->n++] = (struct custody_change){.op = CUSTODY_PUT,
			.id = custody_id_new(),
			.envelope = buf_slice(e),
			.body = one};
	}
	custody_commit(store, changes, b->n, on_put, b);
}

static struct slice
make_body(size_t bytes)
{
	static const char head[] = "From: user@ours.example\r\nSubject: fill\r\n\r\n";
	char *text = mem_new(bytes + sizeof(head));
	size_t n = sizeof(head) - 1;
	memcpy(text, head, n);
	for (; n + 2 <= bytes; n++)
		text[n] = n % 72 == 0 ? '\r' : n % 72 == 1 ? '\n' : 'x';
	memcpy(text + n, "\r\n", 2);
	return (struct slice){text, n + 2};
}

int
main(int argc, char **argv)
{
	struct err why;
	if (argc != 5 && argc != 6)
		errx(64, "usage: queue_fill FOLDER MAILS BODY-BYTES SITE [QUARANTINE]");
	wanted = strtoull(argv[2], NULL, 10);
	size_t bytes = strtoull(argv[3], NULL, 10);
	if (wanted == 0 || bytes > BODY_MOST)
		errx(64, "no mails, or a body beyond %d bytes", BODY_MOST);
	site = slice_of(argv[4]);
	quarantine = slice_of(argv[5]); /* NULL: empty */
	body = make_body(bytes);
	int dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		err(1, "%s", argv[1]);
	loop = loop_new(&why);
	if (loop == NULL)
		errx(1, "%s", why.text);
	store = segments_open(&(struct segments_config){.loop = loop, .dir_fd = dir}, &why);
	if (store == NULL)
		errx(1, "%s", why.text);
	put();
	if (loop_run(loop, &why) < 0)
		errx(1, "%s", why.text);
	custody_close(&store);
	loop_free(&loop);
	mem_free((char *)(uintptr_t)body.p);
	close(dir);
	return 0;
}
