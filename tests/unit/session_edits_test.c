/*
 * What is done to the header: our lines whole and clean whatever the client called itself
 * (SRV-10, HDR-05), what goes goes as whole fields, and nothing else changes a byte (MIM-09).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf_text.h"
#include "session/edits.h"

enum { EFFECTS_MOST = 4, LINE_MOST = 998 };

static const int64_t wall_ms = 1795316645000;
#define DATE "Sun, 22 Nov 2026 03:04:05 +0000"

#define CONF                                                                  \
	"hostname \"mx.example.com\"\nlisten inbound on \"127.0.0.1:2525\"\n" \
	"listen outbound on \"127.0.0.1:2587\" from { 127.0.0.0/8 }\n"        \
	"domain \"example.org\" deliver to \"127.0.0.1:2526\"\nsend direct\n" \
	"inbound {\naccept\n}\noutbound {\naccept\n}\n"

#define RESULTS "Authentication-Results: mx.example.com; none\r\n"
#define RECEIVED(with)                                                                  \
	"Received: from client.example ([192.0.2.1])\r\n\tby mx.example.com with " with \
	" id S1.1\r\n\tfor <bob@example.org>;\r\n\t" DATE "\r\n"
#define MAIL "From: a@example.net\r\nDate: x\r\nMessage-ID: <y@z>\r\n\r\n"

struct edit_case {
	const char *label;
	const char *mail; /* its header */
	const char *want; /* what it leaves with */
	struct rule effects[EFFECTS_MOST];
	bool outbound;
};

static const struct edit_case edit_cases[] = {
	{"nothing but our lines", MAIL, RESULTS RECEIVED("ESMTP") MAIL,
		{{.action = ACTION_ACCEPT}}, false},
	{"out: no results", MAIL, RECEIVED("ESMTP") MAIL, {{.action = ACTION_ACCEPT}}, true},
	{"in: nothing is added that is missing", "From: a@example.net\r\n\r\n",
		RESULTS RECEIVED("ESMTP") "From: a@example.net\r\n\r\n",
		{{.action = ACTION_ACCEPT}}, false},
	{"out: Date and Message-ID", "From: a@example.net\r\n\r\n",
		RECEIVED("ESMTP") "Date: " DATE
				  "\r\nMessage-ID: <S1.1.1795316645000@mx.example.com>\r\n"
				  "From: a@example.net\r\n\r\n",
		{{.action = ACTION_ACCEPT}}, true},
	{"out: only what is missing", "date: x\r\nFrom: a@example.net\r\n\r\n",
		RECEIVED("ESMTP") "Message-ID: <S1.1.1795316645000@mx.example.com>\r\n"
				  "date: x\r\nFrom: a@example.net\r\n\r\n",
		{{.action = ACTION_ACCEPT}}, true},
	{"out: a tag is not added once more", "From: a@example.net\r\nDate: x\r\n\r\n",
		"message-id: <t@t>\r\n" RECEIVED(
			"ESMTP") "From: a@example.net\r\nDate: x\r\n\r\n",
		{{.action = ACTION_TAG, .text = {"message-id: <t@t>", 17}}}, true},
	{"a tag takes the place of what came",
		"x-spam-FLAG: NO\r\nFrom: a@example.net\r\nX-Spam-Flag: NO,\r\n\tno\r\n"
		"X-Spam-Flags: stays\r\nX-Spam-Flag : goes too\r\n\r\n",
		"X-Spam-Flag: YES\r\nX-Two: 2\r\n" RESULTS RECEIVED(
			"ESMTP") "From: a@example.net\r\nX-Spam-Flags: stays\r\n\r\n",
		{{.action = ACTION_TAG, .text = {"X-Spam-Flag: YES", 16}},
			{.action = ACTION_TAG, .text = {"X-Two: 2", 8}}},
		false},
	{"fields are removed whole", "A: 1\r\nB: 2\r\n 2\r\nFrom: a@example.net\r\nb:\r\n\r\n",
		RESULTS RECEIVED("ESMTP") "A: 1\r\nFrom: a@example.net\r\n\r\n",
		{{.action = ACTION_REMOVE_HEADER, .text = {"B", 1}},
			{.action = ACTION_REMOVE_HEADER, .text = {"C", 1}}},
		false},
	{"results that claim to be ours (HDR-04)",
		"Authentication-Results: mx.example.com; spf=pass\r\n"
		"Authentication-Results: other.example; spf=pass\r\n"
		"authentication-results: (x)\r\n MX.example.com 1; dkim=pass\r\n"
		"From: a@example.net\r\n\r\n",
		RESULTS RECEIVED("ESMTP") "Authentication-Results: other.example; spf=pass\r\n"
					  "From: a@example.net\r\n\r\n",
		{{.action = ACTION_ACCEPT}}, false},
	{"out: what claims to be ours is our own",
		"Authentication-Results: mx.example.com; spf=pass\r\n" MAIL,
		RECEIVED("ESMTP") "Authentication-Results: mx.example.com; spf=pass\r\n" MAIL,
		{{.action = ACTION_ACCEPT}}, true},
	{"other effects change nothing", MAIL, RESULTS RECEIVED("ESMTP") MAIL,
		{{.action = ACTION_LOG, .text = {"From", 4}},
			{.action = ACTION_SCORE, .text = {"From", 4}}},
		false},
};

