/*
 * What the finders of evidence ask: look-alikes of our domains, lists of names, brands,
 * disguised letters, names made by dice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "filters/spam_evidence_priv.h"

static const struct slice own[] = {SLICE("example.org"), SLICE("northwind.test"),
	SLICE("mail.bluefin.co.uk"), SLICE("ab.test"),
	/* Cyrillic throughout; with one mark */
	SLICE("xn--b1agh1afp.test"), SLICE("xn--bcher-kva.test")};
enum { OWN = sizeof(own) / sizeof(own[0]) };

static void
alike(void **state)
{
	(void)state;
	static const struct {
		const char *host;
		double least, most; /* how much */
	} cases[] = {
		/* ours, and what has nothing to do with ours */
		{"example.org", 0, 0},
		{"mx.example.org", 0, 0},
		{"bluefin.co.uk", 0, 0},
		{"www.bluefin.co.uk", 0, 0},
		{"other.test", 0, 0},
		{"wind.test", 0, 0},
		{"", 0, 0},
		{"org", 0, 0},
		{"192.0.2.1", 0, 0},
		{"northgate.test", 0, 0},
		{"example.zendesk.test", 0, 0},
		{"sample.org", 0, 0},
		{"ac.test", 0, 0},
		/* letters for others */
		{"examp1e.org", 1, 1},
		{"n0rthwind.com", 1, 1},
		{"exarnple.org", 1, 1},
		{"northvvind.test", 1, 1},
		{"north-wind.test", 1, 1},
		/* Cyrillic e and a; Greek o; a letter with a mark */
		{"xn--xample-2of.org", 1, 1},
		{"xn--exmple-4nf.org", 1, 1},
		{"xn--nrthwind-zdg.test", 1, 1},
		{"xn--exmple-cua.org", 1, 1},
		{"xn--80ak6aa92e.org", 0, 0},
		{"xn--.org", 0, 0},
		{"xn--99999999.org", 0, 0},
		/* one more, less, changed, swapped */
		{"exampel.org", 0.8, 0.8},
		{"exmple.org", 0.8, 0.8},
		{"examplle.net", 0.8, 0.8},
		{"northwinb.test", 0.8, 0.8},
		{"exampppe.org", 0, 0},
		/* a word hung on, another suffix, ours as labels of another */
		{"example-support.com", 0.6, 0.6},
		{"my-northwind.com", 0.6, 0.6},
		{"examples-of.com", 0, 0},
		{"example.com", 0.3, 0.3},
		{"northwind.com", 0.3, 0.3},
		{"example.org.login.test", 1, 1},
		{"login.example.org-secure.test", 1, 1},
		{"notexample.org.test", 0, 0},
		{"xn--80aahjj1e.test", 0, 0},
		{"bucher.test", 1, 1},
		{"xn--bcher-kva.test", 0, 0},
		{"bluefin.co.uk.evil.test", 1, 1},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice which = SLICE_NONE;
		double much = spam_alike(slice_of(cases[i].host), own, OWN, &which);
		if (much < cases[i].least || much > cases[i].most)
			fail_msg("%s: %.2f", cases[i].host, much);
		assert_int_equal(which.n != 0, much > 0);
	}
	struct slice which;
	assert_true(spam_alike(SLICE("examp1e.org"), own, 0, &which) == 0);
}

static void
ours(void **state)
{
	(void)state;
	struct spam_world w = {.own_domains = own, .n_own_domains = OWN};
	assert_true(spam_is_own(&w, SLICE("example.org")));
	assert_true(spam_is_own(&w, SLICE("a.b.example.org")));
	assert_true(spam_is_own(&w, SLICE("EXAMPLE.org")));
	assert_false(spam_is_own(&w, SLICE("anexample.org")));
	assert_false(spam_is_own(&w, SLICE("org")));
	assert_false(spam_is_own(&w, SLICE("")));
}

/* Sorted lists are searched by halves: first, last and some between must be found. */
static void
lists(void **state)
{
	(void)state;
	static const char *const free_mail[] = {"126.com", "gmail.com", "gmx.de", "hotmail.com",
		"web.de", "yandex.ru", "zohomail.com"};
	for (size_t i = 0; i < sizeof(free_mail) / sizeof(free_mail[0]); i++)
		assert_true(spam_free_mail(slice_of(free_mail[i])));
	assert_false(spam_free_mail(SLICE("gmail.co")));
	assert_false(spam_free_mail(SLICE("")));
	static const char *const tlds[] = {
		"a.autos", "a.b.cyou", "a.icu", "a.tk", "a.xyz", "a.zip"};
	for (size_t i = 0; i < sizeof(tlds) / sizeof(tlds[0]); i++)
		assert_true(spam_bad_tld(slice_of(tlds[i])));
	assert_false(spam_bad_tld(SLICE("xyz.com")));
	assert_false(spam_bad_tld(SLICE("xyz")));
	assert_true(spam_shortener(SLICE("bit.ly"), SLICE("bit.ly")));
	assert_true(spam_shortener(SLICE("adf.ly"), SLICE("adf.ly")));
	assert_true(spam_shortener(SLICE("xurl.es"), SLICE("xurl.es")));
	assert_false(spam_shortener(SLICE("www.test"), SLICE("www.test")));
	assert_true(spam_hosting(SLICE("a.000webhostapp.com")));
	assert_true(spam_hosting(SLICE("x.web.app")));
	assert_true(spam_hosting(SLICE("a.b.zyrosite.com")));
	assert_false(spam_hosting(SLICE("web.app.test")));
	assert_true(spam_storage(SLICE("s3.us-east-1.amazonaws.com")));
	assert_true(spam_storage(SLICE("ipfs.io")));
	assert_true(spam_storage(SLICE("a.wasabisys.com")));
	assert_false(spam_storage(SLICE("ipfs.io.test")));
	assert_true(spam_names_sorted());
}

