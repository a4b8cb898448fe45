/*
 * The fact `spam`: what is asked of the world and when, that no answer is needed, what of it
 * becomes evidence, and whose model is heard. Answers come from a table; what is not in it is
 * not there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "conf_text.h"
#include "filters/flt_spam.h"
#include "filters/spam_text.h"

enum { ASKED_MOST = 400, KNOWN_MOST = 20, ROUNDS_MOST = 40 };

#define FRAME                                                                 \
	"hostname \"mx.example.com\"\nlisten inbound on \"127.0.0.1:25\"\n"   \
	"listen outbound on \"127.0.0.1:26\" from { 10.0.0.0/8 }\n"           \
	"domain \"example.com\" deliver to \"127.0.0.1:27\"\n"                \
	"domain \"example.org\" deliver to \"127.0.0.1:27\"\nsend direct\n"   \
	"inbound {\ntag \"X-Spam: yes\" if spam > 0.5 or spam.domain > 0.5\n" \
	"accept\n}\noutbound {\ntag \"X-Spam: yes\" if spam > 0.5\naccept\n}\n"
#define SPOOL "spool \"/var/spool/postern\"\n"
#define LISTS                                                   \
	"filter spam {\nclient list \"zen.example\" weight 3\n" \
	"client list \"good.example\" weight -2\nlink list \"dbl.example\" weight 2.5\n}\n"
#define HEADER                                                        \
	"From: Ann <ann@sender.example>\r\nTo: bob@example.com\r\n"   \
	"Subject: hello\r\nDate: Sun, 22 Nov 2026 03:00:00 +0000\r\n" \
	"Message-ID: <1@sender.example>\r\n\r\n"
#define LINKS                                                              \
	"see http://www.shop.bad.co.uk/a and http://shop.bad.co.uk/b,\r\n" \
	"http://192.0.2.99/x http://www.example.com/ours http://other.example.net/\r\n"

/* What the DNS says; 0: NXDOMAIN, FAIL: nobody answers. */
#define FAIL 1
struct record {
	const char *name;
	uint32_t ip[2]; /* big end first; 0 ends */
};

struct lab {
	struct arena *arena;
	struct conf *conf;
	struct policy *policy;
	struct flt_session session;
	struct flt_mail mail;
	struct flt_recipient rcpts[2];
	struct message message;
	struct facts *facts;
	const struct record *records;
	bool silent;                  /* all of the DNS and the state fail */
	const char *seen[KNOWN_MOST]; /* keys that the state has */
	char asked[ASKED_MOST][300];  /* "A name", "STATE key" */
	size_t n_asked;
};

static void
lab_open(struct lab *l, const char *settings, enum direction d, const char *from)
{
	*l = (struct lab){.arena = arena_new(64 << 20)};
	struct conf_report report;
	conf_report_init(&report);
	l->conf = conf_text(
		arena_text(l->arena, arena_printf(l->arena, "%s%s", settings, FRAME)));
	filters_check(l->conf, &report);
	l->policy = policy_compile(l->conf, d, facts_all(), l->arena, &report);
	assert_int_equal(report.n_errors, 0);
	conf_report_fini(&report);
	l->session = (struct flt_session){
		.direction = d, .helo = SLICE("mail.sender.example"), .wall_ms = 1795316645000};
	assert_true(ip_parse(SLICE("192.0.2.1"), &l->session.client));
	l->mail.sender.is_null = from[0] == '\0';
	if (from[0] != '\0')
		assert_int_equal(address_parse(slice_of(from), true, l->arena, &l->mail.sender),
			ADDRESS_OK);
	static const char *const to[] = {"bob@example.com", "eve@example.org"};
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(
			address_parse(slice_of(to[i]), true, l->arena, &l->rcpts[i].address),
			ADDRESS_OK);
		l->rcpts[i].domain = conf_domain_find(l->conf, l->rcpts[i].address.domain);
	}
	l->mail.recipients = l->rcpts;
	l->facts = facts_new(l->conf, l->policy, &l->session);
	facts_helo(l->facts);
	facts_mail(l->facts, &l->mail);
	for (size_t i = 0; i < 2; i++)
		facts_rcpt(l->facts, &l->rcpts[i]);
	l->mail.n_recipients = 2;
	facts_data(l->facts);
}

static void
lab_close(struct lab *l)
{
	facts_mail_end(l->facts);
	facts_free(&l->facts);
	conf_free(&l->conf);
	arena_free(&l->arena);
}

static void
lab_header(struct lab *l)
{
	message_parse(SLICE(HEADER), l->conf->hostname, false, l->arena, &l->message);
	l->mail.message = &l->message;
	facts_header(l->facts);
}

