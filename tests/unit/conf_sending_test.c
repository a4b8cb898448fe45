/*
 * `send`, `queue` and what rules do with a mail in custody: every form as the snapshot's
 * fields, the defaults, and the errors of statements that may stand once only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/conf.h"

#define FRAME                                                      \
	"hostname \"mx.example.com\"\n"                            \
	"spool \"/var/spool/postern\"\n"                           \
	"listen outbound on \"127.0.0.1:25\" from { 127.0.0.1 }\n" \
	"outbound {\n"

static struct conf *
read_with(const char *rules, const char *statement, struct conf_report *r)
{
	char text[2048], path[64];
	int fd = memfd_create("conf", 0);
	assert_true(fd >= 0);
	int n = snprintf(text, sizeof(text), FRAME "%saccept }\n%s\n", rules, statement);
	assert_true(n > 0 && (size_t)n < sizeof(text));
	assert_int_equal(write(fd, text, (size_t)n), n);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	conf_report_init(r);
	struct conf *c = conf_read(path, r);
	close(fd);
	return c;
}

static struct conf *
read_right(const char *rules, const char *statement)
{
	struct conf_report r;
	struct conf *c = read_with(rules, statement, &r);
	if (c == NULL || r.n != 0)
		fail_msg("%s%s: %s", rules, statement, r.problems[0].text);
	conf_report_fini(&r);
	return c;
}

#define SMARTHOST "smarthost \"relay.example:587\""

static void
test_send(void **state)
{
	static const struct {
		const char *text;
		enum send_way way;
		bool queued, at_rcpt, tls;
		size_t hops;
		unsigned after;
		uint64_t failures, mail_ms, connection_ms;
	} cases[] = {
		{"send direct", SEND_DIRECT, 0, 0, 0, 0, 0, 0, 8000, 30000},
		{"send " SMARTHOST, SEND_SMARTHOST, 0, 0, 0, 1, 0, 0, 8000, 30000},
		{"send queued", SEND_DIRECT, 1, 0, 0, 0, 0, 0, 8000, 30000},
		{"send queued direct", SEND_DIRECT, 1, 0, 0, 0, 0, 0, 8000, 30000},
		{"send queued " SMARTHOST " then \"b.example\" tls required", SEND_SMARTHOST, 1,
			0, 1, 2, 0, 0, 8000, 30000},
		{"send direct then " SMARTHOST, SEND_DIRECT_THEN_SMARTHOST, 0, 0, 0, 1,
			SEND_AFTER_LISTED, 2, 8000, 30000},
		{"send direct\n\tthen " SMARTHOST "\n\tthen \"b.example\" tls required after "
		 "1 failure answer at rcpt",
			SEND_DIRECT_THEN_SMARTHOST, 0, 1, 1, 2, 0, 1, 8000, 30000},
		{"send queued direct then " SMARTHOST " after 4xx, dns, tls,\n connect, listed",
			SEND_DIRECT_THEN_SMARTHOST, 1, 0, 0, 1,
			SEND_AFTER_4XX | SEND_AFTER_DNS | SEND_AFTER_TLS | SEND_AFTER_CONNECT |
				SEND_AFTER_LISTED,
			0, 8000, 30000},
		{"send direct then " SMARTHOST " after 100 failures, connect",
			SEND_DIRECT_THEN_SMARTHOST, 0, 0, 0, 1, SEND_AFTER_CONNECT, 100, 8000,
			30000},
		{"send direct answer within 5s per mail, 20s per connection", SEND_DIRECT, 0, 0,
			0, 0, 0, 0, 5000, 20000},
		{"send direct answer within 20s per connection, 5s per mail answer at rcpt",
			SEND_DIRECT, 0, 1, 0, 0, 0, 0, 5000, 20000},
		{"send direct answer within 1m per mail", SEND_DIRECT, 0, 0, 0, 0, 0, 0, 60000,
			60000},
		{"send direct answer within 3s per connection", SEND_DIRECT, 0, 0, 0, 0, 0, 0,
			3000, 3000},
		{"send direct answer within 10m per connection", SEND_DIRECT, 0, 0, 0, 0, 0, 0,
			8000, 600000},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf *c = read_right("", cases[i].text);
		const struct conf_send *s = &c->send;
		if (s->way != cases[i].way || s->queued != cases[i].queued ||
			s->answer_at_rcpt != cases[i].at_rcpt ||
			s->smarthosts.tls_required != cases[i].tls ||
			s->smarthosts.n != cases[i].hops || s->after != cases[i].after ||
			s->after_failures != cases[i].failures ||
			s->wait_mail_ms != cases[i].mail_ms ||
			s->wait_connection_ms != cases[i].connection_ms)
			fail_msg("%s: way %d queued %d rcpt %d hops %zu after %x failures %llu "
				 "wait %llu %llu",
				cases[i].text, s->way, s->queued, s->answer_at_rcpt,
				s->smarthosts.n, s->after,
				(unsigned long long)s->after_failures,
				(unsigned long long)s->wait_mail_ms,
				(unsigned long long)s->wait_connection_ms);
		conf_free(&c);
	}
}

/* Each is the only problem of its configuration. */
static void
test_errors(void **state)
{
	static const struct {
		const char *text;
		unsigned column;
		const char *want;
	} cases[] = {
		{"send queud direct", 6,
			"expected \"direct\", \"smarthost\" or \"queued\", found \"queud\" "
			"(did you mean \"queued\"?)"},
		{"send queued queued", 13, "\"queued\" is no setting of send"},
		{"send queued answer within 8s per mail", 13,
			"\"answer within\" and \"send queued\" exclude each other: what is "
			"queued is answered at once"},
		{"send queued direct answer at rcpt", 1,
			"\"answer at rcpt\" and \"send queued\" exclude each other: what is "
			"queued is answered before the far side is asked"},
		{"send direct after listed", 13,
			"\"after\" belongs to \"send direct then smarthost\""},
		{"send " SMARTHOST " after listed", 36,
			"\"after\" belongs to \"send direct then smarthost\""},
		{"send direct then relay \"b\"", 18, "expected \"smarthost\", found \"relay\""},
		{"send direct then " SMARTHOST " after", 53,
			"expected \"listed\", \"connect\", \"tls\", \"dns\", \"4xx\" or a "
			"number of failures, found the end of the line"},
		{"send direct then " SMARTHOST " after lsited", 54,
			"expected \"listed\", \"connect\", \"tls\", \"dns\", \"4xx\" or a "
			"number of failures, found \"lsited\" (did you mean \"listed\"?)"},
		{"send direct then " SMARTHOST " after listed, tls, listed", 67,
			"\"listed\" stands a second time behind \"after\""},
		{"send direct then " SMARTHOST " after 2 failures, 3 failures", 66,
			"\"failures\" stands a second time behind \"after\""},
		{"send direct then " SMARTHOST " after 0 failures", 54,
			"\"after\" takes 1 to 100 failures"},
		{"send direct then " SMARTHOST " after 101 failures", 54,
			"\"after\" takes 1 to 100 failures"},
		{"send direct then " SMARTHOST " after 1.5 failures", 54,
			"\"after\" takes 1 to 100 failures"},
		{"send direct then " SMARTHOST " after 5m", 54,
			"expected a number of failures, as in 2 failures, found \"5m\""},
		{"send direct then " SMARTHOST " after 2 mails", 56,
			"expected \"failures\", found \"mails\""},
		{"send direct answer within 8s per mail, 5s per connection", 1,
			"\"answer within\" leaves a connection less time than one mail"},
		{"send direct answer within 8s per mail, 9s per mail", 47,
			"\"per mail\" stands a second time"},
		{"send direct answer within 999ms per mail", 27,
			"\"answer within\" must be 1s to 10m"},
		{"send direct answer within 11m per connection", 27,
			"\"answer within\" must be 1s to 10m"},
		{"send direct answer within 8s per message", 34,
			"expected \"mail\" or \"connection\", found \"message\""},
		{"send direct answer within 8s per mail,", 1,
			"expected a duration, as in 8s, found the end of the file"},
		{"send direct\nqueue { retry after 2h, up to 1h }", 9,
			"\"retry after\" is longer than its \"up to\""},
		{"send direct\nqueue { retry after 5h }", 9,
			"\"retry after\" is longer than its \"up to\""},
		{"send direct\nqueue { retry after 25h, up to 2d }", 21,
			"\"retry after\" must be 1s to 1d"},
		{"send direct\nqueue { retry after 5m, up to 49h }", 31,
			"\"up to\" must be 1s to 2d"},
		{"send direct\nqueue { retry after 5m, 4h }", 25,
			"expected \"up\", found \"4h\""},
		{"send direct\nqueue { lifetime 5m }", 1,
			"\"retry after\" is not shorter than \"lifetime\": nothing is tried "
			"again"},
		{"send direct\nqueue { lifetime 4h }", 1,
			"\"delay notice\" is not shorter than \"lifetime\": none is ever sent"},
	};
	size_t failed = 0;
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf_report r;
		struct conf *c = read_with("", cases[i].text, &r);
		if (r.n != 1 || strcmp(r.problems[0].text, cases[i].want) != 0 ||
			r.problems[0].at.column != cases[i].column) {
			print_message("%s: %zu problems, column %u: %s\n", cases[i].text, r.n,
				r.n != 0 ? r.problems[0].at.column : 0,
				r.n != 0 ? r.problems[0].text : "");
			failed++;
		}
		conf_free(&c);
		conf_report_fini(&r);
	}
	assert_int_equal(failed, 0);
}

