/* Addresses and domains of the envelope (SRV-07, EXT-05), and the isemail set of others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "feed.h"
#include "smtp/address.h"

struct address_case {
	struct slice in;
	bool reverse, smtputf8;
	enum address_error want;
	const char *text; /* canonical */
	const char *raw;
	const char *local; /* NULL: not compared */
	const char *rest;
};

#define A10     "aaaaaaaaaa"
#define A60     A10 A10 A10 A10 A10 A10
#define LABEL63 A60 "aaa"

static const struct address_case cases[] = {
	{SLICE("<a@b.example>"), true, false, ADDRESS_OK, "a@b.example", "a@b.example", "a",
		""},
	{SLICE("<a@b.example> SIZE=1"), true, false, ADDRESS_OK, "a@b.example", "a@b.example",
		"a", " SIZE=1"},
	{SLICE("<A.b@EXAMPLE.Com>"), true, false, ADDRESS_OK, "A.b@example.com",
		"A.b@EXAMPLE.Com", "A.b", ""},
	{SLICE("a@b"), true, false, ADDRESS_OK, "a@b", "a@b", "a", ""},
	{SLICE("a@b X=1"), true, false, ADDRESS_OK, "a@b", "a@b", "a", " X=1"},
	{SLICE("<>"), true, false, ADDRESS_OK, "", "", "", ""},
	{SLICE("<>"), false, false, ADDRESS_SYNTAX, NULL, NULL, NULL, NULL},
	{SLICE(""), true, false, ADDRESS_SYNTAX, NULL, NULL, NULL, NULL},
	{SLICE("<"), true, false, ADDRESS_SYNTAX, NULL, NULL, NULL, NULL},
	{SLICE("<PostMaster>"), false, false, ADDRESS_OK, "postmaster", "postmaster",
		"postmaster", ""},
	{SLICE("<postmaster>"), true, false, ADDRESS_SYNTAX, NULL, NULL, NULL, NULL},
	{SLICE("<other>"), false, false, ADDRESS_SYNTAX, NULL, NULL, NULL, NULL},
	{SLICE("<@one.example,@two:a@b>"), false, false, ADDRESS_OK, "a@b", "a@b", "a", ""},
	{SLICE("<@one:@two:a@b>"), false, false, ADDRESS_SYNTAX, NULL, NULL, NULL, NULL},
	{SLICE("<@-x:a@b>"), false, false, ADDRESS_DOMAIN, NULL, NULL, NULL, NULL},
	{SLICE("<@one>"), false, false, ADDRESS_SYNTAX, NULL, NULL, NULL, NULL},
	{SLICE("<@one:>"), false, false, ADDRESS_SYNTAX, NULL, NULL, NULL, NULL},
	{SLICE("<\"a b\"@c>"), false, false, ADDRESS_OK, "\"a b\"@c", "\"a b\"@c", "a b", ""},
	{SLICE("<\"\\a\\b\"@c>"), false, false, ADDRESS_OK, "ab@c", "\"\\a\\b\"@c", "ab", ""},
	{SLICE("<\"a\\\"\\\\\"@c>"), false, false, ADDRESS_OK, "\"a\\\"\\\\\"@c",
		"\"a\\\"\\\\\"@c", "a\"\\", ""},
	{SLICE("<\"a$b\"@c>"), false, false, ADDRESS_OK, "\"a$b\"@c", "\"a$b\"@c", "a$b", ""},
	{SLICE("<\"a>b\"@c>"), false, false, ADDRESS_OK, "\"a>b\"@c", "\"a>b\"@c", "a>b", ""},
	{SLICE("<\"\"@c>"), false, false, ADDRESS_OK, "\"\"@c", "\"\"@c", "", ""},
	{SLICE("<\"a\"@c>"), false, false, ADDRESS_OK, "a@c", "\"a\"@c", "a", ""},
	{SLICE("<\"a.\"@c>"), false, false, ADDRESS_OK, "\"a.\"@c", "\"a.\"@c", "a.", ""},
	{SLICE("<\"a@c>"), false, false, ADDRESS_SYNTAX, NULL, NULL, NULL, NULL},
	{SLICE("<\"a\0b\"@c>"), false, false, ADDRESS_FORBIDDEN, NULL, NULL, NULL, NULL},
	{SLICE("<a\0b@c>"), false, false, ADDRESS_FORBIDDEN, NULL, NULL, NULL, NULL},
	{SLICE("<a$b@c>"), false, false, ADDRESS_FORBIDDEN, NULL, NULL, NULL, NULL},
	{SLICE("<a`b@c>"), false, false, ADDRESS_FORBIDDEN, NULL, NULL, NULL, NULL},
	{SLICE("<a{b@c>"), false, false, ADDRESS_FORBIDDEN, NULL, NULL, NULL, NULL},
	{SLICE("<a|b@c>"), false, false, ADDRESS_FORBIDDEN, NULL, NULL, NULL, NULL},
	{SLICE("<a}b@c>"), false, false, ADDRESS_FORBIDDEN, NULL, NULL, NULL, NULL},
	{SLICE("<a\x7f@c>"), false, false, ADDRESS_FORBIDDEN, NULL, NULL, NULL, NULL},
	{SLICE("<a\r\n@c>"), false, false, ADDRESS_FORBIDDEN, NULL, NULL, NULL, NULL},
	{SLICE("<a@b>x"), false, false, ADDRESS_SYNTAX, NULL, NULL, NULL, NULL},
	{SLICE("<a@b"), false, false, ADDRESS_SYNTAX, NULL, NULL, NULL, NULL},
	{SLICE("< a@b>"), false, false, ADDRESS_SYNTAX, NULL, NULL, NULL, NULL},
	{SLICE("<a@b >"), false, false, ADDRESS_SYNTAX, NULL, NULL, NULL, NULL},
	{SLICE("<a@b,c@d>"), false, false, ADDRESS_SYNTAX, NULL, NULL, NULL, NULL},
	{SLICE("<a@b@c>"), false, false, ADDRESS_DOMAIN, NULL, NULL, NULL, NULL},
	{SLICE("<a@>"), false, false, ADDRESS_DOMAIN, NULL, NULL, NULL, NULL},
	{SLICE("<a@b.>"), false, false, ADDRESS_DOMAIN, NULL, NULL, NULL, NULL},
	{SLICE("<a@b_c.example>"), false, false, ADDRESS_DOMAIN, NULL, NULL, NULL, NULL},
	{SLICE("<a@[192.0.2.1]>"), false, false, ADDRESS_OK, "a@[192.0.2.1]", "a@[192.0.2.1]",
		"a", ""},
	{SLICE("<a@[ipv6:2001:DB8::0:1]>"), false, false, ADDRESS_OK, "a@[IPv6:2001:db8::1]",
		"a@[ipv6:2001:DB8::0:1]", "a", ""},
	{SLICE("<a@[2001:db8::1]>"), false, false, ADDRESS_DOMAIN, NULL, NULL, NULL, NULL},
	{SLICE("<a@[IPv6:192.0.2.1]>"), false, false, ADDRESS_DOMAIN, NULL, NULL, NULL, NULL},
	{SLICE("<a@[]>"), false, false, ADDRESS_DOMAIN, NULL, NULL, NULL, NULL},
	{SLICE("<a@[192.0.2.1>"), false, false, ADDRESS_DOMAIN, NULL, NULL, NULL, NULL},
	{SLICE("<caf\xc3\xa9@b>"), false, false, ADDRESS_UTF8, NULL, NULL, NULL, NULL},
	{SLICE("<caf\xc3\xa9@b>"), false, true, ADDRESS_OK, "caf\xc3\xa9@b", "caf\xc3\xa9@b",
		"caf\xc3\xa9", ""},
	{SLICE("<\"\xc3\xa9 x\"@b>"), false, true, ADDRESS_OK, "\"\xc3\xa9 x\"@b",
		"\"\xc3\xa9 x\"@b", "\xc3\xa9 x", ""},
	{SLICE("<a@b\xc3\xbc"
	       "cher.example>"),
		false, false, ADDRESS_UTF8, NULL, NULL, NULL, NULL},
	{SLICE("<a@b\xc3\xbc"
	       "cher.example>"),
		false, true, ADDRESS_OK, "a@xn--bcher-kva.example",
		"a@b\xc3\xbc"
		"cher.example",
		"a", ""},
	{SLICE("<a@B\xc3\x9c"
	       "CHER.example>"),
		false, true, ADDRESS_DOMAIN, NULL, NULL, NULL, NULL},
	{SLICE("<a@fa\xc3\x9f.example>"), false, true, ADDRESS_OK, "a@xn--fa-hia.example",
		"a@fa\xc3\x9f.example", "a", ""}, /* not "fass": non-transitional */
	{SLICE("<a\xff@b>"), false, true, ADDRESS_SYNTAX, NULL, NULL, NULL, NULL},
	{SLICE("<a\xc0\xaf@b>"), false, true, ADDRESS_SYNTAX, NULL, NULL, NULL, NULL},
	{SLICE("<a\xed\xa0\x80@b>"), false, true, ADDRESS_SYNTAX, NULL, NULL, NULL, NULL},
	{SLICE("<a\xc2\x85@b>"), false, true, ADDRESS_SYNTAX, NULL, NULL, NULL, NULL},
	{SLICE("<a\xe2\x82@b>"), false, true, ADDRESS_SYNTAX, NULL, NULL, NULL, NULL},
	{SLICE("<" A60 "aaaa@b>"), false, false, ADDRESS_OK, A60 "aaaa@b", A60 "aaaa@b", NULL,
		""},
	{SLICE("<" A60 "aaaaa@b>"), false, false, ADDRESS_TOO_LONG, NULL, NULL, NULL, NULL},
	{SLICE("<\"" A60 "aa\"@b>"), false, false, ADDRESS_OK, A60 "aa@b", "\"" A60 "aa\"@b",
		NULL, ""},
	{SLICE("<\"" A60 "aaa\"@b>"), false, false, ADDRESS_TOO_LONG, NULL, NULL, NULL, NULL},
	{SLICE("<a@" LABEL63 ".b>"), false, false, ADDRESS_OK, "a@" LABEL63 ".b",
		"a@" LABEL63 ".b", "a", ""},
	{SLICE("<a@" LABEL63 "a.b>"), false, false, ADDRESS_DOMAIN, NULL, NULL, NULL, NULL},
	{SLICE("<a@" LABEL63 "." LABEL63 "." LABEL63 "." A60 ">"), false, false, ADDRESS_OK,
		"a@" LABEL63 "." LABEL63 "." LABEL63 "." A60,
		"a@" LABEL63 "." LABEL63 "." LABEL63 "." A60, "a", ""}, /* 254 bytes */
	{SLICE("<a@" LABEL63 "." LABEL63 "." LABEL63 "." A60 "a>"), false, false,
		ADDRESS_TOO_LONG, NULL, NULL, NULL, NULL},
};

