/*
 * Transactions and results between a session and the keeper: what goes in comes out, whatever
 * its size; what was cut short, grown or changed is refused, never believed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "feed.h"
#include "queue/messages.h"

enum { ARENA_BYTES = 192 * 1024 * 1024, SPILL_FD = 77 };

static struct address
address_of(const char *text)
{
	struct slice s = slice_of(text), local, domain;
	slice_cut(s, '@', &local, &domain);
	return (struct address){.local = local, .domain = domain, .text = s, .raw = s};
}

/* Three parcels: one leaves, one is quarantined beside it, one is refused. */
static void
make_take(struct arena *a, struct queue_take *t)
{
	static const char *const who[] = {"b@dest.example", "c@dest.example", "d@x.example"};
	*t = (struct queue_take){.budget_ms = 8000,
		.give_back = true,
		.client = SLICE("192.0.2.7"),
		.parcels = arena_array(a, 3, sizeof(*t->parcels)),
		.n = 3};
	struct slice body = arena_slice(a, SLICE("Subject: x\r\n\r\nhello\r\n"));
	for (size_t i = 0; i < 3; i++) {
		struct queue_parcel *p = &t->parcels[i];
		p->mail = (struct stored_mail){.kind = i == 1 ? STORED_QUARANTINE : STORED_SEND,
			.direction = INBOUND,
			.arrived_ms = 1800000000000,
			.log = SLICE("s.1"),
			.client = {.family = 4},
			.sender = address_of("a@example.org"),
			.params = {.body = SMTP_BODY_8BITMIME, .envid = SLICE("e1")},
			.rcpts = ARENA_NEW(a, struct stored_rcpt),
			.n_rcpts = 1};
		p->mail.rcpts[0] = (struct stored_rcpt){.address = address_of(who[i]),
			.way = i == 2 ? DELIVERY_BY_SEND : DELIVERY_BY_DOMAIN,
			.site = address_of(who[i]).domain};
		relay_body_init(&p->body, a);
		relay_body_add(&p->body, i == 0 ? SLICE("X-Tag: 1\r\n") : SLICE("X: 2\r\n"));
		relay_body_add(&p->body, body);
		relay_body_add_file(&p->body, SPILL_FD, 4096, 1000);
	}
	t->parcels[1].mail.quarantine = SLICE("compliance");
	t->parcels[1].mail.reason = SLICE("postern.conf:31");
	t->parcels[1].beside = true;
	t->parcels[2].refused = true;
	t->parcels[2].reply = smtp_reply_of("550 5.7.1 Not for you");
}

/* As a message that has come: descriptors are copies of the test's own. */
struct sent {
	struct ipc_out out;
	struct slice payload;
	int fds[IPC_FDS_MOST], large;
	size_t n;
};

