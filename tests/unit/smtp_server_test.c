/*
 * The server machine against scripts and against a model: order of commands (SRV-04), end of
 * data (SRV-01, SMG-01, SMG-02), early talkers (SRV-03), limits (SRV-05), STARTTLS (SMG-07),
 * AUTH.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "feed.h"
#include "smtp/server.h"
#include "smtp_driver.h"

/* --- dialogues: each line is one exchange, written before the next is given --- */

struct step {
	const char *in;
	const char *want;
};

static void
play(const struct step *steps)
{
	struct driver d;
	driver_start(&d);
	for (; steps->in != NULL; steps++)
		exchange(&d, steps->in, steps->want);
	driver_fini(&d);
}

static void
test_simple_mail(void **state)
{
	(void)state;
	struct driver d;
	driver_init(&d, &smtp_server_limits_default);
	take_events(&d);
	write_all(&d);
	assert_true(slice_eq(buf_slice(&d.out), SLICE("220 mx.example ESMTP ready\r\n")));
	buf_clear(&d.out);
	give(&d, SLICE("EHLO client.example\r\n"));
	assert_true(slice_eq(buf_slice(&d.out),
		SLICE("250-mx.example\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n"
		      "250-SIZE "
		      "1000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-STARTTLS\r\n"
		      "250 AUTH PLAIN LOGIN\r\n")));
	buf_clear(&d.out);
	exchange(&d, "mail from:<a@b.example> size=100\r\nRCPT TO:<c@d.example>\r\nData\r\n",
		"250 250 354 ");
	assert_true(smtp_server_in_data(d.s));
	exchange(&d, "Subject: x\r\n\r\n..hello\r\n.\r\nQUIT\r\n", "250 221 ");
	assert_true(slice_eq(buf_slice(&d.body), SLICE("Subject: x\r\n\r\n.hello\r\n")));
	assert_true(slice_eq(buf_slice(&d.heard), SLICE("client.example|")));
	assert_int_equal(d.seen[SMTP_EV_BODY_END], 1);
	assert_int_equal(d.seen[SMTP_EV_RESET], 1);
	assert_int_equal(d.seen[SMTP_EV_CLOSE], 1);
	driver_fini(&d);
}

static void
test_verbs(void **state)
{
	(void)state;
	play((const struct step[]){{"VRFY a\r\n", "252 "}, {"VRFY\r\n", "501 "},
		{"EXPN a\r\n", "502 "}, {"ETRN a\r\n", "502 "}, {"TURN\r\n", "502 "},
		{"HELP\r\n", "214 "}, {"NOOP x y\r\n", "250 "}, {"RSET\r\n", "250 "},
		{"RSET x\r\n", "501 "}, {"LHLO x\r\n", "500 "}, {"\r\n", "500 "},
		{" EHLO x\r\n", "500 "}, {"EHLO\r\n", "501 "}, {"EHLO  \r\n", "501 "},
		{"EHLO a b\r\n", "501 "}, {"EHLO a(b\r\n", "501 "},
		{"EHLO [192.0.2.1]\r\n", "250 "}, {"HELO a_b\r\n", "250 "},
		{"quit now\r\n", "221 "}, {NULL, NULL}});
}

