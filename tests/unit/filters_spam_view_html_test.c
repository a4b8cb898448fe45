/*
 * HTML as the spam filter sees it: what an eye reads, what is hidden from it and counted, words
 * that are cut, and where links lead, in all spellings that browsers take.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "feed.h"
#include "filters/spam_view.h"

static struct arena *arena;

static int
set_up(void **state)
{
	(void)state;
	arena = arena_new(16 * 1024 * 1024);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

static struct spam_view
view(const char *type, const char *body)
{
	struct spam_view v;
	struct slice mail = arena_printf(arena, "Content-Type: %s\n\n%s", type, body);
	struct guarded g = guarded_new(mail);
	spam_view_of_mail(g.in, SLICE_NONE, arena, &v);
	v.text_as_is = arena_slice(arena, v.text_as_is);
	guarded_free(&g);
	return v;
}

static void
assert_slice(struct slice s, const char *expected, const char *of)
{
	if (!slice_eq(s, slice_of(expected)))
		fail_msg("\"%.*s\" instead of \"%s\", of %s", SLICE_ARG(s), expected, of);
}

static const struct {
	const char *html, *text;
	unsigned hidden, broken;
} texts[] = {
	{"plain", "plain", 0, 0},
	{"a<br>b<p>c</p>d<td>e", "a b c d e", 0, 0},
	{"b<b>o</b>ld <i>x</i>y", "bold xy", 0, 0},
	{"<html><head><title>T</title><style>p{x}</style></head><body>x<script>a<b</script>y",
		"xy", 0, 0},
	{"<STYLE>x</style >y", "y", 0, 0},
	{"<style>never closed", "", 0, 0},
	{"1 < 2 <3 &lt;b&gt; <", "1 < 2 <3 <b> <", 0, 0},
	{"a</>b<//c>d</ e>f", "abdf", 0, 0},
	{"&amp;&nbsp;&eacute;&#65;&#x42;&#x2014;&unknown;&",
		"& \xc3\xa9"
		"AB\xe2\x80\x94&unknown;&",
		0, 0},
	{"&#0;&#1114112;&#xd800;x&#146;", "x\xe2\x80\x99", 0, 0},
	{"x&amp y&ampz", "x& y&ampz", 0, 0},
	/* comments and tags that nobody knows, in words */
	{"V<!-- x -->iag<zq>ra", "Viagra", 0, 2},
	{"V <!-- x --> iagra<zq>.", "V iagra.", 0, 0},
	{"a<!-->b<!--c>d-->e<!-- f", "abe", 0, 2},
	{"a<!doctype x>b<?php y?>c", "abc", 0, 2},
	/* attributes in all spellings */
	{"<p title=\"a>b\">c", "c", 0, 0},
	{"<p title='a>b'>c<p title=a>d", "c d", 0, 0},
	{"<p title=\"never closed>c</p> d", "c d", 0, 0},
	{"<p / = x = y>c", "c", 0, 0},
	{"<img alt='A &amp; B' src=x>c<img alt=\"<b>\">", "A & B c <b>", 0, 0},
	{"<p", "", 0, 0},
	/* hidden text */
	{"<div style='display:none'>secret <b>words</b></div>seen", "seen", 1, 0},
	{"<div style=' DISPLAY : None ; x'>s</div>seen", "seen", 1, 0},
	{"<p style=\"visibility:hidden\">s<p>seen", "seen", 1, 0},
	{"<span style='opacity:0'>s</span><span style='opacity:0.9'>t", "t", 1, 0},
	{"<span style='font-size:0'>s</span><span style='font-size:1px'>s</span>t", "t", 2, 0},
	{"<span style='font-size:12px'>s</span><span style='font-size:1em'>t", "st", 0, 0},
	{"<td style='font-size:0'>s<div style='font-size:13px'>t</div>", "t", 1, 0},
	{"<td style='font-size:0'> <div style='font-size:13px'>t</div> &nbsp;", "t", 0, 0},
	{"<font color=white>s</font>t", "t", 1, 0},
	{"<font color='#FFFFFE'>s</font>t", "t", 1, 0},
	{"<font color='#fff' style='color:#000'>t</font>", "t", 0, 0},
	{"<table bgcolor=black><td><font color=white>t</font><font "
	 "color=#010101>s</font></table>",
		"t", 1, 0},
	{"<div style='background:#336699 none'><b style='color:rgb(51, 102,153)'>s</b>t</div>",
		"t", 1, 0},
	{"<div style='background:url(x) #fff'><b style='color:#fff'>t</b></div>", "t", 0, 0},
	{"<body background=x><font color=white>t", "t", 0, 0},
	/* a style sheet may have painted what is behind it */
	{"<style>.x{background:#000}</style><font color=white>t", "t", 0, 0},
	{"<style>.x{color:#000}</style><font color=white>s", "", 1, 0},
	{"<p style='color:transparent'>s", "", 1, 0},
	{"<p hidden>s<p>t", "t", 1, 0},
	{"<b style='mso-hide:all'>s", "", 1, 0},
	{"<p style='max-height:0px'>s<p style='max-height: 90px'>t", "t", 1, 0},
	{"<div style='display:none'>&nbsp; &zwnj;</div>t", "t", 0, 0},
	{"<div style='display:none'><img alt=s></div>t", "t", 1, 0},
	{"<div style='display:none'><br><div>s</div>s</div>t", "t", 1, 0},
	/* end tags in disorder */
	{"<b><i style='display:none'>s</b>t</i></x></div>u", "t u", 1, 1},
	{"</div></p></td>t", "t", 0, 0},
};

