/*
 * What scanners beside us are asked and what they answer: replies whole, byte by byte, cut at
 * each point and ended at each point; replies that are none; bounds; and requests in which no
 * byte of a stranger's gets out of its line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "feed.h"
#include "filters/neighbour.h"

#define OK      "HTTP/1.1 200 OK\r\n"
#define BODY(b) OK "Content-Type: application/json\r\n\r\n" b
#define THREE   "\"score\":1.5,\"required_score\":15.0,\"action\":\"greylist\""
#define HTTP(b) BODY("{" THREE "," b "}")
#define JSON    "its answer cannot be read: it is no JSON"

struct reply_case {
	enum neighbour which;
	struct slice in;
	const char *why;    /* NULL: it is right */
	double score, most; /* where it is right */
	const char *action;
};

static const struct reply_case cases[] = {
	/* as Rspamd 3.4 writes them */
	{NEIGHBOUR_RSPAMD,
		SLICE(OK "Connection: close\r\nServer: rspamd/3.4\r\nContent-Length: 77\r\n"
			 "Content-Type: application/json\r\n\r\n"
			 "{\"is_skipped\":false,\"score\":3.500000,\"required_score\":15.0,"
			 "\"action\":\"reject\"}"),
		NULL, 3.5, 15, "reject"},
	{NEIGHBOUR_RSPAMD,
		SLICE(HTTP("\"symbols\":{\"A\":{\"score\":99,\"options\":[\"x\"]}}")), NULL,
		1.5, 15, "greylist"},
	{NEIGHBOUR_RSPAMD,
		SLICE(BODY(" { \"action\" : \"no action\" ,\r\n\t\"score\":-0.1,"
			   "\"required_score\" :1e1 } \n")),
		NULL, -0.1, 10, "no action"},
	{NEIGHBOUR_RSPAMD,
		SLICE(BODY("{\"\\u0073core\":0,\"required_score\":0.5e-1,"
			   "\"action\":\"soft\\u0020reject\"}")),
		NULL, 0, 0.05, "soft reject"},
	{NEIGHBOUR_RSPAMD,
		SLICE(HTTP("\"a\":[],\"b\":{},\"c\":[[],{},\"\",1,-0,true,false,null,"
			   "{\"d\":[{\"score\":[]}]}]")),
		NULL, 1.5, 15, "greylist"},
	{NEIGHBOUR_RSPAMD, SLICE(HTTP("\"s\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\xff}\"")),
		NULL, 1.5, 15, "greylist"},
	{NEIGHBOUR_RSPAMD, SLICE(HTTP("\"n\":[0,-1,10,0.0,1.25,1e5,1E+5,1.0e-10]")), NULL, 1.5,
		15, "greylist"},
	{NEIGHBOUR_RSPAMD, SLICE("HTTP/1.0 200\n\n{" THREE "}"), NULL, 1.5, 15, "greylist"},
	{NEIGHBOUR_RSPAMD, SLICE(OK "content-length:55\r\n\r\n{" THREE "}HTTP/1.1 200 OK"),
		NULL, 1.5, 15, "greylist"},
	/* as spamd 4 writes them */
	{NEIGHBOUR_SPAMD, SLICE("SPAMD/1.1 0 EX_OK\r\nSpam: True ; 1000.0 / 5.0\r\n\r\n"), NULL,
		1000, 5, ""},
	{NEIGHBOUR_SPAMD, SLICE("SPAMD/1.1 0 EX_OK\r\nSpam: False ; -2.3 / 5.0\r\n\r\n"), NULL,
		-2.3, 5, ""},
	{NEIGHBOUR_SPAMD,
		SLICE("SPAMD/1.5 0 EX_OK\r\nContent-length: 4\r\nspam:True;7/5\r\nX-Y: "
		      "z\r\n\r\n"
		      "A,B\nmore"),
		NULL, 7, 5, ""},
	/* how it went */
	{NEIGHBOUR_RSPAMD, SLICE(""), "it closed the connection without an answer", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(OK), "it closed the connection in the middle of its answer", 0,
		0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE("HTTP/1.1 403 Unauthorized\r\n\r\n"),
		"it answered HTTP/1.1 403 Unauthorized", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE("HTTP/1.1 100 Continue\r\n\r\n"),
		"it answered HTTP/1.1 100 Continue", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE("220 mx.example.com ESMTP\r\n"),
		"this is no HTTP: 220 mx.example.com ESMTP", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE("HTTP/x.1 200 OK\r\n"), "this is no HTTP: HTTP/x.1 200 OK", 0,
		0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE("HTTP/1.1\r\n"), "this is no HTTP: HTTP/1.1", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE("\r\n"), "this is no HTTP: ", 0, 0, NULL},
	{NEIGHBOUR_SPAMD, SLICE("SPAMD/1.0 76 Bad header line: a\x1b[2J\r\n"),
		"it answered SPAMD/1.0 76 Bad header line: a?[2J", 0, 0, NULL},
	{NEIGHBOUR_SPAMD, SLICE("HTTP/1.1 200 OK\r\n"), "this is no spamd: HTTP/1.1 200 OK", 0,
		0, NULL},
	{NEIGHBOUR_SPAMD, SLICE("SPAMD/1.1 0 EX_OK\r\n\r\n"), "no score is in it", 0, 0, NULL},
	{NEIGHBOUR_SPAMD,
		SLICE("SPAMD/1.1 0 EX_OK\r\nSpam: True ; 1 / 5\r\nSpam: True ; 2 / 5\r\n"),
		"the field Spam stands in it twice", 0, 0, NULL},
	{NEIGHBOUR_SPAMD, SLICE("SPAMD/1.1 0 EX_OK\r\nSpam: True ; nan / 5\r\n"),
		"its score cannot be read", 0, 0, NULL},
	{NEIGHBOUR_SPAMD, SLICE("SPAMD/1.1 0 EX_OK\r\nSpam: True ; 0x10 / 5\r\n"),
		"its score cannot be read", 0, 0, NULL},
	{NEIGHBOUR_SPAMD, SLICE("SPAMD/1.1 0 EX_OK\r\nSpam: True ; 1 5\r\n"),
		"its score cannot be read", 0, 0, NULL},
	{NEIGHBOUR_SPAMD, SLICE("SPAMD/1.1 0 EX_OK\r\nSpam: True ; / 5\r\n"),
		"its score cannot be read", 0, 0, NULL},
	/* fields */
	{NEIGHBOUR_RSPAMD, SLICE(OK "Transfer-Encoding: chunked\r\n"),
		"it answered in an encoding: chunked", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(OK "Content-Encoding: zstd\r\n"),
		"it answered in an encoding: zstd", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(OK "Content-Length: 5\r\nContent-Length: 6\r\n"),
		"its length cannot be read", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(OK "Content-Length: -1\r\n"), "its length cannot be read", 0,
		0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(OK "Content-Length: 99999999999999999999\r\n"),
		"its length cannot be read", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(OK "Content-Length: 4194305\r\n"), "its answer is too long", 0,
		0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(OK "Content-Length: 0\r\n\r\n"),
		"its answer cannot be read: it ends in the middle", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(OK "no field\r\n"), "a field cannot be read: no field", 0, 0,
		NULL},
	{NEIGHBOUR_RSPAMD, SLICE(OK "A: b\r\n c\r\n"), "a field cannot be read:  c", 0, 0,
		NULL},
	{NEIGHBOUR_RSPAMD, SLICE(OK "A : b\r\n"), "a field cannot be read: A : b", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(OK "A: b\rc\r\n"), "a line cannot be read: A: b?c", 0, 0,
		NULL},
	{NEIGHBOUR_RSPAMD, SLICE(OK "A: b\0c\r\n"), "a line cannot be read: A: b?c", 0, 0,
		NULL},
	/* what is wanted */
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{}")),
		"its answer cannot be read: no score or no action is in it", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"error\":\"no\",\"score\":1,\"action\":\"reject\"}")),
		"its answer cannot be read: no score or no action is in it", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"x\":{" THREE "}}")),
		"its answer cannot be read: no score or no action is in it", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(HTTP("\"score\":2")),
		"its answer cannot be read: a score or action stands in it twice", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(HTTP("\"acti\\u006fn\":\"no action\"")),
		"its answer cannot be read: a score or action stands in it twice", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"score\":\"1\"")),
		"its answer cannot be read: a score or action is of another type", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"score\":null")),
		"its answer cannot be read: a score or action is of another type", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"score\":[1]")),
		"its answer cannot be read: a score or action is of another type", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"action\":1}")),
		"its answer cannot be read: a score or action is of another type", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"action\":\"\"")),
		"its answer cannot be read: its action is no word", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"action\":\"re\\nject\"")),
		"its answer cannot be read: its action is no word", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"action\":\"re\\u00e9ject\"")),
		"its answer cannot be read: its action is no word", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"score\":1e999,")),
		"its answer cannot be read: a score is out of bounds", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"score\":-1000000.1,")),
		"its answer cannot be read: a score is out of bounds", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD,
		SLICE(BODY(
			"{\"score\":1."
			"0000000000000000000000000000000000000000000000000000000000000000,")),
		"its answer cannot be read: a score is out of bounds", 0, 0, NULL},
	/* what is no JSON */
	{NEIGHBOUR_RSPAMD, SLICE(BODY("[]")), "its answer cannot be read: it is no object", 0,
		0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("7")), "its answer cannot be read: it is no object", 0, 0,
		NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("<html>")), "its answer cannot be read: it is no object",
		0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{" THREE)),
		"its answer cannot be read: it ends in the middle", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{" THREE "}}")),
		"its answer cannot be read: something stands behind it", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{" THREE "}\0")),
		"its answer cannot be read: something stands behind it", 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{,")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\" 1")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\":,")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\":1,}")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\":1 2")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\":[1,]")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\":[1}")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\":{]")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\":1]")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{a:1")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{'a'")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\nb\"")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"\\x\"")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"\\\0\"")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"\\u12g4\"")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\":tru}")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\":nul1")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\":truex")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\":NaN")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\":+1")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\":-,")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\":01")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\":1.}")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\":.1")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\":1e,")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\":1e+,")), JSON, 0, 0, NULL},
	{NEIGHBOUR_RSPAMD, SLICE(BODY("{\"a\":0x1")), JSON, 0, 0, NULL},
};
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static void
assert_right(const struct reply_case *c, const struct neighbour_reply *r)
{
	struct neighbour_verdict v = neighbour_reply_verdict(r);
	assert_false(v.failed);
	assert_true(v.score == c->score && v.required == c->most);
	assert_true(slice_eq(v.action, slice_of(c->action)));
}