/* In two pieces, as it may come. */
static void
lab_mail(struct lab *l, struct slice body)
{
	lab_header(l);
	facts_body(l->facts, slice_first(body, body.n / 2));
	facts_body(l->facts, slice_from(body, body.n / 2));
	facts_body_end(l->facts);
}

static void
answer_dns(struct lab *l, struct questions *scope, struct question *q)
{
	struct dns_rr rr[2] = {{.ip = {.family = 4}}, {.ip = {.family = 4}}};
	struct dns_answer a = {.status = l->silent ? DNS_FAIL : DNS_NXDOMAIN, .rr = rr};
	for (const struct record *r = l->records; r != NULL && r->name != NULL; r++) {
		if (q->type != DNS_A || !slice_eq(q->name, slice_of(r->name)))
			continue;
		a.status = r->ip[0] == FAIL ? DNS_FAIL : DNS_OK;
		for (; r->ip[0] != FAIL && a.n < 2 && r->ip[a.n] != 0; a.n++)
			for (unsigned b = 0; b < 4; b++)
				rr[a.n].ip.bytes[b] = (uint8_t)(r->ip[a.n] >> (24 - 8 * b));
	}
	question_answer_dns(scope, q, &a);
}

static void
answer_state(struct lab *l, struct questions *scope, struct question *q)
{
	struct state_answer a = {.status = l->silent ? STATE_FAILED : STATE_OK};
	assert_int_equal(q->op.kind, STATE_GET);
	assert_int_equal(q->op.space, STATE_MEMO);
	assert_int_equal(q->op.ttl_ms, UINT64_C(60) * 24 * 3600 * 1000);
	for (size_t i = 0; l->seen[i] != NULL; i++)
		a.yes |= slice_eq(q->op.key, slice_of(l->seen[i]));
	question_answer_state(scope, q, &a);
}

/* All that is open is answered; how many there were. */
static size_t
answer_all(struct lab *l)
{
	struct questions *scope;
	struct question *q;
	size_t n = 0;
	for (; (q = facts_question(l->facts, &scope)) != NULL; n++) {
		assert_true(l->n_asked < ASKED_MOST);
		char *text = l->asked[l->n_asked++];
		struct slice what = q->kind == QUESTION_DNS ? q->name : q->op.key;
		assert_true(q->kind == QUESTION_DNS || q->kind == QUESTION_STATE);
		snprintf(text, sizeof(l->asked[0]), "%s %.*s",
			q->kind == QUESTION_STATE ? "STATE" : dns_type_text(q->type),
			SLICE_ARG(what));
		q->state = QUESTION_ASKED;
		if (q->kind == QUESTION_DNS)
			answer_dns(l, scope, q);
		else
			answer_state(l, scope, q);
	}
	return n;
}

static bool
was_asked(const struct lab *l, const char *what)
{
	for (size_t i = 0; i < l->n_asked; i++)
		if (strcmp(l->asked[i], what) == 0)
			return true;
	return false;
}

static size_t
asked_with(const struct lab *l, const char *part)
{
	size_t n = 0;
	for (size_t i = 0; i < l->n_asked; i++)
		n += strstr(l->asked[i], part) != NULL;
	return n;
}

static double
spam_of(struct lab *l)
{
	struct value v;
	enum fact_state state = FACT_OPEN;
	for (int round = 0; state == FACT_OPEN && round < ROUNDS_MOST; round++) {
		state = facts_read(l->facts, "spam", SLICE_NONE, SIZE_MAX, COST_CHEAP, &v);
		if (state == FACT_OPEN)
			assert_true(answer_all(l) > 0);
	}
	assert_int_equal(state, FACT_KNOWN);
	assert_true(v.number >= 0 && v.number <= 1);
	assert_null(facts_question(l->facts, &(struct questions *){NULL}));
	return v.number;
}

/* What this weighs in the judgement, with that detail; 0: it is not in it. */
static double
weight_of(struct lab *l, const char *name, const char *detail)
{
	const struct spam_judgement *j = flt_spam_judgement(l->facts);
	assert_non_null(j);
	for (size_t i = 0; i < j->n_why; i++)
		if (strcmp(j->why[i].name, name) == 0 &&
			(detail == NULL || slice_eq(j->why[i].detail, slice_of(detail))))
			return j->why[i].weight;
	return 0;
}

