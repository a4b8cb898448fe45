/*
 * Delivery status notifications: when one is due, what its fields say, what of the original
 * goes back, and that no bytes of strangers break its lines, fields and parts. Other people's
 * readers read them in tests/suites/test_dsn.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "queue/dsn.h"

enum { LINE_MOST = 998, ARRIVED_S = 1795316600 };

#define HEADER "From: a@example.org\r\nMessage-ID: <1@example.org>\r\nSubject: Lunch\r\n"

/* One recipient, to be changed by each test. */
struct one {
	struct arena *a;
	struct stored_mail m;
	struct stored_rcpt rcpt;
	struct stored_rcpt_note note;
	struct dsn_rcpt dsn_rcpt;
	struct dsn_input in;
	struct dsn out;
};

static struct address
address_of(const char *text)
{
	struct slice s = slice_of(text), local, domain;
	slice_cut(s, '@', &local, &domain);
	return (struct address){
		.local = local, .domain = domain, .text = s, .raw = s, .is_null = s.n == 0};
}

static void
one_init(struct one *o)
{
	*o = (struct one){.a = arena_new(DSN_ROOM(1))};
	o->m = (struct stored_mail){.own = true,
		.arrived_ms = (uint64_t)ARRIVED_S * 1000,
		.log = SLICE("m-4711"),
		.sender = address_of("a@example.org"),
		.rcpts = &o->rcpt,
		.n_rcpts = 1};
	o->rcpt.address = address_of("b@dest.example");
	o->note = (struct stored_rcpt_note){.state = RCPT_FAILED,
		.attempts = 3,
		.last_ms = (uint64_t)ARRIVED_S * 1000 + 60000,
		.failure = {.class = FAILURE_NO_RECIPIENT, .permanent = true},
		.at = FAILURE_AT_RCPT,
		.reply = {.code = 550,
			.enhanced = {5, 1, 1},
			.has_enhanced = true,
			.text = SLICE("No such user here")},
		.from_hop = true,
		.host = SLICE("mx.dest.example")};
	o->dsn_rcpt = (struct dsn_rcpt){&o->rcpt, &o->note, DSN_FAILED};
	o->in = (struct dsn_input){.hostname = SLICE("mx.example.org"),
		.domain = SLICE("example.org"),
		.mail = &o->m,
		.id = SLICE("0123456789abcdef"),
		.now_ms = (int64_t)ARRIVED_S * 1000 + 120000,
		.rcpts = &o->dsn_rcpt,
		.n_rcpts = 1,
		.original = SLICE(HEADER "\r\nHello\r\n"),
		.original_whole = true};
}

static bool
has(struct slice s, const char *text)
{
	return slice_find_slice(s, slice_of(text)) < s.n;
}

static size_t
count(struct slice s, struct slice what)
{
	size_t n = 0;
	for (size_t at; (at = slice_find_slice(s, what)) < s.n; n++)
		s = slice_from(s, at + what.n);
	return n;
}

