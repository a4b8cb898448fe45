/*
 * The parts of a mail as bytes: what goes in comes out, whole or not at all; what a broken
 * process or disk makes of it is refused and stays refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "feed.h"
#include "relay/pack.h"

enum { FD = 9 };

static struct arena *arena;

static int
open_arena(void **state)
{
	(void)state;
	arena = arena_new(16 * 1024 * 1024);
	return 0;
}

static int
close_arena(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

struct all { /* one of each */
	struct address address, null, postmaster;
	struct smtp_mail_params mail;
	struct smtp_rcpt_params rcpt;
	struct smtp_reply reply, none;
	struct relay_body body;
};

static struct all
make(void)
{
	struct all all = {
		.address = {.raw = SLICE("\"a@b\"@example.org"),
			.domain = SLICE("example.org"),
			.utf8 = true},
		.null = {.is_null = true},
		.postmaster = {.raw = SLICE("postmaster")},
		.mail = {.body = SMTP_BODY_8BITMIME,
			.smtputf8 = true,
			.ret = SMTP_RET_HDRS,
			.envid = SLICE("e1"),
			.size = 77,
			.auth = SLICE("x")},
		.rcpt = {.notify = SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY,
			.orcpt = SLICE("rfc822;b@example.org")},
		.reply = smtp_reply_of("451 4.7.1 greylisted, come again"),
	};
	relay_body_init(&all.body, arena);
	relay_body_add(&all.body, SLICE("Received: x\r\n"));
	relay_body_add_file(&all.body, FD, 100, 5000);
	relay_body_add(&all.body, SLICE("tail\r\n"));
	return all;
}

static struct slice
put(const struct all *all, size_t text_most)
{
	struct ipc_out o;
	struct slice bytes;
	int fd;
	ipc_out_init(&o);
	relay_put_address(&o, &all->address);
	relay_put_address(&o, &all->null);
	relay_put_address(&o, &all->postmaster);
	relay_put_mail_params(&o, &all->mail);
	relay_put_rcpt_params(&o, &all->rcpt);
	relay_put_reply(&o, &all->reply, text_most);
	relay_put_reply(&o, &all->none, text_most);
	relay_put_body(&o, &all->body, &fd);
	assert_int_equal(fd, FD);
	assert_true(ipc_out_ok(&o, &bytes));
	bytes = arena_slice(arena, bytes);
	ipc_out_fini(&o);
	return bytes;
}

static bool
get(struct slice bytes, int fd, struct all *all)
{
	struct ipc_in in;
	ipc_in_init(&in, bytes);
	relay_get_address(&in, &all->address);
	relay_get_address(&in, &all->null);
	relay_get_address(&in, &all->postmaster);
	relay_get_mail_params(&in, &all->mail);
	relay_get_rcpt_params(&in, &all->rcpt);
	relay_get_reply(&in, arena, &all->reply);
	relay_get_reply_or_none(&in, arena, &all->none);
	relay_body_init(&all->body, arena);
	relay_get_body(&in, fd, &all->body);
	return ipc_in_done(&in);
}

static void
test_there_and_back(void **state)
{
	(void)state;
	struct all all = make(), got;
	struct guarded g = guarded_new(put(&all, 1000));
	assert_true(get(g.in, 3, &got));
	assert_true(slice_eq(got.address.raw, all.address.raw));
	assert_true(slice_eq(got.address.text, all.address.raw));
	assert_true(slice_eq(got.address.local, SLICE("\"a@b\"")));
	assert_true(slice_eq(got.address.domain, all.address.domain));
	assert_true(got.address.utf8 && !got.address.is_null && got.null.is_null);
	assert_true(slice_eq(got.postmaster.local, SLICE("postmaster")));
	assert_int_equal(got.postmaster.domain.n, 0);
	assert_int_equal(got.mail.body, SMTP_BODY_8BITMIME);
	assert_int_equal(got.mail.ret, SMTP_RET_HDRS);
	assert_true(got.mail.smtputf8 && slice_eq(got.mail.envid, SLICE("e1")));
	assert_true(got.mail.size == 0 && got.mail.auth.n == 0);
	assert_int_equal(got.rcpt.notify, all.rcpt.notify);
	assert_true(slice_eq(got.rcpt.orcpt, all.rcpt.orcpt));
	assert_int_equal(got.reply.code, 451);
	assert_true(got.reply.has_enhanced && got.reply.enhanced[1] == 7);
	assert_true(slice_eq(got.reply.text, all.reply.text));
	assert_int_equal(got.none.code, 0);
	assert_int_equal(got.body.n, 3);
	assert_int_equal(got.body.bytes, all.body.bytes);
	assert_true(slice_eq(got.body.parts[2].bytes, SLICE("tail\r\n")));
	assert_int_equal(got.body.parts[1].fd, 3);
	assert_int_equal(got.body.parts[1].offset, 100);
	assert_int_equal(got.body.parts[1].length, 5000);
	assert_false(get(g.in, -1, &got)); /* no descriptor came along */
	guarded_free(&g);
	assert_true(get(put(&all, 10), 3, &got));
	assert_true(slice_eq(got.reply.text, slice_first(all.reply.text, 10)));
}