static void
test_queue(void **state)
{
	(void)state;
	struct conf *c = read_right("", "send direct");
	const struct conf_queue *q = &c->queue;
	assert_int_equal(q->retry_ms, 5 * 60000);
	assert_int_equal(q->retry_most_ms, 4 * 3600000);
	assert_int_equal(q->lifetime_ms, 5 * 86400000);
	assert_int_equal(q->delay_notice_ms, 4 * 3600000);
	assert_int_equal(q->attempts, 200);
	assert_int_equal(q->quarantine_ms, 14 * 86400000);
	assert_int_equal(q->quarantine_bytes, UINT64_C(10) << 30);
	assert_int_equal(q->failure_rules.n, 0);
	assert_true(slice_eq(c->spool, SLICE("/var/spool/postern")));
	conf_free(&c);
	char text[512];
	assert_non_null(getenv("POSTERN_SOURCE"));
	snprintf(text, sizeof(text),
		"send direct\nqueue {\n\tretry after 1s up to 20s lifetime 30s\n"
		"\tdelay notice 10s attempts 7\n\tquarantine 1m quarantine size 5M\n"
		"\tfailure rules \"%s/tests/conf/failure.rules\"\n}",
		getenv("POSTERN_SOURCE"));
	c = read_right("", text);
	q = &c->queue;
	assert_int_equal(q->retry_ms, 1000);
	assert_int_equal(q->retry_most_ms, 20000);
	assert_int_equal(q->lifetime_ms, 30000);
	assert_int_equal(q->delay_notice_ms, 10000);
	assert_int_equal(q->attempts, 7);
	assert_int_equal(q->quarantine_ms, 60000);
	assert_int_equal(q->quarantine_bytes, 5 << 20);
	assert_true(slice_starts(q->failure_rules, SLICE("/")));
	assert_true(slice_ends(q->failure_rules, SLICE("/tests/conf/failure.rules")));
	conf_free(&c);
}