/* All that can be asked is asked before the body, the names of its links behind it. */
static void
test_asked_at_once(void **state)
{
	static const char *const of_header[] = {"A 1.2.0.192.zen.example",
		"A 1.2.0.192.good.example", "PTR 1.2.0.192.in-addr.arpa", "TXT sender.example",
		"TXT _dmarc.sender.example", "STATE spam network 192.0.2.0/24",
		"STATE spam domain sender.example", "STATE spam sender ann@sender.example"};
	static const char *const of_body[] = {"A bad.co.uk.dbl.example",
		"A 99.2.0.192.dbl.example", "A example.net.dbl.example"};
	struct lab l;
	(void)state;
	lab_open(&l, SPOOL LISTS, INBOUND, "Ann@Sender.example");
	lab_header(&l);
	assert_null(flt_spam_judgement(l.facts));
	answer_all(&l);
	for (size_t i = 0; i < sizeof(of_header) / sizeof(of_header[0]); i++)
		if (!was_asked(&l, of_header[i]))
			fail_msg("%s was not asked with the header", of_header[i]);
	assert_int_equal(asked_with(&l, "dbl.example"), 0);
	facts_body(l.facts, SLICE(LINKS));
	facts_body_end(l.facts);
	(void)spam_of(&l);
	for (size_t i = 0; i < sizeof(of_body) / sizeof(of_body[0]); i++)
		if (!was_asked(&l, of_body[i]))
			fail_msg("%s was not asked", of_body[i]);
	assert_int_equal(asked_with(&l, "dbl.example"), 3); /* once each, never our own */
	assert_int_equal(asked_with(&l, "zen.example"), 1);
	lab_close(&l);
}

/* Nobody answers: it is what the mail itself says, and never a failure. */
static void
test_silence(void **state)
{
	struct lab l;
	(void)state;
	for (int answers = 0; answers < 2; answers++) {
		lab_open(&l, SPOOL LISTS, INBOUND, "ann@sender.example");
		l.silent = answers == 0;
		lab_mail(&l, SLICE(LINKS));
		(void)spam_of(&l);
		assert_true(weight_of(&l, "list.client", NULL) == 0);
		assert_true(weight_of(&l, "list.link", NULL) == 0);
		lab_close(&l);
	}
}

static void
test_listings(void **state)
{
	static const struct {
		const char *label;
		struct record records[3];
		double client, good, link;
	} rows[] = {
		{"nothing", {{NULL, {0}}}, 0, 0, 0},
		{"listed", {{"1.2.0.192.zen.example", {0x7f000002}}}, 3, 0, 0},
		{"welcome", {{"1.2.0.192.good.example", {0x7f000301}}}, 0, -2, 0},
		{"both",
			{{"1.2.0.192.zen.example", {0x7f000002, 0x7f00000a}},
				{"1.2.0.192.good.example", {0x7f000301}}},
			3, -2, 0},
		{"an error of the list", {{"1.2.0.192.zen.example", {0x7ffffffe}}}, 0, 0, 0},
		{"a wildcard", {{"1.2.0.192.zen.example", {0xc0000263}}}, 0, 0, 0},
		{"one of each", {{"1.2.0.192.zen.example", {0x7f000002, 0x7ffffffe}}}, 0, 0, 0},
		{"it fails", {{"1.2.0.192.zen.example", {FAIL}}}, 0, 0, 0},
		{"a link", {{"bad.co.uk.dbl.example", {0x7f000102}}}, 0, 0, 2.5},
		{"a link's error", {{"bad.co.uk.dbl.example", {0x7fffffff}}}, 0, 0, 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab l;
		lab_open(&l, SPOOL LISTS, INBOUND, "ann@sender.example");
		l.records = rows[i].records;
		lab_mail(&l, SLICE(LINKS));
		(void)spam_of(&l);
		double client = weight_of(&l, "list.client", "192.0.2.1 on zen.example"),
		       good = weight_of(&l, "list.client", "192.0.2.1 on good.example"),
		       link = weight_of(&l, "list.link", "bad.co.uk on dbl.example");
		if (client != rows[i].client || good != rows[i].good || link != rows[i].link)
			fail_msg("%s: %g %g %g", rows[i].label, client, good, link);
		lab_close(&l);
	}
}

/* What the administrator says a list is worth, and what all of them are. */
static void
test_weights(void **state)
{
	static const struct record records[] = {{"1.2.0.192.zen.example", {0x7f000002}}, {0}};
	static const struct {
		const char *weight;
		double want;
	} rows[] = {{"", 3}, {"weight \"list.client\" 0.5\n", 1.5},
		{"weight \"list.client\" 0\n", 0}, {"weight \"list.client\" -2\n", -6}};
	double sums[4];
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		char settings[300];
		struct lab l;
		snprintf(settings, sizeof(settings),
			"filter spam {\n%sclient list \"zen.example\" weight 3\n}\n",
			rows[i].weight);
		lab_open(&l, settings, INBOUND, "ann@sender.example");
		l.records = records;
		lab_mail(&l, SLICE(LINKS));
		(void)spam_of(&l);
		assert_true(weight_of(&l, "list.client", NULL) == rows[i].want);
		sums[i] = flt_spam_judgement(l.facts)->sum;
		lab_close(&l);
	}
	assert_true(sums[0] > sums[1] && sums[1] > sums[2] && sums[2] > sums[3]);
}

