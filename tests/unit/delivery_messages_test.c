/*
 * Mails and results between processes: what goes in comes out, and what was cut short, grown or
 * changed is refused, never believed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "delivery/messages.h"
#include "feed.h"

enum { SPILL_FD = 77 };

static struct address
address_of(const char *text)
{
	struct slice s = slice_of(text), local, domain;
	slice_cut(s, '@', &local, &domain);
	return (struct address){.local = local, .domain = domain, .text = s, .raw = s};
}

static struct delivery_mail
make_mail(struct arena *a, struct relay_rcpt rcpts[2])
{
	rcpts[0] = (struct relay_rcpt){.address = address_of("b@dest.example"),
		.params = {.notify = SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY,
			.orcpt = SLICE("rfc822;b@dest.example")}};
	rcpts[1] = (struct relay_rcpt){.address = address_of("c@dest.example")};
	struct delivery_mail m = {.site = SLICE("dest.example"),
		.log = SLICE("m-1"),
		.way = DELIVERY_BY_ROUTE,
		.route = SLICE("\"a.example:25\"\n then \"b.example:25\""),
		.all_or_none = true,
		.budget_ms = 8000,
		.sender = address_of("a@example.org"),
		.params = {.body = SMTP_BODY_8BITMIME,
			.ret = SMTP_RET_HDRS,
			.envid = SLICE("e1")},
		.rcpts = rcpts,
		.n_rcpts = 2};
	assert_true(ip_parse(SLICE("192.0.2.7"), &m.prefer));
	relay_body_init(&m.body, a);
	relay_body_add(&m.body, SLICE("Subject: x\r\n\r\n"));
	relay_body_add_file(&m.body, SPILL_FD, 4096, 100000);
	return m;
}

/* In the arena, so that it ends where nothing may be read. */
static struct slice
pack(const struct delivery_mail *m, struct arena *a, int *fd)
{
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	assert_int_equal(delivery_mail_pack(m, &out, fd), 0);
	assert_true(ipc_out_ok(&out, &payload));
	payload = arena_slice(a, payload);
	ipc_out_fini(&out);
	return payload;
}

static void
test_mail(void **state)
{
	(void)state;
	struct arena *a = arena_new(1024 * 1024);
	struct relay_rcpt rcpts[2];
	struct delivery_mail m = make_mail(a, rcpts), got;
	int fd;
	struct slice payload = pack(&m, a, &fd);
	assert_int_equal(fd, SPILL_FD);
	struct guarded g = guarded_new(payload);
	assert_true(delivery_mail_unpack(g.in, 5, a, &got));
	assert_true(slice_eq(got.site, m.site));
	assert_true(slice_eq(got.log, m.log));
	assert_int_equal(got.way, DELIVERY_BY_ROUTE);
	assert_true(slice_eq(got.route, m.route));
	assert_true(ip_eq(&got.prefer, &m.prefer));
	assert_true(got.all_or_none);
	assert_int_equal(got.budget_ms, 8000);
	assert_true(slice_eq(got.sender.raw, m.sender.raw));
	assert_true(slice_eq(got.params.envid, m.params.envid));
	assert_int_equal(got.params.ret, SMTP_RET_HDRS);
	assert_int_equal(got.params.body, SMTP_BODY_8BITMIME);
	assert_int_equal(got.n_rcpts, 2);
	assert_true(slice_eq(got.rcpts[0].address.raw, rcpts[0].address.raw));
	assert_true(slice_eq(got.rcpts[0].address.local, SLICE("b")));
	assert_int_equal(got.rcpts[0].params.notify, rcpts[0].params.notify);
	assert_true(slice_eq(got.rcpts[0].params.orcpt, rcpts[0].params.orcpt));
	assert_int_equal(got.body.n, 2);
	assert_int_equal(got.body.bytes, m.body.bytes);
	assert_int_equal(got.body.parts[1].fd, 5);
	assert_int_equal(got.body.parts[1].offset, 4096);
	/* The descriptor did not come along. */
	assert_false(delivery_mail_unpack(g.in, -1, a, &got));
	guarded_free(&g);
	/* Another way has no route, and no address need be preferred. */
	m.way = DELIVERY_BY_SMARTHOST;
	m.prefer = (struct ip){0};
	m.all_or_none = false;
	assert_true(delivery_mail_unpack(pack(&m, a, &fd), 5, a, &got));
	assert_int_equal(got.way, DELIVERY_BY_SMARTHOST);
	assert_int_equal(got.route.n, 0);
	assert_int_equal(got.prefer.family, 0);
	assert_false(got.all_or_none);
	arena_free(&a);
}

