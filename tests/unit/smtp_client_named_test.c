/*
 * The client machine tells a next hop whose mail comes (EXT-09): by XCLIENT, once for each
 * client of a connection, or by XFORWARD in front of each MAIL; and what becomes of the mail
 * where the hop lacks them or refuses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/must.h"
#include "feed.h"
#include "smtp/client.h"

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

struct talk {
	struct smtp_client *c;
	struct arena *arena;
	struct smtp_client_rcpt rcpt;
	struct smtp_client_mail mail;
	struct xclient x;
	bool bytes;
};

static void
hear(struct talk *t, const char *reply)
{
	struct slice in = slice_of(reply);
	while (in.n > 0) {
		struct guarded g = guarded_new(slice_first(in, t->bytes ? 1 : in.n));
		in = slice_from(in, smtp_client_feed(t->c, g.in));
		guarded_free(&g);
	}
}

static void
wrote(struct talk *t, const char *want)
{
	struct slice out = smtp_client_output(t->c);
	if (!slice_eq(out, slice_of(want)))
		fail_msg("wrote %.*s, wanted %s", SLICE_ARG(out), want);
	smtp_client_written(t->c, out.n);
}

static void
talk_open(struct talk *t, bool bytes, const char *hello)
{
	struct smtp_client_config config = {.hostname = SLICE("gate.example")};
	*t = (struct talk){
		.c = smtp_client_new(&config), .arena = arena_new(256 * 1024), .bytes = bytes};
	hear(t, "220 x\r\n");
	wrote(t, "EHLO gate.example\r\n");
	hear(t, hello);
	assert_int_equal(smtp_client_phase(t->c), SMTP_CL_READY);
}

static void
talk_close(struct talk *t)
{
	smtp_client_free(&t->c);
	arena_free(&t->arena);
}

static void
talk_send(struct talk *t, const char *client, bool forward)
{
	struct slice r = SLICE("r@example.org");
	t->rcpt = (struct smtp_client_rcpt){.address = {.text = r, .raw = r}};
	t->mail = (struct smtp_client_mail){.sender = {.is_null = true},
		.rcpts = &t->rcpt,
		.n_rcpts = 1,
		.arena = t->arena};
	t->x = (struct xclient){.given = forward ? XFORWARD_ALL : XCLIENT_ALL};
	if (client != NULL) {
		struct xclient told;
		assert_null(xclient_parse(slice_of(client), forward, &told));
		xclient_add(&t->x, &told);
	}
	t->mail.xforward = client != NULL && forward ? &t->x : NULL;
	t->mail.xclient = client != NULL && !forward ? &t->x : NULL;
	smtp_client_send(t->c, &t->mail);
}

#define BODY_AND_OK                                         \
	do {                                                \
		hear(&t, "250 ok\r\n250 ok\r\n354 go\r\n"); \
		smtp_client_body_end(t.c);                  \
		wrote(&t, ".\r\n");                         \
		hear(&t, "250 taken\r\n");                  \
		assert_true(smtp_client_done(t.c));         \
		assert_int_equal(t.mail.reply.code, 250);   \
	} while (0)

static const char pipe_mail[] = "MAIL FROM:<>\r\nRCPT TO:<r@example.org>\r\nDATA\r\n";
static const char xclient_hello[] = "250-x\r\n250-PIPELINING\r\n250 XCLIENT NAME ADDR HELO\r\n";

static void
client_introduces(bool bytes)
{
	struct talk t;
	talk_open(&t, bytes, xclient_hello);
	talk_send(&t, "NAME=c.example ADDR=192.0.2.1 HELO=helo.example PORT=1", false);
	wrote(&t, "XCLIENT NAME=c.example ADDR=192.0.2.1 HELO=helo.example\r\n");
	assert_int_equal(smtp_client_phase(t.c), SMTP_CL_XCLIENT);
	hear(&t, "220 again\r\n");
	wrote(&t, "EHLO helo.example\r\n");
	hear(&t, xclient_hello);
	wrote(&t, pipe_mail);
	BODY_AND_OK;
	/* the same client: said already; another one: said again; without HELO: our own */
	talk_send(&t, "NAME=c.example ADDR=192.0.2.1 HELO=helo.example PORT=2", false);
	wrote(&t, pipe_mail);
	BODY_AND_OK;
	talk_send(&t, "ADDR=192.0.2.2", false);
	wrote(&t, "XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.2 HELO=[UNAVAILABLE]\r\n");
	hear(&t, "220 again\r\n");
	wrote(&t, "EHLO gate.example\r\n");
	hear(&t, "250-x\r\n250 PIPELINING\r\n");
	wrote(&t, pipe_mail);
	BODY_AND_OK;
	/* no longer on offer: the connection is that client's, and of no use for another */
	talk_send(&t, "ADDR=192.0.2.3", false);
	wrote(&t, "");
	assert_true(smtp_client_done(t.c));
	assert_int_equal(t.mail.reply.code, 0);
	assert_int_equal(smtp_client_phase(t.c), SMTP_CL_CLOSED);
	talk_close(&t);
}

static void
test_client_introduces(void **state)
{
	(void)state;
	client_introduces(false);
	client_introduces(true);
}