static void
feed_case(void *arg, const struct slice *pieces, size_t n)
{
	const struct reply_case *c = arg;
	struct neighbour_reply r;
	neighbour_reply_init(&r, c->which);
	for (size_t i = 0; i < n; i++)
		(void)neighbour_reply_feed(&r, pieces[i]);
	enum neighbour_state state = neighbour_reply_end(&r);
	if (c->why != NULL) {
		assert_int_equal(state, NEIGHBOUR_BROKEN);
		assert_string_equal(neighbour_reply_why(&r), c->why);
		return;
	}
	assert_int_equal(state, NEIGHBOUR_DONE);
	assert_right(c, &r);
	assert_int_equal(neighbour_reply_feed(&r, SLICE("x")), NEIGHBOUR_DONE);
}

static void
replies(void **state)
{
	(void)state;
	for (size_t i = 0; i < CASES; i++)
		feed_every_way(cases[i].in, feed_case, (void *)(uintptr_t)&cases[i]);
}

/*
 * A connection that ends too early is never an answer, and one that is whole stays so unless
 * more comes behind it.
 */
static void
ended_at_each_point(void **state)
{
	(void)state;
	for (size_t i = 0; i < CASES; i++) {
		const struct reply_case *c = &cases[i];
		bool more = c->why != NULL && strstr(c->why, "stands behind it") != NULL;
		bool done = false;
		for (size_t n = 0; n <= c->in.n; n++) {
			struct guarded g = guarded_new(slice_first(c->in, n));
			struct neighbour_reply r;
			neighbour_reply_init(&r, c->which);
			(void)neighbour_reply_feed(&r, g.in);
			if (neighbour_reply_end(&r) == NEIGHBOUR_DONE) {
				assert_true(c->why == NULL || more);
				if (c->why == NULL)
					assert_right(c, &r);
				done = true;
			} else {
				assert_true(!done || more);
				assert_true(neighbour_reply_why(&r)[0] != '\0');
			}
			guarded_free(&g);
		}
		assert_int_equal(done, c->why == NULL || more);
	}
}