struct lab {
	struct arena *arena;
	struct conf *conf;
	struct gate_config config;
	struct flt_session session;
	struct flt_recipient rcpts[2];
	struct message message;
	struct flt_mail mail;
	struct facts *facts;
	const struct rule *effects[EFFECTS_MOST];
	struct verdict verdict;
	struct edits edits;
};

static void
lab_open_with(struct lab *l, const char *conf, bool outbound, const char *header)
{
	struct conf_report report;
	*l = (struct lab){.arena = arena_new(64 << 20), .conf = conf_text(conf)};
	conf_report_init(&report);
	l->config = (struct gate_config){.conf = l->conf,
		.listener = &l->conf->listeners[outbound],
		.direction = outbound ? OUTBOUND : INBOUND};
	l->config.policy =
		policy_compile(l->conf, l->config.direction, facts_all(), l->arena, &report);
	assert_non_null(l->config.policy);
	conf_report_fini(&report);
	l->session = (struct flt_session){.direction = l->config.direction,
		.helo = SLICE("client.example"),
		.esmtp = true,
		.wall_ms = wall_ms};
	assert_true(ip_parse(SLICE("192.0.2.1"), &l->session.client));
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(address_parse(i == 0 ? SLICE("bob@example.org")
						      : SLICE("eve@example.org"),
					 false, l->arena, &l->rcpts[i].address),
			ADDRESS_OK);
	message_parse(slice_of(header), l->conf->hostname, false, l->arena, &l->message);
	l->mail = (struct flt_mail){
		.message = &l->message, .recipients = l->rcpts, .n_recipients = 1};
	l->verdict = (struct verdict){
		.decided = true, .action = ACTION_ACCEPT, .effects = l->effects};
	l->facts = facts_new(l->conf, l->config.policy, &l->session);
	facts_helo(l->facts);
}

static void
lab_open(struct lab *l, bool outbound, const char *header)
{
	lab_open_with(l, CONF, outbound, header);
}

static void
lab_mail(struct lab *l)
{
	facts_mail(l->facts, &l->mail);
	facts_rcpt(l->facts, &l->rcpts[0]);
	facts_data(l->facts);
	facts_header(l->facts);
	facts_body_end(l->facts);
}

static bool
lab_edits(struct lab *l)
{
	struct edits_input in = {
		&l->config, &l->session, &l->mail, "S1.1", &l->verdict, NULL, 0};
	return edits_make(&in, l->facts, l->arena, &l->edits);
}

static void
lab_make(struct lab *l)
{
	lab_mail(l);
	assert_true(lab_edits(l));
}

static void
lab_close(struct lab *l)
{
	facts_free(&l->facts);
	conf_free(&l->conf);
	arena_free(&l->arena);
}

/* Our lines and what is left of what came; cuts are ascending and lie in the header. */
static struct slice
leaves(struct lab *l, struct slice mail)
{
	struct buf out;
	uint64_t at = 0;
	buf_init(&out, 1 << 20);
	assert_int_equal(buf_add(&out, l->edits.prefix), 0);
	for (size_t i = 0; i < l->edits.n_cuts; i++) {
		const struct cut *c = &l->edits.cuts[i];
		assert_true(c->at >= at && c->bytes > 0 && c->at + c->bytes <= mail.n);
		assert_int_equal(
			buf_add(&out, slice_first(slice_from(mail, at), c->at - at)), 0);
		at = c->at + c->bytes;
	}
	assert_int_equal(buf_add(&out, slice_from(mail, at)), 0);
	struct slice all = arena_slice(l->arena, buf_slice(&out));
	buf_fini(&out);
	return all;
}

