/*
 * What a peer tells of its client, and what we tell of ours (EXT-09): attributes and their
 * values one by one, and whole commands through the server machine in every cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/must.h"
#include "feed.h"
#include "smtp/line.h"
#include "smtp_driver.h"

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

/* What was understood, written again as we write it: "" refused. */
struct parse_case {
	const char *in;
	bool forward;
	const char *out;
};

#define NONE "[UNAVAILABLE]"

static const struct parse_case parse_cases[] = {
	{"NAME=mail.example ADDR=192.0.2.1", false, " NAME=mail.example ADDR=192.0.2.1"},
	{"name=mail.example  addr=192.0.2.1", false, " NAME=mail.example ADDR=192.0.2.1"},
	{"ADDR=IPV6:2001:db8::1 PORT=65535", false, " ADDR=IPV6:2001:db8::1 PORT=65535"},
	{"ADDR=ipv6:2001:DB8::1", true, " ADDR=IPV6:2001:db8::1"},
	{"ADDR=IPV6:::ffff:192.0.2.1", true, " ADDR=192.0.2.1"},
	{"ADDR=[unavailable] NAME=[TempUnavail]", false, " NAME=[TEMPUNAVAIL] ADDR=" NONE},
	{"PORT=0 PROTO=esmtp HELO=h LOGIN=alice", false,
		" PORT=0 PROTO=ESMTP HELO=h LOGIN=alice"},
	{"PROTO=SMTP DESTADDR=198.51.100.1 DESTPORT=25", false,
		" PROTO=SMTP DESTADDR=198.51.100.1 DESTPORT=25"},
	{"HELO=a+3Db+2Bc", false, " HELO=a+3Db+2Bc"},
	{"HELO=a+3db+2bc", false, " HELO=a+3Db+2Bc"},
	{"HELO=a+20b+0Ac+00d+FFe(f)", true, " HELO=a?b?c?d?e?f?"},
	{"LOGIN=a+40b.example", false, " LOGIN=a@b.example"},
	{"IDENT=4ABC SOURCE=LOCAL", true, " IDENT=4ABC SOURCE=LOCAL"},
	{"IDENT=a<b>+20c SOURCE=remote PROTO=QMQP", true,
		" PROTO=SMTP IDENT=a<b>?c SOURCE=REMOTE"},
	{"ADDR=local.socket", true, " ADDR=" NONE},
	/* refused */
	{"", false, ""},
	{" ", true, ""},
	{"NAME", false, ""},
	{"NAME=", false, ""},
	{"=x", false, ""},
	{"NONO=x", false, ""},
	{"NAME=a NAME=b", false, ""},
	{"NAME=a name=[UNAVAILABLE]", false, ""},
	{"LOGIN=alice", true, ""},
	{"DESTADDR=192.0.2.1", true, ""},
	{"IDENT=x", false, ""},
	{"SOURCE=LOCAL", false, ""},
	{"SOURCE=NOWHERE", true, ""},
	{"ADDR=local.socket", false, ""},
	{"ADDR=2001:db8::1", false, ""},
	{"ADDR=IPV6:192.0.2.1", false, ""},
	{"ADDR=192.0.2.256", false, ""},
	{"DESTADDR=x", false, ""},
	{"PORT=65536", false, ""},
	{"PORT=-1", true, ""},
	{"DESTPORT=x", false, ""},
	{"PROTO=LMTP", false, ""},
	{"HELO=a+", false, ""},
	{"HELO=a+2", true, ""},
	{"HELO=a+2x", true, ""},
	{"HELO=a=b", false, ""},
	{"HELO=a\tb", true, ""},
	{"HELO=\xc3\xbc", true, ""},
	{"LOGIN=a+20b", false, ""},
	{"LOGIN=a+0Db", false, ""},
	{"LOGIN=+C3+BC", false, ""},
};

