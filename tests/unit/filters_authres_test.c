/*
 * Authentication-Results: ours in full, hostile values that stay within their quotes (HDR-05),
 * and forged fields with our name in whatever spelling (HDR-04).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "feed.h"
#include "filters/authres.h"

static void
test_field(void **state)
{
	(void)state;
	static const struct authres_result results[] = {
		{.method = "spf",
			.result = "pass",
			.property = {{"smtp.mailfrom", SLICE("joe+x@example.com")}},
			.n = 1},
		{.method = "dkim",
			.result = "fail",
			.reason = SLICE("the body was changed"),
			.property = {{"header.d", SLICE("example.com")},
				{"header.s", SLICE("s2026")}, {"header.a", SLICE("rsa-sha256")},
				{"header.b", SLICE("ab/cd+e=")}},
			.n = 4},
		{.method = "dmarc",
			.result = "pass",
			.property = {{"header.from", SLICE("example.com")}},
			.n = 1},
	};
	struct arena *a = arena_new(1 << 20);
	struct slice all = authres_field(SLICE("mx.example.com"), results, 3, a);
	assert_string_equal(all.p,
		"Authentication-Results: mx.example.com;\r\n"
		"\tspf=pass smtp.mailfrom=joe+x@example.com;\r\n"
		"\tdkim=fail reason=\"the body was changed\" header.d=example.com\r\n"
		"\theader.s=s2026 header.a=rsa-sha256 header.b=\"ab/cd+e=\";\r\n"
		"\tdmarc=pass header.from=example.com\r\n");
	struct slice none = authres_field(SLICE("mx.example.com"), NULL, 0, a);
	assert_string_equal(none.p, "Authentication-Results: mx.example.com; none\r\n");
	arena_free(&a);
}

static const struct {
	struct slice value;
	const char *written;
} values[] = {
	{SLICE("example.com"), "example.com"},
	{SLICE("a.b-c_d@example.com"), "a.b-c_d@example.com"},
	{SLICE("[192.0.2.1]"), "\"[192.0.2.1]\""},
	{SLICE("2001:db8::1"), "\"2001:db8::1\""},
	{SLICE("a@b@c"), "\"a@b@c\""},
	{SLICE("a(.example.com"), "\"a(.example.com\""},
	{SLICE("a'@b"), "\"a'@b\""},
	{SLICE("x; dkim=pass"), "\"x; dkim=pass\""},
	{SLICE("x\"; dkim=pass \""), "\"x\\\"; dkim=pass \\\"\""},
	{SLICE("x\\"), "\"x\\\\\""},
	{SLICE("x\r\nSubject: y"), "\"x??Subject: y\""},
	{SLICE("x\0.example.com"), "\"x?.example.com\""},
	{SLICE("\303\251"), "\"??\""},
};

static void
test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct arena *a = arena_new(1 << 20);
		struct authres_result r = {.method = "spf",
			.result = "pass",
			.property = {{"smtp.helo", values[i].value}},
			.n = 1};
		struct slice field = authres_field(SLICE("mx"), &r, 1, a);
		struct slice expect = arena_printf(a,
			"Authentication-Results: mx;\r\n\tspf=pass smtp.helo=%s\r\n",
			values[i].written);
		assert_string_equal(field.p, expect.p);
		arena_free(&a);
	}
}

/* The reason is a word or quoted, never a bare address. */
static void
test_reason(void **state)
{
	(void)state;
	struct arena *a = arena_new(1 << 20);
	struct authres_result r = {
		.method = "spf", .result = "pass", .reason = SLICE("joe@example.com")};
	assert_string_equal(authres_field(SLICE("mx"), &r, 1, a).p,
		"Authentication-Results: mx;\r\n\tspf=pass reason=\"joe@example.com\"\r\n");
	arena_free(&a);
}

/* A value as long as a stranger likes is cut; every line but that token's own stays short. */
static void
test_long_value(void **state)
{
	(void)state;
	char text[1000];
	memset(text, '"', sizeof(text));
	struct arena *a = arena_new(1 << 20);
	struct authres_result r = {.method = "spf",
		.result = "pass",
		.property = {{"smtp.helo", {text, sizeof(text)}}},
		.n = 1};
	struct slice field = authres_field(SLICE("mx"), &r, 1, a);
	assert_true(field.n < 2 * AUTHRES_VALUE_MOST + 80);
	assert_true(slice_ends(field, SLICE("\\\"\"\r\n")));
	arena_free(&a);
}

static const struct {
	const char *value;
	bool ours;
} heads[] = {
	{" mx.example.com; spf=pass", true},
	{"mx.example.com;spf=pass", true},
	{" MX.Example.COM; none", true},
	{"\r\n\tmx.example.com\r\n ;\r\n spf=pass", true},
	{" (really) mx.example.com (us) ; dkim=pass", true},
	{" (a(b\\)c)d)mx.example.com; dkim=pass", true},
	{" mx.example.com 1; dkim=pass", true},
	{" mx.example.com/1; dkim=pass", true}, /* the obsolete version of RFC 5451 */
	{" \"mx.example.com\"; dkim=pass", true},
	{" \"mx.\\example.com\" (x) 2 ; dkim=pass", true},
	{" mx.example.com.; dkim=pass", true},
	{" mx.example.com", true},
	{" evil mx.example.com; dkim=pass", true},
	{" (mx.example.com; dkim=pass", true},
	{" \"mx.example.com; dkim=pass", true},
	{" ; mx.example.com; dkim=pass", true},
	{" =?utf-8?q?mx.example.com?=; dkim=pass", true},
	{" mx.(x)example.com; dkim=pass", true},
	{" mx.example.org; dkim=pass", false},
	{" mx.example.com.evil.example; dkim=pass", false},
	{" notmx.example.com; dkim=pass", false},
	{" mx.example.org; dkim=pass header.d=mx.example.com", false},
	{" (mx.example.com) mx.example.org; dkim=pass", false},
	{" spf=pass (sender) smtp.mailfrom=example.net", false},
	{"", false},
};

static void
test_heads(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		struct guarded g = guarded_new(slice_of(heads[i].value));
		struct arena *a = arena_new(1 << 20);
		if (authres_is_ours(g.in, SLICE("mx.example.com"), a) != heads[i].ours)
			fail_msg("%s", heads[i].value);
		for (size_t n = 0; n < g.in.n; n++) {
			struct guarded part = guarded_new(slice_first(g.in, n));
			authres_is_ours(part.in, SLICE("mx.example.com"), a);
			guarded_free(&part);
		}
		arena_free(&a);
		guarded_free(&g);
	}
}

static void
test_forged(void **state)
{
	(void)state;
	struct message_field fields[] = {
		{.name = SLICE("Received"), .value = SLICE(" mx.example.com")},
		{.name = SLICE("authentication-RESULTS"),
			.value = SLICE(" mx.example.com; dkim=pass")},
		{.name = SLICE("Authentication-Results"),
			.value = SLICE(" mx.other.example; none")},
		{.name = SLICE("Authentication-Results "),
			.value = SLICE(" MX.example.com; none")},
		{.name = SLICE("ARC-Authentication-Results"),
			.value = SLICE(" i=1; mx.example.com")},
	};
	struct message m = {.fields = fields, .n_fields = 5};
	struct arena *a = arena_new(1 << 20);
	size_t *places;
	assert_int_equal(authres_forged(&m, SLICE("mx.example.com"), a, &places), 2);
	assert_int_equal(places[0], 1);
	assert_int_equal(places[1], 3);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_field),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_reason),
		cmocka_unit_test(test_long_value),
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_forged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
