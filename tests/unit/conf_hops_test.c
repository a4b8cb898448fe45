/*
 * Next hops from their text alone: what a rule may have written is read as the file's parser
 * reads it, all else is refused with a reason, wherever it is cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "conf/conf.h"
#include "feed.h"

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

struct good_case {
	const char *text;
	size_t n;
	enum hop_kind kind; /* of the last */
	const char *host;
	unsigned port;
	bool lmtp;
};

static const struct good_case good_cases[] = {
	{"\"10.0.0.5:2525\"", 1, HOP_HOST, "10.0.0.5", 2525, false},
	{"10.0.0.5:2525", 1, HOP_HOST, "10.0.0.5", 2525, false},
	{"10.0.0.5", 1, HOP_HOST, "10.0.0.5", 25, false},
	{"[2001:db8::1]:26", 1, HOP_HOST, "2001:db8::1", 26, false},
	{"  \"Relay.Example\"\n", 1, HOP_HOST, "relay.example", 25, false},
	{"mx", 1, HOP_HOST, "mx", 25, false}, /* a host may be called so */
	{"lmtp:/run/dovecot/lmtp", 1, HOP_LMTP_PATH, "/run/dovecot/lmtp", 0, true},
	{"\"lmtp:10.0.0.5:24\"", 1, HOP_HOST, "10.0.0.5", 24, true},
	{"mx \"dest.example\"", 1, HOP_MX, "dest.example", 25, false},
	{"\"a.example\" then mx \"b.example\"", 2, HOP_MX, "b.example", 25, false},
	{"\"a.example\"\n\tthen \"b.example\" # a word\n\tthen \"c.example:587\"", 3, HOP_HOST,
		"c.example", 587, false},
	{"balanced { \"a.example\" \"b.example\" }", 1, HOP_BALANCED, "", 25, false},
};

static void
test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY(good_cases); i++) {
		const struct good_case *c = &good_cases[i];
		struct arena *a = arena_new(1024 * 1024);
		struct guarded g = guarded_new(slice_of(c->text));
		struct hop_list list;
		struct err err;
		if (conf_hops_parse(g.in, a, &list, &err) < 0)
			fail_msg("%s: %s", c->text, err.text);
		guarded_free(&g); /* what was read lives in the arena */
		assert_int_equal(list.n, c->n);
		const struct next_hop *h = &list.hops[c->n - 1];
		assert_int_equal(h->kind, c->kind);
		assert_int_equal(h->lmtp, c->lmtp);
		if (c->kind == HOP_BALANCED) {
			assert_int_equal(h->n_items, 2);
			assert_true(slice_eq(h->items[1].host, SLICE("b.example")));
		} else {
			assert_true(slice_eq(h->host, slice_of(c->host)));
			assert_int_equal(h->port, c->port);
			assert_true(h->text.n > 0);
		}
		arena_free(&a);
	}
}

static const char *const bad_cases[] = {
	"",
	" ",
	"\"",
	"\"\"",
	"what is this",
	"a.example:0:25",
	"a.example:99999",
	"not_a host",
	"\"a.example\" then",
	"\"a.example\" \"b.example\"",
	"\"a.example\" then \"b.example\" or \"c.example\"",
	"\"a.example\" auth \"user\" password \"/etc/passwd\"",
	"mx dest.example",
	"mx \"10.0.0.1\"",
	"balanced { }",
	"balanced { balanced { \"a.example\" } }",
	"balanced { \"a.example\"",
	"lmtp:10.0.0.5",
	"\"a.example\"\ninbound { accept }",
	"include \"/etc/passwd\"",
};

static void
test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY(bad_cases); i++) {
		struct arena *a = arena_new(1024 * 1024);
		struct guarded g = guarded_new(slice_of(bad_cases[i]));
		struct hop_list list;
		struct err err = {0};
		if (conf_hops_parse(g.in, a, &list, &err) == 0)
			fail_msg("taken: %s", bad_cases[i]);
		assert_true(err.text[0] != '\0');
		guarded_free(&g);
		arena_free(&a);
	}
	struct arena *a = arena_new(1024 * 1024);
	struct hop_list list;
	struct err err;
	static char large[5000];
	memset(large, 'a', sizeof(large));
	assert_int_equal(
		conf_hops_parse((struct slice){large, sizeof(large)}, a, &list, &err), -1);
	assert_int_equal(conf_hops_parse(SLICE("\"a.example\0\""), a, &list, &err), -1);
	arena_free(&a);
}

/* Cut anywhere it is read or refused, and never read past. */
static void
test_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY(good_cases); i++) {
		struct slice text = slice_of(good_cases[i].text);
		for (size_t n = 0; n < text.n; n++) {
			struct arena *a = arena_new(1024 * 1024);
			struct guarded g = guarded_new(slice_first(text, n));
			struct hop_list list;
			struct err err;
			if (conf_hops_parse(g.in, a, &list, &err) == 0)
				assert_in_range(list.n, 1, good_cases[i].n);
			guarded_free(&g);
			arena_free(&a);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