static void
test_envelope_refusals(void **state)
{
	(void)state;
	play((const struct step[]){{"EHLO x\r\n", "250 "}, {"MAIL\r\n", "501 "},
		{"MAIL TO:<a@b>\r\n", "501 "}, {"MAIL FROM:<a@b\r\n", "501 "},
		{"MAIL FROM:<a`b@c>\r\n", "501 "}, {"MAIL FROM:<caf\xc3\xa9@b>\r\n", "553 "},
		{"MAIL FROM:<caf\xc3\xa9@b> SMTPUTF8\r\n", "250 "},
		{"RCPT TO:<\xc3\xa9@b>\r\n", "250 "}, {"RSET\r\n", "250 "},
		{"MAIL FROM:<a@b> X=1\r\n", "555 "}, {"MAIL FROM:<a@b> SIZE=1001\r\n", "552 "},
		{"MAIL FROM: <a@b> SIZE=1000\r\n", "250 "},
		{"RCPT TO:<\xc3\xa9@b>\r\n", "553 "}, {"RCPT TO:<>\r\n", "501 "},
		{"RCPT FROM:<a@b>\r\n", "501 "}, {"RCPT TO:<a@b> NOTIFY=x\r\n", "501 "},
		{"RCPT TO:<a@b> X=1\r\n", "555 "}, {"DATA\r\n", "554 "},
		{"RCPT TO:<a@b>\r\n", "503 "}, {NULL, NULL}});
	/* without EHLO no extension is there */
	play((const struct step[]){{"HELO x\r\n", "250 "},
		{"MAIL FROM:<a@b> SIZE=1\r\n", "555 "}, {"STARTTLS\r\n", "502 "},
		{"AUTH PLAIN\r\n", "502 "}, {"MAIL FROM:<\xc3\xa9@b>\r\n", "553 "},
		{"MAIL FROM:<>\r\n", "250 "}, {"RCPT TO:<postmaster>\r\n", "250 "},
		{"DATA x\r\n", "501 "}, {"DATA\r\n", "503 "}, {NULL, NULL}});
}

/* SRV-02, SMG-01: commands end in CRLF only; the same answers however the input is cut. */
static const struct step framings[] = {
	{"NOOP\r\nNOOP\r\n", "250 250 "},
	{"NOOP\nNOOP\r\nNOOP\r\n", "500 250 "},
	{"NOOP\rNOOP\r\nHELP\r\n", "500 214 "},
	{"NOOP\r\r\nHELP\r\n", "500 214 "},
	{"NOOP x\ry\nz\r\n", "500 421 "},
	{"NOOP\nHELP\nHELP\r\n", "500 421 "},
	{"\nHELP\r\nHELP\r\n", "500 214 "},
	{"\x16\x03\x01", "554 "},
	{"NOOP\r\n\x16\x03\x01", "250 554 "},
	{"GET / HTTP/1.1\r\nHost: x\r\n", "554 "},
	{"POST / HTTP/1.1\r\nMAIL FROM:<a@b>\r\n", "554 "},
};

static void
play_framing(void *arg, const struct slice *pieces, size_t n)
{
	const struct step *step = arg;
	struct driver d;
	driver_start(&d);
	exchange(&d, "EHLO x\r\n", "250 ");
	for (size_t i = 0; i < n && d.seen[SMTP_EV_CLOSE] == 0; i++)
		give(&d, pieces[i]);
	expect_codes(&d, step->want);
	driver_fini(&d);
}

static void
test_framing(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(framings) / sizeof(framings[0]); i++) {
		struct step step = framings[i];
		feed_every_way(slice_of(step.in), play_framing, &step);
	}
	struct step nul = {"", "500 214 "};
	feed_every_way(SLICE("NOOP\0x\r\nHELP\r\n"), play_framing, &nul);
}

/* --- end of data: the matrix of our own --- */

struct eod_case {
	struct slice body; /* what is given after 354 */
	const char *want;
	bool good, plain;
};

static void
play_eod(void *arg, const struct slice *pieces, size_t n)
{
	const struct eod_case *c = arg;
	struct driver d;
	driver_start(&d);
	exchange(&d, "EHLO x\r\n", "250 ");
	exchange(&d, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n", "250 250 354 ");
	for (size_t i = 0; i < n; i++)
		give(&d, pieces[i]);
	expect_codes(&d, c->want);
	assert_int_equal(d.seen[SMTP_EV_BODY_END], c->good);
	assert_int_equal(d.seen[SMTP_EV_BODY_BAD], !c->good);
	assert_int_equal(d.seen[SMTP_EV_MAIL], 1);
	assert_int_equal(d.seen[SMTP_EV_RESET], 1);
	assert_true(smtp_server_is_idle(d.s));
	if (c->good && !c->plain)
		assert_true(slice_eq(buf_slice(&d.body), SLICE("Subject: x\r\n\r\nfirst\r\n")));
	driver_fini(&d);
}

/* The suite's word for what must happen, as codes: of the mail, and of what stands behind it.
 */
static void
expected_of(const char *expected, struct eod_case *c)
{
	c->good = c->plain = false;
	if (strncmp(expected, "END (only valid", 15) == 0) {
		c->want = "250 214 500 500 214 ";
		c->good = true;
	} else if (strncmp(expected, "END preceded", 12) == 0) {
		c->want = "550 214 500 500 214 ";
	} else if (strncmp(expected, "NOT end; ordinary", 17) == 0) {
		c->want = "250 214 ";
		c->good = c->plain = true;
	} else {
		assert_int_equal(strncmp(expected, "NOT end; refuse", 15), 0);
		c->want = "550 214 ";
	}
}

static size_t
from_hex(const char *hex, char *to)
{
	size_t n = 0;
	for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2)
		to[n++] = (char)(ascii_hex(hex[0]) << 4 | ascii_hex(hex[1]));
	return n;
}