/* Lines, controls, 7 bits, and the frame: whatever the input was. */
static void
check_shape(const struct dsn *d)
{
	size_t line = 0;
	bool eightbit = false;
	for (size_t i = 0; i < d->bytes.n; i++) {
		unsigned char c = (unsigned char)d->bytes.p[i];
		assert_true(c != 0);
		eightbit |= c >= 0x80;
		if (c == '\r') {
			assert_true(i + 1 < d->bytes.n && d->bytes.p[i + 1] == '\n');
			continue;
		}
		assert_true(c != '\n' || (i > 0 && d->bytes.p[i - 1] == '\r'));
		line = c == '\n' ? 0 : line + 1;
		assert_in_range(line, 0, LINE_MOST);
	}
	assert_int_equal(d->eightbit, eightbit);
	assert_int_equal(line, 0);
	struct slice header = slice_first(d->bytes, d->header_bytes);
	assert_true(slice_ends(header, SLICE("\r\n\r\n")));
	assert_int_equal(count(header, SLICE("\r\n\r\n")), 1);

	/* The frame: two or three parts and the end, at the start of lines. */
	size_t from = slice_find_slice(header, SLICE("boundary=\""));
	assert_in_range(from, 1, header.n - 10);
	struct slice b, rest = slice_from(header, from + 10), body;
	char text[100];
	slice_cut(rest, '"', &b, &rest);
	assert_in_range(b.n, 1, 70);
	body = slice_from(d->bytes, d->header_bytes);
	int n = snprintf(text, sizeof(text), "--%.*s\r\n", SLICE_ARG(b));
	assert_true(slice_starts(body, (struct slice){text, (size_t)n}));
	assert_in_range(count(body, b), 3, 4);
	n = snprintf(text, sizeof(text), "\r\n--%.*s\r\n", SLICE_ARG(b));
	assert_in_range(count(body, (struct slice){text, (size_t)n}), 1, 2);
	n = snprintf(text, sizeof(text), "\r\n--%.*s--\r\n", SLICE_ARG(b));
	assert_true(slice_ends(body, (struct slice){text, (size_t)n}));
}

static struct slice
make(struct one *o)
{
	dsn_make(&o->in, o->a, &o->out);
	check_shape(&o->out);
	return o->out.bytes;
}

static void
one_fini(struct one *o)
{
	arena_free(&o->a);
}

static void
test_due(void **state)
{
	(void)state;
	static const struct {
		unsigned notify;
		bool due[DSN_ACTIONS]; /* failed, delayed, relayed, delivered */
	} rows[] = {
		{0, {true, false, false, false}},
		{SMTP_NOTIFY_NEVER, {false, false, false, false}},
		{SMTP_NOTIFY_FAILURE, {true, false, false, false}},
		{SMTP_NOTIFY_DELAY, {false, true, false, false}},
		{SMTP_NOTIFY_SUCCESS, {false, false, true, true}},
		{SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY, {true, true, false, false}},
		{SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY,
			{true, true, true, true}},
		/* Not as a client may say it, but as a disk may. */
		{SMTP_NOTIFY_NEVER | SMTP_NOTIFY_FAILURE, {false, false, false, false}},
	};
	struct one o;
	one_init(&o);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		o.rcpt.params.notify = rows[i].notify;
		for (int action = 0; action < DSN_ACTIONS; action++) {
			struct stored_mail null = o.m, foreign = o.m, dsn = o.m;
			null.sender = address_of("");
			foreign.own = false;
			dsn.notification = true;
			enum dsn_action act = (enum dsn_action)action;
			assert_int_equal(dsn_is_due(&o.m, &o.rcpt, act), rows[i].due[action]);
			assert_false(dsn_is_due(&null, &o.rcpt, act));
			assert_false(dsn_is_due(&foreign, &o.rcpt, act));
			assert_false(dsn_is_due(&dsn, &o.rcpt, act));
		}
	}
	one_fini(&o);
}

static void
test_header(void **state)
{
	(void)state;
	struct one o;
	one_init(&o);
	struct slice bytes = make(&o), header = slice_first(bytes, o.out.header_bytes);
	static const struct slice expected =
		SLICE("Date: Sun, 22 Nov 2026 03:05:20 +0000\r\n"
		      "From: Mail gateway <MAILER-DAEMON@example.org>\r\n"
		      "To: <a@example.org>\r\n"
		      "Subject: Your mail could not be delivered\r\n"
		      "Message-ID: <0123456789abcdef@example.org>\r\n"
		      "In-Reply-To: <1@example.org>\r\n"
		      "References: <1@example.org>\r\n"
		      "Auto-Submitted: auto-replied\r\n"
		      "MIME-Version: 1.0\r\n"
		      "Content-Type: multipart/report; report-type=delivery-status;\r\n"
		      "\tboundary=\"=_0123456789abcdef.0\"\r\n\r\n");
	if (!slice_eq(header, expected))
		fail_msg("%.*s", SLICE_ARG(header));
	assert_false(o.out.eightbit);
	assert_false(o.out.smtputf8);

	static const char *const subjects[DSN_ACTIONS] = {
		"could not be delivered", "is delayed", "was passed on", "was delivered"};
	for (int action = 0; action < DSN_ACTIONS; action++) {
		char line[80];
		o.dsn_rcpt.action = (enum dsn_action)action;
		snprintf(line, sizeof(line), "\r\nSubject: Your mail %s\r\n", subjects[action]);
		assert_true(has(make(&o), line));
	}
	/* Only what surely is one is a Message-ID to refer to. */
	o.in.original = SLICE("Message-ID: <a b@x>\r\n\r\n");
	assert_false(has(make(&o), "In-Reply-To"));
	one_fini(&o);
}