static void
test_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY(parse_cases); i++) {
		const struct parse_case *c = &parse_cases[i];
		struct guarded g = guarded_new(slice_of(c->in));
		struct xclient x;
		struct buf out;
		const char *why = xclient_parse(g.in, c->forward, &x);
		buf_init(&out, 2 * XCLIENT_LINE_MOST);
		if (why == NULL)
			assert_true(xclient_write(&x, "", XCLIENT_ALL | XFORWARD_ALL, &out));
		else
			assert_memory_equal(why, "501 5.5.4 ", 10);
		if (!slice_eq(buf_slice(&out), slice_of(c->out)))
			fail_msg("%s: %.*s", c->in, SLICE_ARG(buf_slice(&out)));
		buf_fini(&out);
		guarded_free(&g);
	}
}

/* A word of n bytes, encoded or not; LOGIN is never cut. */
static bool
parse_long(const char *name, size_t n, bool encoded, struct xclient *x)
{
	struct buf b;
	buf_init(&b, LINE_BYTES_MOST);
	must(buf_add_text(&b, name) == 0);
	for (size_t i = 0; i < n; i++)
		must(buf_add_text(&b, encoded ? "+61" : "a") == 0);
	bool forward = strcmp(name, "IDENT=") == 0;
	bool good = xclient_parse(buf_slice(&b), forward, x) == NULL;
	buf_fini(&b);
	return good;
}

static void
test_bounds(void **state)
{
	(void)state;
	for (size_t n = XCLIENT_WORD_MOST - 1; n <= XCLIENT_WORD_MOST + 1; n++) {
		size_t kept = n < XCLIENT_WORD_MOST ? n : XCLIENT_WORD_MOST;
		struct xclient x;
		for (int encoded = 0; encoded < 2; encoded++) {
			assert_true(parse_long("HELO=", n, encoded != 0, &x));
			assert_int_equal(x.helo.n, kept);
			assert_true(parse_long("NAME=", n, encoded != 0, &x));
			assert_int_equal(x.name.n, kept);
			assert_true(parse_long("IDENT=", n, encoded != 0, &x));
			assert_int_equal(x.ident.n, kept);
			assert_int_equal(parse_long("LOGIN=", n, encoded != 0, &x), n == kept);
		}
		char *word = test_malloc(n);
		memset(word, 'a', n);
		xclient_set(&x, XCLIENT_HELO, (struct slice){word, n});
		assert_int_equal(x.helo.n, kept);
		xclient_set(&x, XCLIENT_LOGIN, (struct slice){word, n});
		assert_int_equal((x.known & XCLIENT_LOGIN) != 0, n == kept);
		test_free(word);
	}
}

/* The longest line there can be fits its bound. */
static void
test_longest_line(void **state)
{
	(void)state;
	char word[XCLIENT_WORD_MOST];
	struct xclient x = {.given = XCLIENT_ALL, .known = XCLIENT_ALL};
	struct buf out;
	memset(word, '=', sizeof(word));
	xclient_set(&x, XCLIENT_NAME, (struct slice){word, sizeof(word)});
	xclient_set(&x, XCLIENT_HELO, (struct slice){word, sizeof(word)});
	xclient_set(&x, XCLIENT_LOGIN, (struct slice){word, sizeof(word)});
	must(ip_parse(SLICE("1111:1111:1111:1111:1111:1111:1111:1111"), &x.addr));
	x.dest = x.addr;
	x.port = x.dest_port = UINT16_MAX;
	x.esmtp = true;
	buf_init(&out, XCLIENT_LINE_MOST);
	assert_true(xclient_write(&x, "XCLIENT", XCLIENT_ALL, &out));
	assert_in_range(buf_slice(&out).n, 3 * 3 * XCLIENT_WORD_MOST, XCLIENT_LINE_MOST);
	assert_false(xclient_write(&x, "XFORWARD", XCLIENT_IDENT, &out));
	buf_fini(&out);
}

