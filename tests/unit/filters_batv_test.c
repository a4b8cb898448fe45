/*
 * Tags of senders (draft-levine-smtp-batv-01) against vectors that Python's hmac made:
 *     "prvs=%d%03d" % (k, day) + hmac.new(secret, b"%d%03d%s" % (k, day, address),
 * "sha1").hexdigest()[:6] + "=" and what is no tag, of another key, of another day, or cut
 * anywhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "feed.h"
#include "filters/batv.h"

static const int64_t day_ms = 86400000;

static struct conf_tag_key keys[] = {
	{0, SLICE("0123456789abcdef")},
	{7, SLICE("a secret of before")},
};
static struct conf_domain domain = {
	.name = SLICE("example.com"), .tag_keys = keys, .n_tag_keys = 2};

static const struct {
	int64_t wall_ms;
	size_t key;
	const char *address, *tag;
} vectors[] = {
	{0, 0, "ann@example.com", "prvs=0007e13c3c="},
	{20000 * 86400000LL + 5, 0, "ann@example.com", "prvs=0007e13c3c="},
	{20000 * 86400000LL + 5, 0, "ANN@Example.com", "prvs=0007e13c3c="},
	{20999 * 86400000LL, 0, "ann@example.com", "prvs=0006f27ee0="},
	{20995 * 86400000LL + 86399999, 0, "ann@example.com", "prvs=00020d98fa="},
	{0, 1, "Ann.Lee+x@example.com", "prvs=700702a49b="},
	{20999 * 86400000LL, 1, "Ann.Lee+x@example.com", "prvs=7006501495="},
	{0, 0, "SRS0=HHH=TT=orig.example=user@example.com", "prvs=000777b508="},
	{0, 0, "\"a b\"@example.com", "prvs=00070ad00b="},
};

static struct address
address_of(const char *text, struct arena *a)
{
	struct address address;
	assert_int_equal(address_parse(slice_of(text), true, a, &address), ADDRESS_OK);
	return address;
}

static struct address
tagged(const char *tag, const struct address *plain, struct arena *a)
{
	struct address address;
	struct slice local = arena_printf(a, "%s%.*s", tag, SLICE_ARG(plain->local));
	assert_int_equal(address_make(local, plain->domain, a, &address), ADDRESS_OK);
	return address;
}

static void
test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct arena *a = arena_new(1 << 20);
		struct address one = address_of(vectors[i].address, a), plain = {0};
		struct slice tag =
			batv_tag(&keys[vectors[i].key], &one, vectors[i].wall_ms, 0, a);
		if (!slice_eq(tag, slice_of(vectors[i].tag)))
			fail_msg("%s: %.*s", vectors[i].address, SLICE_ARG(tag));
		struct address sent = tagged(vectors[i].tag, &one, a);
		assert_int_equal(
			batv_check(&domain, &sent, vectors[i].wall_ms, a, &plain), BATV_OK);
		assert_true(slice_eq(plain.text, one.text) && slice_eq(plain.local, one.local));
		arena_free(&a);
	}
}

/* For seven days; then it is ours and over, also where the days begin anew. */
static void
test_days(void **state)
{
	(void)state;
	static const int64_t begins[] = {0, 20000, 20995, 20999};
	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
		struct arena *a = arena_new(1 << 20);
		struct address ann = address_of("ann@example.com", a), plain;
		struct slice tag = batv_tag(&keys[0], &ann, begins[i] * day_ms, 0, a);
		struct address sent = tagged(arena_text(a, tag), &ann, a);
		for (int64_t day = 0; day < 1000 - BATV_KEPT_DAYS; day++) {
			enum batv worth = batv_check(
				&domain, &sent, (begins[i] + day) * day_ms + 1, a, &plain);
			assert_int_equal(worth, day <= BATV_DAYS ? BATV_OK : BATV_EXPIRED);
		}
		arena_free(&a);
	}
}