static void
test_rules(void **state)
{
	(void)state;
	struct conf *c =
		read_right("quarantine if size > 1\nquarantine \"a.b-c_9\"\n"
			   "hold for 90m if size > 1\nhold until \"00:00\"\n"
			   "hold until \"23:59\" if size > 1\n"
			   "route to \"[2001:db8::7]:2525\" if size > 1\n"
			   "route to mx \"Big.example\"\nroute to \"lmtp:/run/x\"\n"
			   "route to balanced {\"a.example\"   mx \"b.example\",\n"
			   "\t\"lmtp:c.example:24\" }\ntry quarantine \"x\" if size > 1\n",
			"send direct");
	const struct rule *r = c->outbound.rules;
	assert_int_equal(c->outbound.n_rules, 11);
	assert_int_equal(r[0].action, ACTION_QUARANTINE);
	assert_int_equal(r[0].text.n, 0);
	assert_int_equal(r[0].cond->kind, COND_TEST);
	assert_true(slice_eq(r[1].text, SLICE("a.b-c_9")));
	assert_int_equal(r[2].action, ACTION_HOLD);
	assert_int_equal(r[2].hold_ms, 90 * 60000);
	assert_int_equal(r[2].hold_until, 0);
	assert_int_equal(r[3].hold_until, 1);
	assert_int_equal(r[3].hold_ms, 0);
	assert_int_equal(r[4].hold_until, 23 * 60 + 59 + 1);
	assert_int_equal(r[4].cond->kind, COND_TEST);
	assert_int_equal(r[5].action, ACTION_ROUTE);
	assert_int_equal(r[5].route->n, 1);
	assert_int_equal(r[5].route->hops[0].port, 2525);
	assert_true(slice_eq(r[5].text, SLICE("[2001:db8::7]:2525")));
	assert_int_equal(r[6].route->hops[0].kind, HOP_MX);
	assert_true(slice_eq(r[6].route->hops[0].host, SLICE("big.example")));
	assert_true(slice_eq(r[6].text, SLICE("mx \"Big.example\"")));
	assert_int_equal(r[7].route->hops[0].kind, HOP_LMTP_PATH);
	assert_int_equal(r[8].route->hops[0].n_items, 3);
	assert_true(slice_eq(r[8].text, SLICE("balanced { \"a.example\" mx \"b.example\" "
					      "\"lmtp:c.example:24\" }")));
	assert_true(r[9].try_only && r[9].action == ACTION_QUARANTINE);
	conf_free(&c);
}

/* Of a site and a domain: what they say of custody. */
static void
test_sites(void **state)
{
	(void)state;
	struct conf *c = read_right("",
		"send direct\ndestination \"a.example\" { rate 3000/hour }\n"
		"destination \"b.example\" { rate 1/second connections 3 }\n"
		"destination \"c.example\" { }\n"
		"domain \"in.example\" deliver to \"10.0.0.1\" hold when unreachable\n"
		"domain \"out.example\" deliver to \"10.0.0.1\"");
	assert_int_equal(c->destinations[0].rate, 3000);
	assert_int_equal(c->destinations[0].rate_ms, 3600000);
	assert_int_equal(c->destinations[0].connections, 20);
	assert_int_equal(c->destinations[1].rate, 1);
	assert_int_equal(c->destinations[1].rate_ms, 1000);
	assert_int_equal(c->destinations[2].rate, 0);
	assert_true(conf_domain_find(c, SLICE("in.example"))->hold_when_unreachable);
	assert_false(conf_domain_find(c, SLICE("out.example"))->hold_when_unreachable);
	conf_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_send),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_queue),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_sites),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