/* --- bounds */

static enum neighbour_state
feed_filled(struct neighbour_reply *r, const char *before, char fill, size_t n)
{
	char *text = malloc(n);
	assert_non_null(text);
	memset(text, fill, n);
	(void)neighbour_reply_feed(r, slice_of(before));
	enum neighbour_state state = neighbour_reply_feed(r, (struct slice){text, n});
	free(text);
	return state;
}

/* A text as long as the bound is passed over in the room of a reply; one byte more is not. */
static void
bytes_of_a_body(void **state)
{
	(void)state;
	static const char start[] = "HTTP/1.1 200 OK\r\n\r\n{" THREE ",\"urls\":\"";
	static const size_t most = NEIGHBOUR_RSPAMD_BYTES_MOST - sizeof(start) + 1 - 2;
	struct neighbour_reply r;
	assert_true(sizeof(r) < 2048);
	for (size_t more = 0; more < 2; more++) {
		neighbour_reply_init(&r, NEIGHBOUR_RSPAMD);
		assert_int_equal(feed_filled(&r, start, 'u', most + more), NEIGHBOUR_MORE);
		(void)neighbour_reply_feed(&r, SLICE("\"}"));
		assert_int_equal(
			neighbour_reply_end(&r), more == 0 ? NEIGHBOUR_DONE : NEIGHBOUR_BROKEN);
	}
	assert_string_equal(neighbour_reply_why(&r), "its answer is too long");
	neighbour_reply_init(&r, NEIGHBOUR_SPAMD);
	assert_int_equal(feed_filled(&r,
				 "SPAMD/1.1 0 EX_OK\r\nSpam: True ; 1 / 2\r\nContent-Length: "
				 "65536\r\n\r\n",
				 'x', NEIGHBOUR_SPAMD_BYTES_MOST),
		NEIGHBOUR_BROKEN);
	assert_string_equal(neighbour_reply_why(&r), "its answer is too long");
}