static void
test_mails(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(edit_cases) / sizeof(edit_cases[0]); i++) {
		const struct edit_case *c = &edit_cases[i];
		struct lab l;
		lab_open(&l, c->outbound, c->mail);
		while (l.verdict.n_effects < EFFECTS_MOST &&
			c->effects[l.verdict.n_effects].text.n != 0) {
			l.effects[l.verdict.n_effects] = &c->effects[l.verdict.n_effects];
			l.verdict.n_effects++;
		}
		lab_make(&l);
		struct slice got = leaves(&l, slice_of(c->mail));
		if (!slice_eq(got, slice_of(c->want)))
			fail_msg(
				"%s:\n%.*s\n--- wanted\n%s", c->label, SLICE_ARG(got), c->want);
		lab_close(&l);
	}
}

/* `hide received`: outbound, what others wrote goes whole, ours stays and says little. */
static void
test_hide_received(void **state)
{
	(void)state;
	static const char mail[] =
		"Received: from pc by inside.example.com; x\r\n"
		"received: from inside.example.com (by mx.example.com)\r\n\tby "
		"two.example.com\r\n"
		"\twith SMTP; x\r\n"
		"X-Received: from pc\r\n"
		"Received: from world.example by MX.example.com with ESMTP id 7; x\r\n" MAIL;
	static const char want[] =
		"Received: by mx.example.com with ESMTPSA id S1.1;\r\n\t" DATE "\r\n"
		"X-Received: from pc\r\n"
		"Received: from world.example by MX.example.com with ESMTP id 7; x\r\n" MAIL;
	for (int outbound = 0; outbound < 2; outbound++) {
		struct lab l;
		lab_open(&l, outbound, mail);
		struct conf_listener listener = *l.config.listener;
		listener.hide_received = true;
		l.config.listener = &listener;
		l.session.user = SLICE("alice");
		l.session.tls_version = SLICE("TLSv1.3");
		lab_make(&l);
		struct slice got = leaves(&l, slice_of(mail));
		if (outbound)
			assert_true(slice_eq(got, slice_of(want)));
		else /* an inbound side is left alone */
			assert_int_equal(l.edits.n_cuts, 0);
		lab_close(&l);
	}
}

/* RFC 3848, 6531: the word after `with`. */
static void
test_with(void **state)
{
	(void)state;
	static const struct {
		bool esmtp, tls, auth, utf8;
		const char *with;
	} rows[] = {
		{false, false, false, false, " with SMTP id "},
		{true, false, false, false, " with ESMTP id "},
		{true, true, false, false, " with ESMTPS id "},
		{true, false, true, false, " with ESMTPA id "},
		{true, true, true, false, " with ESMTPSA id "},
		{true, false, false, true, " with UTF8SMTP id "},
		{true, true, false, true, " with UTF8SMTPS id "},
		{true, false, true, true, " with UTF8SMTPA id "},
		{true, true, true, true, " with UTF8SMTPSA id "},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab l;
		lab_open(&l, false, MAIL);
		l.session.esmtp = rows[i].esmtp;
		if (rows[i].tls) {
			l.session.tls_version = SLICE("TLSv1.3");
			l.session.tls_cipher = SLICE("TLS_AES_256_GCM_SHA384");
		}
		l.session.user = rows[i].auth ? SLICE("alice") : SLICE_NONE;
		l.mail.params.smtputf8 = rows[i].utf8;
		lab_make(&l);
		struct slice p = l.edits.prefix;
		assert_true(slice_find_slice(p, slice_of(rows[i].with)) < p.n);
		assert_int_equal(
			slice_find_slice(p, SLICE("\r\n\t(using TLSv1.3 with cipher "
						  "TLS_AES_256_GCM_SHA384)\r\n\tby ")) < p.n,
			rows[i].tls);
		/* who is behind an account is not told in the trace */
		p = slice_from(p, slice_find_slice(p, SLICE("Received:")));
		assert_true(p.n != 0);
		assert_int_equal(slice_find_slice(p, SLICE("alice")), p.n);
		lab_close(&l);
	}
}

/* Whatever came: lines end in CRLF and nowhere else, are short enough, and parentheses balance.
 */
