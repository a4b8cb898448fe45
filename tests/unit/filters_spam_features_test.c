/*
 * Features out of views made by hand: distinct, in range, bounded, the same for the same mail;
 * and that what tells a site (Received, To, List-*) is in no token of the text view.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "feed.h"
#include "filters/spam_features_priv.h"
#include "random.h"

static const char header[] = "From: \"Ann Lee\" <ann@shop.example.com>\r\n"
			     "Reply-To: other@example.net\r\n"
			     "Subject: your invoice\r\n"
			     "Date: Mon, 1 Jan 2024 10:00:00 +0100\r\n"
			     "Message-ID: <a1.b2@shop.example.com>\r\n";

static struct spam_view
view_of(const char *more, const char *text, struct arena *a)
{
	struct slice head = arena_printf(a, "%s%s\r\n", header, more);
	struct message *m = ARENA_NEW(a, struct message);
	message_parse(head, SLICE("mx.example.org"), false, a, m);
	return (struct spam_view){.message = m,
		.fields = m->fields,
		.n_fields = m->n_fields,
		.raw = slice_first(head, SPAM_RAW_MOST),
		.text = slice_of(text),
		.text_as_is = slice_of(text)};
}

static void
check_set(const uint32_t *places, size_t n)
{
	static uint8_t seen[SPAM_WEIGHTS];
	memset(seen, 0, sizeof(seen));
	assert_true(n <= SPAM_FEATURES_MOST);
	for (size_t i = 0; i < n; i++) {
		assert_true(places[i] < SPAM_WEIGHTS);
		assert_int_equal(seen[places[i]], 0);
		seen[places[i]] = 1;
	}
}

static struct spam_features
features_of(const struct spam_view *v, struct arena *a)
{
	struct spam_features f;
	spam_features_of(v, a, &f);
	check_set(f.raw, f.n_raw);
	check_set(f.text, f.n_text);
	return f;
}

static bool
equal(const struct spam_features *x, const struct spam_features *y)
{
	bool id = memcmp(x->id, y->id, SPAM_ID_BYTES) == 0;
	bool same = x->n_raw == y->n_raw && x->n_text == y->n_text &&
		    memcmp(x->raw, y->raw, x->n_raw * sizeof(*x->raw)) == 0 &&
		    memcmp(x->text, y->text, x->n_text * sizeof(*x->text)) == 0;
	assert_int_equal(id, same);
	return same;
}

static void
test_same(void **state)
{
	(void)state;
	struct arena *a = arena_new(8 << 20);
	struct spam_view v = view_of("", "please pay the invoice now", a);
	struct spam_view w = view_of("", "please pay the invoice now", a);
	struct spam_features f = features_of(&v, a), g = features_of(&w, a);
	assert_true(f.n_raw > 100 && f.n_text > 40);
	assert_true(equal(&f, &g));
	w = view_of("", "please pay the invoice noW", a);
	g = features_of(&w, a);
	assert_false(equal(&f, &g));
	arena_free(&a);
}

/* What tells a site changes the raw view and nothing else. */
static void
test_portable(void **state)
{
	(void)state;
	static const char *const rows[] = {
		"Received: from a.example by mx.site.example; Mon, 1 Jan 2024 10:00:00 "
		"+0100\r\n",
		"To: list@site.example\r\n",
		"List-Id: <list.site.example>\r\n",
		"Delivered-To: bob@site.example\r\n",
		"X-Spam-Status: Yes, score=99\r\n",
	};
	struct arena *a = arena_new(8 << 20);
	struct spam_view plain = view_of("", "some text", a);
	struct spam_features f = features_of(&plain, a);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spam_view v = view_of(rows[i], "some text", a);
		struct spam_features g = features_of(&v, a);
		assert_int_equal(f.n_text, g.n_text);
		assert_memory_equal(f.text, g.text, f.n_text * sizeof(*f.text));
		assert_false(equal(&f, &g));
	}
	arena_free(&a);
}

static bool
has(const struct spam_features *f, const char *kind, const char *token, struct arena *a)
{
	struct feature_set one;
	feature_set_init(&one, 1, a);
	feature_token(&one, kind, slice_of(token));
	for (size_t i = 0; i < f->n_text; i++)
		if (f->text[i] == one.places[0])
			return true;
	return false;
}

static void
test_tokens(void **state)
{
	(void)state;
	static const struct {
		const char *kind, *token;
	} rows[] = {{"subject", "invoice"}, {"from", "ann"},
		{"from.domain", "shop.example.com"}, {"from.domain", ".example.com"},
		{"from.domain", ".com"}, {"reply", "other"}, {"zone", "+0100"},
		{"link", "evil.example"}, {"link", ".example"}, {"type", "text/html"},
		{"extension", ".exe"}, {"html.only", ""}};
	struct arena *a = arena_new(8 << 20);
	struct spam_view v = view_of("", "some text", a);
	struct spam_part part = {.type = SLICE("text/html"), .name = SLICE("Bill.EXE")};
	struct spam_link link = {.host = SLICE("evil.example"), .path = SLICE("/x")};
	v.parts = &part;
	v.n_parts = 1;
	v.links = &link;
	v.n_links = 1;
	v.html.tags = 9;
	v.html_only = true;
	struct spam_features f = features_of(&v, a);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_true(has(&f, rows[i].kind, rows[i].token, a));
	assert_false(has(&f, "subject", "ann", a));
	assert_false(has(&f, "reply", "same", a));
	arena_free(&a);
}

static void
test_words(void **state)
{
	(void)state;
	static const char text[] = " one,two  $3x!\xc3\xa4z ";
	static const char *const words[] = {"one", "two", "$3x", "\xc3\xa4z"};
	for (size_t n = 0; n <= sizeof(text) - 1; n++) {
		struct guarded g = guarded_new((struct slice){text, n});
		struct slice rest = g.in, word;
		size_t i = 0;
		for (; feature_word(&rest, &word); i++)
			assert_true(slice_starts(slice_of(words[i]), word));
		assert_true(n + 1 < sizeof(text) || i == 4);
		assert_int_equal(rest.n, 0);
		guarded_free(&g);
	}
}

/* Any bytes at all, and nothing at all. */
static void
test_hostile(void **state)
{
	(void)state;
	uint64_t seed = 1;
	for (size_t size = 0; size <= SPAM_TEXT_MOST; size = size * 2 + 1) {
		struct arena *a = arena_new(8 << 20);
		char *bytes = arena_alloc(a, size + 1);
		for (size_t i = 0; i < size; i++)
			bytes[i] = (char)random_draw(&seed);
		struct slice all = {bytes, size};
		struct message m;
		message_parse(slice_first(all, 3000), SLICE_NONE, false, a, &m);
		struct spam_view v = {.message = &m,
			.fields = m.fields,
			.n_fields = m.n_fields,
			.raw = slice_first(all, SPAM_RAW_MOST),
			.text = all,
			.text_as_is = all};
		struct spam_features f = features_of(&v, a);
		assert_true(f.n_raw <= size && f.n_text < 10000);
		arena_free(&a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_portable),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_hostile),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
