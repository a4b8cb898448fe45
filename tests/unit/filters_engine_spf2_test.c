/*
 * libspf2 behind its process, as the filter sees it: what is packed comes out again, cut
 * anywhere it is refused, and the fact follows `engine`, `compare` and a process that fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf_text.h"
#include "feed.h"
#include "filters/engine_spf2.h"
#include "filters/facts.h"

static void
requests_and_replies(void **state)
{
	(void)state;
	struct arena *a = arena_new(8 << 20);
	struct dns_rr rr[2] = {{.preference = 10, .text = SLICE("mx.example")}, {0}};
	assert_true(ip_parse(SLICE("2001:db8::1"), &rr[1].ip));
	struct engine_spf2_answer answers[2] = {
		{SLICE("a.example"), DNS_MX, {.status = DNS_OK, .n = 1, .rr = &rr[0]}},
		{SLICE("mx.example"), DNS_AAAA, {.status = DNS_OK, .n = 1, .rr = &rr[1]}}};
	struct engine_spf2_request in = {.helo = SLICE("h.example"),
					   .sender = SLICE("x@a.example"),
					   .hostname = SLICE("mx"),
					   .answers = answers,
					   .n_answers = 2},
				   out;
	assert_true(ip_parse(SLICE("192.0.2.1"), &in.client));
	struct slice bytes = engine_spf2_pack_request(&in, a);
	for (size_t cut = 0; cut < bytes.n; cut++) {
		struct guarded g = guarded_new(slice_first(bytes, cut));
		assert_false(engine_spf2_unpack_request(g.in, a, &out));
		guarded_free(&g);
	}
	assert_true(engine_spf2_unpack_request(bytes, a, &out));
	assert_true(ip_eq(&out.client, &in.client) && slice_eq(out.sender, in.sender));
	assert_int_equal(out.n_answers, 2);
	assert_int_equal(out.answers[0].answer.rr[0].preference, 10);
	assert_true(slice_eq(out.answers[0].answer.rr[0].text, SLICE("mx.example")));
	assert_true(ip_eq(&out.answers[1].answer.rr[0].ip, &rr[1].ip));

	struct engine_spf2_reply wants = {.wanted = answers, .n_wanted = 2}, reply;
	bytes = engine_spf2_pack_reply(&wants, a);
	for (size_t cut = 0; cut < bytes.n; cut++)
		assert_false(engine_spf2_unpack_reply(slice_first(bytes, cut), a, &reply));
	assert_true(engine_spf2_unpack_reply(bytes, a, &reply));
	assert_true(!reply.done && reply.n_wanted == 2 && reply.wanted[1].type == DNS_AAAA);
	assert_true(slice_eq(reply.wanted[0].name, SLICE("a.example")));
	struct engine_spf2_reply done = {
		.done = true, .result = SPFR_FAIL, .explanation = SLICE("no")};
	assert_true(engine_spf2_unpack_reply(engine_spf2_pack_reply(&done, a), a, &reply));
	assert_true(reply.done && reply.result == SPFR_FAIL &&
		    slice_eq(reply.explanation, SLICE("no")));
	assert_false(engine_spf2_unpack_reply(SLICE("\0\7\0\0"), a, &reply));
	assert_false(engine_spf2_unpack_reply(SLICE("\1\0\0"), a, &reply));
	/* what is too large is not sent */
	static char big[ENGINE_SPF2_BYTES_MOST];
	rr[0].text = (struct slice){big, 60000};
	answers[0].answer.n = 1;
	struct engine_spf2_answer many[8];
	for (size_t i = 0; i < 8; i++)
		many[i] = answers[0];
	in.answers = many;
	in.n_answers = 8;
	assert_int_equal(engine_spf2_pack_request(&in, a).n, 0);
	rr[0].text.n = 70000;
	in.n_answers = 1;
	assert_int_equal(engine_spf2_pack_request(&in, a).n, 0);
	arena_free(&a);
}

static const char around[] =
	"hostname \"mx.example.com\"\nlisten inbound on \"127.0.0.1:2525\"\n"
	"domain \"any.example\" deliver to \"127.0.0.1:26\"\ninbound { accept }\n";