static void
test_cut(void **state)
{
	(void)state;
	struct all all = make(), got;
	struct slice bytes = put(&all, 1000);
	for (size_t n = 0; n < bytes.n; n++) {
		struct guarded g = guarded_new(slice_first(bytes, n));
		assert_false(get(g.in, 3, &got));
		guarded_free(&g);
	}
}

static char long_words[RELAY_RAW_MOST + 1];

struct bad {
	const char *what;
	struct address address;
	struct smtp_mail_params mail;
	struct smtp_rcpt_params rcpt;
	struct smtp_reply reply;
};

static const struct bad bads[] = {
	{.what = "an address with a line end", .address = {.raw = SLICE("a\r\n@x")}},
	{.what = "an address with DEL", .address = {.raw = SLICE("a\177@x")}},
	{.what = "a domain with NUL", .address = {.raw = SLICE("a@x"), .domain = SLICE("x\0")}},
	{.what = "an empty address", .address = {.domain = SLICE("x")}},
	{.what = "<> with words", .address = {.raw = SLICE("a@x"), .is_null = true}},
	{.what = "a long address", .address = {.raw = {long_words, sizeof(long_words)}}},
	{.what = "BODY of no sort", .mail = {.body = SMTP_BODY_8BITMIME + 1}},
	{.what = "RET of no sort", .mail = {.ret = SMTP_RET_HDRS + 1}},
	{.what = "ENVID with a line end", .mail = {.envid = SLICE("a\nb")}},
	{.what = "NOTIFY of no sort", .rcpt = {.notify = 16}},
	{.what = "a long ORCPT", .rcpt = {.orcpt = {long_words, SMTP_ORCPT_MOST + 1}}},
	{.what = "a code below all", .reply = {.code = 199}},
	{.what = "a code above all", .reply = {.code = 600}},
	{.what = "no code", .reply = {.text = SLICE("words")}},
	{.what = "another class",
		.reply = {.code = 550, .has_enhanced = true, .enhanced = {4, 0, 0}}},
	{.what = "a detail that no code has",
		.reply = {.code = 550, .has_enhanced = true, .enhanced = {5, 1000, 0}}},
};

static void
test_bad(void **state)
{
	(void)state;
	memset(long_words, 'x', sizeof(long_words));
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		const struct bad *b = &bads[i];
		struct all all = make(), got;
		if (b->address.raw.n + b->address.domain.n > 0)
			all.address = b->address;
		if (b->mail.body != 0 || b->mail.ret != 0 || b->mail.envid.n > 0)
			all.mail = b->mail;
		if (b->rcpt.notify != 0 || b->rcpt.orcpt.n > 0)
			all.rcpt = b->rcpt;
		if (b->reply.code != 0)
			all.reply = b->reply;
		if (b->reply.code == 0 && b->reply.text.n > 0)
			all.none = b->reply; /* words without a code are none either */
		if (get(put(&all, 1000), 3, &got))
			fail_msg("taken: %s", b->what);
	}
	struct all all = make(), got; /* a reply there must be */
	all.reply = (struct smtp_reply){0};
	assert_false(get(put(&all, 1000), 3, &got));
	all = make();
	all.body.parts[1].offset = UINT64_MAX;
	assert_false(get(put(&all, 1000), 3, &got));
	all.body.parts[1].offset = 0;
	all.body.parts[1].length = 0;
	assert_false(get(put(&all, 1000), 3, &got));
}

/* Words from a file or another process are cleaned before they come to anybody's eyes. */
static void
test_words_are_cleaned(void **state)
{
	(void)state;
	struct all all = make(), got;
	all.reply.text = SLICE("a\033[2Jb\r\nc");
	assert_true(get(put(&all, 1000), 3, &got));
	assert_false(slice_has(got.reply.text, '\033'));
	assert_false(slice_has(got.reply.text, '\r'));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_words_are_cleaned),
	};
	return cmocka_run_group_tests(tests, open_arena, close_arena);
}