/* Of what our own people send: no client, no sender, its links alone. */
static void
test_outbound(void **state)
{
	struct lab l;
	(void)state;
	lab_open(&l, SPOOL LISTS, OUTBOUND, "ann@example.com");
	lab_mail(&l, SLICE(LINKS));
	(void)spam_of(&l);
	assert_int_equal(asked_with(&l, "dbl.example"), 3);
	assert_int_equal(l.n_asked, 3);
	lab_close(&l);
}

/* Without a spool there is no state; <> is nobody; a local client is none. */
static void
test_whom_it_knows(void **state)
{
	struct lab l;
	(void)state;
	lab_open(&l, "", INBOUND, "ann@sender.example");
	lab_mail(&l, SLICE(LINKS));
	(void)spam_of(&l);
	assert_int_equal(asked_with(&l, "STATE"), 0);
	lab_close(&l);
	lab_open(&l, SPOOL, INBOUND, "");
	lab_mail(&l, SLICE(LINKS));
	(void)spam_of(&l);
	assert_int_equal(asked_with(&l, "STATE"), 1);
	assert_true(was_asked(&l, "STATE spam network 192.0.2.0/24"));
	lab_close(&l);
	lab_open(&l, SPOOL LISTS, INBOUND, "ann@a.b.sender.example");
	l.session.client.family = 0;
	lab_mail(&l, SLICE(LINKS));
	(void)spam_of(&l);
	assert_int_equal(
		asked_with(&l, "STATE") + asked_with(&l, "zen.example") + asked_with(&l, "PTR"),
		0);
	lab_close(&l);
}

/* A sender that has written before speaks less for spam than one that nobody knows. */
static void
test_seen(void **state)
{
	double sums[3];
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct lab l;
		lab_open(&l, SPOOL, INBOUND, "ann@a.sender.example");
		if (i == 0) {
			l.seen[0] = "spam network 192.0.2.0/24";
			l.seen[1] = "spam domain sender.example";
			l.seen[2] = "spam sender ann@a.sender.example";
		}
		lab_mail(&l, SLICE(LINKS));
		/* silent state: not known is not new */
		l.silent = i == 2;
		(void)spam_of(&l);
		sums[i] = flt_spam_judgement(l.facts)->sum;
		lab_close(&l);
	}
	assert_true(sums[0] < sums[1]);
	assert_true(sums[2] < sums[1]);
}

/* A mail that is all links, and one that is huge: what is asked and read has its bounds. */
static void
test_bounds(void **state)
{
	struct lab l;
	struct buf b;
	(void)state;
	buf_init(&b, 4 << 20);
	for (int i = 0; i < 60; i++)
		buf_printf(&b, "http://www.many%d.example/\r\n", i);
	lab_open(&l, LISTS, INBOUND, "ann@sender.example");
	lab_mail(&l, buf_slice(&b));
	(void)spam_of(&l);
	assert_int_equal(asked_with(&l, "dbl.example"), 20);
	lab_close(&l);
	buf_clear(&b);
	while (buf_slice(&b).n < SPAM_BODY_MOST)
		buf_printf(&b, "plain words in a line, nothing to click on at all\r\n");
	buf_printf(&b, "http://www.late.example/\r\n");
	lab_open(&l, LISTS, INBOUND, "ann@sender.example");
	lab_header(&l);
	for (int i = 0; i < 100; i++)
		facts_body(l.facts, buf_slice(&b));
	facts_body_end(l.facts);
	(void)spam_of(&l);
	assert_int_equal(asked_with(&l, "dbl.example"), 0);
	lab_close(&l);
	buf_fini(&b);
}

static double
domain_of(struct lab *l, size_t rcpt)
{
	struct value v;
	assert_int_equal(facts_read(l->facts, "spam.domain", SLICE_NONE, rcpt, COST_CHEAP, &v),
		FACT_KNOWN);
	return v.number;
}

