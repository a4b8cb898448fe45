/* Parameters of MAIL and RCPT (SRV-08, EXT-02, EXT-05, EXT-06). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "feed.h"
#include "smtp/param.h"

static const struct smtp_offer all = {.tls = true,
	.smtputf8 = true,
	.dsn = true,
	.eightbit = true,
	.size = 1000,
	.auth = "PLAIN"};
static const struct smtp_offer none = {0};

struct param_case {
	const char *in;
	const struct smtp_offer *offer;
	const char *want; /* what is written to a remote with all, or the refusal */
};

#define X100                                                                                   \
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
	"xxxxxxxxxxxxxxxx"
#define BAD     "501 5.5.4"
#define UNKNOWN "555 5.5.4"

static const struct param_case mail_cases[] = {
	{"", &all, ""},
	{" ", &all, ""},
	{"  SIZE=5  ", &all, " SIZE=5"},
	{" SIZE=999", &all, " SIZE=999"},
	{" SIZE=1000", &all, " SIZE=1000"},
	{" SIZE=1001", &all, "552 5.3.4"},
	{" SIZE=1001", &none, " SIZE=1001"},
	{" SIZE=99999999999999999999", &all, "552 5.3.4"},
	{" SIZE=999999999999999999999", &all, BAD},
	{" SIZE=", &all, BAD},
	{" SIZE", &all, BAD},
	{" SIZE=-1", &all, BAD},
	{" SIZE=1x", &all, BAD},
	{" SIZE=1 SIZE=1", &all, BAD},
	{" size=5 body=8bitmime Smtputf8", &all, " SIZE=5 BODY=8BITMIME SMTPUTF8"},
	{" BODY=7bit", &all, " BODY=7BIT"},
	{" BODY=BINARYMIME", &all, BAD},
	{" BODY=8BITMIME", &none, UNKNOWN},
	{" SMTPUTF8", &none, UNKNOWN},
	{" SMTPUTF8=yes", &all, BAD},
	{" RET=HDRS ENVID=QQ314159", &all, " RET=HDRS ENVID=QQ314159"},
	{" RET=full", &all, " RET=FULL"},
	{" RET=none", &all, BAD},
	{" RET=FULL", &none, UNKNOWN},
	{" ENVID=a+2Bb", &all, " ENVID=a+2Bb"},
	{" ENVID=a+2bb", &all, BAD},
	{" ENVID=a+", &all, BAD},
	{" ENVID=a+2", &all, BAD},
	{" ENVID=a+0D+0A", &all, BAD},
	{" ENVID=a+00", &all, BAD},
	{" ENVID=a+7F", &all, BAD},
	{" ENVID=a=b", &all, BAD},
	{" ENVID=" X100, &all, " ENVID=" X100},
	{" ENVID=" X100 "x", &all, BAD},
	{" AUTH=<>", &all, ""},
	{" AUTH=e+3Dmc2@example.com", &all, ""},
	{" AUTH=<a@b>", &all, ""},
	{" AUTH=a b", &all, UNKNOWN},
	{" AUTH=<>", &none, UNKNOWN},
	{" X=1", &all, UNKNOWN},
	{" NOTIFY=NEVER", &all, UNKNOWN},
	{" =1", &all, BAD},
	{" -A=1", &all, BAD},
	{" A_B=1", &all, BAD},
	{" SIZE=1\t", &all, BAD},
	{" ENVID=caf\xc3\xa9", &all, BAD},
	{"SIZE=1", &all, BAD},
	{"\tSIZE=1", &all, BAD},
};

static const struct param_case rcpt_cases[] = {
	{"", &all, ""},
	{" NOTIFY=NEVER", &all, " NOTIFY=NEVER"},
	{" notify=delay,FAILURE,success", &all, " NOTIFY=SUCCESS,FAILURE,DELAY"},
	{" NOTIFY=NEVER,DELAY", &all, BAD},
	{" NOTIFY=", &all, BAD},
	{" NOTIFY=DELAY,", &all, BAD},
	{" NOTIFY=DELAY NOTIFY=DELAY", &all, BAD},
	{" NOTIFY=x", &all, BAD},
	{" NOTIFY=NEVER", &none, UNKNOWN},
	{" ORCPT=rfc822;a+2Bb@example.org", &all, " ORCPT=rfc822;a+2Bb@example.org"},
	{" ORCPT=utf-8;\\x{E9}@example.org NOTIFY=DELAY", &all,
		" NOTIFY=DELAY ORCPT=utf-8;\\x{E9}@example.org"},
	{" ORCPT=rfc822", &all, BAD},
	{" ORCPT=;a", &all, BAD},
	{" ORCPT=rfc822;", &all, BAD},
	{" ORCPT=rfc 822;a", &all, BAD},
	{" ORCPT=r_c;a", &all, BAD},
	{" ORCPT=rfc822;a+0A", &all, BAD},
	{" SIZE=1", &all, UNKNOWN},
};