static void
bytes_of_a_head(void **state)
{
	(void)state;
	struct neighbour_reply r;
	neighbour_reply_init(&r, NEIGHBOUR_RSPAMD);
	assert_int_equal(
		feed_filled(&r, "HTTP/1.1 200 OK\r\nX: ", 'x', NEIGHBOUR_LINE_BYTES - 3),
		NEIGHBOUR_MORE);
	assert_int_equal(neighbour_reply_feed(&r, SLICE("\n")), NEIGHBOUR_MORE);
	assert_int_equal(feed_filled(&r, "X: ", 'x', NEIGHBOUR_LINE_BYTES - 2), NEIGHBOUR_MORE);
	assert_int_equal(neighbour_reply_feed(&r, SLICE("\n")), NEIGHBOUR_BROKEN);
	assert_memory_equal(neighbour_reply_why(&r), "a line is too long: X: xxx", 26);
	neighbour_reply_init(&r, NEIGHBOUR_SPAMD);
	assert_int_equal(
		feed_filled(&r, "SPAMD/", '1', NEIGHBOUR_HEAD_BYTES_MOST), NEIGHBOUR_BROKEN);
	assert_string_equal(neighbour_reply_why(&r), "its answer is too long");
	neighbour_reply_init(&r, NEIGHBOUR_RSPAMD);
	for (size_t i = 0; i < NEIGHBOUR_HEAD_BYTES_MOST; i++)
		(void)neighbour_reply_feed(&r, i == 0 ? SLICE(OK) : SLICE("A: b\r\n"));
	assert_int_equal(r.state, NEIGHBOUR_BROKEN);
}