/* The site's model speaks of every mail, a domain's of its recipients' alone. */
static void
test_models(void **state)
{
	struct spam_weights *w = mem_new(sizeof(*w));
	struct spam_shared *s = mem_new(spam_shared_bytes());
	double without = 0;
	(void)state;
	w->ham = w->spam = 5000;
	for (int site = 0; site < 2; site++) {
		struct lab l;
		lab_open(&l, "filter spam { model for { \"example.org\" } }\n", INBOUND,
			"ann@sender.example");
		/* the domain's first, then half of it the site's */
		for (size_t i = 0; i < SPAM_WEIGHTS; i++)
			w->raw[i] = w->text[i] = SPAM_ONE / (site ? 512 : 256);
		assert_true(
			spam_shared_publish(s, site ? SLICE_NONE : SLICE("example.org"), w));
		assert_true(spam_shared_publish(s, SLICE("example.com"), w)); /* not named */
		l.session.spam = s;
		lab_mail(&l, SLICE(LINKS));
		double mail = spam_of(&l);
		assert_true(domain_of(&l, 0) == mail);
		assert_true(domain_of(&l, 1) > mail);
		if (site) {
			assert_true(mail > without);
			assert_true(weight_of(&l, "model.site", NULL) > 0);
		}
		without = mail;
		lab_close(&l);
	}
	mem_free(s);
	mem_free(w);
}

static void
test_why(void **state)
{
	static const struct record records[] = {{"1.2.0.192.zen.example", {0x7f000002}}, {0}};
	struct lab l;
	struct value v;
	bool found = false;
	(void)state;
	lab_open(&l, LISTS, INBOUND, "ann@sender.example");
	l.records = records;
	lab_mail(&l, SLICE(LINKS));
	(void)spam_of(&l);
	assert_int_equal(facts_read(l.facts, "spam.why", SLICE_NONE, SIZE_MAX, COST_CHEAP, &v),
		FACT_KNOWN);
	const struct spam_judgement *j = flt_spam_judgement(l.facts);
	assert_true(v.n_items == j->n_why && v.n_items > 0 && v.n_items <= SPAM_WHY_MOST);
	for (size_t i = 0; i < v.n_items; i++)
		found |= slice_eq(
			v.items[i].text, SLICE("list.client +3.00 (192.0.2.1 on zen.example)"));
	assert_true(found);
	facts_read(l.facts, "spam", SLICE_NONE, SIZE_MAX, COST_FREE, &v);
	assert_true(
		slice_find_slice(v.evidence,
			SLICE("list.client +3.00 (192.0.2.1 on zen.example)")) < v.evidence.n);
	lab_close(&l);
}

/* What no rule asks for is not gathered, and cannot be had behind the mail. */
static void
test_not_asked(void **state)
{
	struct arena *a = arena_new(16 << 20);
	struct conf_report report;
	struct flt_session session = {.direction = INBOUND};
	struct flt_mail mail = {.sender.is_null = true};
	struct message message;
	struct value v;
	(void)state;
	struct conf *conf =
		conf_text("hostname \"mx.example.com\"\n"
			  "listen inbound on \"127.0.0.1:25\"\n"
			  "domain \"example.com\" deliver to \"127.0.0.1:27\"\n" LISTS
			  "inbound {\nreject if size > 1M\naccept\n}\n");
	conf_report_init(&report);
	filters_check(conf, &report);
	struct policy *policy = policy_compile(conf, INBOUND, facts_all(), a, &report);
	assert_true(ip_parse(SLICE("192.0.2.1"), &session.client));
	struct facts *f = facts_new(conf, policy, &session);
	struct flt_recipient rcpt = {.domain = conf_domain_find(conf, SLICE("example.com"))};
	facts_helo(f);
	facts_mail(f, &mail);
	facts_rcpt(f, &rcpt);
	facts_data(f);
	message_parse(SLICE(HEADER), conf->hostname, false, a, &message);
	mail.message = &message;
	facts_header(f);
	facts_body_end(f);
	assert_null(facts_question(f, &(struct questions *){NULL}));
	assert_null(flt_spam_judgement(f));
	assert_int_equal(
		facts_read(f, "spam", SLICE_NONE, SIZE_MAX, COST_CHEAP, &v), FACT_FAILED);
	facts_mail_end(f);
	facts_free(&f);
	conf_report_fini(&report);
	conf_free(&conf);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_asked_at_once),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_listings),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_outbound),
		cmocka_unit_test(test_whom_it_knows),
		cmocka_unit_test(test_seen),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_models),
		cmocka_unit_test(test_why),
		cmocka_unit_test(test_not_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