static void
test_mail_cut_and_grown(void **state)
{
	(void)state;
	struct arena *a = arena_new(16 * 1024 * 1024);
	struct relay_rcpt rcpts[2];
	struct delivery_mail m = make_mail(a, rcpts), got;
	int fd;
	struct slice payload = pack(&m, a, &fd);
	for (size_t n = 0; n < payload.n; n++) {
		struct guarded g = guarded_new(slice_first(payload, n));
		assert_false(delivery_mail_unpack(g.in, 5, a, &got));
		guarded_free(&g);
	}
	/* arena_slice puts a NUL behind the copy: one byte more than was sent. */
	struct slice grown = {arena_slice(a, payload).p, payload.n + 1};
	assert_false(delivery_mail_unpack(grown, 5, a, &got));
	arena_free(&a);
}

struct bad_case {
	const char *what;
	void (*spoil)(struct delivery_mail *m);
};

static void
no_rcpts(struct delivery_mail *m)
{
	m->n_rcpts = 0;
}

static void
line_end_in_rcpt(struct delivery_mail *m)
{
	m->rcpts[1].address.raw = SLICE("c@dest.example>\r\nRCPT TO:<d@dest.example");
}

static void
nul_in_sender(struct delivery_mail *m)
{
	m->sender.raw = SLICE("a\0@example.org");
}

static void
line_end_in_envid(struct delivery_mail *m)
{
	m->params.envid = SLICE("e\r\nDATA");
}

static void
null_rcpt(struct delivery_mail *m)
{
	m->rcpts[0].address = (struct address){.is_null = true};
}

static void
no_site(struct delivery_mail *m)
{
	m->site = SLICE_NONE;
}

static void
long_range(struct delivery_mail *m)
{
	m->body.parts[1].length = UINT64_MAX;
}

static void
no_body(struct delivery_mail *m)
{
	m->body.n = 0;
}

static void
no_route(struct delivery_mail *m)
{
	m->route = SLICE_NONE;
}

static void
nul_in_route(struct delivery_mail *m)
{
	m->route = SLICE("\"a.example\0:25\"");
}

static void
no_way(struct delivery_mail *m)
{
	m->way = DELIVERY_WAYS;
}

static const struct bad_case bad_cases[] = {
	{"by a route without one", no_route},
	{"NUL in the route", nul_in_route},
	{"a way that is none", no_way},
	{"no recipients", no_rcpts},
	{"a line end in a recipient", line_end_in_rcpt},
	{"NUL in the sender", nul_in_sender},
	{"a line end in ENVID", line_end_in_envid},
	{"a recipient <>", null_rcpt},
	{"no site", no_site},
	{"a range beyond all files", long_range},
	{"no body", no_body},
};

static void
test_bad_mails(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad_cases) / sizeof(bad_cases[0]); i++) {
		struct arena *a = arena_new(1024 * 1024);
		struct relay_rcpt rcpts[2];
		struct delivery_mail m = make_mail(a, rcpts), got;
		int fd;
		bad_cases[i].spoil(&m);
		if (delivery_mail_unpack(pack(&m, a, &fd), 5, a, &got))
			fail_msg("taken: %s", bad_cases[i].what);
		arena_free(&a);
	}
}

static void
test_too_large_for_a_message(void **state)
{
	(void)state;
	struct arena *a = arena_new(4 * 1024 * 1024);
	struct relay_rcpt rcpts[2];
	struct delivery_mail m = make_mail(a, rcpts);
	struct slice large = {arena_alloc(a, 1024 * 1024), 1024 * 1024};
	char route[DELIVERY_ROUTE_MOST + 1];
	int sent;
	m.body.n = 0;
	relay_body_add(&m.body, SLICE("Received: here\r\n"));
	relay_body_add(&m.body, large);
	struct ipc_out out;
	ipc_out_init(&out);
	assert_int_equal(delivery_mail_pack(&m, &out, &sent), -1);
	ipc_out_fini(&out);
	/* What a message holds in any case. */
	m.body.n = 1;
	relay_body_add(&m.body, slice_first(large, DELIVERY_INLINE_BYTES - 16));
	pack(&m, a, &sent);
	assert_int_equal(sent, -1);
	memset(route, 'x', sizeof(route));
	m.route = (struct slice){route, sizeof(route)};
	ipc_out_init(&out);
	assert_int_equal(delivery_mail_pack(&m, &out, &sent), -1);
	ipc_out_fini(&out);
	arena_free(&a);
}