static void
test_add(void **state)
{
	(void)state;
	struct xclient x, later;
	struct buf out;
	assert_null(xclient_parse(SLICE("NAME=a ADDR=192.0.2.1 PORT=1 PROTO=ESMTP HELO=h "
					"LOGIN=l DESTADDR=192.0.2.2 "
					"DESTPORT=2"),
		false, &x));
	assert_null(xclient_parse(
		SLICE("NAME=[TEMPUNAVAIL] ADDR=192.0.2.9 PROTO=SMTP LOGIN=m"), false, &later));
	xclient_add(&x, &later);
	assert_null(xclient_parse(
		SLICE("DESTADDR=192.0.2.8 DESTPORT=8 PORT=9 HELO=i"), false, &later));
	xclient_add(&x, &later);
	assert_null(xclient_parse(SLICE("IDENT=q SOURCE=LOCAL"), true, &later));
	xclient_add(&x, &later);
	buf_init(&out, XCLIENT_LINE_MOST);
	assert_true(xclient_write(&x, "X", XCLIENT_ALL | XFORWARD_ALL, &out));
	assert_true(slice_eq(buf_slice(&out),
		SLICE("X NAME=[TEMPUNAVAIL] ADDR=192.0.2.9 PORT=9 PROTO=SMTP HELO=i LOGIN=m "
		      "DESTADDR=192.0.2.8 DESTPORT=8 IDENT=q SOURCE=LOCAL")));
	buf_clear(&out);
	assert_true(xclient_write(&x, "X", XCLIENT_PORT, &out));
	assert_true(slice_eq(buf_slice(&out), SLICE("X PORT=9")));
	buf_fini(&out);
}

static void
test_names(void **state)
{
	(void)state;
	struct buf out;
	buf_init(&out, 256);
	xclient_names_write(XFORWARD_ALL, &out);
	assert_true(
		slice_eq(buf_slice(&out), SLICE(" NAME ADDR PORT PROTO HELO IDENT SOURCE")));
	assert_int_equal(xclient_names(buf_slice(&out)), XFORWARD_ALL);
	assert_int_equal(xclient_names(SLICE("addr NEW port")), XCLIENT_ADDR | XCLIENT_PORT);
	assert_int_equal(xclient_names(SLICE_NONE), 0);
	buf_fini(&out);
}

/* --- the server machine */

static const struct smtp_offer offers[] = {
	{.eightbit = true},
	{.eightbit = true, .xclient = XCLIENT_ALL, .xforward = XFORWARD_ALL},
};

struct server_case {
	bool offered;
	const char *in, *codes;
};

static const struct server_case server_cases[] = {
	{false, "EHLO x\r\nXCLIENT ADDR=192.0.2.1\r\nXFORWARD ADDR=192.0.2.1\r\n",
		"250 502 502 "},
	{true, "XCLIENT ADDR=192.0.2.1\r\nMAIL FROM:<a@b>\r\nEHLO x\r\nMAIL FROM:<a@b>\r\n",
		"220 503 250 250 "},
	{true, "XFORWARD ADDR=192.0.2.1\r\nEHLO x\r\nXFORWARD ADDR=192.0.2.1\r\n",
		"503 250 250 "},
	{true,
		"EHLO x\r\nMAIL FROM:<a@b>\r\nXCLIENT ADDR=192.0.2.1\r\nXFORWARD NAME=x\r\n"
		"RCPT TO:<a@b>\r\nXCLIENT ADDR=192.0.2.1\r\nXFORWARD NAME=x\r\nRSET\r\n"
		"XCLIENT ADDR=192.0.2.1\r\nMAIL FROM:<a@b>\r\n",
		"250 250 503 503 250 503 503 250 220 503 "},
	{true,
		"EHLO x\r\nXCLIENT\r\nXCLIENT NONO=\r\nXCLIENT NAMEfoobar=\r\nXCLIENT NAME\r\n"
		"XFORWARD\r\nXFORWARD LOGIN=x\r\nNOOP\r\n",
		"250 501 501 501 501 501 501 250 "},
	{true,
		"EHLO x\r\nXFORWARD NAME=a ADDR=192.0.2.1\r\nXFORWARD HELO=h\r\nMAIL "
		"FROM:<a@b>\r\n"
		"RSET\r\nXFORWARD HELO=h\r\nQUIT\r\n",
		"250 250 250 250 250 250 221 "},
	/* after XCLIENT nothing of the last EHLO holds: no parameters, one command at a time */
	{true,
		"EHLO x\r\nXCLIENT ADDR=192.0.2.1\r\nHELO y\r\nMAIL FROM:<a@b> "
		"BODY=8BITMIME\r\n",
		"250 220 250 555 "},
};