static void
send_take(const struct queue_take *t, struct sent *s)
{
	struct err err;
	ipc_out_init(&s->out);
	if (queue_take_pack(t, SPILL_FD, &s->out, s->fds, &s->n, &s->large, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(ipc_out_ok(&s->out, &s->payload));
}

static void
sent_free(struct sent *s)
{
	if (s->large >= 0)
		close(s->large);
	ipc_out_fini(&s->out);
}

/* payload as it came, with the descriptors that were sent: what of them is left is closed. */
static bool
receive(struct slice payload, const struct sent *s, struct arena *a, struct queue_take *t_out,
	int *file_out)
{
	struct ipc_msg m = {.type = QUEUE_MSG_TAKE, .payload = payload, .nfds = s->n};
	for (size_t i = 0; i < s->n; i++) {
		m.fds[i] = s->fds[i] == s->large ? dup(s->large) : open("/dev/null", O_RDONLY);
		assert_true(m.fds[i] >= 0);
	}
	bool ok = queue_take_unpack(&m, a, t_out, file_out);
	for (size_t i = 0; i < s->n; i++)
		if (m.fds[i] >= 0)
			close(m.fds[i]);
	return ok;
}

static bool
received(struct slice payload, const struct sent *s, struct arena *a)
{
	struct queue_take t;
	int file;
	bool ok = receive(payload, s, a, &t, &file);
	if (file >= 0)
		close(file);
	assert_true(ok || file < 0);
	return ok;
}

static void
test_take(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_BYTES);
	struct queue_take t, got;
	struct sent s;
	int file;
	make_take(a, &t);
	send_take(&t, &s);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.fds[0], SPILL_FD);
	/* the body in memory travels once */
	struct slice once =
		slice_from(s.payload, slice_find_slice(s.payload, SLICE("hello\r\n")) + 7);
	assert_true(once.n > 0);
	assert_int_equal(slice_find_slice(once, SLICE("hello")), once.n);
	struct guarded g = guarded_new(s.payload);
	assert_true(receive(g.in, &s, a, &got, &file));
	guarded_free(&g); /* all of it is in the arena */
	assert_true(file >= 0);
	assert_int_equal(got.budget_ms, 8000);
	assert_true(got.give_back && !got.hold);
	assert_true(slice_eq(got.client, t.client));
	assert_int_equal(got.n, 3);
	for (size_t i = 0; i < 3; i++) {
		const struct queue_parcel *p = &got.parcels[i], *q = &t.parcels[i];
		assert_int_equal(p->mail.kind, q->mail.kind);
		assert_int_equal(p->mail.n_rcpts, 1);
		assert_true(
			slice_eq(p->mail.rcpts[0].address.raw, q->mail.rcpts[0].address.raw));
		assert_int_equal(p->mail.rcpts[0].way, q->mail.rcpts[0].way);
		assert_true(slice_eq(p->mail.quarantine, q->mail.quarantine));
		assert_true(slice_eq(p->mail.sender.raw, q->mail.sender.raw));
		assert_int_equal(p->body.n, 3);
		assert_int_equal(p->body.bytes, q->body.bytes);
		for (size_t k = 0; k < 2; k++)
			assert_true(slice_eq(p->body.parts[k].bytes, q->body.parts[k].bytes));
		assert_int_equal(p->body.parts[2].fd, file);
		assert_int_equal(p->body.parts[2].offset, 4096);
		assert_int_equal(p->refused, q->refused);
		assert_int_equal(p->beside, q->beside);
	}
	assert_int_equal(got.parcels[2].reply.code, 550);
	assert_true(slice_eq(got.parcels[2].reply.text, SLICE("Not for you")));
	close(file);
	/* the file did not come along */
	s.n = 0;
	assert_false(received(s.payload, &s, a));
	sent_free(&s);
	arena_free(&a);
}

static void
test_take_cut_and_grown(void **state)
{
	(void)state;
	struct queue_take t;
	struct sent s;
	struct arena *a = arena_new(ARENA_BYTES), *b = arena_new(QUEUE_TAKE_ARENA);
	make_take(a, &t);
	send_take(&t, &s);
	for (size_t n = 0; n < s.payload.n; n++) {
		struct guarded g = guarded_new(slice_first(s.payload, n));
		assert_false(received(g.in, &s, b));
		guarded_free(&g);
		arena_reset(b);
	}
	assert_true(received(s.payload, &s, b));
	struct slice grown = {arena_slice(a, s.payload).p, s.payload.n + 1};
	assert_false(received(grown, &s, b));
	arena_free(&b);
	/* Every byte changed: taken or not, nothing else happens (ASan watches). */
	b = arena_new(QUEUE_TAKE_ARENA);
	char *changed = arena_text(a, s.payload);
	for (size_t i = 0; i < s.payload.n; i++) {
		changed[i] = (char)(changed[i] ^ 0xff);
		(void)received((struct slice){changed, s.payload.n}, &s, b);
		changed[i] = (char)(changed[i] ^ 0xff);
		arena_reset(b);
	}
	arena_free(&b);
	sent_free(&s);
	arena_free(&a);
}

struct bad_case {
	const char *what;
	void (*spoil)(struct queue_take *t);
};

static void
line_end_in_sender(struct queue_take *t)
{
	t->parcels[0].mail.sender.raw = SLICE("a@b.example>\r\nRCPT TO:<x@y.example");
}