static void
test_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct address_case *c = &cases[i];
		struct guarded g = guarded_new(c->in);
		struct arena *a = arena_new(4096);
		struct address got;
		struct slice rest = SLICE_NONE;
		enum address_error e =
			address_parse_path(g.in, c->reverse, c->smtputf8, a, &got, &rest);
		if (e != c->want)
			print_error("%.*s: %s\n", SLICE_ARG(c->in), address_error_text(e));
		assert_int_equal(e, c->want);
		if (e == ADDRESS_OK) {
			assert_true(slice_eq(got.text, slice_of(c->text)));
			assert_true(slice_eq(got.raw, slice_of(c->raw)));
			assert_true(
				c->local == NULL || slice_eq(got.local, slice_of(c->local)));
			assert_true(slice_eq(rest, slice_of(c->rest)));
			assert_int_equal(got.is_null, got.text.n == 0);
			bool beyond = false;
			for (size_t k = 0; k < got.raw.n; k++)
				beyond |= (got.raw.p[k] & 0x80) != 0;
			assert_int_equal(got.utf8, beyond);
		}
		arena_free(&a);
		guarded_free(&g);
	}
}

/* The canonical form is an address itself, and its own canonical form. */
static void
test_canonical_is_stable(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (cases[i].want != ADDRESS_OK || !slice_has(slice_of(cases[i].text), '@'))
			continue;
		struct arena *a = arena_new(4096);
		struct address got;
		assert_int_equal(
			address_parse(slice_of(cases[i].text), true, a, &got), ADDRESS_OK);
		assert_true(slice_eq(got.text, slice_of(cases[i].text)));
		arena_free(&a);
	}
}

