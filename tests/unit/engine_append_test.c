/*
 * A text under mails of every shape: what comes out, to the byte, or why nothing does. Each
 * plan is also applied again: what has the text already is left as it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/append.h"
#include "engine/look.h"

enum { ARENA_MOST = 512 << 20 };

#define HEAD       "From: a@example.com\r\nSubject: s\r\n"
#define MIME       HEAD "MIME-Version: 1.0\r\n"
#define PLAIN      "Content-Type: text/plain; charset=utf-8\r\n"
#define HTML       "Content-Type: text/html; charset=utf-8\r\n"
#define MULTI(sub) "Content-Type: multipart/" sub "; boundary=b\r\n"
#define QP         "Content-Transfer-Encoding: quoted-printable\r\n"
#define B64        "Content-Transfer-Encoding: base64\r\n"
#define EIGHT      "Content-Transfer-Encoding: 8bit\r\n"
#define TEXT       "-- \nBound to secrecy.\n"
#define TEXT_CRLF  "-- \r\nBound to secrecy.\r\n"
#define UMLAUT     "F\303\274r Sie.\n"
#define EURO       "10 \342\202\254\n"
#define PAGE       "<p>F\303\274r <b>Sie</b>.</p>\n"
#define PAGE_CRLF  "<p>F&#252;r <b>Sie</b>.</p>\r\n"

struct shape {
	const char *label, *mail, *text, *html;
	const char *want; /* the mail, or in its place why not: no line end in it */
};

