/* Tag lists (RFC 6376 3.2): what is one, what is not, and that nothing is read beyond its end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "feed.h"
#include "filters/tag.h"

struct list_case {
	const char *in;
	enum tag_error error;
	const char *text; /* name=[value]gap-length ... */
};

static const struct list_case list_cases[] = {
	{"v=1", TAG_OK, "v=[1]1 "},
	{"v=1;", TAG_OK, "v=[1]1 "},
	{"v=1; a=b ;\r\n\tc = d e ", TAG_OK, "v=[1]1 a=[b]2 c=[d e]5 "},
	{"p=", TAG_OK, "p=[]0 "},
	{"p= ;q=1", TAG_OK, "p=[]1 q=[1]1 "},
	{"b=ab\r\n cd=\r\n", TAG_OK, "b=[ab\r\n cd=]10 "},
	{"\r\n v=1", TAG_OK, "v=[1]1 "},
	{"a_1=x", TAG_OK, "a_1=[x]1 "},
	{"A=1;a=2", TAG_OK, "A=[1]1 a=[2]1 "},
	{"", TAG_SYNTAX, ""},
	{" \t", TAG_SYNTAX, ""},
	{";", TAG_SYNTAX, ""},
	{"v=1;;a=2", TAG_SYNTAX, ""},
	{"v=1; nonsense", TAG_SYNTAX, ""},
	{"=1", TAG_SYNTAX, ""},
	{"1v=1", TAG_SYNTAX, ""},
	{"v-x=1", TAG_SYNTAX, ""},
	{"v x=1", TAG_SYNTAX, ""},
	{"v=a\nb", TAG_SYNTAX, ""},
	{"v=a\rb", TAG_SYNTAX, ""},
	{"v=a\r\nb", TAG_SYNTAX, ""},
	{"v=a\001b", TAG_SYNTAX, ""},
	{"v=a\177", TAG_SYNTAX, ""},
	{"n=\303\251", TAG_SYNTAX, ""},
	{"v=1; d=x; v=1", TAG_DUPLICATE, ""},
};

static void
print_tags(const struct tags *t, char *out, size_t room)
{
	size_t n = 0;
	out[0] = '\0';
	for (size_t i = 0; i < t->n; i++) {
		n += (size_t)snprintf(out + n, room - n, "%.*s=[%.*s]%zu ",
			SLICE_ARG(t->tag[i].name), SLICE_ARG(t->tag[i].value), t->tag[i].gap.n);
	}
}

static void
test_lists(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(list_cases) / sizeof(list_cases[0]); i++) {
		const struct list_case *c = &list_cases[i];
		struct guarded g = guarded_new(slice_of(c->in));
		struct tags tags;
		char text[200];
		assert_int_equal(tags_parse(g.in, false, &tags), c->error);
		if (c->error == TAG_OK) {
			print_tags(&tags, text, sizeof(text));
			assert_string_equal(text, c->text);
		}
		guarded_free(&g);
	}
}

static void
test_nul_and_utf8(void **state)
{
	(void)state;
	struct tags tags;
	assert_int_equal(tags_parse((struct slice){"v=a\0b", 5}, true, &tags), TAG_SYNTAX);
	assert_int_equal(tags_parse(SLICE("d=\303\251.example"), true, &tags), TAG_OK);
	assert_int_equal(tags.tag[0].value.n, 10);
}

/* Every prefix of a list is read without a step too far, and never more tags than the whole
 * has. */
static void
test_prefixes(void **state)
{
	(void)state;
	struct slice whole = SLICE("v=1; a=rsa-sha256;\r\n\th=from : to; b=ab\r\n cd==;");
	struct tags all, part;
	assert_int_equal(tags_parse(whole, false, &all), TAG_OK);
	for (size_t n = 0; n <= whole.n; n++) {
		struct guarded g = guarded_new(slice_first(whole, n));
		tags_parse(g.in, false, &part);
		assert_true(part.n <= all.n);
		guarded_free(&g);
	}
}

static void
test_bounds(void **state)
{
	(void)state;
	char text[TAG_LIST_BYTES_MOST + 2];
	size_t n = 0;
	for (int i = 0; i < TAG_COUNT_MOST + 1; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "t%d=1;", i);
	struct tags tags;
	assert_int_equal(tags_parse((struct slice){text, n}, false, &tags), TAG_TOO_LONG);
	memset(text, 'a', sizeof(text));
	text[1] = '=';
	assert_int_equal(
		tags_parse((struct slice){text, TAG_LIST_BYTES_MOST}, false, &tags), TAG_OK);
	assert_int_equal(
		tags_parse((struct slice){text, TAG_LIST_BYTES_MOST + 1}, false, &tags),
		TAG_TOO_LONG);
}

static void
test_find(void **state)
{
	(void)state;
	struct tags tags;
	assert_int_equal(tags_parse(SLICE("v=1; bh=x; b=y"), false, &tags), TAG_OK);
	assert_true(slice_eq(tags_find(&tags, "b")->value, SLICE("y")));
	assert_true(slice_eq(tags_find(&tags, "bh")->value, SLICE("x")));
	assert_null(tags_find(&tags, "B"));
}

/* DMARC passes over what is malformed: the reader stands behind it and goes on. */
static void
test_resume(void **state)
{
	(void)state;
	struct slice rest = SLICE("v=DMARC1; junk ; p=reject");
	struct tag tag;
	assert_int_equal(tag_next(&rest, false, &tag), TAG_STEP_TAG);
	assert_int_equal(tag_next(&rest, false, &tag), TAG_STEP_BAD);
	assert_int_equal(tag_next(&rest, false, &tag), TAG_STEP_TAG);
	assert_true(slice_eq(tag.value, SLICE("reject")));
	assert_int_equal(tag_next(&rest, false, &tag), TAG_STEP_END);
}

static void
test_items(void **state)
{
	(void)state;
	struct slice rest = SLICE("from : to:\r\n date::"), item;
	static const char *const expect[] = {"from", "to", "date", "", ""};
	for (size_t i = 0; i < 5; i++) {
		assert_true(tag_list_next(&rest, ':', &item));
		assert_true(slice_eq(item, slice_of(expect[i])));
	}
	assert_false(tag_list_next(&rest, ':', &item));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_nul_and_utf8),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_resume),
		cmocka_unit_test(test_items),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