/* A mail that is kept first: the week begins when it leaves at the latest, thirty days away. */
static void
test_kept(void **state)
{
	(void)state;
	static const struct {
		int64_t kept_ms;
		int64_t last_day;
	} rows[] = {{0, 7}, {1, 8}, {86400000, 8}, {86400001, 9}, {30 * 86400000LL, 37},
		{400 * 86400000LL, 37}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena *a = arena_new(1 << 20);
		struct address ann = address_of("ann@example.com", a), plain;
		struct slice tag =
			batv_tag(&keys[0], &ann, 20000 * day_ms, (uint64_t)rows[i].kept_ms, a);
		struct address sent = tagged(arena_text(a, tag), &ann, a);
		for (int64_t day = 0; day < 60; day++)
			assert_int_equal(
				batv_check(&domain, &sent, (20000 + day) * day_ms, a, &plain),
				day <= rows[i].last_day ? BATV_OK : BATV_EXPIRED);
		arena_free(&a);
	}
}

static const char *const no_tags[] = {
	"ann@example.com",
	"prvs=0007e13c3d=ann@example.com",  /* another hash */
	"prvs=0007e13c3c=anne@example.com", /* of another */
	"prvs=0008e13c3c=ann@example.com",  /* a day more */
	"prvs=1007e13c3c=ann@example.com",  /* a key that is none */
	"prvs=7007e13c3c=ann@example.com",  /* another key's number */
	"prvs=0007e13c3c-ann@example.com",
	"prvs=0007e13c3=ann@example.com",
	"prvs=0007e13c3cc=ann@example.com",
	"prvs=00x7e13c3c=ann@example.com",
	"prvs=0007e13cxc=ann@example.com",
	"btv1=0007e13c3c=ann@example.com",
	"prvs=0007e13c3c=@example.com",
	"xprvs=0007e13c3c=ann@example.com",
};

static void
test_no_tags(void **state)
{
	(void)state;
	struct arena *a = arena_new(1 << 20);
	struct address plain = {.local = SLICE("left alone")};
	for (size_t i = 0; i < sizeof(no_tags) / sizeof(no_tags[0]); i++) {
		struct address one = address_of(no_tags[i], a);
		if (batv_check(&domain, &one, 0, a, &plain) != BATV_NONE)
			fail_msg("%s is a tag", no_tags[i]);
	}
	assert_true(slice_eq(plain.local, SLICE("left alone")));
	/* on its way it may have lost its case */
	struct address one = address_of("PRVS=0007E13C3C=Ann@EXAMPLE.com", a);
	assert_int_equal(batv_check(&domain, &one, 0, a, &plain), BATV_OK);
	assert_true(slice_eq(plain.text, SLICE("Ann@example.com")));
	/* the same in another domain, with the same keys */
	one.domain = SLICE("example.net");
	assert_int_equal(batv_check(&domain, &one, 0, a, &plain), BATV_NONE);
	arena_free(&a);
}

/* Cut at each point, on a page that ends there: form alone, and nothing is read beyond. */
static void
test_form(void **state)
{
	(void)state;
	static const char whole[] = "prvs=0007e13c3c=a";
	for (size_t n = 0; n < sizeof(whole); n++) {
		struct guarded g = guarded_new((struct slice){whole, n});
		struct slice plain = SLICE_NONE;
		assert_int_equal(batv_form(g.in, &plain), n == sizeof(whole) - 1);
		guarded_free(&g);
	}
}

/* Who is tagged at all. */
static void
test_is_tagged(void **state)
{
	(void)state;
	struct conf_domain plain = {.name = SLICE("example.com")};
	struct address one = {.local = SLICE("ann"), .domain = SLICE("example.com")};
	assert_true(batv_is_tagged(&domain, &one));
	assert_false(batv_is_tagged(&plain, &one));
	one.local = SLICE("PostMaster");
	assert_false(batv_is_tagged(&domain, &one));
	one.local = SLICE("abuse");
	assert_false(batv_is_tagged(&domain, &one));
	one.local = SLICE(""); /* <""@example.com>: nothing would stand behind the tag */
	assert_false(batv_is_tagged(&domain, &one));
	one.local = SLICE("0123456789012345678901234567890123456789abcdefgh");
	assert_int_equal(one.local.n, ADDRESS_LOCAL_MOST - BATV_TAG_BYTES);
	assert_true(batv_is_tagged(&domain, &one));
	one.local = SLICE("0123456789012345678901234567890123456789abcdefghi");
	assert_false(batv_is_tagged(&domain, &one));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_days),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_no_tags),
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_is_tagged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