static void
test_end_of_data(void **state)
{
	(void)state;
	char path[4096], line[1024], body[256];
	const char *root = getenv("POSTERN_SOURCE");
	snprintf(path, sizeof(path), "%s/tests/data/smtp-smuggling/eod_variants.tsv",
		root != NULL ? root : ".");
	FILE *f = fopen(path, "r");
	if (f == NULL)
		fail_msg("%s is not there (POSTERN_SOURCE)", path);
	int count = 0;
	while (fgets(line, sizeof(line), f) != NULL) {
		char *save, *id = strtok_r(line, "\t", &save);
		strtok_r(NULL, "\t", &save);
		char *hex = strtok_r(NULL, "\t", &save);
		char *expected = strtok_r(NULL, "\t", &save);
		if (strncmp(id, "eod", 3) != 0)
			continue;
		struct buf b;
		struct eod_case c;
		buf_init(&b, 1024);
		buf_add_text(&b, "Subject: x\r\n\r\nfirst");
		buf_add(&b, (struct slice){body, from_hex(hex, body)});
		buf_add_text(&b, "HELP smuggled\r\n\r\n.\r\nHELP\r\n");
		c.body = buf_slice(&b);
		expected_of(expected, &c);
		feed_every_way(c.body, play_eod, &c);
		buf_fini(&b);
		count++;
	}
	fclose(f);
	print_message(
		"end of data: %d variants, each whole, by bytes and split at every offset\n",
		count);
	assert_int_equal(count, 72);
}

/* --- who speaks out of turn (SRV-03) --- */

static void
test_early_talker(void **state)
{
	(void)state;
	struct driver d;
	driver_init(&d, &smtp_server_limits_default);
	assert_int_equal(smtp_server_feed(d.s, SLICE("EHLO x\r\n")), 0);
	take_events(&d);
	write_all(&d);
	assert_int_equal(d.seen[SMTP_EV_REFUSED], 1);
	assert_int_equal(d.seen[SMTP_EV_CLOSE], 1);
	expect_codes(&d, "554 ");
	driver_fini(&d);
	/* answered, but not written yet */
	driver_init(&d, &smtp_server_limits_default);
	take_events(&d);
	assert_int_equal(smtp_server_feed(d.s, SLICE("E")), 0);
	take_events(&d);
	assert_int_equal(d.seen[SMTP_EV_CLOSE], 1);
	write_all(&d);
	expect_codes(&d, "220 554 ");
	driver_fini(&d);
}