static void
levels(void **state)
{
	(void)state;
	for (size_t depth = 1; depth <= 2 * NEIGHBOUR_JSON_DEPTH; depth++) {
		struct neighbour_json j;
		neighbour_json_init(&j);
		(void)neighbour_json_feed(&j, SLICE("{" THREE ",\"x\":"));
		for (size_t i = 1; i < depth; i++) /* of both kinds, in turn */
			(void)neighbour_json_feed(
				&j, i % 2 != 0 ? SLICE("[") : SLICE("{\"a\":"));
		(void)neighbour_json_feed(&j, SLICE("0"));
		for (size_t i = depth - 1; i > 0; i--)
			(void)neighbour_json_feed(&j, i % 2 != 0 ? SLICE("]") : SLICE("}"));
		(void)neighbour_json_feed(&j, SLICE("}"));
		assert_int_equal(neighbour_json_end(&j), depth <= NEIGHBOUR_JSON_DEPTH);
		if (depth > NEIGHBOUR_JSON_DEPTH)
			assert_string_equal(j.why, "it is too deep");
	}
}

/* --- requests */

static struct neighbour_mail
whole_mail(const struct slice *recipients, size_t n)
{
	struct neighbour_mail m = {.client_name = SLICE("mail.sender.example"),
		.helo = SLICE("mail"),
		.user = SLICE("alice"),
		.id = SLICE("abc-1"),
		.hostname = SLICE("mx.example.com"),
		.protocol = SLICE("ESMTPSA"),
		.sender = SLICE("ann@sender.example"),
		.recipients = recipients,
		.n_recipients = n,
		.wall_ms = 1800000000000};
	assert_true(ip_parse(SLICE("192.0.2.7"), &m.client));
	return m;
}

static void
assert_request(enum neighbour which, const struct neighbour_mail *m, const char *want)
{
	struct arena *a = arena_new(1 << 20);
	struct slice envelope = neighbour_envelope(which, m, a);
	struct slice got = neighbour_request(which, envelope, 1000, a);
	if (!slice_eq(got, slice_of(want)))
		fail_msg("%.*s", SLICE_ARG(got));
	arena_free(&a);
}

static void
requests(void **state)
{
	(void)state;
	const struct slice two[] = {SLICE("bob@example.com"), SLICE("eve@example.com")};
	struct neighbour_mail m = whole_mail(two, 2);
	assert_request(NEIGHBOUR_RSPAMD, &m,
		"POST /checkv2 HTTP/1.0\r\nContent-Length: 1000\r\n"
		"From: <ann@sender.example>\r\nRcpt: <bob@example.com>\r\n"
		"Rcpt: <eve@example.com>\r\nIP: 192.0.2.7\r\nHelo: mail\r\n"
		"Hostname: mail.sender.example\r\nUser: alice\r\nQueue-Id: abc-1\r\n"
		"MTA-Name: mx.example.com\r\n\r\n");
	/* 1000 and the lines of ours; two recipients are told nothing of each other */
	assert_request(NEIGHBOUR_SPAMD, &m,
		"CHECK SPAMC/1.5\r\nContent-length: 1209\r\n\r\n"
		"Return-Path: <ann@sender.example>\r\n"
		"Received: from mail (mail.sender.example [192.0.2.7])\r\n"
		"\t(Authenticated sender: alice)\r\n"
		"\tby mx.example.com (Postfix) with ESMTPSA id abc-1;\r\n"
		"\tFri, 15 Jan 2027 08:00:00 +0000\r\n");
	m = (struct neighbour_mail){.hostname = SLICE("mx.example.com"),
		.protocol = SLICE("SMTP"),
		.recipients = two,
		.n_recipients = 1,
		.wall_ms = 1800000000000};
	assert_request(NEIGHBOUR_RSPAMD, &m,
		"POST /checkv2 HTTP/1.0\r\nContent-Length: 1000\r\nFrom: <>\r\n"
		"Rcpt: <bob@example.com>\r\nMTA-Name: mx.example.com\r\n\r\n");
	assert_request(NEIGHBOUR_SPAMD, &m,
		"CHECK SPAMC/1.5\r\nContent-length: 1150\r\n\r\nReturn-Path: <>\r\n"
		"Received: from unknown (unknown)\r\n"
		"\tby mx.example.com (Postfix) with SMTP\r\n\tfor <bob@example.com>;\r\n"
		"\tFri, 15 Jan 2027 08:00:00 +0000\r\n");
	assert_true(ip_parse(SLICE("2001:db8::7"), &m.client));
	struct arena *a = arena_new(1 << 20);
	struct slice envelope = neighbour_envelope(NEIGHBOUR_SPAMD, &m, a);
	assert_true(slice_find_slice(envelope, SLICE("(unknown [IPv6:2001:db8::7])\r\n")) <
		    envelope.n);
	arena_free(&a);
}