static void
test_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct spam_view v = view("text/html", texts[i].html);
		assert_slice(v.text_as_is, texts[i].text, texts[i].html);
		if (v.html.hidden != texts[i].hidden || v.html.broken != texts[i].broken)
			fail_msg("%u hidden, %u broken in %s", v.html.hidden, v.html.broken,
				texts[i].html);
		arena_reset(arena);
	}
}

static void
test_counts(void **state)
{
	(void)state;
	struct spam_html h = view("text/html",
		"<table><tr><td><font size=1><a href=http://a.example/>x</a><a name=y>z"
		"</a></font><img src=http://b.example/i><form action=//c.example/></form>"
		"<script>1</script><style>2</style><!-- 3 --><zz>&lt;&#65;&no;")
				     .html;
	assert_int_equal(h.tags, 11);
	assert_int_equal(h.tables, 1);
	assert_int_equal(h.fonts, 1);
	assert_int_equal(h.links, 1);
	assert_int_equal(h.images, 1);
	assert_int_equal(h.forms, 1);
	assert_int_equal(h.scripts, 1);
	assert_int_equal(h.styles, 1);
	assert_int_equal(h.comments, 1);
	assert_int_equal(h.entities, 2);
	assert_int_equal(h.text_bytes, strlen("xz <A&no;"));
}

static void
test_hidden_bytes(void **state)
{
	(void)state;
	struct spam_html h = view("text/html", "ab<p hidden>cd &eacute; ef<p>gh").html;
	assert_int_equal(h.hidden, 1);
	assert_int_equal(h.hidden_bytes, strlen("cd&eacute;ef"));
	assert_int_equal(h.text_bytes, strlen("ab gh"));
}

/* More open elements than there are places: the rest hides nothing and closes right. */
static void
test_deep(void **state)
{
	char html[4096] = "";
	size_t n = 0;
	(void)state;
	for (int i = 0; i < 150; i++)
		n += (size_t)(stpcpy(html + n, "<div>") - (html + n));
	n += (size_t)(stpcpy(html + n, "a<div style='display:none'>b</div>") - (html + n));
	for (int i = 0; i < 150; i++)
		n += (size_t)(stpcpy(html + n, "</div>") - (html + n));
	stpcpy(html + n, "<div style='display:none'>c</div>d");
	assert_slice(view("text/html", html).text_as_is, "a b d", "deep");
}

#define A(url) "<a href=\"" url "\">x</a>"

