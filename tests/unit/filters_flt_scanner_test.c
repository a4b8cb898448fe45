/*
 * The facts of a scan, by the rules that use them: what a report makes true, false and failed;
 * what a scan is asked for; one element of the attachments at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf_text.h"
#include "filters/facts.h"

#define AROUND                                                                \
	"hostname \"mx.example.com\"\n"                                       \
	"listen inbound on \"127.0.0.1:2525\"\n"                              \
	"domain \"any.example\" deliver to \"127.0.0.1:26\" recipients any\n" \
	"pattern cards /[0-9]{16}/ luhn\n"                                    \
	"pattern names words { \"blue harbour\" }\n"

static struct scan_attachment attachments[] = {
	{.name = {"a.zip", 5},
		.type = {"application/zip", 15},
		.bytes = 100,
		.encrypted = true,
		.hashed = true,
		.sha256 = {0xab, 0xcd, [31] = 0x01}},
	{.name = {"b.txt", 5}, .type = {"text/plain", 10}, .bytes = 5000},
};
#define HASH                                                       \
	"abcd"                                                     \
	"00000000000000000000000000000000000000000000000000000000" \
	"0001"

static const struct scan_report clean = {.attachments = attachments, .n_attachments = 2},
				both = {.status = SCAN_INFECTED,
					.virus = {"Eicar", 5},
					.reason = SCAN_REASON_BYTES},
				infected = {.status = SCAN_INFECTED, .virus = {"Eicar", 5}},
				failed = {.status = SCAN_FAILED},
				deep = {.status = SCAN_UNSCANNABLE,
					.reason = SCAN_REASON_DEPTH,
					.attachments = attachments,
					.n_attachments = 2},
				limit = {.status = SCAN_UNSCANNABLE,
					.reason = SCAN_REASON_PATTERN,
					.text_unread = true,
					.attachments = attachments,
					.n_attachments = 2},
				unread = {.text_unread = true, .encrypted = true},
				matched = {.text_unread = true, .patterns = {3}},
				second = {.patterns = {0, 1}};

/* true, false, failed. */
static const struct {
	const char *condition;
	const struct scan_report *report;
	char is;
} rows[] = {
	{"virus", &clean, 'f'},
	{"virus", &infected, 't'},
	{"virus", &failed, '?'},
	{"virus", &deep, '?'},
	{"virus", &limit, 'f'},
	{"virus", &unread, 'f'},
	{"virus.name is \"Eicar\"", &infected, 't'},
	{"virus.name is \"\"", &clean, 't'},
	{"unscannable", &both, 't'},
	{"virus", &both, 't'},
	{"unscannable.reason is bytes", &both, 't'},
	{"encrypted", &both, '?'},
	{"body contains cards", &both, '?'},
	{"unscannable", &infected, 'f'},
	{"unscannable", &clean, 'f'},
	{"unscannable", &deep, 't'},
	{"unscannable", &failed, '?'},
	{"unscannable.reason is depth", &deep, 't'},
	{"unscannable.reason is none", &clean, 't'},
	{"unscannable.reason is pattern", &limit, 't'},
	{"unscannable.reason is bytes", &failed, '?'},
	{"encrypted", &clean, 'f'},
	{"encrypted", &unread, 't'},
	{"encrypted", &deep, '?'},
	{"encrypted", &failed, '?'},
	{"text.unread", &clean, 'f'},
	{"text.unread", &unread, 't'},
	{"text.unread", &deep, 't'},
	{"text.unread", &limit, 't'},
	{"text.unread", &failed, '?'},
	{"body contains cards", &clean, 'f'},
	{"body contains cards", &matched, 't'},
	{"body contains cards", &unread, '?'},
	{"body contains cards", &limit, '?'},
	{"body contains cards", &failed, '?'},
	{"body contains cards", &second, 'f'},
	{"body contains cards or body contains names", &second, 't'},
	{"attachment.name matches \"*.zip\"", &clean, 't'},
	{"attachment.name matches \"*.zip\"", &deep, 't'},
	{"attachment.name matches \"*.exe\"", &clean, 'f'},
	{"attachment.name matches \"*.exe\"", &deep, '?'},
	{"attachment.name matches \"*.exe\"", &limit, 'f'},
	{"attachment.type is \"text/plain\"", &clean, 't'},
	{"attachment.size > 4999", &clean, 't'},
	{"attachment.size > 5000", &clean, 'f'},
	{"attachment.sha256 is \"" HASH "\"", &clean, 't'},
	{"attachment.sha256 is \"abcd\"", &clean, 'f'},
	{"attachment.encrypted", &clean, 't'},
	{"attachment.encrypted", &unread, 'f'},
	{"any attachment { name is \"a.zip\" and encrypted }", &clean, 't'},
	{"any attachment { name is \"b.txt\" and encrypted }", &clean, 'f'},
	{"any attachment { encrypted and size > 1000 }", &clean, 'f'},
	{"any attachment { not encrypted and size > 1000 }", &clean, 't'},
	{"any attachment { sha256 is \"" HASH "\" and type is \"application/zip\" }", &clean,
		't'},
	{"any attachment { sha256 is \"" HASH "\" and type is \"text/plain\" }", &clean, 'f'},
};