static void
too_many(struct queue_take *t)
{
	t->parcels[0].mail.n_rcpts = STORED_RCPTS_MOST + 1;
}

static const struct bad_case unpackable[] = {
	{"a line end in the sender", line_end_in_sender},
	{"more recipients than can be stored", too_many},
};

static void
no_body(struct queue_take *t)
{
	t->parcels[1].body.n = 0;
}

static void
long_range(struct queue_take *t)
{
	t->parcels[1].body.parts[2].length = UINT64_MAX;
}

static void
far_range(struct queue_take *t)
{
	t->parcels[1].body.parts[2].offset = (UINT64_C(1) << 62) + 1;
}

static void
kind_reply(struct queue_take *t)
{
	t->parcels[2].reply = smtp_reply_of("250 2.0.0 refused, and welcome");
}

static void
long_client(struct queue_take *t)
{
	static char words[1024];
	t->client = (struct slice){words, sizeof(words)};
}

static void
all_beside(struct queue_take *t)
{
	for (size_t i = 0; i < t->n; i++)
		t->parcels[i].beside = true;
	t->parcels[2].refused = false;
}

static void
refused_beside(struct queue_take *t)
{
	t->parcels[2].beside = true;
}

static const struct bad_case bad_cases[] = {
	{"nothing of the client's own", all_beside},
	{"refused, and beside", refused_beside},
	{"no body", no_body},
	{"a range beyond all files", long_range},
	{"a place beyond all files", far_range},
	{"refused with 250", kind_reply},
};

static void
test_bad_takes(void **state)
{
	(void)state;
	struct queue_take t;
	struct err err;
	for (size_t i = 0; i < sizeof(unpackable) / sizeof(unpackable[0]); i++) {
		struct arena *a = arena_new(ARENA_BYTES);
		struct sent s;
		make_take(a, &t);
		unpackable[i].spoil(&t);
		ipc_out_init(&s.out);
		if (queue_take_pack(&t, SPILL_FD, &s.out, s.fds, &s.n, &s.large, &err) == 0)
			fail_msg("packed: %s", unpackable[i].what);
		ipc_out_fini(&s.out);
		arena_free(&a);
	}
	for (size_t i = 0; i < sizeof(bad_cases) / sizeof(bad_cases[0]); i++) {
		struct arena *a = arena_new(ARENA_BYTES);
		struct sent s;
		make_take(a, &t);
		bad_cases[i].spoil(&t);
		send_take(&t, &s);
		if (received(s.payload, &s, a))
			fail_msg("taken: %s", bad_cases[i].what);
		sent_free(&s);
		arena_free(&a);
	}
	/* a long account is cut: it is a key */
	struct arena *a = arena_new(ARENA_BYTES);
	struct sent s;
	make_take(a, &t);
	long_client(&t);
	send_take(&t, &s);
	assert_true(received(s.payload, &s, a));
	sent_free(&s);
	arena_free(&a);
}

/* A thousand parcels of ten recipients each, beside a body of 100 KiB: through a memfd. */
static void
make_large(struct arena *a, struct queue_take *t, size_t parcels, size_t rcpts)
{
	struct slice body = {arena_alloc(a, 100 * 1024), 100 * 1024};
	struct queue_take small;
	make_take(a, &small);
	*t = small;
	t->parcels = arena_array(a, parcels, sizeof(*t->parcels));
	t->n = parcels;
	for (size_t i = 0; i < parcels; i++) {
		struct queue_parcel *p = &t->parcels[i];
		p->mail = small.parcels[0].mail;
		p->mail.rcpts = arena_array(a, rcpts, sizeof(*p->mail.rcpts));
		p->mail.n_rcpts = rcpts;
		for (size_t k = 0; k < rcpts; k++) {
			struct slice text = arena_printf(a, "u%zu@site%zu.example", k, i);
			p->mail.rcpts[k] = (struct stored_rcpt){.address = address_of(text.p)};
			p->mail.rcpts[k].site = p->mail.rcpts[k].address.domain;
		}
		relay_body_init(&p->body, a);
		relay_body_add(&p->body, arena_printf(a, "X-Tag: %zu\r\n", i));
		relay_body_add(&p->body, body);
	}
}