static void
test_status_part(void **state)
{
	(void)state;
	struct one o;
	one_init(&o);
	o.m.params.envid = SLICE("Q+2B7+3D");
	o.rcpt.params.orcpt = SLICE("rfc822;Big+2BB@dest.example");
	o.in.give_up_ms = ((uint64_t)ARRIVED_S + 432000) * 1000;
	struct slice bytes = make(&o);
	assert_true(
		has(bytes, "Content-Type: message/delivery-status\r\n\r\n"
			   "Original-Envelope-Id: Q+7=\r\n"
			   "Reporting-MTA: dns; mx.example.org\r\n"
			   "Arrival-Date: Sun, 22 Nov 2026 03:03:20 +0000\r\n\r\n"
			   "Original-Recipient: rfc822; Big+B@dest.example\r\n"
			   "Final-Recipient: rfc822; b@dest.example\r\n"
			   "Action: failed\r\n"
			   "Status: 5.1.1\r\n"
			   "Remote-MTA: dns; mx.dest.example\r\n"
			   "Diagnostic-Code: smtp; 550 5.1.1 No such user here\r\n"
			   "Last-Attempt-Date: Sun, 22 Nov 2026 03:04:20 +0000\r\n\r\n--=_"));
	assert_true(has(bytes, "\r\n    first sent to <Big+B@dest.example>\r\n"));
	o.dsn_rcpt.action = DSN_DELAYED;
	bytes = make(&o);
	assert_true(has(bytes, "\r\nAction: delayed\r\nStatus: 4.1.1\r\n"));
	assert_true(has(bytes, "\r\nWill-Retry-Until: Fri, 27 Nov 2026 03:03:20 +0000\r\n"));
	assert_true(has(bytes, " It is tried until\r\nFri, 27 Nov 2026 03:03:20 +0000.\r\n"));
	/* Our own words are no mail server's, and nobody remote has said them. */
	o.note.from_hop = false;
	o.note.reply = (struct smtp_reply){.text = SLICE("no MX answers")};
	bytes = make(&o);
	assert_true(has(bytes, "\r\nDiagnostic-Code: X-Postern; no MX answers\r\n"));
	assert_true(has(bytes, "\r\n    This gateway found:\r\n      no MX answers\r\n"));
	assert_false(has(bytes, "Remote-MTA"));
	/* A host without a name. */
	o.note.from_hop = true;
	o.note.host = SLICE("2001:db8::7");
	assert_true(has(make(&o), "\r\nRemote-MTA: dns; [IPv6:2001:db8::7]\r\n"));
	/* Nothing is known: no field says so. */
	o.note = (struct stored_rcpt_note){.state = RCPT_WAITING};
	o.m.arrived_ms = o.in.give_up_ms = 0;
	bytes = make(&o);
	assert_false(has(bytes, "Diagnostic-Code"));
	assert_false(has(bytes, "Last-Attempt-Date"));
	assert_false(has(bytes, "Arrival-Date"));
	assert_false(has(bytes, "Will-Retry-Until"));
	one_fini(&o);
}