/* Each line waits for the reply to the last one, as these clients do. */
static void
feed_server(void *arg, const struct slice *pieces, size_t n)
{
	const struct server_case *c = arg;
	struct driver d;
	driver_start(&d);
	smtp_server_offer(d.s, &offers[c->offered]);
	for (size_t i = 0; i < n; i++)
		for (struct slice rest = pieces[i], line; rest.n > 0;) {
			size_t end = slice_find(rest, '\n');
			line = slice_first(rest, end + 1);
			give(&d, line);
			rest = slice_from(rest, line.n);
		}
	expect_codes(&d, c->codes);
	assert_int_equal(d.seen[SMTP_EV_MAIL] - d.seen[SMTP_EV_RESET] <= 1, 1);
	driver_fini(&d);
}

static void
test_server(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY(server_cases); i++) {
		struct server_case c = server_cases[i];
		feed_every_way(slice_of(c.in), feed_server, &c);
	}
}

/* What the driver refuses changes nothing; 421 is the end. */
static void
test_server_refuses(void **state)
{
	(void)state;
	struct driver d;
	driver_start(&d);
	smtp_server_offer(d.s, &offers[1]);
	d.replies[SMTP_EV_XCLIENT] = "550 5.7.1 no";
	d.replies[SMTP_EV_XFORWARD] = "451 4.3.0 later";
	exchange(&d, "EHLO x\r\n", "250 ");
	exchange(&d, "XCLIENT ADDR=192.0.2.1\r\n", "550 ");
	exchange(&d, "XFORWARD ADDR=192.0.2.1\r\nMAIL FROM:<a@b>\r\nRSET\r\n", "451 250 250 ");
	d.replies[SMTP_EV_XCLIENT] = "421 4.7.0 no";
	exchange(&d, "XCLIENT ADDR=192.0.2.1\r\n", "421 ");
	assert_int_equal(d.seen[SMTP_EV_CLOSE], 1);
	driver_fini(&d);
}

/* Behind XCLIENT its reply must be awaited: what came with it was for the other client. */
static void
test_server_awaits(void **state)
{
	(void)state;
	struct driver d;
	driver_start(&d);
	smtp_server_offer(d.s, &offers[1]);
	exchange(&d, "EHLO x\r\n", "250 ");
	exchange(&d, "XCLIENT ADDR=192.0.2.1\r\nEHLO y\r\n", "554 ");
	driver_fini(&d);
}

static void
test_server_line(void **state)
{
	(void)state;
	for (size_t n = LINE_BYTES_MOST - 1; n <= LINE_BYTES_MOST + 1; n++) {
		struct driver d;
		char *line = test_malloc(n);
		memset(line, ' ', n);
		memcpy(line, "XFORWARD NAME=a", 15);
		memcpy(line + n - 2, "\r\n", 2);
		driver_start(&d);
		smtp_server_offer(d.s, &offers[1]);
		exchange(&d, "EHLO x\r\n", "250 ");
		give(&d, (struct slice){line, n});
		expect_codes(&d, n <= LINE_BYTES_MOST ? "250 " : "500 ");
		driver_fini(&d);
		test_free(line);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_longest_line),
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_server),
		cmocka_unit_test(test_server_refuses),
		cmocka_unit_test(test_server_awaits),
		cmocka_unit_test(test_server_line),
	};
	return cmocka_run_group_tests_name("smtp_xclient", tests, NULL, NULL);
}