static void
test_stuffing(void **state)
{
	(void)state;
	static const struct step cases[] = {
		{"EHLO y\r\nNOOP\r\n", "554 "},
		{"EHLO (\r\nNOOP\r\n", "501 554 "},
		{"STARTTLS\r\nRSET\r\n", "554 "}, /* SMG-07 */
		{"STARTTLS x\r\nRSET\r\n", "501 554 "},
		{"AUTH PLAIN AAAA\r\nNOOP\r\n", "554 "},
		{"MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\nx\r\n.\r\n", "250 250 554 "},
		{"DATA\r\nMAIL FROM:<smuggled@b>\r\n", "503 554 "},
		/* legal pipelining */
		{"MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nRCPT TO:<b@b>\r\nRSET\r\nVRFY "
		 "x\r\nNOOP\r\n",
			"250 250 250 250 252 250 "},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct driver d;
		driver_start(&d);
		exchange(&d, "EHLO x\r\n", "250 ");
		exchange(&d, cases[i].in, cases[i].want);
		bool violated = slice_ends(slice_of(cases[i].want), SLICE("554 "));
		assert_int_equal(d.seen[SMTP_EV_CLOSE], violated);
		assert_int_equal(d.seen[SMTP_EV_MAIL], d.seen[SMTP_EV_RESET]);
		assert_int_equal(d.seen[SMTP_EV_BODY], 0);
		driver_fini(&d);
	}
	/* PIPELINING was not told before EHLO, nor to who says HELO */
	play((const struct step[]){{"NOOP\r\nEHLO x\r\n", "250 554 "}, {NULL, NULL}});
	play((const struct step[]){{"X\r\nY\r\n", "500 554 "}, {NULL, NULL}});
	play((const struct step[]){{"HELO x\r\n", "250 "},
		{"MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\n", "554 "}, {NULL, NULL}});
	play((const struct step[]){{"HELO x\r\n", "250 "}, {"MAIL FROM:<a@b>\r\n", "250 "},
		{"RCPT TO:<a@b>\r\n", "250 "}, {"DATA\r\n", "354 "},
		{"x\r\n.\r\nQUIT\r\n", "250 221 "}, {NULL, NULL}});
	/* after authentication it is only untidy */
	play((const struct step[]){{"EHLO x\r\n", "250 "}, {"AUTH PLAIN AAAA\r\n", "235 "},
		{"MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n",
			"250 250 354 250 221 "},
		{NULL, NULL}});
}

/* --- limits: n - 1, n, n + 1 (SRV-05) --- */

static void
expect_line_limit(const char *start, size_t most, const char *good)
{
	for (size_t n = most - 1; n <= most + 1; n++) {
		char *line = test_malloc(n);
		struct driver d;
		memset(line, 'x', n);
		memcpy(line, start, strlen(start));
		memcpy(line + n - 2, "\r\n", 2);
		driver_start(&d);
		exchange(&d, "EHLO x\r\n", "250 ");
		give(&d, (struct slice){line, n});
		expect_codes(&d, n <= most ? good : "500 ");
		exchange(&d, "NOOP\r\n", "250 ");
		driver_fini(&d);
		test_free(line);
	}
}

static void
test_line_limits(void **state)
{
	(void)state;
	expect_line_limit("NOOP ", 512, "250 ");
	expect_line_limit("VRFY ", 512, "252 ");
	expect_line_limit("AUTH PLAIN ", 12288, "235 ");
	expect_line_limit("MAIL FROM:<a@b> X-Y=", 512 + 26 + 17 + 10 + 115 + 500, "555 ");
	expect_line_limit("XYZZY ", 12288, "500 ");
}