/* Each byte in each place that a stranger has a say in: as many lines as without it. */
static void
hostile_envelopes(void **state)
{
	(void)state;
	struct arena *a = arena_new(64 << 20);
	char word[4000];
	for (int c = 0; c < 256; c++) {
		memset(word, c, sizeof(word));
		struct slice s = {word, c % 2 != 0 ? sizeof(word) : 3};
		struct neighbour_mail m = whole_mail(&s, 1);
		m.client_name = m.helo = m.user = m.id = m.sender = s;
		for (int which = 0; which < NEIGHBOURS; which++) {
			struct slice envelope =
				neighbour_envelope((enum neighbour)which, &m, a);
			struct slice rest = envelope, line;
			size_t lines = 0;
			while (slice_cut(rest, '\n', &line, &rest)) {
				lines++;
				assert_true(slice_ends(line, SLICE("\r")));
				assert_int_equal(slice_find(line, '\r'), line.n - 1);
				assert_false(slice_has(line, '\0'));
				assert_true(slice_starts(line, SLICE("\t")) ||
					    slice_has(line, ':'));
			}
			assert_int_equal(rest.n, 0);
			assert_int_equal(lines, which == NEIGHBOUR_RSPAMD ? 8 : 6);
			assert_true(envelope.n < 6000);
		}
		arena_reset(a);
	}
	arena_free(&a);
}

static void
many_recipients(void **state)
{
	(void)state;
	static struct slice recipients[NEIGHBOUR_RECIPIENTS_MOST + 1];
	for (size_t i = 0; i <= NEIGHBOUR_RECIPIENTS_MOST; i++)
		recipients[i] = SLICE("bob@example.com");
	struct neighbour_mail m = whole_mail(recipients, NEIGHBOUR_RECIPIENTS_MOST + 1);
	struct arena *a = arena_new(1 << 20);
	struct slice rest = neighbour_envelope(NEIGHBOUR_RSPAMD, &m, a), line;
	size_t named = 0;
	while (slice_cut(rest, '\n', &line, &rest))
		named += slice_starts(line, SLICE("Rcpt: "));
	assert_int_equal(named, NEIGHBOUR_RECIPIENTS_MOST);
	arena_free(&a);
}

static void
names(void **state)
{
	(void)state;
	enum neighbour which;
	for (int i = 0; i < NEIGHBOURS; i++) {
		assert_true(
			neighbour_find(slice_of(neighbour_text((enum neighbour)i)), &which));
		assert_int_equal(which, i);
	}
	assert_false(neighbour_find(SLICE("spamd"), &which));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies),
		cmocka_unit_test(ended_at_each_point),
		cmocka_unit_test(bytes_of_a_body),
		cmocka_unit_test(bytes_of_a_head),
		cmocka_unit_test(levels),
		cmocka_unit_test(requests),
		cmocka_unit_test(hostile_envelopes),
		cmocka_unit_test(many_recipients),
		cmocka_unit_test(names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