static void
check(const struct param_case *c, bool good, const struct smtp_reply *r, struct buf *out,
	struct arena *a)
{
	if (!ascii_digit(c->want[0])) {
		assert_true(good);
		assert_true(slice_eq(buf_slice(out), slice_of(c->want)));
		return;
	}
	assert_false(good);
	assert_true(slice_starts(smtp_reply_line(r, a), slice_of(c->want)));
}

static void
test_mail(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(mail_cases) / sizeof(mail_cases[0]); i++) {
		struct guarded g = guarded_new(slice_of(mail_cases[i].in));
		struct arena *a = arena_new(4096);
		struct smtp_mail_params p;
		struct smtp_reply r;
		struct buf out;
		buf_init(&out, 1024);
		bool good = smtp_params_mail(g.in, mail_cases[i].offer, a, &p, &r);
		if (good)
			assert_true(smtp_params_mail_write(&p, &all, &out));
		check(&mail_cases[i], good, &r, &out, a);
		buf_fini(&out);
		arena_free(&a);
		guarded_free(&g);
	}
}

static void
test_rcpt(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rcpt_cases) / sizeof(rcpt_cases[0]); i++) {
		struct guarded g = guarded_new(slice_of(rcpt_cases[i].in));
		struct arena *a = arena_new(4096);
		struct smtp_rcpt_params p;
		struct smtp_reply r;
		struct buf out;
		buf_init(&out, 1024);
		bool good = smtp_params_rcpt(g.in, rcpt_cases[i].offer, a, &p, &r);
		if (good)
			smtp_params_rcpt_write(&p, &all, &out);
		check(&rcpt_cases[i], good, &r, &out, a);
		buf_fini(&out);
		arena_free(&a);
		guarded_free(&g);
	}
}

/* ORCPT's value, type and all: SMTP_ORCPT_MOST bytes are taken, one more is not. */
static void
test_orcpt_limit(void **state)
{
	(void)state;
	char text[600];
	memset(text, 'x', sizeof(text));
	memcpy(text, " ORCPT=rfc822;", 14);
	for (size_t n = SMTP_ORCPT_MOST - 1; n <= SMTP_ORCPT_MOST + 1; n++) {
		struct arena *a = arena_new(4096);
		struct smtp_rcpt_params p;
		struct smtp_reply r;
		assert_int_equal(smtp_params_rcpt((struct slice){text, 7 + n}, &all, a, &p, &r),
			n <= SMTP_ORCPT_MOST);
		arena_free(&a);
	}
}

/* A next hop gets what it has; only SMTPUTF8 cannot be left out (EXT-05). */
static void
test_write_less(void **state)
{
	(void)state;
	struct smtp_offer remote = {.sizeless = true};
	struct smtp_mail_params p = {.size = 5,
		.body = SMTP_BODY_8BITMIME,
		.ret = SMTP_RET_FULL,
		.envid = SLICE("x")};
	struct smtp_rcpt_params q = {.notify = SMTP_NOTIFY_NEVER, .orcpt = SLICE("rfc822;a")};
	struct buf out;
	buf_init(&out, 1024);
	assert_true(smtp_params_mail_write(&p, &remote, &out));
	smtp_params_rcpt_write(&q, &remote, &out);
	assert_int_equal(buf_slice(&out).n, 0);
	p.smtputf8 = true;
	assert_false(smtp_params_mail_write(&p, &remote, &out));
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mail),
		cmocka_unit_test(test_rcpt),
		cmocka_unit_test(test_orcpt_limit),
		cmocka_unit_test(test_write_less),
	};
	return cmocka_run_group_tests_name("smtp_param", tests, NULL, NULL);
}