static void
expect_data_limit(size_t line, size_t mail, const char *want)
{
	static const struct smtp_server_limits limits = {.command_bytes = 512,
		.recipients = 100,
		.mail_bytes = 2000,
		.text_line_bytes = 998,
		.commands = 100,
		.errors = 10,
		.transactions = 10};
	struct driver d;
	struct buf b;
	driver_init(&d, &limits);
	driver_greet(&d);
	buf_init(&b, 8192);
	exchange(&d, "EHLO x\r\n", "250 ");
	exchange(&d, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n", "250 250 354 ");
	size_t left = mail;
	while (left >= 2) {
		size_t n = left - 2 < line ? left - 2 : line;
		if (left - n - 2 == 1)
			n--;
		for (size_t i = 0; i < n; i++)
			buf_add_byte(&b, 'x');
		buf_add_text(&b, "\r\n");
		left -= n + 2;
	}
	buf_add_text(&b, ".\r\nHELP\r\n");
	give(&d, buf_slice(&b));
	expect_codes(&d, want);
	assert_int_equal(d.seen[SMTP_EV_BODY_BAD], want[0] == '5');
	buf_fini(&b);
	driver_fini(&d);
}

static void
test_data_limits(void **state)
{
	(void)state;
	expect_data_limit(997, 1500, "250 214 ");
	expect_data_limit(998, 1500, "250 214 ");
	expect_data_limit(999, 1500, "550 214 ");
	expect_data_limit(70, 1999, "250 214 ");
	expect_data_limit(70, 2000, "250 214 ");
	expect_data_limit(70, 2001, "552 214 ");
}

static void
test_count_limits(void **state)
{
	(void)state;
	struct smtp_server_limits limits = smtp_server_limits_default;
	struct driver d;
	limits.recipients = 3;
	limits.commands = 9;
	driver_init(&d, &limits);
	driver_greet(&d);
	exchange(&d, "EHLO x\r\n", "250 ");
	exchange(&d, "MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nRCPT TO:<b@b>\r\nRCPT TO:<c@b>\r\n",
		"250 250 250 250 ");
	exchange(&d, "RCPT TO:<d@b>\r\nRCPT TO:<e@b>\r\nNOOP\r\n", "452 452 250 ");
	exchange(&d, "NOOP\r\n", "250 ");
	exchange(&d, "NOOP\r\n", "421 ");
	assert_int_equal(d.seen[SMTP_EV_RESET], 1);
	assert_int_equal(d.seen[SMTP_EV_CLOSE], 1);
	driver_fini(&d);
	limits = smtp_server_limits_default;
	limits.errors = 2;
	limits.transactions = 2;
	driver_init(&d, &limits);
	driver_greet(&d);
	exchange(&d, "EHLO x\r\n", "250 ");
	exchange(&d, "X\r\nX\r\nX\r\n", "500 500 421 ");
	driver_fini(&d);
	driver_init(&d, &limits);
	driver_greet(&d);
	exchange(&d, "EHLO x\r\n", "250 ");
	exchange(&d, "MAIL FROM:<>\r\nRSET\r\nMAIL FROM:<>\r\nRSET\r\nMAIL FROM:<>\r\n",
		"250 250 250 250 421 ");
	driver_fini(&d);
}

/* At least 100 recipients (RFC 5321 4.5.3.1.8), and the default of 1,000 with the longest
 * paths. */
static void
test_many_recipients(void **state)
{
	(void)state;
	struct driver d;
	char line[512];
	driver_start(&d);
	exchange(&d, "EHLO x\r\n", "250 ");
	exchange(&d, "MAIL FROM:<>\r\n", "250 ");
	for (int i = 0; i < 1000; i++) {
		snprintf(line, sizeof(line), "RCPT TO:<\"%062d\"@%063d.%063d.%059d>\r\n", i, i,
			i, i);
		give(&d, slice_of(line));
		assert_true(slice_starts(buf_slice(&d.out), SLICE("250")));
		buf_clear(&d.out);
	}
	give(&d, slice_of(line));
	expect_codes(&d, "452 ");
	driver_fini(&d);
}

/* A list that overshoots by 1,000 is cut in peace; who goes on, or harvests with 4yz, is not.
 */
static void
test_overshoot(void **state)
{
	(void)state;
	for (int temporary = 0; temporary < 2; temporary++) {
		struct smtp_server_limits limits = smtp_server_limits_default;
		struct driver d;
		int answered = 0;
		limits.recipients = temporary ? 2000 : 0;
		driver_init(&d, &limits);
		driver_greet(&d);
		d.replies[SMTP_EV_RCPT] = "451 4.7.1 later";
		exchange(&d, "EHLO x\r\n", "250 ");
		exchange(&d, "MAIL FROM:<>\r\n", "250 ");
		while (d.seen[SMTP_EV_CLOSE] == 0) {
			buf_clear(&d.out);
			give(&d, SLICE("RCPT TO:<a@b>\r\n"));
			answered++;
		}
		assert_true(slice_starts(buf_slice(&d.out), SLICE("421 4.7.0")));
		assert_int_equal(answered, 1000 + limits.errors + 1);
		driver_fini(&d);
	}
}

/* Output that nobody reads stops the input (SRV-11). */
static void
test_back_pressure(void **state)
{
	(void)state;
	struct driver d;
	struct buf b;
	driver_start(&d);
	exchange(&d, "EHLO x\r\n", "250 ");
	buf_init(&b, 1024 * 1024);
	for (int i = 0; i < 10000; i++)
		buf_add_text(&b, "NOOP\r\n");
	size_t taken = smtp_server_feed(d.s, buf_slice(&b));
	assert_true(taken > 0 && taken < buf_slice(&b).n);
	assert_int_equal(smtp_server_feed(d.s, slice_from(buf_slice(&b), taken)), 0);
	assert_true(smtp_server_output(d.s).n < 17 * 1024);
	give(&d, slice_from(buf_slice(&b), taken));
	size_t replies = 0;
	for (size_t i = 0; i < d.out.used; i++)
		replies += buf_slice(&d.out).p[i] == '\n';
	assert_int_equal(replies, 10000);
	buf_fini(&b);
	driver_fini(&d);
}

/* --- greetings, TLS, AUTH, closing --- */

static void
test_refused_greeting(void **state)
{
	(void)state;
	struct driver d;
	driver_init(&d, &smtp_server_limits_default);
	d.replies[SMTP_EV_CONNECT] = "554 5.7.1 go away";
	take_events(&d);
	write_all(&d);
	exchange(&d, "EHLO x\r\n", "554 503 ");
	exchange(&d, "RSET\r\n", "503 ");
	exchange(&d, "QUIT\r\n", "221 ");
	driver_fini(&d);
	driver_init(&d, &smtp_server_limits_default);
	d.replies[SMTP_EV_CONNECT] = "421 4.3.2 busy";
	take_events(&d);
	write_all(&d);
	expect_codes(&d, "421 ");
	assert_int_equal(d.seen[SMTP_EV_CLOSE], 1);
	driver_fini(&d);
}

static void
test_refused_hello(void **state)
{
	(void)state;
	struct driver d;
	driver_start(&d);
	exchange(&d, "EHLO x\r\n", "250 ");
	d.replies[SMTP_EV_HELO] = "550 5.7.1 no";
	exchange(&d, "EHLO bad\r\n", "550 ");
	exchange(&d, "MAIL FROM:<>\r\n", "503 ");
	d.replies[SMTP_EV_HELO] = "421 4.7.1 no";
	exchange(&d, "EHLO bad\r\n", "421 ");
	assert_int_equal(d.seen[SMTP_EV_CLOSE], 1);
	driver_fini(&d);
}

static void
test_starttls(void **state)
{
	(void)state;
	struct driver d;
	driver_start(&d);
	exchange(&d, "EHLO x\r\n", "250 ");
	d.replies[SMTP_EV_STARTTLS] = "454 4.7.0 later";
	exchange(&d, "STARTTLS\r\n", "454 ");
	exchange(&d, "MAIL FROM:<>\r\nRSET\r\n", "250 250 ");
	d.replies[SMTP_EV_STARTTLS] = NULL;
	give(&d, SLICE("STARTTLS\r\n"));
	expect_codes(&d, "220 ");
	/* all that was learnt in clear is forgotten */
	exchange(&d, "MAIL FROM:<>\r\n", "503 ");
	give(&d, SLICE("EHLO x\r\n"));
	assert_int_equal(
		slice_find_slice(buf_slice(&d.out), SLICE("STARTTLS")), buf_slice(&d.out).n);
	buf_clear(&d.out);
	exchange(&d, "STARTTLS\r\n", "503 ");
	driver_fini(&d);
	/* between the 220 and the handshake nothing is taken, and nothing said */
	driver_start(&d);
	exchange(&d, "EHLO x\r\n", "250 ");
	assert_int_equal(smtp_server_feed(d.s, SLICE("STARTTLS\r\n")), 10);
	take_events(&d);
	struct slice out = smtp_server_output(d.s);
	assert_false(smtp_server_tls_wanted(d.s));
	smtp_server_written(d.s, out.n);
	assert_true(smtp_server_tls_wanted(d.s));
	assert_int_equal(smtp_server_feed(d.s, SLICE("RSET\r\n")), 0);
	struct smtp_reply r = smtp_reply_of("421 4.4.2 too slow");
	smtp_server_close(d.s, &r);
	take_events(&d);
	assert_int_equal(smtp_server_output(d.s).n, 0);
	assert_int_equal(d.seen[SMTP_EV_CLOSE], 1);
	driver_fini(&d);
}

static void
test_auth(void **state)
{
	(void)state;
	struct driver d;
	driver_start(&d);
	exchange(&d, "EHLO x\r\n", "250 ");
	buf_clear(&d.heard);
	exchange(&d, "AUTH\r\n", "501 ");
	exchange(&d, "AUTH CRAM-MD5\r\n", "504 ");
	exchange(&d, "AUTH PLAIN a b\r\n", "501 ");
	d.replies[SMTP_EV_AUTH] = "334 VXNlcm5hbWU6";
	d.replies[SMTP_EV_AUTH_DATA] = "501 5.7.0 cancelled";
	give(&d, SLICE("auth login\r\n"));
	assert_true(slice_eq(buf_slice(&d.out), SLICE("334 VXNlcm5hbWU6\r\n")));
	buf_clear(&d.out);
	exchange(&d, "*\r\n", "501 ");
	d.replies[SMTP_EV_AUTH_DATA] = NULL;
	exchange(&d, "AUTH PLAIN =\r\n", "334 ");
	exchange(&d, "MAIL FROM:<a@b>\r\n", "235 "); /* an answer, not a command */
	exchange(&d, "AUTH PLAIN =\r\n", "503 ");
	assert_true(slice_eq(buf_slice(&d.heard), SLICE("LOGIN|=*|PLAIN=|=MAIL FROM:<a@b>|")));
	driver_fini(&d);
	driver_start(&d);
	exchange(&d, "EHLO x\r\n", "250 ");
	d.replies[SMTP_EV_AUTH] = "334 x";
	exchange(&d, "AUTH PLAIN\r\n", "334 ");
	exchange(&d, "a\nb\r\n", "500 ");
	assert_int_equal(d.seen[SMTP_EV_CLOSE], 1);
	driver_fini(&d);
}

/* SRV-12: in every state 421 once, the transaction dropped, then the end. */
static void
test_close(void **state)
{
	(void)state;
	static const char *const scripts[] = {"", "EHLO x\r\n", "MAIL FROM:<>\r\n",
		"RCPT TO:<a@b>\r\n", "DATA\r\n", "Subject: x\r\n", ".", "\r"};
	struct smtp_reply r = smtp_reply_of("421 4.3.2 shutting down");
	for (size_t n = 0; n <= sizeof(scripts) / sizeof(scripts[0]); n++) {
		struct driver d;
		driver_start(&d);
		for (size_t i = 0; i < n; i++)
			give(&d, slice_of(scripts[i]));
		buf_clear(&d.out);
		smtp_server_close(d.s, &r);
		smtp_server_close(d.s, &r);
		assert_int_equal(smtp_server_feed(d.s, SLICE("NOOP\r\n")), 0);
		take_events(&d);
		write_all(&d);
		expect_codes(&d, "421 ");
		assert_int_equal(d.seen[SMTP_EV_CLOSE], 1);
		assert_int_equal(d.seen[SMTP_EV_RESET], d.seen[SMTP_EV_MAIL]);
		driver_fini(&d);
	}
	/* while a reply is owed: it is not wanted any more */
	struct driver d;
	struct smtp_event ev;
	driver_init(&d, &smtp_server_limits_default);
	assert_true(smtp_server_event(d.s, &ev));
	smtp_server_close(d.s, &r);
	assert_false(smtp_server_owes(d.s));
	assert_true(smtp_server_event(d.s, &ev));
	assert_int_equal(ev.type, SMTP_EV_CLOSE);
	assert_true(slice_eq(ev.reply.text, SLICE("shutting down")));
	driver_fini(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_simple_mail),
		cmocka_unit_test(test_verbs),
		cmocka_unit_test(test_envelope_refusals),
		cmocka_unit_test(test_framing),
		cmocka_unit_test(test_end_of_data),
		cmocka_unit_test(test_early_talker),
		cmocka_unit_test(test_stuffing),
		cmocka_unit_test(test_line_limits),
		cmocka_unit_test(test_data_limits),
		cmocka_unit_test(test_count_limits),
		cmocka_unit_test(test_many_recipients),
		cmocka_unit_test(test_overshoot),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_refused_greeting),
		cmocka_unit_test(test_refused_hello),
		cmocka_unit_test(test_starttls),
		cmocka_unit_test(test_auth),
		cmocka_unit_test(test_close),
	};
	return cmocka_run_group_tests_name("smtp_server", tests, NULL, NULL);
}