/* How the rule is decided with that report as the answer. */
static char
decided(struct conf *conf, struct policy *policy, struct arena *a, const struct scan_report *r)
{
	const struct policy_subject subject = {false};
	struct flt_session session = {.helo = SLICE("one.example")};
	struct message m;
	struct flt_mail mail = {.bytes = 10, .message = &m};
	struct flt_recipient recipient = {.domain = NULL};
	struct questions *scope;
	struct verdict v;
	assert_true(ip_parse(SLICE("192.0.2.1"), &session.client));
	struct facts *f = facts_new(conf, policy, &session);
	assert_int_equal(
		address_parse(SLICE("a@one.example"), false, a, &mail.sender), ADDRESS_OK);
	facts_mail(f, &mail);
	assert_int_equal(address_parse(SLICE("x@any.example"), false, a, &recipient.address),
		ADDRESS_OK);
	size_t n = facts_rcpt(f, &recipient);
	message_parse(SLICE("From: <a@one.example>\r\n\r\n"), SLICE("mx"), false, a, &m);
	facts_data(f);
	facts_header(f);
	facts_body_end(f);
	facts_eval(f, n, &subject, a, &v);
	struct question *one = facts_question(f, &scope);
	assert_true(!v.decided && one != NULL && one->kind == QUESTION_SCAN);
	one->state = QUESTION_ASKED;
	question_answer_scan(scope, one, r);
	facts_eval(f, n, &subject, a, &v);
	assert_true(v.decided);
	char is = v.action == ACTION_REJECT ? 't' : v.action == ACTION_ACCEPT ? 'f' : '?';
	facts_free(&f);
	return is;
}

static struct policy *
compile(struct conf *conf, struct arena *a)
{
	struct conf_report report;
	conf_report_init(&report);
	struct policy *p = policy_compile(conf, INBOUND, facts_all(), a, &report);
	if (p == NULL)
		fail_msg("%s", report.problems[0].text);
	conf_report_fini(&report);
	return p;
}

static void
test_facts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[2000];
		struct arena *a = arena_new(16 << 20);
		snprintf(text, sizeof(text), AROUND "inbound {\nreject if %s\naccept }\n",
			rows[i].condition);
		struct conf *conf = conf_text(text);
		struct policy *p = compile(conf, a);
		char is = decided(conf, p, a, rows[i].report);
		if (is != rows[i].is)
			fail_msg("%zu, %s: %c", i, rows[i].condition, is);
		arena_free(&a);
		conf_free(&conf);
	}
}

/* `filter NAME { on failure skip }` is of the facts of that name, and of no others. */
static void
test_skipped(void **state)
{
	static const struct {
		const char *name, *condition;
		char is;
	} skips[] = {
		{"encrypted", "encrypted", 'f'},
		{"encrypted", "attachment.encrypted", '?'},
		{"unscannable", "unscannable", 'f'},
		{"unscannable", "unscannable.reason is bytes", 'f'},
		{"text", "text.unread", 'f'},
		{"text", "body contains cards", '?'},
		{"body", "body contains cards", 'f'},
		{"attachment", "attachment.encrypted", 'f'},
		{"attachment", "encrypted", '?'},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(skips) / sizeof(skips[0]); i++) {
		char text[2000];
		struct arena *a = arena_new(16 << 20);
		snprintf(text, sizeof(text),
			AROUND "filter %s { on failure skip }\n"
			       "inbound {\nreject if %s\naccept }\n",
			skips[i].name, skips[i].condition);
		struct conf *conf = conf_text(text);
		char is = decided(conf, compile(conf, a), a, &failed);
		if (is != skips[i].is)
			fail_msg("%s, %s: %c", skips[i].name, skips[i].condition, is);
		arena_free(&a);
		conf_free(&conf);
	}
}

/* No more is scanned for than the rules ask. */
static void
test_wants(void **state)
{
	static const struct {
		const char *condition;
		unsigned want;
	} asked[] = {
		{"sender is \"a@b.example\"", 0},
		{"virus", SCAN_WANT_VIRUS},
		{"attachment.name matches \"*.exe\"", SCAN_WANT_ATTACHMENTS},
		{"any attachment { encrypted }", SCAN_WANT_ATTACHMENTS},
		{"encrypted", SCAN_WANT_ATTACHMENTS},
		{"attachment.sha256 is \"x\"", SCAN_WANT_ATTACHMENTS | SCAN_WANT_HASHES},
		{"text.unread", SCAN_WANT_PATTERNS},
		{"body contains cards", SCAN_WANT_PATTERNS},
		{"unscannable.reason is time", SCAN_WANT_VIRUS | SCAN_WANT_ATTACHMENTS},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		char text[1000];
		struct arena *a = arena_new(16 << 20);
		snprintf(text, sizeof(text), AROUND "inbound {\nreject if %s\naccept }\n",
			asked[i].condition);
		struct conf *conf = conf_text(text);
		assert_int_equal(flt_scan_wants(compile(conf, a)), asked[i].want);
		arena_free(&a);
		conf_free(&conf);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_skipped),
		cmocka_unit_test(test_wants),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