/* The part of the other process: wants the TXT record, then says what the test told it to. */
static void
act(struct question *one, struct questions *q, struct arena *a, enum spf_result result,
	bool dies)
{
	struct engine_spf2_request request;
	struct engine_spf2_answer txt = {.name = SLICE("sender.example"), .type = DNS_TXT};
	assert_true(slice_eq(one->name, SLICE(ENGINE_SPF2_NAME)));
	assert_true(engine_spf2_unpack_request(one->input, a, &request));
	assert_true(slice_eq(request.sender, SLICE("a@sender.example")));
	struct engine_spf2_reply reply = {.wanted = &txt, .n_wanted = 1};
	if (request.n_answers != 0) {
		assert_true(
			slice_eq(request.answers[0].answer.rr[0].text, SLICE("v=spf1 -all")));
		reply = (struct engine_spf2_reply){.done = true, .result = result};
	}
	bool now = dies && request.n_answers != 0;
	question_answer_engine(q, one, now ? SLICE_NONE : engine_spf2_pack_reply(&reply, a));
}

static struct slice
gather(struct conf_filter setting, enum spf_result result, bool dies, struct arena *a,
	struct slice *evidence_out)
{
	struct conf *conf = conf_text(around);
	setting.name = SLICE("spf");
	conf->filters = &setting;
	conf->n_filters = 1;
	struct conf_report report;
	conf_report_init(&report);
	struct policy *policy = policy_compile(conf, INBOUND, facts_all(), a, &report);
	assert_non_null(policy);
	conf_report_fini(&report);
	struct flt_session session = {.helo = SLICE("h.example")};
	struct flt_mail mail = {0};
	struct value v;
	assert_true(ip_parse(SLICE("192.0.2.1"), &session.client));
	assert_int_equal(
		address_parse(SLICE("a@sender.example"), false, a, &mail.sender), ADDRESS_OK);
	struct facts *f = facts_new(conf, policy, &session);
	facts_mail(f, &mail);
	for (int runs = 0;
		facts_read(f, "spf", SLICE_NONE, SIZE_MAX, COST_CHEAP, &v) == FACT_OPEN;
		runs++) {
		struct questions *q;
		struct question *one = facts_question(f, &q);
		assert_true(runs < 10 && one != NULL);
		struct dns_rr rr = {.text = SLICE("v=spf1 -all")};
		if (one->kind == QUESTION_DNS)
			question_answer_dns(q, one,
				&(struct dns_answer){.status = DNS_OK, .n = 1, .rr = &rr});
		else
			act(one, q, a, result, dies);
	}
	struct slice word = arena_slice(a, v.text);
	*evidence_out = arena_slice(a, v.evidence);
	facts_free(&f);
	conf_free(&conf);
	return word;
}

static void
engine_and_compare(void **state)
{
	(void)state;
	const struct conf_filter none = {0}, engine = {.engine = SLICE(ENGINE_SPF2_NAME)};
	const struct conf_filter compare = {.compare = SLICE(ENGINE_SPF2_NAME)};
	struct arena *a = arena_new(8 << 20);
	struct slice evidence, differs = SLICE("libspf2 says neutral");
	assert_true(slice_eq(gather(none, SPFR_PASS, true, a, &evidence), SLICE("fail")));
	assert_true(
		slice_eq(gather(engine, SPFR_NEUTRAL, false, a, &evidence), SLICE("neutral")));
	assert_true(
		slice_eq(gather(engine, SPFR_NEUTRAL, true, a, &evidence), SLICE("temperror")));
	assert_true(
		slice_eq(gather(compare, SPFR_NEUTRAL, false, a, &evidence), SLICE("fail")));
	assert_true(slice_ends(evidence, differs));
	assert_true(slice_eq(gather(compare, SPFR_FAIL, false, a, &evidence), SLICE("fail")));
	assert_true(slice_find_slice(evidence, SLICE("libspf2")) == evidence.n);
	assert_true(slice_eq(gather(compare, SPFR_FAIL, true, a, &evidence), SLICE("fail")));
	assert_true(slice_ends(evidence, SLICE("libspf2 says temperror")));
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_and_replies),
		cmocka_unit_test(engine_and_compare),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