static void
test_below(void **state)
{
	(void)state;
	assert_true(domain_is_below(SLICE("a.example"), SLICE("a.example")));
	assert_true(domain_is_below(SLICE("b.a.example"), SLICE("a.example")));
	assert_false(domain_is_below(SLICE("ba.example"), SLICE("a.example")));
	assert_false(domain_is_below(SLICE("example"), SLICE("a.example")));
	assert_false(domain_is_below(SLICE("a.example."), SLICE("a.example")));
	assert_false(domain_is_below(SLICE("a.example"), SLICE("")));
}

/*
 * isemail: at the envelope VALID, DNSWARN and RFC5321 are taken, all else is refused. Where we
 * differ, on purpose:
 */
static const struct {
	int id;
	const char *why;
} differences[] = {
	{19, "SRV-07: $ ` { | } are taken in quotes only, though they are atext"},
};

/* A JSON string to bytes; characters beyond ASCII as UTF-8. */
static size_t
json_string(const char *in, char *out)
{
	char *to = out;
	for (in++; *in != '"' && *in != '\0'; in++) {
		if (*in != '\\') {
			*to++ = *in;
			continue;
		}
		in++;
		if (*in != 'u') {
			const char *at = strchr("n\nr\rt\tb\bf\f", *in);
			*to++ = at != NULL ? at[1] : *in;
			continue;
		}
		char digits[5] = "";
		memcpy(digits, in + 1, 4);
		unsigned long code = strtoul(digits, NULL, 16);
		in += 4;
		assert_true(code < 0x800);
		if (code >= 0x80)
			*to++ = (char)(0xc0 | code >> 6);
		*to++ = (char)(code >= 0x80 ? 0x80 | (code & 0x3f) : code);
	}
	return (size_t)(to - out);
}