static void
test_large(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_BYTES), *b = arena_new(QUEUE_TAKE_ARENA);
	struct queue_take t, got;
	struct sent s;
	int file;
	make_large(a, &t, QUEUE_PARCELS_MOST, STORED_RCPTS_MOST / QUEUE_PARCELS_MOST);
	send_take(&t, &s);
	assert_true(s.large >= 0 && s.n == 1);
	assert_int_equal(s.payload.n, 1);
	assert_true(lseek(s.large, 0, SEEK_END) < 1024 * 1024); /* the body is in it once */
	assert_int_equal(write(s.large, "x", 1), -1);           /* sealed */
	assert_true(receive(s.payload, &s, b, &got, &file));
	assert_int_equal(file, -1);
	assert_int_equal(got.n, QUEUE_PARCELS_MOST);
	assert_true(slice_eq(
		got.parcels[999].mail.rcpts[9].address.raw, SLICE("u9@site999.example")));
	assert_true(slice_eq(got.parcels[999].body.parts[0].bytes, SLICE("X-Tag: 999\r\n")));
	assert_int_equal(got.parcels[999].body.parts[1].bytes.n, 100 * 1024);
	/* the memfd did not come along, or something stands where it should */
	s.n = 0;
	arena_reset(b);
	assert_false(received(s.payload, &s, b));
	struct sent other = {.fds = {SPILL_FD}, .n = 1, .large = -1};
	assert_false(received(s.payload, &other, b));
	sent_free(&s);
	/* one recipient more than a mail may have */
	make_large(a, &t, 2, STORED_RCPTS_MOST / 2 + 1);
	struct err err;
	ipc_out_init(&s.out);
	assert_int_equal(
		queue_take_pack(&t, SPILL_FD, &s.out, s.fds, &s.n, &s.large, &err), -1);
	assert_int_equal(s.large, -1);
	ipc_out_fini(&s.out);
	/* one parcel with all recipients */
	make_large(a, &t, 1, STORED_RCPTS_MOST);
	send_take(&t, &s);
	arena_reset(b);
	assert_true(received(s.payload, &s, b));
	/* an arena that is too small is told, not filled */
	struct arena *tiny = arena_new(1024 * 1024);
	assert_false(received(s.payload, &s, tiny));
	arena_free(&tiny);
	sent_free(&s);
	arena_free(&b);
	arena_free(&a);
}

/* 8 MB are the most. */
static void
test_too_large(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_BYTES);
	struct queue_take t;
	struct sent s;
	struct err err;
	make_take(a, &t);
	relay_body_add(&t.parcels[0].body,
		(struct slice){arena_alloc(a, QUEUE_LARGE_MOST), QUEUE_LARGE_MOST});
	ipc_out_init(&s.out);
	assert_int_equal(
		queue_take_pack(&t, SPILL_FD, &s.out, s.fds, &s.n, &s.large, &err), -1);
	assert_int_equal(s.large, -1);
	ipc_out_fini(&s.out);
	arena_free(&a);
}

static struct queue_result
make_result(struct relay_rcpt rcpts[3])
{
	rcpts[0] = (struct relay_rcpt){.fate = RELAY_TAKEN,
		.phase = SMTP_CL_DOT,
		.reply = smtp_reply_of("250 2.0.0 queued")};
	rcpts[1] = rcpts[0];
	rcpts[2] = (struct relay_rcpt){.fate = RELAY_REFUSED,
		.phase = SMTP_CL_RCPT,
		.reply = smtp_reply_of("550 5.1.1 no")};
	return (struct queue_result){.end = QUEUE_QUEUED,
		.reply = smtp_reply_of("250 2.0.0 Queued"),
		.from_hop = true,
		.hop = SLICE("192.0.2.1:25"),
		.host = SLICE("mx.dest.example"),
		.delivered = 2,
		.refused = 1,
		.waiting = 4,
		.kept = 5,
		.notices = 1,
		.id = {.bytes = {1, 2, 3}},
		.rcpts = rcpts,
		.n_rcpts = 3};
}