static void
test_codes(void **state)
{
	(void)state;
	static const struct {
		enum dsn_action action;
		int code;
		unsigned enhanced[3];
		enum failure_class class;
		enum failure_about about;
		bool permanent;
		enum failure_phase at;
		const char *status;
	} rows[] = {
		/* The remote's, where it may stand there. */
		{DSN_FAILED, 550, {5, 7, 26}, FAILURE_AUTHENTICATION, ABOUT_THE_MAIL, true,
			FAILURE_AT_DOT, "5.7.26"},
		{DSN_FAILED, 452, {4, 2, 2}, FAILURE_MAILBOX_FULL, ABOUT_RECIPIENT, false,
			FAILURE_AT_RCPT, "4.2.2"},
		{DSN_FAILED, 452, {4, 2, 2}, FAILURE_MAILBOX_FULL, ABOUT_RECIPIENT, true,
			FAILURE_AT_RCPT, "5.2.2"},
		{DSN_DELAYED, 554, {5, 7, 1}, FAILURE_LISTED, ABOUT_US, false,
			FAILURE_AT_GREETING, "4.7.1"},
		{DSN_DELIVERED, 250, {2, 6, 0}, FAILURE_NO_RECIPIENT, ABOUT_RECIPIENT, false,
			FAILURE_AT_DOT, "2.6.0"},
		{DSN_DELIVERED, 250, {0}, FAILURE_NO_RECIPIENT, ABOUT_RECIPIENT, false,
			FAILURE_AT_DOT, "2.0.0"},
		{DSN_RELAYED, 550, {5, 1, 1}, FAILURE_NO_RECIPIENT, ABOUT_RECIPIENT, false,
			FAILURE_AT_DOT, "2.0.0"},
		{DSN_FAILED, 250, {2, 1, 5}, FAILURE_OTHER, ABOUT_RECIPIENT, true,
			FAILURE_AT_DOT, "5.0.0"},
		/* Never "no such user" where we are meant. */
		{DSN_FAILED, 550, {5, 1, 1}, FAILURE_LISTED, ABOUT_US, true, FAILURE_AT_RCPT,
			"5.7.1"},
		{DSN_FAILED, 550, {5, 1, 1}, FAILURE_NO_RECIPIENT, ABOUT_RECIPIENT, true,
			FAILURE_AT_RCPT, "5.1.1"},
		/* By the class, and by the time. */
		{DSN_FAILED, 550, {0}, FAILURE_NO_RECIPIENT, ABOUT_RECIPIENT, true,
			FAILURE_AT_RCPT, "5.1.1"},
		{DSN_FAILED, 552, {0}, FAILURE_TOO_LARGE, ABOUT_THE_MAIL, true, FAILURE_AT_MAIL,
			"5.3.4"},
		{DSN_FAILED, 0, {0}, FAILURE_ROUTE, ABOUT_THE_WAY, false, FAILURE_AT_CONNECT,
			"4.4.7"},
		{DSN_DELAYED, 0, {0}, FAILURE_ROUTE, ABOUT_THE_WAY, false, FAILURE_AT_CONNECT,
			"4.4.1"},
		{DSN_DELAYED, 0, {0}, FAILURE_ROUTE, ABOUT_THE_WAY, false, FAILURE_AT_DNS,
			"4.4.4"},
		{DSN_DELAYED, 451, {0}, FAILURE_GREYLISTED, ABOUT_US, false, FAILURE_AT_RCPT,
			"4.7.1"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct one o;
		char line[40];
		one_init(&o);
		o.dsn_rcpt.action = rows[i].action;
		o.note.reply.code = rows[i].code;
		o.note.reply.has_enhanced = rows[i].enhanced[0] != 0;
		for (size_t k = 0; k < 3; k++)
			o.note.reply.enhanced[k] = (uint16_t)rows[i].enhanced[k];
		o.note.failure = (struct failure){.class = rows[i].class,
			.about = rows[i].about,
			.permanent = rows[i].permanent};
		o.note.at = rows[i].at;
		snprintf(line, sizeof(line), "\r\nStatus: %s\r\n", rows[i].status);
		if (!has(make(&o), line))
			fail_msg("row %zu: not %s in %.*s", i, rows[i].status,
				SLICE_ARG(o.out.bytes));
		one_fini(&o);
	}
}

static void
test_people(void **state)
{
	(void)state;
	struct one o;
	one_init(&o);
	struct slice bytes = make(&o);
	assert_true(has(bytes,
		"It was not delivered to this recipient, and will not be tried again:\r\n\r\n"
		"  <b@dest.example>\r\n"
		"    mx.dest.example answered:\r\n"
		"      550 5.1.1 No such user here\r\n"
		"    There is no such address there"));
	assert_false(has(bytes, "Tried "));
	/* Every class has a meaning of its own, and ours is no fault of the recipient. */
	for (int i = 0; i < FAILURE_CLASSES; i++) {
		o.note.failure = (struct failure){.class = (enum failure_class)i};
		assert_true(has(make(&o), "\r\n    Tried 3 times, last on Sun, 22 Nov 2026 "));
		assert_int_equal(has(o.out.bytes, "There is no such address"),
			i == FAILURE_NO_RECIPIENT);
		o.note.failure.about = ABOUT_US;
		bytes = make(&o);
		assert_false(has(bytes, "There is no such address"));
		assert_true(has(bytes, "says nothing about"));
	}
	o.note.state = RCPT_DOUBT;
	assert_true(has(make(&o), "The connection was lost when"));
	o.note.reply.text = SLICE("first\n\n  second line  \nthird");
	assert_true(
		has(make(&o), "      550 5.1.1 first\r\n      second line\r\n      third\r\n"));
	assert_true(has(o.out.bytes, "smtp; 550 5.1.1 first second line third\r\n"));
	o.note.reply.text = SLICE("This reply has many words, and the line that would pass "
				  "seventy-six columns goes on in the next one");
	assert_true(has(make(&o),
		"      550 5.1.1 This reply has many words, and the line that would pass\r\n"
		"      seventy-six columns goes on in the next one\r\n"));
	assert_true(has(o.out.bytes,
		"Diagnostic-Code: smtp; 550 5.1.1 This reply has many words, and the line\r\n"
		"    that would pass seventy-six columns goes on in the next one\r\n"));
	one_fini(&o);
}

static struct slice
repeat(struct arena *a, char c, size_t n)
{
	char *p = arena_alloc(a, n);
	memset(p, c, n);
	return (struct slice){p, n};
}

static void
test_returned(void **state)
{
	(void)state;
	static const char long_header[] = "Subject: %.*s\r\n\r\nbody-here\r\n";
	struct arena *a = arena_new((size_t)1024 * 1024);
	struct slice xs = repeat(a, 'x', 999), many = repeat(a, 'x', DSN_RETURN_MOST);
	struct {
		enum smtp_ret ret;
		bool whole, utf8;
		enum dsn_action action;
		struct slice original;
		const char *type; /* NULL: no third part */
		bool body, eightbit;
	} rows[] = {
		{SMTP_RET_NONE, true, false, DSN_FAILED, SLICE(HEADER "\r\nbody-here\r\n"),
			"text/rfc822-headers\r\n\r\n", false, false},
		{SMTP_RET_HDRS, true, false, DSN_FAILED, SLICE(HEADER "\r\nbody-here\r\n"),
			"text/rfc822-headers\r\n\r\n", false, false},
		{SMTP_RET_FULL, true, false, DSN_FAILED, SLICE(HEADER "\r\nbody-here\r\n"),
			"message/rfc822\r\n\r\n", true, false},
		{SMTP_RET_FULL, false, false, DSN_FAILED, SLICE(HEADER "\r\nbody-here\r\n"),
			"text/rfc822-headers\r\n\r\n", false, false},
		{SMTP_RET_FULL, true, false, DSN_DELAYED, SLICE(HEADER "\r\nbody-here\r\n"),
			"text/rfc822-headers\r\n\r\n", false, false},
		{SMTP_RET_FULL, true, false, DSN_FAILED, SLICE(HEADER "\r\nbody-here \xfc\r\n"),
			"message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", true,
			true},
		{SMTP_RET_FULL, true, false, DSN_FAILED, SLICE(HEADER "\r\nbody-here \n\r\n"),
			"text/rfc822-headers\r\n\r\n", false, false},
		{SMTP_RET_FULL, true, false, DSN_FAILED,
			SLICE("Subject: \xc3\xbc\r\n\r\nbody-here\r\n"),
			"text/rfc822-headers\r\nContent-Transfer-Encoding: "
			"quoted-printable\r\n\r\nSubject: =C3=BC\r\n",
			false, false},
		{SMTP_RET_FULL, true, true, DSN_FAILED,
			SLICE("Subject: \xc3\xbc\r\n\r\nbody-here\r\n"),
			"message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", true,
			true},
		{SMTP_RET_NONE, true, true, DSN_FAILED,
			SLICE("Subject: \xc3\xbc\r\n\r\nbody-here\r\n"),
			"message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
			false, true},
		{SMTP_RET_NONE, true, true, DSN_FAILED,
			SLICE("Subject: \xfc \r\n\r\nbody-here\r\n"),
			"text/rfc822-headers\r\nContent-Transfer-Encoding: "
			"quoted-printable\r\n\r\nSubject: =FC=20\r\n",
			false, false},
		{SMTP_RET_FULL, true, false, DSN_FAILED,
			arena_printf(a, long_header, SLICE_ARG(xs)),
			"text/rfc822-headers\r\nContent-Transfer-Encoding: "
			"quoted-printable\r\n\r\nSubject: xxx",
			false, false},
		{SMTP_RET_FULL, true, false, DSN_FAILED,
			arena_printf(a, "X: 1\r\n\r\nbody-here %.*s\r\n", SLICE_ARG(many)),
			"text/rfc822-headers\r\n\r\nX: 1\r\n\r\n--=_", false, false},
		{SMTP_RET_NONE, true, false, DSN_FAILED,
			arena_printf(a, "X: 1\r\nbody-here: %.*s\r\n\r\n", SLICE_ARG(many)),
			"text/rfc822-headers\r\n\r\nX: 1\r\n\r\n--=_", false, false},
		{SMTP_RET_NONE, true, false, DSN_FAILED, SLICE("\r\nbody-here\r\n"), NULL,
			false, false},
		{SMTP_RET_NONE, false, false, DSN_FAILED, SLICE(""), NULL, false, false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct one o;
		char type[200];
		one_init(&o);
		o.m.params.ret = rows[i].ret;
		o.m.params.smtputf8 = rows[i].utf8;
		o.dsn_rcpt.action = rows[i].action;
		o.in.original = rows[i].original;
		o.in.original_whole = rows[i].whole;
		struct slice bytes = make(&o);
		snprintf(type, sizeof(type), "Content-Type: %s",
			rows[i].type != NULL ? rows[i].type : "message/delivery-status");
		if (!has(bytes, type) || has(bytes, "body-here") != rows[i].body ||
			o.out.eightbit != rows[i].eightbit)
			fail_msg("row %zu: %.*s", i, SLICE_ARG(bytes));
		assert_int_equal(has(bytes, "Content-Type: text/rfc822-headers") ||
					 has(bytes, "Content-Type: message/rfc822") ||
					 has(bytes, "Content-Type: message/global"),
			rows[i].type != NULL);
		assert_int_equal(has(bytes, "Your mail is attached."), rows[i].body);
		assert_int_equal(has(bytes, "The header of your mail is attached"),
			rows[i].type != NULL && !rows[i].body);
		one_fini(&o);
	}
	arena_free(&a);
}

static void
test_boundary(void **state)
{
	(void)state;
	struct one o;
	one_init(&o);
	o.m.params.ret = SMTP_RET_FULL;
	o.in.original = SLICE("X: =_0123456789abcdef.1\r\n\r\n--=_0123456789abcdef.0--\r\n");
	o.note.reply.text = SLICE("--=_0123456789abcdef.2");
	assert_true(has(make(&o), "boundary=\"=_0123456789abcdef.3\""));
	one_fini(&o);
}

static void
test_utf8(void **state)
{
	(void)state;
	struct one o;
	one_init(&o);
	o.rcpt.address = address_of("b\xc3\xbc@dest.example");
	o.rcpt.params.orcpt = SLICE("utf-8;b\\x{FC}\\x{20AC}\\x{1F600}+2B@dest.example");
	o.m.params.smtputf8 = true;
	struct slice bytes = make(&o);
	assert_true(has(bytes, "Content-Type: message/global-delivery-status\r\n"
			       "Content-Transfer-Encoding: 8bit\r\n\r\n"));
	assert_true(has(bytes, "\r\nFinal-Recipient: utf-8; b\xc3\xbc@dest.example\r\n"));
	assert_true(has(bytes, "\r\nOriginal-Recipient: utf-8; "
			       "b\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80+@dest.example\r\n"));
	assert_true(has(bytes, "Content-Type: text/plain; charset=utf-8\r\n"));
	assert_true(o.out.eightbit);
	assert_false(o.out.smtputf8); /* the header is ASCII, and so is the sender */
	o.m.sender = address_of("\xc3\xa4@example.org");
	o.m.sender.utf8 = true;
	assert_true(has(make(&o), "\r\nTo: <\xc3\xa4@example.org>\r\n"));
	assert_true(o.out.smtputf8);
	/* An escape that is no character stays as it came, and makes no line. */
	o.rcpt.params.orcpt =
		SLICE("utf-8;\\x{110000}\\x{0D}\\x{0A}\\x{}\\x{D800}\\x{x+0D+0Az");
	assert_true(has(make(&o), "utf-8; \\x{110000}??\\x{}???\\x{x??z\r\n"));
	/* Who has not SMTPUTF8 gets 7 bits. */
	o.m.params.smtputf8 = false;
	o.m.sender = address_of("a@example.org");
	make(&o);
	assert_false(o.out.eightbit);
	one_fini(&o);
}

/* Every stranger's field in turn, with every kind of bytes. */
static void
test_hostile(void **state)
{
	(void)state;
	struct arena *a = arena_new((size_t)1024 * 1024);
	const struct slice bytes[] = {SLICE("\r\n\r\n--=_0123456789abcdef.0--\r\n"),
		SLICE("\r\nAction: delivered\r\n\r\nFinal-Recipient: rfc822; z@example\r\n"),
		SLICE("x\0y"), SLICE("\xff\xfe\x80\xc3"), SLICE("\xc2\x85\xe2\x80\xa8"),
		SLICE("\x1b[2J\x07\x7f"), SLICE("\r"), SLICE("\n"), SLICE("=0D=0A"),
		repeat(a, 'x', 20000), repeat(a, ' ', 20000), repeat(a, '\n', 20000),
		SLICE("\xe2\x80\xaegpj.exe"), SLICE("+0D+0A")};
	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		struct one o;
		one_init(&o);
		struct slice *fields[] = {&o.m.sender.raw, &o.m.params.envid, &o.m.log,
			&o.rcpt.address.raw, &o.rcpt.params.orcpt, &o.note.reply.text,
			&o.note.host, &o.in.original, &o.in.hostname, &o.in.domain};
		for (size_t k = 0; k < 4 * sizeof(fields) / sizeof(fields[0]); k++) {
			struct slice *field = fields[k / 4], old = *field;
			*field = k / 4 == 4 ? arena_printf(a, "rfc822;%.*s",
						      SLICE_ARG(slice_first(bytes[i], 500)))
					    : bytes[i];
			o.m.params.smtputf8 = k % 2 == 1;
			o.m.params.ret = k % 4 < 2 ? SMTP_RET_FULL : SMTP_RET_HDRS;
			arena_reset(o.a);
			struct slice out = make(&o);
			size_t at = slice_find_slice(out, SLICE("Reporting-MTA: "));
			struct slice status = slice_from(out, at);
			status = slice_first(
				status, slice_find_slice(status, SLICE("\r\n--=_")));
			assert_int_equal(count(status, SLICE("\r\nAction: ")), 1);
			assert_int_equal(count(status, SLICE("\r\nFinal-Recipient: ")), 1);
			assert_int_equal(count(status, SLICE("\r\n\r\n")), 1);
			assert_false(has(out, "\x1b"));
			assert_false(has(status, "\xe2\x80\xae"));
			*field = old;
		}
		one_fini(&o);
	}
	/* Times that a damaged disk tells. */
	struct one o;
	one_init(&o);
	o.m.arrived_ms = o.note.last_ms = UINT64_MAX;
	assert_true(has(make(&o), "Arrival-Date: Fri, 31 Dec 9999 23:59:59 +0000\r\n"));
	o.m.arrived_ms = UINT64_C(253402300800000); /* a second later */
	assert_true(has(make(&o), "Arrival-Date: Fri, 31 Dec 9999 23:59:59 +0000\r\n"));
	/* Too long for what it is: no UTF-8. */
	o.m.params.smtputf8 = true;
	o.note.reply.text = SLICE("a\xe0\x80\xae\xf0\x80\x80\xae\xc0\xae"
				  "b");
	assert_true(has(make(&o), "smtp; 550 5.1.1 a?????????b\r\n"));
	one_fini(&o);
	arena_free(&a);
}

/* 10,000 recipients, each with the longest of everything: DSN_ROOM holds it. */
static void
test_many(void **state)
{
	(void)state;
	enum { N = STORED_RCPTS_MOST };
	struct arena *a = arena_new((size_t)64 * 1024 * 1024);
	struct one o;
	one_init(&o);
	one_fini(&o);
	o.a = arena_new(DSN_ROOM(N));
	struct dsn_rcpt *list = arena_array(a, N, sizeof(*list));
	struct stored_rcpt_note *notes = arena_array(a, N, sizeof(*notes));
	char *words = arena_alloc(a, STORED_WORDS_MOST);
	struct slice long_word = repeat(a, 'y', STORED_WORDS_MOST);
	for (size_t i = 0; i < STORED_WORDS_MOST; i++)
		words[i] = i % 2 == 0 ? 'w' : '\n';
	o.rcpt.address.raw = long_word;
	o.rcpt.params.orcpt = arena_printf(a, "rfc822;%.*s", SMTP_ORCPT_MOST - 7, long_word.p);
	o.in.original = repeat(a, '\xff', DSN_RETURN_MOST);
	o.in.give_up_ms = (uint64_t)ARRIVED_S * 1000;
	for (size_t i = 0; i < N; i++) {
		notes[i] = o.note;
		notes[i].attempts = (uint32_t)i; /* each a story of its own */
		notes[i].reply.text = (struct slice){words, STORED_WORDS_MOST};
		notes[i].host = slice_first(long_word, 253);
		list[i] = (struct dsn_rcpt){
			&o.rcpt, &notes[i], (enum dsn_action)(i % DSN_ACTIONS)};
	}
	o.in.rcpts = list;
	o.in.n_rcpts = N;
	struct slice bytes = make(&o);
	assert_int_equal(count(bytes, SLICE("\r\nFinal-Recipient: ")), N);
	assert_int_equal(count(bytes, SLICE("and 2400 more: ")), DSN_ACTIONS);
	assert_true(has(bytes, "It was not delivered to these 2500 recipients"));
	one_fini(&o);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_due),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_status_part),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_people),
		cmocka_unit_test(test_returned),
		cmocka_unit_test(test_boundary),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