static const struct {
	const char *type, *body, *links; /* "host path flags" of each, in order */
} links[] = {
	{"text/html", A("http://A.Example/Path?q=1#f"), "a.example /Path?q=1#f 0"},
	{"text/html", A("HTTPS://a.example") A("https://a.example/"),
		"a.example  0, a.example / 0"},
	{"text/html", A("http://a.example/x") A("http://a.example/x"), "a.example /x 0"},
	{"text/html", A("mailto:a@b.example") A("cid:1") A("javascript:x") A("#top") A("rel/x"),
		""},
	{"text/html", A("//a.example/x"), "a.example /x 0"},
	{"text/html", A(" \n http:\\\\a.exa\nmple\\x"), "a.example \\x 0"},
	{"text/html", A("http:/a.example/x") A("https:a.example"),
		"a.example /x 0, a.example  0"},
	{"text/html", A("http://bank.example@evil.example/"), "evil.example / 2"},
	{"text/html", A("http://a.example:8080/") A("http://b.example:443/"),
		"a.example / 4, b.example / 0"},
	{"text/html", A("http://%65vil.example/"), "evil.example / 16"},
	{"text/html", A("http://&#101;vil.example/?a=1&amp;b=2"), "evil.example /?a=1&b=2 16"},
	{"text/html", A("http://a.example./"), "a.example / 0"},
	{"text/html",
		A("http://b\xc3\xbc"
		  "cher.example/"),
		"xn--bcher-kva.example / 8"},
	{"text/html", A("http://xn--bcher-kva.example/"), "xn--bcher-kva.example / 8"},
	{"text/html",
		A("http://\xef\xbd\x81\xe3\x80\x82"
		  "example/"),
		"a.example / 8"},
	/* nothing is left of a host */
	{"text/html", A("http://\x81/") A("http://\xc2\xad/x"), ""},
	/* addresses */
	{"text/html", A("http://192.0.2.1/"), "192.0.2.1 / 1"},
	{"text/html", A("http://3221225985/") A("http://0xC0000201/y") A("http://0300.0.2.1/z"),
		"192.0.2.1 / 1, 192.0.2.1 /y 1, 192.0.2.1 /z 1"},
	{"text/html", A("http://192.0.513/") A("http://0xc0.0x0.0x2.0x1/h"),
		"192.0.2.1 / 1, 192.0.2.1 /h 1"},
	{"text/html", A("http://[2001:DB8::1]:81/"), "2001:db8::1 / 5"},
	{"text/html", A("http://1.2.3.4.5/") A("http://256.1.1.1/") A("http://09.1.1.1/"),
		"1.2.3.4.5 / 0, 256.1.1.1 / 0, 09.1.1.1 / 0"},
	{"text/html", A("http://[::zz]/") A("http:///") A("http://@/") A("http://%%/"), ""},
	/* base, forms, images, areas, frames, refresh */
	{"text/html", "<base href=http://b.example/x/>" A("rel/y") A("/z"),
		"b.example rel/y 0, b.example /z 0"},
	{"text/html", "<form action=http://f.example/s><input formaction=http://g.example/>",
		"f.example /s 128, g.example / 128"},
	{"text/html",
		"<img src=http://i.example/1.gif>" A(
			"http://i.example/1.gif") "<img src=http://j.example/>",
		"i.example /1.gif 0, j.example / 64"},
	{"text/html", "<area href=http://a.example/><iframe src=http://f.example/></iframe>",
		"a.example / 0, f.example / 0"},
	{"text/html", "<meta http-equiv=refresh content='0; URL=http://r.example/'>",
		"r.example / 0"},
	/* what nobody can click is no link */
	{"text/html",
		"<div style='display:none'>" A(
			"http://good.example/") "<area href=//b.example>"
						"</div>" A("http://evil.example/"),
		"evil.example / 0"},
	{"text/html", "<td style='font-size:0'>" A("http://a.example/"), "a.example / 0"},
	/* redirects */
	{"text/html", A("http://g.example/url?q=http://evil.example/x&y=1"),
		"g.example /url?q=http://evil.example/x&y=1 0, evil.example /x&y=1 0"},
	{"text/html", A("http://g.example/?u=https%3A%2F%2Fevil.example%2F"),
		"g.example /?u=https%3A%2F%2Fevil.example%2F 0, evil.example / 0"},
	{"text/html", A("http://g.example/?url=www.evil.example"),
		"g.example /?url=www.evil.example 0, www.evil.example  0"},
	{"text/html", A("http://g.example/http-and-more?x=https:"),
		"g.example /http-and-more?x=https: 0"},
	/* what is shown, and where it leads */
	{"text/html", "<a href=http://evil.example/>http://www.bank.example/login</a>",
		"evil.example / 32"},
	{"text/html", "<a href=http://evil.test/>www.bank.com</a>", "evil.test / 32"},
	{"text/html", "<a href=http://evil.test/><b>bank.com</b></a>", "evil.test / 32"},
	{"text/html", "<a href=http://x.bank.example/>https://www.bank.example/y</a>",
		"x.bank.example / 0"},
	{"text/html", "<a href=http://a.co.uk/>www.b.co.uk</a>", "a.co.uk / 32"},
	{"text/html", "<a href=http://a.example/>report.pdf</a>", "a.example / 0"},
	{"text/html", "<a href=http://a.example/>Mr. Smith</a> www.c.example",
		"a.example / 0, www.c.example  256"},
	{"text/html", "<a href=http://a.example/>x<a href=http://b.example/>www.b.example</a>",
		"a.example / 0, b.example / 0"},
	/* in text */
	{"text/html", "see http://t.example/a, or <a href=http://a.example/>z</a>",
		"t.example /a 256, a.example / 0"},
	{"text/plain", "see http://t.example/a. (https://u.example) <http://v.example/>",
		"t.example /a 256, u.example  256, v.example / 256"},
	{"text/plain", "www.w.example/x and WWW.Y.example, awww.n.example x@www.n.example",
		"www.w.example /x 256, www.y.example  256"},
	{"text/plain", "xhttp://a.example gopher://b.example :// http:// www. www.",
		"a.example  256"},
	{"text/plain", "http://u:p@a.example:81/", "a.example / 262"},
	{"text/plain", "mailto:x@y.example x@z.example z.example", ""},
};