static void
test_result(void **state)
{
	(void)state;
	struct arena *a = arena_new(1024 * 1024);
	struct relay_rcpt rcpts[2] = {{.fate = RELAY_TAKEN,
					      .phase = SMTP_CL_DOT,
					      .reply = smtp_reply_of("250 2.0.0 queued")},
		{.fate = RELAY_REFUSED,
			.phase = SMTP_CL_RCPT,
			.reply = smtp_reply_of("550 5.1.1 no")}};
	struct delivery_result r = {.reply = smtp_reply_of("250 2.0.0 queued"),
				       .phase = SMTP_CL_DOT,
				       .from_hop = true,
				       .hop = SLICE("dest.example"),
				       .host = SLICE("mx.dest.example"),
				       .address = SLICE("192.0.2.1:25"),
				       .tls = true,
				       .dsn = true,
				       .attempts = 2,
				       .at = FAILURE_AT_RCPT,
				       .banner = SLICE("mx.dest.example ESMTP"),
				       .starttls = true,
				       .certificate = UINT64_C(0x0123456789abcdef),
				       .mx_set = UINT64_C(0xfedcba9876543210),
				       .rcpts = rcpts,
				       .n_rcpts = 2},
			       got;
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	delivery_result_pack(&r, &out);
	assert_true(ipc_out_ok(&out, &payload));
	assert_true(delivery_result_unpack(payload, a, &got));
	assert_int_equal(got.reply.code, 250);
	assert_true(slice_eq(got.reply.text, r.reply.text));
	assert_true(slice_eq(got.host, r.host));
	assert_true(slice_eq(got.address, r.address));
	assert_true(got.tls && !got.tls_verified && got.dsn && got.from_hop);
	assert_int_equal(got.at, FAILURE_AT_RCPT);
	assert_true(slice_eq(got.banner, r.banner));
	assert_true(got.starttls);
	assert_true(got.certificate == r.certificate && got.mx_set == r.mx_set);
	assert_int_equal(got.n_rcpts, 2);
	assert_int_equal(got.rcpts[0].fate, RELAY_TAKEN);
	assert_int_equal(got.rcpts[0].reply.code, 250);
	assert_int_equal(got.rcpts[1].fate, RELAY_REFUSED);
	assert_int_equal(got.rcpts[1].reply.enhanced[1], 1);
	assert_true(slice_eq(got.rcpts[1].reply.text, SLICE("no")));
	for (size_t n = 0; n < payload.n; n++)
		assert_false(delivery_result_unpack(slice_first(payload, n), a, &got));
	ipc_out_fini(&out);
	/* A code that no reply can have, or classes that differ, would stop the session
	 * (EXT-02). */
	rcpts[1].reply.code = 700;
	ipc_out_init(&out);
	delivery_result_pack(&r, &out);
	assert_true(ipc_out_ok(&out, &payload));
	assert_false(delivery_result_unpack(payload, a, &got));
	ipc_out_fini(&out);
	rcpts[1].reply.code = 450;
	ipc_out_init(&out);
	delivery_result_pack(&r, &out);
	assert_true(ipc_out_ok(&out, &payload));
	assert_false(delivery_result_unpack(payload, a, &got));
	ipc_out_fini(&out);
	arena_free(&a);
}

/* A thousand recipients with long words each: always fits. */
static void
test_largest_result(void **state)
{
	(void)state;
	struct arena *a = arena_new(8 * 1024 * 1024);
	char words[2000];
	memset(words, 'x', sizeof(words));
	struct relay_rcpt *rcpts = arena_array(a, DELIVERY_RCPTS_MOST, sizeof(*rcpts));
	struct smtp_reply long_one = smtp_reply_of("550 5.1.1 no");
	long_one.text = (struct slice){words, sizeof(words)};
	for (size_t i = 0; i < DELIVERY_RCPTS_MOST; i++)
		rcpts[i].reply = long_one;
	struct slice all = {words, sizeof(words)};
	struct delivery_result r = {.reply = smtp_reply_of("451 4.0.0 x"),
				       .hop = all,
				       .host = all,
				       .address = all,
				       .banner = all,
				       .rcpts = rcpts,
				       .n_rcpts = DELIVERY_RCPTS_MOST},
			       got;
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	delivery_result_pack(&r, &out);
	assert_true(ipc_out_ok(&out, &payload));
	assert_true(delivery_result_unpack(payload, a, &got));
	assert_int_equal(got.n_rcpts, DELIVERY_RCPTS_MOST);
	assert_int_equal(got.banner.n, DELIVERY_BANNER_BYTES);
	ipc_out_fini(&out);
	arena_free(&a);
}