/* A mail of nobody never goes out as somebody's. */
static void
test_client_is_kept_apart(void **state)
{
	(void)state;
	struct talk t;
	talk_open(&t, false, xclient_hello);
	talk_send(&t, "ADDR=192.0.2.1", false);
	wrote(&t, "XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.1 HELO=[UNAVAILABLE]\r\n");
	hear(&t, "220 again\r\n");
	wrote(&t, "EHLO gate.example\r\n");
	hear(&t, xclient_hello);
	wrote(&t, pipe_mail);
	BODY_AND_OK;
	talk_send(&t, NULL, false);
	assert_true(smtp_client_done(t.c));
	assert_int_equal(smtp_client_phase(t.c), SMTP_CL_CLOSED);
	talk_close(&t);
}

struct refusal_case {
	const char *reply;
	int code; /* of the mail; 0: lost, to be tried elsewhere */
};

static const struct refusal_case refusal_cases[] = {
	{"554 5.7.1 not from there\r\n", 554},
	{"450 4.7.1 later\r\n", 450},
	{"421 4.3.2 going\r\n", 0},
	{"nonsense\r\n", 0},
};

/* The server's word about the client is its word about the mail. */
static void
test_client_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY(refusal_cases); i++) {
		struct talk t;
		talk_open(&t, false, "250-x\r\n250 XCLIENT ADDR\r\n");
		talk_send(&t, "ADDR=192.0.2.1", false);
		wrote(&t, "XCLIENT ADDR=192.0.2.1\r\n");
		hear(&t, refusal_cases[i].reply);
		assert_true(smtp_client_done(t.c));
		assert_int_equal(t.mail.reply.code, refusal_cases[i].code);
		assert_int_equal(t.mail.phase, SMTP_CL_XCLIENT);
		assert_true(t.mail.asked);
		assert_int_equal(smtp_client_phase(t.c), SMTP_CL_CLOSED);
		talk_close(&t);
	}
}

static void
test_client_lacks(void **state)
{
	(void)state;
	for (int forward = 0; forward < 2; forward++) {
		struct talk t;
		talk_open(&t, false,
			"250-x\r\n250-XFORWARD NAME\r\n250-XCLIENT NAME\r\n250 PIPELINING\r\n");
		talk_send(&t, "ADDR=192.0.2.1", forward != 0);
		wrote(&t, pipe_mail);
		assert_true(t.mail.unnamed);
		BODY_AND_OK;
		talk_close(&t);
	}
}

#define FORWARD_1 "XFORWARD NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1 PORT=1 SOURCE=REMOTE\r\n"
#define FORWARD_2 "XFORWARD PROTO=ESMTP HELO=h IDENT=q\r\n"

static void
client_forwards(bool bytes, bool refused)
{
	static const char told[] =
		"ADDR=IPV6:2001:db8::1 PORT=1 PROTO=ESMTP HELO=h IDENT=q SOURCE=REMOTE";
	struct talk t;
	talk_open(&t, bytes,
		"250-x\r\n250-PIPELINING\r\n250 XFORWARD NAME ADDR PORT PROTO HELO IDENT "
		"SOURCE\r\n");
	for (int i = 0; i < 2; i++) {
		talk_send(&t, told, true);
		wrote(&t, FORWARD_1 FORWARD_2
			"MAIL FROM:<>\r\nRCPT TO:<r@example.org>\r\nDATA\r\n");
		hear(&t, refused ? "501 5.5.4 what\r\n250 ok\r\n" : "250 ok\r\n250 ok\r\n");
		assert_int_equal(t.mail.unnamed, refused);
		BODY_AND_OK;
	}
	talk_send(&t, told, true);
	wrote(&t, FORWARD_1 FORWARD_2 "MAIL FROM:<>\r\nRCPT TO:<r@example.org>\r\nDATA\r\n");
	hear(&t, "250 ok\r\n421 4.3.2 going\r\n");
	assert_true(smtp_client_done(t.c));
	assert_int_equal(t.mail.reply.code, 421);
	talk_close(&t);
}

static void
test_client_forwards(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		client_forwards((i & 1) != 0, (i & 2) != 0);
}

/* Without PIPELINING each line waits; what the remote does not name is not told. */
static void
test_client_forwards_one_by_one(void **state)
{
	(void)state;
	struct talk t;
	talk_open(&t, false, "250-x\r\n250 XFORWARD ADDR HELO\r\n");
	talk_send(&t, "ADDR=192.0.2.1", true);
	wrote(&t, "XFORWARD ADDR=192.0.2.1\r\n");
	hear(&t, "250 ok\r\n");
	wrote(&t, "XFORWARD HELO=[UNAVAILABLE]\r\n");
	hear(&t, "250 ok\r\n");
	wrote(&t, "MAIL FROM:<>\r\n");
	hear(&t, "250 ok\r\n");
	wrote(&t, "RCPT TO:<r@example.org>\r\n");
	hear(&t, "550 5.1.1 no\r\n");
	wrote(&t, "RSET\r\n");
	hear(&t, "250 ok\r\n");
	assert_true(smtp_client_done(t.c));
	assert_int_equal(t.mail.reply.code, 550);
	talk_close(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_client_introduces),
		cmocka_unit_test(test_client_is_kept_apart),
		cmocka_unit_test(test_client_is_refused),
		cmocka_unit_test(test_client_lacks),
		cmocka_unit_test(test_client_forwards),
		cmocka_unit_test(test_client_forwards_one_by_one),
	};
	return cmocka_run_group_tests_name("smtp_client_named", tests, NULL, NULL);
}