static const struct shape shapes[] = {
	{"no MIME", HEAD "\r\nhello\r\n", TEXT, PAGE, HEAD "\r\nhello\r\n\r\n" TEXT_CRLF},
	{"nothing in it", HEAD "\r\n", TEXT, PAGE, HEAD "\r\n" TEXT_CRLF},
	{"no MIME, a text of more than ASCII", HEAD "\r\nhello\r\n", UMLAUT, PAGE,
		HEAD "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" QP
		     "\r\nhello\r\n\r\n=46=C3=BCr Sie.\r\n"},
	{"no MIME, more than ASCII in it", HEAD "\r\nh\303\251\r\n", UMLAUT, PAGE,
		"its character set cannot carry the text"},
	{"no MIME, more than ASCII in it, a text that is", HEAD "\r\nh\303\251\r\n", TEXT, PAGE,
		HEAD "\r\nh\303\251\r\n\r\n" TEXT_CRLF},
	{"plain", MIME PLAIN "\r\nhello\r\n", TEXT, PAGE,
		MIME PLAIN "\r\nhello\r\n\r\n" TEXT_CRLF},
	{"7bit, text of more: written anew", MIME PLAIN "\r\na=b\r\n", UMLAUT, PAGE,
		MIME "Content-Type: text/plain; charset=utf-8\r\n" QP
		     "\r\na=3Db\r\n\r\n=46=C3=BCr Sie.\r\n"},
	{"its field is kept",
		MIME "Content-Type: text/plain;\r\n charset=us-ascii;\r\n x=y\r\n"
		     "X-Last: 1\r\nContent-Transfer-Encoding: 7bit\r\n\r\nhi\r\n",
		UMLAUT, PAGE,
		MIME "Content-Type: text/plain; charset=utf-8;\r\n\tx=\"y\"\r\nX-Last: 1\r\n" QP
		     "\r\nhi\r\n\r\n=46=C3=BCr Sie.\r\n"},
	{"8bit with some", MIME PLAIN EIGHT "\r\nh\303\251\r\n", UMLAUT, PAGE,
		MIME PLAIN EIGHT "\r\nh\303\251\r\n\r\nF\303\274r Sie.\r\n"},
	{"8bit without any: no byte above 127 comes", MIME PLAIN EIGHT "\r\nhi\r\n", UMLAUT,
		PAGE, MIME PLAIN QP "\r\nhi\r\n\r\n=46=C3=BCr Sie.\r\n"},
	{"latin1 carries it",
		MIME "Content-Type: text/plain; charset=iso-8859-1\r\n" EIGHT "\r\nh\351\r\n",
		UMLAUT, PAGE,
		MIME "Content-Type: text/plain; charset=iso-8859-1\r\n" EIGHT
		     "\r\nh\351\r\n\r\nF\374r Sie.\r\n"},
	{"latin1 has no euro",
		MIME "Content-Type: text/plain; charset=iso-8859-1\r\n" EIGHT "\r\nh\351\r\n",
		EURO, PAGE, MIME PLAIN QP "\r\nh=C3=A9\r\n\r\n10 =E2=82=AC\r\n"},
	{"an unknown set", MIME "Content-Type: text/plain; charset=x-none\r\n\r\nhi\r\n", TEXT,
		PAGE, "its character set cannot carry the text"},
	{"UTF-16", MIME "Content-Type: text/plain; charset=utf-16\r\n" B64 "\r\naABpAA==\r\n",
		TEXT, PAGE, "its character set cannot carry the text"},
	{"what it claims it is not",
		MIME "Content-Type: text/plain; charset=utf-8\r\n" EIGHT "\r\nh\351\r\n", EURO,
		PAGE,
		MIME "Content-Type: text/plain; charset=utf-8\r\n" EIGHT
		     "\r\nh\351\r\n\r\n10 \342\202\254\r\n"},
	{"quoted", MIME PLAIN QP "\r\nh=C3=A9=\r\nllo\r\n", UMLAUT, PAGE,
		MIME PLAIN QP "\r\nh=C3=A9=\r\nllo\r\n\r\n=46=C3=BCr Sie.\r\n"},
	{"quoted, a soft end", MIME PLAIN QP "\r\nhello=\r\n", TEXT, PAGE,
		MIME PLAIN QP "\r\nhello=\r\n\r\n\r\n--=20\r\nBound to secrecy.\r\n"},
	{"quoted, its line end written", MIME PLAIN QP "\r\nhello=0D=0A", TEXT, PAGE,
		MIME PLAIN QP "\r\nhello=0D=0A\r\n--=20\r\nBound to secrecy.\r\n"},
	{"quoted wrongly", MIME PLAIN QP "\r\nh=C3=A\r\n", UMLAUT, PAGE,
		"its text does not decode"},
	{"base64, three bytes", MIME PLAIN B64 "\r\naGkh\r\n", "x\n", PAGE,
		MIME PLAIN B64 "\r\naGkhDQoNCngNCg==\r\n"},
	{"base64, two", MIME PLAIN B64 "\r\naGk=\r\n", "x\n", PAGE,
		MIME PLAIN B64 "\r\naGkNCg0KeA0K\r\n"},
	{"base64, on a full line",
		MIME PLAIN B64
		"\r\n"
		"MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3"
		"\r\n",
		"x\n", PAGE,
		MIME PLAIN B64
		"\r\n"
		"MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3"
		"\r\nDQoNCngNCg==\r\n"},
	{"base64 wrongly", MIME PLAIN B64 "\r\naGk\r\n", "x\n", PAGE,
		"its text does not decode"},
	{"uuencode", MIME PLAIN "Content-Transfer-Encoding: x-uuencode\r\n\r\nx\r\n", TEXT,
		PAGE, "its MIME is malformed"},
	{"flowed",
		MIME "Content-Type: text/plain; charset=utf-8; format=flowed\r\n\r\nlong \r\n",
		"> a\n b\nFrom c\nd\n", PAGE,
		MIME
		"Content-Type: text/plain; charset=utf-8; format=flowed\r\n\r\nlong \r\n\r\n"
		" > a\r\n  b\r\n From c\r\nd\r\n"},
	{"HTML alone", MIME HTML "\r\n<html><BODY>hi</BODY></html>\r\n", TEXT, PAGE,
		MIME HTML "\r\n<html><BODY>hi\r\n" PAGE_CRLF "</BODY></html>\r\n"},
	{"HTML without a body", MIME HTML "\r\n<p>hi</p>\r\n", TEXT, PAGE,
		MIME HTML "\r\n<p>hi</p>\r\n" PAGE_CRLF},
	{"HTML, quoted, its tag divided",
		MIME HTML QP "\r\n<html><body>hi =3D</bo=\r\ndy></html>\r\n", TEXT, PAGE,
		MIME HTML QP
		"\r\n<html><body>hi =3D\r\n<p>F&#252;r <b>Sie</b>.</p>\r\n</bo=\r\n"
		"dy></html>\r\n"},
	{"HTML in base64", MIME HTML B64 "\r\nPGJvZHk+aGk8L2JvZHk+DQo=\r\n", TEXT, "<p>x</p>\n",
		MIME HTML B64 "\r\nPGJvZHk+aGkNCjxwPng8L3A+DQo8L2JvZHk+DQo=\r\n"},
	{"both",
		MIME MULTI("alternative") "\r\npre\r\n--b\r\n" PLAIN "\r\nhi\r\n--b\r\n" HTML
					  "\r\n<body>hi</body>\r\n--b--\r\npost\r\n",
		TEXT, PAGE,
		MIME MULTI("alternative") "\r\npre\r\n--b\r\n" PLAIN "\r\nhi\r\n\r\n" TEXT_CRLF
					  "\r\n--b\r\n" HTML "\r\n<body>hi\r\n" PAGE_CRLF
					  "</body>\r\n--b--\r\npost\r\n"},
	{"one of two written anew",
		MIME MULTI("alternative") "\r\n--b\r\nContent-Type: text/plain\r\n"
					  "\r\nhi\r\n--b\r\n" HTML
					  "\r\n<body>hi</body>\r\n--b--\r\n",
		UMLAUT, PAGE,
		MIME MULTI("alternative") "\r\n--b\r\n" PLAIN QP
					  "\r\nhi\r\n\r\n=46=C3=BCr Sie.\r\n"
					  "\r\n--b\r\n" HTML "\r\n<body>hi\r\n" PAGE_CRLF
					  "</body>\r\n--b--\r\n"},
	{"a part without fields", MIME MULTI("mixed") "\r\n--b\r\n\r\nhi\r\n--b--\r\n", UMLAUT,
		PAGE,
		MIME MULTI("mixed") "\r\n--b\r\n" PLAIN QP
				    "\r\nhi\r\n\r\n=46=C3=BCr Sie.\r\n\r\n--b--\r\n"},
	{"an empty part", MIME MULTI("mixed") "\r\n--b\r\n" PLAIN "\r\n\r\n--b--\r\n", TEXT,
		PAGE, MIME MULTI("mixed") "\r\n--b\r\n" PLAIN "\r\n" TEXT_CRLF "\r\n--b--\r\n"},
	{"the first of mixed alone",
		MIME MULTI("mixed") "\r\n--b\r\n" PLAIN "\r\nhi\r\n--b\r\n" HTML
				    "\r\n<p>not the body</p>\r\n--b--\r\n",
		TEXT, PAGE,
		MIME MULTI("mixed") "\r\n--b\r\n" PLAIN "\r\nhi\r\n\r\n" TEXT_CRLF
				    "\r\n--b\r\n" HTML "\r\n<p>not the body</p>\r\n--b--\r\n"},
	{"alternative in related in mixed",
		MIME MULTI("mixed") "\r\n--b\r\nContent-Type: multipart/related; "
				    "boundary=c\r\n\r\n"
				    "--c\r\nContent-Type: multipart/alternative; "
				    "boundary=d\r\n\r\n--d\r\n" PLAIN
				    "\r\nhi\r\n--d--\r\n\r\n--c--\r\n\r\n--b\r\nContent-Type: "
				    "application/pdf\r\n\r\nx\r\n"
				    "--b--\r\n",
		TEXT, PAGE,
		MIME MULTI("mixed") "\r\n--b\r\nContent-Type: multipart/related; "
				    "boundary=c\r\n\r\n"
				    "--c\r\nContent-Type: multipart/alternative; "
				    "boundary=d\r\n\r\n--d\r\n" PLAIN "\r\nhi\r\n\r\n" TEXT_CRLF
				    "\r\n--d--\r\n\r\n--c--\r\n\r\n--b\r\n"
				    "Content-Type: application/pdf\r\n\r\nx\r\n--b--\r\n"},
	{"an attachment alone",
		MIME MULTI("mixed") "\r\n--b\r\n" PLAIN "Content-Disposition: attachment; "
				    "filename=a.txt\r\n\r\nhi\r\n--b--\r\n",
		TEXT, PAGE, "it has no text"},
	{"a picture", MIME "Content-Type: image/png\r\n" B64 "\r\naGk=\r\n", TEXT, PAGE,
		"it has no text"},
	{"signed",
		MIME "Content-Type: multipart/signed; boundary=b; micalg=x\r\n\r\n--b\r\n" PLAIN
		     "\r\nhi\r\n--b\r\nContent-Type: "
		     "application/pgp-signature\r\n\r\nx\r\n--b--\r\n",
		TEXT, PAGE, "it is signed"},
	{"signed within",
		MIME MULTI("mixed") "\r\n--b\r\n" PLAIN "\r\nhi\r\n--b\r\n"
				    "Content-Type: multipart/signed; "
				    "boundary=c\r\n\r\n--c\r\n" PLAIN "\r\nx\r\n--c--\r\n"
				    "\r\n--b--\r\n",
		TEXT, PAGE, "it is signed"},
	{"encrypted",
		MIME "Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n"
		     "Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b--\r\n",
		TEXT, PAGE, "it is encrypted"},
	{"S/MIME", MIME "Content-Type: application/pkcs7-mime\r\n" B64 "\r\naGk=\r\n", TEXT,
		PAGE, "it is signed or encrypted by S/MIME"},
	{"PGP in the text", MIME PLAIN "\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n", TEXT, PAGE,
		"it is signed or encrypted by PGP"},
	{"an invitation",
		MIME MULTI("alternative") "\r\n--b\r\n" PLAIN "\r\nhi\r\n--b\r\n"
					  "Content-Type: text/calendar; "
					  "method=REQUEST\r\n\r\nx\r\n--b--\r\n",
		TEXT, PAGE, "it is an invitation"},
	{"a report",
		MIME "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n" PLAIN
		     "\r\nhi\r\n--b--\r\n",
		TEXT, PAGE, "it is a report"},
	{"a forwarded mail is nobody's body",
		MIME MULTI("mixed") "\r\n--b\r\n"
				    "Content-Type: message/rfc822\r\n\r\n" HEAD
				    "\r\nhi\r\n--b--\r\n",
		TEXT, PAGE, "it has no text"},
	{"no boundary", MIME "Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nhi\r\n--b--\r\n",
		TEXT, PAGE, "its MIME is malformed"},
	{"never closed", MIME MULTI("mixed") "\r\n--b\r\n" PLAIN "\r\nhi\r\n", TEXT, PAGE,
		"its MIME is malformed"},
	{"two types", MIME PLAIN HTML "\r\nhi\r\n", TEXT, PAGE, "its MIME is malformed"},
	{"two encodings", MIME PLAIN QP B64 "\r\nhi\r\n", TEXT, PAGE, "its MIME is malformed"},
	{"it is there", MIME PLAIN "\r\nhi\r\n\r\n--\r\n\r\nBound to secrecy.  \r\n\r\n", TEXT,
		PAGE, "it ends in the text already"},
	{"it is there as a quotation", MIME PLAIN "\r\nhi\r\n> --\r\n> Bound to secrecy.\r\n",
		TEXT, PAGE,
		MIME PLAIN "\r\nhi\r\n> --\r\n> Bound to secrecy.\r\n\r\n" TEXT_CRLF},
	{"it is there, further up", MIME PLAIN "\r\n-- \r\nBound to secrecy.\r\nmore\r\n", TEXT,
		PAGE, MIME PLAIN "\r\n-- \r\nBound to secrecy.\r\nmore\r\n\r\n" TEXT_CRLF},
};