static void
test_question(void **state)
{
	(void)state;
	struct arena *a = arena_new(1024 * 1024);
	struct delivery_rcpt_question q = {.site = SLICE("dest.example"),
					      .log = SLICE("m-1"),
					      .sender = address_of("a@example.org"),
					      .params = {.body = SMTP_BODY_8BITMIME,
						      .smtputf8 = true},
					      .rcpt = address_of("b@dest.example"),
					      .rcpt_params = {.notify = SMTP_NOTIFY_NEVER},
					      .budget_ms = 5000},
				      got;
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	delivery_rcpt_question_pack(&q, &out);
	assert_true(ipc_out_ok(&out, &payload));
	struct guarded g = guarded_new(payload);
	assert_true(delivery_rcpt_question_unpack(g.in, a, &got));
	assert_true(slice_eq(got.site, q.site) && slice_eq(got.log, q.log));
	assert_true(slice_eq(got.sender.raw, q.sender.raw));
	assert_true(slice_eq(got.rcpt.raw, q.rcpt.raw));
	assert_true(got.params.smtputf8);
	assert_int_equal(got.rcpt_params.notify, SMTP_NOTIFY_NEVER);
	assert_int_equal(got.budget_ms, 5000);
	guarded_free(&g);
	for (size_t n = 0; n < payload.n; n++) {
		g = guarded_new(slice_first(payload, n));
		assert_false(delivery_rcpt_question_unpack(g.in, a, &got));
		guarded_free(&g);
	}
	ipc_out_fini(&out);
	q.rcpt.raw = SLICE("b@dest.example>\r\nDATA");
	ipc_out_init(&out);
	delivery_rcpt_question_pack(&q, &out);
	assert_true(ipc_out_ok(&out, &payload));
	assert_false(delivery_rcpt_question_unpack(payload, a, &got));
	ipc_out_fini(&out);
	arena_free(&a);
}

static void
test_answer(void **state)
{
	(void)state;
	struct arena *a = arena_new(1024 * 1024);
	const struct smtp_reply replies[] = {
		smtp_reply_of("550 5.1.1 no such user"), smtp_reply_of("250 fine"), {0}};
	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		struct smtp_reply got;
		struct ipc_out out;
		struct slice payload;
		ipc_out_init(&out);
		delivery_rcpt_answer_pack(&replies[i], &out);
		assert_true(ipc_out_ok(&out, &payload));
		assert_true(delivery_rcpt_answer_unpack(payload, a, &got));
		assert_int_equal(got.code, replies[i].code);
		assert_int_equal(got.has_enhanced, replies[i].has_enhanced);
		assert_true(slice_eq(got.text, replies[i].text));
		for (size_t n = 0; n < payload.n; n++)
			assert_false(
				delivery_rcpt_answer_unpack(slice_first(payload, n), a, &got));
		ipc_out_fini(&out);
	}
	arena_free(&a);
}

static void
test_index(void **state)
{
	(void)state;
	unsigned counts[4] = {0};
	char site[32];
	for (unsigned i = 0; i < 4000; i++) {
		snprintf(site, sizeof(site), "site%u.example", i);
		size_t at = delivery_index(slice_of(site), 4);
		assert_in_range(at, 0, 3);
		counts[at]++;
	}
	for (size_t i = 0; i < 4; i++)
		assert_in_range(counts[i], 800, 1200);
	assert_int_equal(delivery_index(SLICE("Dest.Example"), 7),
		delivery_index(SLICE("dest.example"), 7));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mail),
		cmocka_unit_test(test_mail_cut_and_grown),
		cmocka_unit_test(test_bad_mails),
		cmocka_unit_test(test_too_large_for_a_message),
		cmocka_unit_test(test_result),
		cmocka_unit_test(test_largest_result),
		cmocka_unit_test(test_question),
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_index),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