static void
assert_sane(struct slice prefix)
{
	struct slice rest = prefix;
	int depth = 0;
	while (rest.n != 0) {
		size_t end = slice_find_slice(rest, SLICE("\r\n"));
		assert_true(end < rest.n && end > 0 && end <= LINE_MOST);
		for (size_t i = 0; i < end; i++) {
			char c = rest.p[i];
			assert_true((c >= ' ' && c <= '~') || (c == '\t' && i == 0));
			depth += (c == '(') - (c == ')');
			assert_true(depth == 0 || depth == 1);
		}
		rest = slice_from(rest, end + 2);
	}
	assert_int_equal(depth, 0);
}

static void
test_hostile_helo(void **state)
{
	(void)state;
	char long_helo[1000];
	memset(long_helo, 'h', sizeof(long_helo));
	const struct {
		struct slice helo;
		const char *shown;
	} rows[] = {
		{SLICE("[192.0.2.9]"), "from [192.0.2.9] ("},
		{SLICE("[IPv6:2001:db8::1]"), "from [IPv6:2001:db8::1] ("},
		{SLICE("x\r\nX-Evil: yes"), "from x??X-Evil:?yes ("},
		{SLICE("a (b) by mx;"), "from a??b??by?mx? ("},
		{{"a\0b\x7f\xc3\xa4", 6}, "from a?b??? ("},
		{SLICE("\"<>,\\"), "from ????? ("},
		{{long_helo, sizeof(long_helo)}, "from hhhhhhhhhhhhhhhhhh"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab l;
		lab_open(&l, false, MAIL);
		l.session.helo = rows[i].helo;
		lab_make(&l);
		struct slice p = l.edits.prefix;
		assert_sane(p);
		if (slice_find_slice(p, slice_of(rows[i].shown)) == p.n)
			fail_msg("row %zu: %.*s", i, SLICE_ARG(p));
		lab_close(&l);
	}
}

/* The client's name comes from the DNS, where labels hold any byte. */
static void
test_client_name(void **state)
{
	(void)state;
	struct lab l;
	struct value v;
	struct questions *scope;
	struct question *q;
	lab_open(&l, false, MAIL);
	while (facts_read(l.facts, "client.name", SLICE_NONE, SIZE_MAX, COST_CHEAP, &v) ==
		FACT_OPEN) {
		q = facts_question(l.facts, &scope);
		assert_non_null(q);
		struct dns_rr rr = {.text = SLICE("mail.example.net"), .ip = l.session.client};
		struct dns_answer answer = {
			.status = q->type == DNS_AAAA ? DNS_NODATA : DNS_OK, .rr = &rr};
		answer.n = q->type != DNS_AAAA;
		q->state = QUESTION_ASKED;
		question_answer_dns(scope, q, &answer);
	}
	lab_make(&l);
	struct slice p = l.edits.prefix;
	assert_sane(p);
	assert_true(
		slice_find_slice(p,
			SLICE("from client.example (mail.example.net [192.0.2.1])\r\n")) < p.n);
	lab_close(&l);
}

static void
test_recipients(void **state)
{
	(void)state;
	static const struct {
		const char *rcpt;
		size_t n;
		const char *shown; /* NULL: no `for` */
	} rows[] = {
		{"bob@example.org", 1, "\r\n\tfor <bob@example.org>;\r\n"},
		{"bob@example.org", 2, NULL}, /* the others of a mail are nobody's business */
		{"\"a b>\\\"\"@example.org", 1, "\r\n\tfor <example.org>;\r\n"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab l;
		lab_open(&l, false, MAIL);
		assert_int_equal(address_parse(slice_of(rows[i].rcpt), false, l.arena,
					 &l.rcpts[0].address),
			ADDRESS_OK);
		l.mail.n_recipients = rows[i].n;
		lab_make(&l);
		struct slice p = l.edits.prefix;
		assert_sane(p);
		if (rows[i].shown != NULL)
			assert_true(slice_find_slice(p, slice_of(rows[i].shown)) < p.n);
		else
			assert_int_equal(slice_find_slice(p, SLICE("for <")), p.n);
		lab_close(&l);
	}
}

static void
test_addresses(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{"2001:db8::1", "client.example ([IPv6:2001:db8::1])\r\n"},
		{"::ffff:192.0.2.7", "client.example ([192.0.2.7])\r\n"}};
	for (size_t i = 0; i < 2; i++) {
		struct lab l;
		lab_open(&l, false, MAIL);
		assert_true(ip_parse(slice_of(rows[i][0]), &l.session.client));
		lab_make(&l);
		assert_true(slice_find_slice(l.edits.prefix, slice_of(rows[i][1])) <
			    l.edits.prefix.n);
		lab_close(&l);
	}
}

/* `sign` alone is for the author's domain; `sign as` for the one named. */
static void
test_signers(void **state)
{
	(void)state;
	static const struct rule as = {.action = ACTION_SIGN, .text = {"other.example", 13}};
	static const struct rule plain = {.action = ACTION_SIGN};
	struct lab l;
	lab_open(&l, true, MAIL);
	l.effects[0] = &as;
	l.effects[1] = &plain;
	l.verdict.n_effects = 2;
	lab_make(&l);
	assert_int_equal(l.edits.n_sign, 2);
	assert_true(slice_eq(l.edits.sign[0], SLICE("other.example")));
	assert_true(slice_eq(l.edits.sign[1], SLICE("example.net")));
	lab_close(&l);
}

#define SPAM_CONF                                                                         \
	"hostname \"mx.example.com\"\nlisten inbound on \"127.0.0.1:2525\"\n"             \
	"listen outbound on \"127.0.0.1:2587\" from { 127.0.0.0/8 }\n"                    \
	"domain \"example.org\" deliver to \"127.0.0.1:2526\"\nsend direct\n" SPAM_RULES( \
		"inbound") SPAM_RULES("outbound")
#define SPAM_RULES(block)                                              \
	block " {\ntag \"X-Spam-Flag: YES\" if size < 0 or spam > 0\n" \
	      "tag \"X-Domain: 1\" if spam.domain > 0 and size > 0\n"  \
	      "tag \"X-Other: 1\" if size > 0\nlog \"spam\" if spam > 0\naccept\n}\n"
#define OURS   "X-Spam-Evidence: mx.example.com; spam=0.001; model.site=-9.00\r\n"
#define OURS_2 "x-spam-evidence: (a) MX.Example.Com\r\n ; spam=0.001\r\n"
#define THEIRS "X-Spam-Evidence: other.example; spam=0.900\r\n"

/* The DNS answers that nothing is there. */
static void
answer_nothing(struct lab *l)
{
	static const struct dns_answer none = {.status = DNS_NXDOMAIN};
	struct questions *scope;
	struct question *q;
	while ((q = facts_question(l->facts, &scope)) != NULL) {
		q->state = QUESTION_ASKED;
		question_answer_dns(scope, q, &none);
	}
}

/* Beside a tag that asks the spam filter stands why; what others wrote in our name goes. */
static void
test_spam(void **state)
{
	static const struct {
		size_t rule; /* that takes effect */
		bool outbound, told, cut;
	} rows[] = {
		{0, false, true, true},
		{1, false, true, true},
		{2, false, false, true},
		{3, false, false, true}, /* a log line is no tag */
		{0, true, true, true},
		{2, true, false, false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab l;
		lab_open_with(&l, SPAM_CONF, rows[i].outbound, OURS THEIRS OURS_2 MAIL);
		l.effects[0] = policy_rule(l.config.policy, rows[i].rule);
		l.verdict.n_effects = 1;
		lab_mail(&l);
		unsigned rounds = 0;
		for (; !lab_edits(&l) && rounds < 10; rounds++)
			answer_nothing(&l);
		assert_true(rounds < 10);
		/* open at first: what the client is called, and what the DNS says of it */
		assert_int_equal(rounds > 0, rows[i].told && !rows[i].outbound);
		assert_sane(l.edits.prefix);
		struct slice p = l.edits.prefix;
		size_t at = slice_find_slice(
			p, SLICE("\r\nX-Spam-Evidence: mx.example.com; spam="));
		assert_int_equal(at < p.n, rows[i].told);
		struct slice got = leaves(&l, SLICE(OURS THEIRS OURS_2 MAIL));
		struct slice rest = slice_from(got, p.n);
		assert_true(slice_eq(rest,
			rows[i].cut ? SLICE(THEIRS MAIL) : SLICE(OURS THEIRS OURS_2 MAIL)));
		lab_close(&l);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mails),
		cmocka_unit_test(test_hide_received),
		cmocka_unit_test(test_with),
		cmocka_unit_test(test_hostile_helo),
		cmocka_unit_test(test_client_name),
		cmocka_unit_test(test_recipients),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_spam),
		cmocka_unit_test(test_signers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