static void
brands(void **state)
{
	(void)state;
	static const struct {
		const char *text, *org, *brand;
	} named[] = {
		{"paypal", "a.test", "paypal"},
		{"your paypal team", "a.test", "paypal"},
		{"paypal", "paypal.com", ""},
		{"paypal", "paypal.de", ""},
		{"paypalooza", "a.test", ""},
		{"mypaypal", "a.test", ""},
		{"facebook", "facebookmail.com", ""},
		{"microsoft account team", "a.test", "microsoft"},
		{"microsoft", "microsoft-account.test", "microsoft"},
		{"volksbank", "volksbank-nord.de", ""},
		{"ann from ups", "a.test", "ups"},
		{"upside", "a.test", ""},
		{"bradesco", "banco.bradesco", ""},
		{"", "a.test", ""},
		{"ann", "", ""},
	};
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
		struct slice b =
			spam_brand_named(slice_of(named[i].text), slice_of(named[i].org));
		if (!slice_eq(b, slice_of(named[i].brand)))
			fail_msg("%s of %s: %.*s", named[i].text, named[i].org, SLICE_ARG(b));
	}
	assert_true(spam_brand_in_host(SLICE("paypal.a.test"), SLICE("a.test")).n != 0);
	assert_true(
		spam_brand_in_host(SLICE("paypalsecure.test"), SLICE("paypalsecure.test")).n !=
		0);
	assert_int_equal(spam_brand_in_host(SLICE("www.paypal.com"), SLICE("paypal.com")).n, 0);
	assert_int_equal(
		spam_brand_in_host(SLICE("upstream.test"), SLICE("upstream.test")).n, 0);
}

static void
disguises(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		unsigned by, mixed, emoji;
	} cases[] = {
		{"", 0, 0, 0},
		{"plain words", 0, 0, 0},
		{"J\xc3\xbcrgen caf\xc3\xa9", 0, 0, 0},
		{"p\xd0\xb0ypal and p\xd0\xb0ssword", SPAM_MIXED, 2, 0},
		{"\xd0\xbf\xd0\xb8\xd1\x81\xd1\x8c\xd0\xbc\xd0\xbe", 0, 0, 0},
		{"PDF\xd0\xba\xd0\xb8", 0, 0, 0}, /* an ending of its own */
		{"5 k\xce\xa9 and 3 \xce\xbcm", 0, 0, 0},
		{"tr\xdc\xbfou\xdc\xbfl", SPAM_MIXED, 1, 0},
		{"pay\xe2\x80\x8bpal", SPAM_UNSEEN, 0, 0},
		{"a \xe2\x80\x8b b", 0, 0, 0},
		{"\xe2\x80\xae.fdp.exe", SPAM_UNSEEN, 0, 0},
		{"\xf0\x9d\x98\xbf\xf0\x9d\x99\x84", SPAM_PICTURED, 0, 0},
		{"\xf0\x9f\x8e\x81 gift \xf0\x9f\x8e\x81", 0, 0, 2},
		{"\xff\xfe\xf0\x9f", 0, 0, 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct spam_disguises d = spam_disguised(slice_of(cases[i].text));
		if (d.by != cases[i].by || d.mixed != cases[i].mixed ||
			d.emoji != cases[i].emoji)
			fail_msg("%s: %u %u %u", cases[i].text, d.by, d.mixed, d.emoji);
	}
}

static void
dice(void **state)
{
	(void)state;
	static const char *const made[] = {
		"xk3q9v1z7b", "qzkrtwpvb", "a1b2c3d4e5", "bcdfghjklm"};
	static const char *const honest[] = {"handelsblatt", "freshrpms", "ntlworld",
		"northwind", "strengths", "ann.smith", "office365", "2026", "a1", "kubernetes",
		"marketing", "mail2web4you", ""};
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
		if (!spam_diced(slice_of(made[i])))
			fail_msg("%s", made[i]);
	for (size_t i = 0; i < sizeof(honest) / sizeof(honest[0]); i++)
		if (spam_diced(slice_of(honest[i])))
			fail_msg("%s", honest[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alike),
		cmocka_unit_test(ours),
		cmocka_unit_test(lists),
		cmocka_unit_test(brands),
		cmocka_unit_test(disguises),
		cmocka_unit_test(dice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