static void
test_result(void **state)
{
	(void)state;
	struct arena *a = arena_new(1024 * 1024);
	struct relay_rcpt rcpts[3];
	struct queue_result r = make_result(rcpts), got;
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	queue_result_pack(&r, &out);
	assert_true(ipc_out_ok(&out, &payload));
	assert_true(queue_result_unpack(payload, a, &got));
	assert_int_equal(got.end, QUEUE_QUEUED);
	assert_true(slice_eq(got.reply.text, SLICE("Queued")));
	assert_true(got.from_hop && slice_eq(got.hop, r.hop) && slice_eq(got.host, r.host));
	assert_true(got.delivered == 2 && got.refused == 1 && got.waiting == 4 &&
		    got.kept == 5 && got.notices == 1);
	assert_memory_equal(&got.id, &r.id, sizeof(r.id));
	assert_int_equal(got.n_rcpts, 3);
	assert_int_equal(got.rcpts[1].reply.code, 250);
	assert_int_equal(got.rcpts[2].fate, RELAY_REFUSED);
	assert_int_equal(got.rcpts[2].phase, SMTP_CL_RCPT);
	assert_int_equal(got.rcpts[2].reply.enhanced[1], 1);
	assert_true(slice_eq(got.rcpts[2].reply.text, SLICE("no")));
	for (size_t n = 0; n < payload.n; n++) {
		struct guarded g = guarded_new(slice_first(payload, n));
		assert_false(queue_result_unpack(g.in, a, &got));
		guarded_free(&g);
	}
	struct slice grown = {arena_slice(a, payload).p, payload.n + 1};
	assert_false(queue_result_unpack(grown, a, &got));
	ipc_out_fini(&out);
	/* A code that no reply can have would stop the session (EXT-02). */
	r.reply.code = 700;
	ipc_out_init(&out);
	queue_result_pack(&r, &out);
	assert_true(ipc_out_ok(&out, &payload));
	assert_false(queue_result_unpack(payload, a, &got));
	ipc_out_fini(&out);
	arena_free(&a);
}

/* A thousand recipients with long words each: always fits; beyond, they are left out. */
static void
test_largest_result(void **state)
{
	(void)state;
	enum { N = 1000 };
	struct arena *a = arena_new(8 * 1024 * 1024);
	char words[2000];
	memset(words, 'x', sizeof(words));
	struct relay_rcpt *rcpts = arena_array(a, N + 1, sizeof(*rcpts));
	for (size_t i = 0; i <= N; i++) {
		rcpts[i].reply = smtp_reply_of("550 5.1.1 no");
		rcpts[i].reply.enhanced[2] = (uint16_t)(i % 2);
		rcpts[i].reply.text = (struct slice){words, sizeof(words)};
	}
	struct queue_result r = {.reply = smtp_reply_of("451 4.0.0 x"),
				    .rcpts = rcpts,
				    .n_rcpts = N},
			    got;
	for (; r.n_rcpts <= N + 1; r.n_rcpts++) {
		struct ipc_out out;
		struct slice payload;
		ipc_out_init(&out);
		queue_result_pack(&r, &out);
		assert_true(ipc_out_ok(&out, &payload));
		assert_true(queue_result_unpack(payload, a, &got));
		assert_int_equal(got.n_rcpts, r.n_rcpts == N ? N : 0);
		ipc_out_fini(&out);
	}
	arena_free(&a);
}

static void
test_words(void **state)
{
	(void)state;
	for (enum queue_end e = 0; e < QUEUE_ENDS; e++)
		assert_true(strlen(queue_end_text(e)) > 3);
	assert_string_equal(queue_end_text(QUEUE_FULL), "full");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_take_cut_and_grown),
		cmocka_unit_test(test_bad_takes),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_result),
		cmocka_unit_test(test_largest_result),
		cmocka_unit_test(test_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