static struct slice
told(const struct spam_view *v)
{
	struct slice all = SLICE_NONE;
	for (size_t i = 0; i < v->n_links; i++)
		all = arena_printf(arena, "%.*s%s%.*s %.*s %u", SLICE_ARG(all),
			i != 0 ? ", " : "", SLICE_ARG(v->links[i].host),
			SLICE_ARG(v->links[i].path), v->links[i].flags);
	return all;
}

static void
test_links(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		struct spam_view v = view(links[i].type, links[i].body);
		assert_slice(told(&v), links[i].links, links[i].body);
		arena_reset(arena);
	}
}

/* Cut after each byte, at the end of a page: nothing is read behind it. */
static void
test_cut_anywhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		for (size_t n = 0; n <= strlen(texts[i].html); n++) {
			char *cut = arena_text(arena, (struct slice){texts[i].html, n});
			struct spam_view v = view("text/html", cut);
			assert_true(v.text.n <= 3 * n);
			arena_reset(arena);
		}
	}
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		for (size_t n = 0; n <= strlen(links[i].body); n++) {
			char *cut = arena_text(arena, (struct slice){links[i].body, n});
			struct spam_view v = view(links[i].type, cut);
			assert_true(v.n_links <= 3);
			arena_reset(arena);
		}
	}
}

static void
test_links_bounded(void **state)
{
	struct slice all = SLICE_NONE;
	(void)state;
	for (int i = 0; i < 100; i++)
		all = arena_printf(arena, "%.*s http://h%d.example/ ", SLICE_ARG(all), i);
	struct spam_view v = view("text/plain", arena_text(arena, all));
	assert_int_equal(v.n_links, SPAM_LINKS_MOST);
	assert_slice(v.links[63].host, "h63.example", "many links");
	struct slice path = SLICE_NONE;
	for (int i = 0; i < 30; i++)
		path = arena_printf(arena, "%.*s/ten-letter", SLICE_ARG(path));
	v = view("text/plain", arena_text(arena, arena_printf(arena, "http://h.example%.*s",
							 SLICE_ARG(path))));
	assert_int_equal(v.n_links, 1);
	assert_int_equal(v.links[0].path.n, 200);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_texts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hidden_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_deep, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cut_anywhere, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links_bounded, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