static struct arena *arena;

static int
begin(void **state)
{
	(void)state;
	arena = arena_new(ARENA_MOST);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

/* What a session makes of a plan, the splices held against their contract. */
static struct slice
carried_out(struct slice mail, const struct append_plan *p)
{
	struct slice out = SLICE_NONE;
	size_t done = 0;
	if (p->status != APPEND_DONE)
		return p->why;
	assert_true(p->n != 0);
	for (size_t i = 0; i < p->n; i++) {
		const struct append_splice *s = &p->splices[i];
		assert_true(s->at >= done && s->at + s->cut <= mail.n);
		assert_true(i == 0 || s->at > done);
		out = arena_printf(arena, "%.*s%.*s%.*s", SLICE_ARG(out), (int)(s->at - done),
			mail.p + done, SLICE_ARG(s->insert));
		done = s->at + s->cut;
	}
	return arena_printf(arena, "%.*s%s", SLICE_ARG(out), mail.p + done);
}

static void
test_shapes(void **state)
{
	(void)state;
	size_t failed = 0, n = sizeof(shapes) / sizeof(shapes[0]);
	for (size_t i = 0; i < n; i++) {
		const struct shape *s = &shapes[i];
		struct append_plan plan, again;
		struct slice mail = slice_of(s->mail), text = slice_of(s->text);
		append_make(mail, text, slice_of(s->html), arena, &plan);
		struct slice got = carried_out(mail, &plan);
		if (!slice_eq(got, slice_of(s->want))) {
			print_message("%s: wanted\n%s\ngot\n%.*s\n", s->label, s->want,
				SLICE_ARG(got));
			failed++;
		}
		if (plan.status != APPEND_DONE)
			continue;
		append_make(got, text, slice_of(s->html), arena, &again);
		if (again.status != APPEND_NOT ||
			!slice_eq(again.why, SLICE("it ends in the text already"))) {
			print_message("%s: twice: %.*s\n", s->label, SLICE_ARG(again.why));
			failed++;
		}
	}
	assert_int_equal(failed, 0);
}

/* A mail of any length, whatever is cut off its end: a plan that holds, or none. */
static void
test_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i += 3) {
		struct slice mail = slice_of(shapes[i].mail);
		for (size_t n = 0; n <= mail.n; n++) {
			struct append_plan plan;
			struct slice part = arena_slice(arena, slice_first(mail, n));
			append_make(part, slice_of(shapes[i].text), slice_of(shapes[i].html),
				arena, &plan);
			if (plan.status == APPEND_DONE)
				(void)carried_out(slice_of(arena_text(arena, part)), &plan);
			else
				assert_true(plan.why.n != 0);
			arena_reset(arena);
		}
	}
}

/* What would have to be written anew has a bound; what only gets more has none. */
static void
test_large(void **state)
{
	(void)state;
	static char mail[4 << 20];
	struct append_plan plan;
	size_t n = (size_t)snprintf(mail, sizeof(mail), "%s", MIME PLAIN "\r\n");
	for (; n + 12 < sizeof(mail); n += 10)
		memcpy(mail + n, "12345678\r\n", 10);
	struct slice all = {mail, n};
	append_make(all, SLICE(TEXT), SLICE_NONE, arena, &plan);
	assert_int_equal(plan.status, APPEND_DONE);
	assert_int_equal(plan.n, 1);
	assert_int_equal(plan.splices[0].at, n);
	append_make(all, SLICE(UMLAUT), SLICE_NONE, arena, &plan);
	assert_int_equal(plan.status, APPEND_NOT);
	assert_true(slice_eq(plan.why, SLICE("too much of it would have to be written anew")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_shapes, begin, end),
		cmocka_unit_test_setup_teardown(test_cut, begin, end),
		cmocka_unit_test_setup_teardown(test_large, begin, end),
	};
	look_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