static const char *
difference(int id)
{
	for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++)
		if (differences[i].id == id)
			return differences[i].why;
	return NULL;
}

static void
try_isemail(int id, const char *category, const char *json)
{
	char path[2048];
	size_t n = json_string(json, path + 1) + 2;
	path[0] = '<';
	path[n - 1] = '>';
	struct guarded g = guarded_new((struct slice){path, n});
	struct arena *a = arena_new(4096);
	struct address got;
	struct slice rest = SLICE_NONE;
	bool want = strcmp(category, "ISEMAIL_VALID_CATEGORY") == 0 ||
		    strcmp(category, "ISEMAIL_DNSWARN") == 0 ||
		    strcmp(category, "ISEMAIL_RFC5321") == 0;
	enum address_error e = address_parse_path(g.in, true, true, a, &got, &rest);
	bool taken = e == ADDRESS_OK && rest.n == 0 && !got.is_null;
	const char *why = difference(id);
	if (why != NULL)
		print_message("isemail %d: %s\n", id, why);
	/* case 1 is the empty address: as a path it is "<>", which is something else */
	if (json[1] != '"' && taken != (want != (why != NULL)))
		fail_msg("isemail %d %s %s: %s", id, category, json, address_error_text(e));
	arena_free(&a);
	guarded_free(&g);
}

static void
test_isemail(void **state)
{
	(void)state;
	char path[4096], line[4096];
	const char *suites = getenv("POSTERN_SUITES");
	snprintf(path, sizeof(path), "%s/isemail/tests.tsv", suites != NULL ? suites : ".");
	FILE *f = fopen(path, "r");
	if (f == NULL) {
		print_message("SKIPPED: %s is not there (POSTERN_SUITES)\n", path);
		skip();
	}
	int count = 0;
	while (fgets(line, sizeof(line), f) != NULL) {
		char *save, *id = strtok_r(line, "\t", &save);
		char *category = strtok_r(NULL, "\t", &save);
		char *diagnosis = strtok_r(NULL, "\t", &save);
		char *json = strtok_r(NULL, "\t\n", &save);
		if (diagnosis == NULL || json == NULL || json[0] != '"')
			continue;
		try_isemail((int)strtol(id, NULL, 10), category, json);
		count++;
	}
	fclose(f);
	print_message("isemail: %d addresses\n", count);
	assert_int_equal(count, 164);
}

/* From its parts again: quoted where it must be, and what has no room is told. */
static void
test_make(void **state)
{
	(void)state;
	static const struct {
		const char *local;
		enum address_error error;
		const char *text;
	} rows[] = {
		{"ann", ADDRESS_OK, "ann@example.com"},
		{"a b", ADDRESS_OK, "\"a b\"@example.com"},
		{".x", ADDRESS_OK, "\".x\"@example.com"},
		{"a\"b\\", ADDRESS_OK, "\"a\\\"b\\\\\"@example.com"},
		{"", ADDRESS_SYNTAX, NULL},
		{"a\nb", ADDRESS_FORBIDDEN, NULL},
		{"0123456789012345678901234567890123456789012345678901234567890123", ADDRESS_OK,
			"0123456789012345678901234567890123456789012345678901234567890123"
			"@example.com"},
		{"01234567890123456789012345678901234567890123456789012345678901234",
			ADDRESS_TOO_LONG, NULL},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena *a = arena_new(65536);
		struct address made;
		enum address_error e =
			address_make(slice_of(rows[i].local), SLICE("example.com"), a, &made);
		if (e != rows[i].error)
			fail_msg("\"%s\": %s", rows[i].local, address_error_text(e));
		if (e == ADDRESS_OK) {
			assert_true(slice_eq(made.text, slice_of(rows[i].text)));
			assert_true(slice_eq(made.raw, made.text));
			assert_true(slice_eq(made.local, slice_of(rows[i].local)));
		}
		arena_free(&a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_make),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_canonical_is_stable),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_isemail),
	};
	return cmocka_run_group_tests_name("smtp_address", tests, NULL, NULL);
}
