/*
 * What the spam filter sees of a mail: which fields, the raw bytes, parts and their text, what
 * is a bounce, and that LF, CRLF, a cut anywhere and a full arena are all borne.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "feed.h"
#include "filters/spam_view.h"

enum { ARENA_BYTES = 16 * 1024 * 1024 };

#define OURS "mx.ours.example"

static struct arena *arena;

static int
set_up(void **state)
{
	(void)state;
	arena = arena_new(ARENA_BYTES);
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
view(const char *mail)
{
	struct spam_view v;
	spam_view_of_mail(slice_of(mail), SLICE(OURS), arena, &v);
	return v;
}

static void
assert_slice(struct slice s, const char *expected)
{
	if (!slice_eq(s, slice_of(expected)))
		fail_msg("\"%.*s\" instead of \"%s\"", SLICE_ARG(s), expected);
}

/* The names of the fields that are looked at. */
static struct slice
names(const struct spam_view *v)
{
	struct slice all = SLICE_NONE;
	for (size_t i = 0; i < v->n_fields; i++)
		all = arena_printf(arena, "%.*s%s%.*s", SLICE_ARG(all), i != 0 ? " " : "",
			SLICE_ARG(v->fields[i].name));
	return all;
}

/* tagged: what our gate and a mailbox put on the mail of the first column. */
static const struct {
	const char *header, *names;
	bool own;
} fields[] = {
	{"From: a@b.example\nSubject: x\n\n", "From Subject", false},
	{"Return-Path: <x@y.example>\nDelivered-To: me\nX-Spam-Flag: YES\nFrom: a@b.example\n"
	 "Authentication-Results: z; spf=pass\nStatus: RO\nSubject: x\n\n",
		"From Subject", false},
	{"ARC-Seal: i=1\nARC-Message-Signature: i=1\nX-Postern-Would: x\nX-Mailer: y\n"
	 "X-MS-Exchange-Organization-SCL: 9\nX-SPAM-EVIDENCE: x\nX-Rspamd-Score: 1\n\n",
		"X-Mailer", false},
	/* what only begins or ends like a mark is none */
	{"X-Status-Page: a\nStatus-X: b\nX-Sp: c\nA: d\nX-Imap: e\nX-ImapBase: f\nX-Imapb: "
	 "g\n\n",
		"X-Status-Page Status-X X-Sp A X-Imapb", false},
	/* our Received, and all above it */
	{"X-Tag: ours\nReceived: from c (c [192.0.2.1]) by " OURS " with ESMTP id 1; now\n"
	 "Received: from d by e; then\nFrom: a@b.example\n\n",
		"Received From", true},
	/* the last one counts, so that a mail that came back is what it was */
	{"Received: by " OURS " id 2; now\nList-Id: <l>\nReceived: by list.example; now\n"
	 "Received: from u\n\tby MX.ours.example with ESMTPSA id 1; then\nFrom: "
	 "a@b.example\n\n",
		"From", true},
	/* a forged one below From hides nothing */
	{"From: a@b.example\nSubject: x\nReceived: by " OURS "; never\nTo: c\n\n",
		"From Subject Received To", false},
	/* another one's is not ours */
	{"Received: by mx.ours.example.net; x\nReceived: from " OURS
	 " by z; y\nFrom: a@b.example\n\n",
		"Received Received From", false},
};

static void
test_fields(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		struct spam_view v = view(fields[i].header);
		assert_slice(names(&v), fields[i].names);
		assert_int_equal(v.own, fields[i].own);
		assert_int_equal(v.message->n_fields, v.n_fields);
	}
}

static void
test_no_hostname(void **state)
{
	struct spam_view v;
	(void)state;
	spam_view_of_mail(
		SLICE("Received: by ; x\nReceived: by " OURS "; y\n\n"), SLICE_NONE, arena, &v);
	assert_int_equal(v.n_fields, 2);
	assert_false(v.own);
}

/* A mail at the gate and the same mail out of a mailbox are one to the models. */
static void
test_gate_and_mailbox(void **state)
{
	static const char mail[] = "Received: from a by b; c\r\nFrom: x@y.example\r\n"
				   "Subject: s\r\n\r\nhello\r\n";
	static const char kept[] =
		"Return-Path: <x@y.example>\nX-Spam: no\nAuthentication-Results: " OURS
		"; spf=none\nReceived: from h by " OURS " id 7; c\nReceived: from a by b; c\n"
		"From: x@y.example\nX-UID: 77\nSubject: s\nX-Mozilla-Status: 1\n\nhello\n";
	(void)state;
	struct spam_view a = view(mail), b = view(kept);
	assert_slice(a.raw, "Received: from a by b; c\nFrom: x@y.example\nSubject: s\n\nhello");
	assert_true(slice_eq(a.raw, b.raw));
	assert_true(slice_eq(a.text, b.text));
	assert_slice(names(&b), "Received From Subject");
}

static void
test_raw(void **state)
{
	(void)state;
	assert_slice(
		view("A: b\r\n\tc\r\n\r\nd\re\r\n\r\nf\r").raw, "A: b\n\tc\n\nd\re\n\nf\r");
	assert_slice(view("A: b").raw, "A: b");
	assert_slice(view("").raw, "");
	assert_slice(view("A: b\n\n\nc\r\n\n\r\n").raw, "A: b\n\n\nc");
	assert_slice(view("From x@y Mon Jan 1 00:00:00 2024\nA: b\n\nc\n").raw, "A: b\n\nc");
	struct buf mail;
	buf_init(&mail, 64 * 1024);
	buf_add_text(&mail, "A: b\r\n\r\n");
	for (int i = 0; i < 3000; i++)
		buf_add_text(&mail, "x\r\n");
	struct spam_view v;
	spam_view_of_mail(buf_slice(&mail), SLICE_NONE, arena, &v);
	assert_in_range(v.raw.n, SPAM_RAW_MOST - 2, SPAM_RAW_MOST);
	assert_memory_equal(v.raw.p, "A: b\n\nx\nx\n", 10);
	assert_false(slice_has(v.raw, '\r'));
	buf_fini(&mail);
}

/* Types in order with their depth; names of files behind a slash, "+" for attachments. */
static struct slice
parts(const struct spam_view *v)
{
	struct slice all = SLICE_NONE;
	for (size_t i = 0; i < v->n_parts; i++) {
		const struct spam_part *p = &v->parts[i];
		all = arena_printf(arena, "%.*s%s%u:%.*s%s%.*s%s", SLICE_ARG(all),
			i != 0 ? " " : "", p->depth, SLICE_ARG(p->type), p->name.n ? "=" : "",
			SLICE_ARG(p->name), p->attachment ? "+" : "");
	}
	return all;
}

#define MULTI(kind, b) "Content-Type: multipart/" kind "; boundary=\"" b "\"\n"
#define HTML(text)     "Content-Type: text/html\n\n" text "\n"
#define LONG_TEXT      "These are more than sixty bytes of text that stands in the plain part here."

static const struct {
	const char *mail, *parts, *text;
} bodies[] = {
	{"A: b\n\nHello  World\n\n\tagain", "0:text/plain", "Hello World again"},
	{"\nno header", "0:text/plain", "no header"},
	{"Content-Type: text/html\n\n<b>He</b>llo", "0:text/html", "Hello"},
	{"Content-Type: TEXT/HTML; charset=\"x\"\n\n<p>Hi", "0:text/html", "Hi"},
	{MULTI("mixed",
		 "q") "\npreamble\n--q\n\none\n--q\nContent-Type: text/plain\n\ntwo\n--q--\n"
		      "epilogue\n",
		"0:multipart/mixed 1:text/plain 1:text/plain", "one two"},
	/* the boundary that never ends, and lines that only look like one */
	{MULTI("mixed", "q") "\n--q\n\none\n--qq\n --q\n--q-x\n--q \t\n\ntwo\n",
		"0:multipart/mixed 1:text/plain 1:text/plain", "one --qq --q --q-x two"},
	/* the outer one ends the inner one */
	{MULTI("mixed", "q") "\n--q\n" MULTI(
		 "related", "r") "\n--r\n\none\n--q\n\ntwo\n--r\nx\n",
		"0:multipart/mixed 1:multipart/related 2:text/plain 1:text/plain",
		"one two --r x"},
	/* alternatives: HTML is what is read, unless there is nothing in it */
	{MULTI("alternative", "q") "\n--q\n\n" LONG_TEXT
				   "\n--q\n" HTML("<b>" LONG_TEXT "</b> x") "--q--\n",
		"0:multipart/alternative 1:text/plain 1:text/html", LONG_TEXT " x"},
	{MULTI("alternative", "q") "\n--q\n\n" LONG_TEXT
				   "\n--q\n" HTML("<img src=x>") "--q--\n",
		"0:multipart/alternative 1:text/plain 1:text/html", LONG_TEXT},
	{MULTI("alternative", "q") "\n--q\n\nplain\n--q\n" HTML("<p>rich text") "--q--\n",
		"0:multipart/alternative 1:text/plain 1:text/html", "rich text"},
	{MULTI("mixed", "m") "\n--m\n" MULTI("alternative", "q") "\n--q\n\nplain\n--q\n" HTML(
		 "<p>rich text") "--q--\n--m\n\nmore\n--m--\n",
		"0:multipart/mixed 1:multipart/alternative 2:text/plain 2:text/html "
		"1:text/plain",
		"rich text more"},
	{MULTI("alternative", "q") "\n--q\n\nplain text\n--q\n\nless\n--q\n\nand more text\n",
		"0:multipart/alternative 1:text/plain 1:text/plain 1:text/plain",
		"and more text"},
	{MULTI("alternative", "q") "\n--q\n\nplain text\n--q\n\nless\n--q\n\nlesser\n--q--\n",
		"0:multipart/alternative 1:text/plain 1:text/plain 1:text/plain", "plain text"},
	/* an invitation beside its words, and alone */
	{MULTI("alternative", "q") "\n--q\n\nMeet us\n--q\nContent-Type: text/calendar\n\n"
				   "BEGIN:VCALENDAR " LONG_TEXT "\n--q--\n",
		"0:multipart/alternative 1:text/plain 1:text/calendar", "Meet us"},
	{"Content-Type: text/calendar\n\nBEGIN:VCALENDAR\n", "0:text/calendar",
		"BEGIN:VCALENDAR"},
	/* a forwarded mail, a digest */
	{MULTI("mixed", "q") "\n--q\nContent-Type: message/rfc822\n\nSubject: in\n"
			     "Content-Type: text/html\n\n<i>inner</i>\n--q--\n",
		"0:multipart/mixed 1:message/rfc822 2:text/html", "inner"},
	{MULTI("digest", "q") "\n--q\n\nSubject: in\n\ninner\n--q--\n",
		"0:multipart/digest 1:message/rfc822 2:text/plain", "inner"},
	/* attachments have names, and text where it is text */
	{MULTI("mixed",
		 "q") "\n--q\nContent-Type: application/pdf; name=\"a b.pdf\"\n"
		      "Content-Disposition: attachment; filename=\"c;d.pdf\"\n\nxyz\n"
		      "--q\nContent-Type: application/octet-stream; name=x.HTM\n\n<b>y</b>\n",
		"0:multipart/mixed 1:application/pdf=c;d.pdf+ 1:application/octet-stream=x.HTM",
		"y"},
	{"Content-Type: a/b; name=\"=?utf-8?q?=C3=A9.exe?=\"\n\n", "0:a/b=\xc3\xa9.exe", ""},
	{"Content-Type: a/b; name=plain; name*=iso-8859-2''%B1%2e\n\n", "0:a/b=\xc4\x85.", ""},
	{"Content-Disposition: ATTACHMENT; filename*0=\"in\"; filename*1*=%76oice;\n"
	 " filename*2=\".zip\"\n\n",
		"0:text/plain=invoice.zip+", ""},
	/* what is broken */
	{MULTI("mixed", "") "\n--\n\none\n", "0:multipart/mixed", "-- one"},
	{"Content-Type: multipart/mixed\n\nall of it\n", "0:multipart/mixed", "all of it"},
	{"Content-Type: ;;;=\n\nx\n", "0:text/plain", "x"},
	{"Content-Type: text/html; charset=\"open\n\n<p>x\n", "0:text/html", "x"},
	{MULTI("mixed", "q") "\n--q\nno field here\n--q\n\nx\n--q--\n",
		"0:multipart/mixed 1:text/plain 1:text/plain", "no field here x"},
	{MULTI("mixed", "q") "\n--q", "0:multipart/mixed 1:text/plain", ""},
	/* nothing but folds */
	{MULTI("mixed", "q") "\n--q\nContent-Type:\n text/html;\n name=x\nA:\n\n<p>x\n--q--\n",
		"0:multipart/mixed 1:text/html=x", "x"},
	/* the first Content-Type counts */
	{"Content-Type: text/html\nContent-Type: text/plain\n\n<p>x", "0:text/html", "x"},
};

static void
test_bodies(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct spam_view v = view(bodies[i].mail);
		assert_slice(parts(&v), bodies[i].parts);
		assert_slice(v.text_as_is, bodies[i].text);
		assert_int_equal(v.text.n, v.text_as_is.n);
		arena_reset(arena);
	}
}

/* Encoded text to UTF-8. */
static const struct {
	const char *type, *encoding, *body, *text;
} encoded[] = {
	{"text/plain", "base64", "SGVsbG8gV29ybGQ=", "Hello World"},
	{"text/plain", "BASE64", "SGVs\nbG8g !V29y\nbGQ", "Hello World"},
	{"text/plain", "base64", "SGk=\nSGk=", "HiHi"},
	{"text/plain", "base64", "====", ""},
	{"text/plain", "quoted-printable", "caf=C3=A9=\n=\nx =3D=3d", "caf\xc3\xa9x =="},
	{"text/plain", "quoted-printable", "a=  \nb=zz=4", "ab=zz=4"},
	{"text/plain", "x-unknown", "a=41", "a=41"},
	{"text/plain; charset=iso-8859-1", "8bit", "caf\xe9", "caf\xc3\xa9"},
	{"text/plain; charset=windows-1252", "8bit", "\x93q\x94 \x80",
		"\xe2\x80\x9cq\xe2\x80\x9d \xe2\x82\xac"},
	{"text/plain; charset=none-such", "8bit", "caf\xe9", "caf\xc3\xa9"},
	{"text/plain; charset=utf-8", "8bit", "caf\xe9 \xc3\xa9", "caf\xc3\xa9 \xc3\xa9"},
	{"text/plain; charset=KOI8-R", "8bit", "\xd0\xd2\xc9", "\xd0\xbf\xd1\x80\xd0\xb8"},
	{"text/plain; charset=\"iso-8859-2\"", "quoted-printable", "=B1", "\xc4\x85"},
	{"text/plain; charset=gb2312", "8bit", "\xc4\xe3\xff\xba\xc3",
		"\xe4\xbd\xa0 \xe5\xa5\xbd"},
	{"text/plain; charset=iso-2022-jp", "7bit", "\x1b$B$\"\x1b(B", "\xe3\x81\x82"},
	{"text/plain; charset=cp1251", "8bit", "\xef\xf0\xe8", "\xd0\xbf\xd1\x80\xd0\xb8"},
	{"text/plain; charset=utf-16le", "base64", "SABpABkg", "Hi\xe2\x80\x99"},
	{"text/plain; charset=UTF-16", "base64", "/v8ASABp2AA", "Hi"},
	{"text/plain; charset=utf-16", "base64", "//5IAGk", "H"},
	/* no half, overlong or surrogate characters pass */
	{"text/plain", "8bit", "\xc3", "\xc3\x83"},
	{"text/plain", "8bit", "\xc0\xaf", "\xc3\x80\xc2\xaf"},
	{"text/plain", "8bit", "\xed\xa0\x80", "\xc3\xad \xe2\x82\xac"},
	/* what no eye sees, and letters in disguise */
	{"text/plain", "8bit",
		"V\xc2\xadi\xe2\x80\x8b"
		"a\xe2\x80\x8dg\xef\xbb\xbfra",
		"Viagra"},
	{"text/plain", "8bit", "a\xc2\xa0\xe2\x80\x83\xe3\x80\x80z", "a z"},
	{"text/plain", "8bit",
		"\xef\xbc\xb6\xef\xbd\x89 \xf0\x9d\x90\x80\xf0\x9d\x9f\x8e \xe2\x93\x90",
		"Vi A0 a"},
	{"text/plain", "8bit", "e\xcc\x81\xcc\x82x", "ex"},
};

static void
test_encoded(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(encoded) / sizeof(encoded[0]); i++) {
		struct slice mail = arena_printf(arena,
			"Content-Type: %s\nContent-Transfer-Encoding: %s\n\n%s",
			encoded[i].type, encoded[i].encoding, encoded[i].body);
		struct spam_view v;
		spam_view_of_mail(mail, SLICE_NONE, arena, &v);
		assert_slice(v.text_as_is, encoded[i].text);
		arena_reset(arena);
	}
}

static void
test_lower(void **state)
{
	(void)state;
	struct spam_view v =
		view("\nABC xyz \xc3\x89\xc3\x97 \xd0\x94\xd0\xb4 \xd0\x81 \xce\x94 "
		     "\xc4\x8c\xc4\x8d \xc5\xbd \xe2\x84\xa2Z");
	assert_slice(v.text, "abc xyz \xc3\xa9\xc3\x97 \xd0\xb4\xd0\xb4 \xd1\x91 \xce\xb4 "
			     "\xc4\x8d\xc4\x8d \xc5\xbe \xe2\x84\xa2z");
	assert_slice(view("\nA\xc3").text, "a\xc3\xa3");
}

#define REPORT                                                          \
	"Content-Type: multipart/report; report-type=delivery-status; " \
	"boundary=q\n\n--q\n\nx\n"

static const struct {
	const char *mail;
	bool bounce;
} bounces[] = {
	{REPORT "--q\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; a\n", true},
	{REPORT "--q\nContent-Type: text/rfc822-headers\n\nA: b\n", true},
	{"Content-Type: multipart/report; report-type=feedback-report; boundary=q\n\n--q\n"
	 "Content-Type: message/feedback-report\n\nFeedback-Type: abuse\n",
		true},
	/* the type alone is said fast */
	{REPORT, false},
	{"From: a@b.example\n" REPORT "--q\nContent-Type: text/html\n\n<p>x\n", false},
	/* one that is passed on is no bounce */
	{MULTI("mixed", "o") "\n--o\nContent-Type: message/rfc822\n\n" REPORT
			     "--q\nContent-Type: message/delivery-status\n\nx\n",
		false},
	/* older ones */
	{"From: MAILER-DAEMON@a.example\nSubject: failure notice\n\nHi. This is the program.\n"
	 "Return-Path: <x@y.example>\n",
		true},
	{"From: \"Mail Delivery System\" <Mailer-Daemon@a.example>\nAuto-Submitted: "
	 "auto-replied\n"
	 "Subject: x\n\nA copy of the message follows\n",
		true},
	{"From: MAILER-DAEMON <>\nSubject: Mail delivery failed\n\nSMTP error\n", true},
	{"From: \"MAILER-DAEMON\" <a@b.example>\nSubject: failure notice\n\nSMTP error\n",
		false},
	{"From: postmaster@a.example\nSubject: Buy now\n\nSMTP error\n", false},
	{"From: postmaster@a.example\nSubject: Undeliverable: x\n\nclick here\n", false},
	{"From: a@b.example\nSubject: Undeliverable: x\n\nSMTP error\n", false},
};

static void
test_bounces(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bounces) / sizeof(bounces[0]); i++)
		if (view(bounces[i].mail).bounce != bounces[i].bounce)
			fail_msg("row %zu", i);
}

static void
test_html_only(void **state)
{
	(void)state;
	assert_true(view("Content-Type: text/html\n\nx").html_only);
	assert_false(view("Content-Type: text/plain\n\nx").html_only);
	assert_false(view(MULTI("alternative", "q") "\n--q\n\na\n--q\n" HTML("b")).html_only);
	assert_true(view(
		MULTI("mixed", "q") "\n--q\nContent-Disposition: attachment\n\na\n--q\n" HTML(
			"b"))
			    .html_only);
}

/* Everything that is borrowed or told stays inside its bounds. */
static void
check_bounds(const struct spam_view *v)
{
	size_t header = 0;
	for (size_t i = 0; i < v->n_fields; i++)
		header += v->fields[i].raw.n;
	assert_true(header <= SPAM_HEADER_MOST);
	assert_true(v->raw.n <= SPAM_RAW_MOST);
	assert_true(v->text.n <= SPAM_TEXT_MOST);
	assert_int_equal(v->text.n, v->text_as_is.n);
	assert_true(v->n_parts <= SPAM_PARTS_MOST);
	assert_true(v->n_links <= SPAM_LINKS_MOST);
	for (size_t i = 0; i < v->n_links; i++)
		assert_true(v->links[i].host.n != 0 && v->links[i].host.n <= SPAM_HOST_MOST);
	for (size_t i = 0; i < v->n_parts; i++)
		assert_true(v->parts[i].depth <= 2 * SPAM_DEPTH_MOST);
}

static struct slice
with_crlf(struct slice in)
{
	char *to = arena_alloc(arena, 2 * in.n);
	size_t n = 0;
	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] == '\n')
			to[n++] = '\r';
		to[n++] = in.p[i];
	}
	return (struct slice){to, n};
}

/* Each mail cut after each byte, at the end of a page, with LF and with CRLF: the same is seen.
 */
static void
test_cut_anywhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct slice mail = slice_of(bodies[i].mail);
		for (size_t n = 0; n <= mail.n; n++) {
			struct spam_view v, w;
			struct guarded g = guarded_new(slice_first(mail, n));
			spam_view_of_mail(g.in, SLICE(OURS), arena, &v);
			check_bounds(&v);
			spam_view_of_mail(
				with_crlf(slice_first(mail, n)), SLICE(OURS), arena, &w);
			assert_true(slice_eq(v.text, w.text));
			assert_true(slice_eq(v.raw, w.raw));
			assert_int_equal(v.n_parts, w.n_parts);
			assert_int_equal(v.n_links, w.n_links);
			guarded_free(&g);
			arena_reset(arena);
		}
	}
}

/* A mail of `bytes` made of one thing over and over. */
static struct slice
repeated(struct buf *to, const char *head, const char *one, size_t bytes)
{
	buf_init(to, bytes + 4096);
	buf_add_text(to, head);
	while (buf_slice(to).n < bytes)
		buf_add_text(to, one);
	return buf_slice(to);
}

static void
test_bounds(void **state)
{
	static const char *const heads[] = {"\n", "Content-Type: text/html\n\n",
		MULTI("mixed", "q") "\n--q\n", MULTI("alternative", "q") "\n--q\n",
		"Content-Transfer-Encoding: base64\n\n",
		"Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n"};
	static const char *const ones[] = {"x", "x ", "\n", "--q\n", "--q\n\nx\n",
		"--q\nContent-Type: message/rfc822\n\n", MULTI("mixed", "q") "\n--q\n", "<",
		"<div>", "<div style='display:none'>x", "</div>", "<a href=", "<a href=\"",
		"<!--", "<b '", "&", "&#x41;", "http://", "www.", "http://x.example/?u=", "=",
		"=41", "\xc3\xa9", "\xff", "<a href=http://x\xc3\xa9.example/",
		"Content-Type: x;", "A: b\n", "<style>", "</style",
		"<a href=//h>www.a.example"};
	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		for (size_t k = 0; k < sizeof(ones) / sizeof(ones[0]); k++) {
			struct buf mail;
			struct spam_view v;
			struct slice in = repeated(&mail, heads[i], ones[k], 80 * 1024);
			spam_view_of_mail(in, SLICE(OURS), arena, &v);
			check_bounds(&v);
			assert_true(v.cut);
			assert_true(arena_used(arena) < SPAM_VIEW_BYTES);
			buf_fini(&mail);
			arena_reset(arena);
		}
	}
}

static void
test_long_header(void **state)
{
	struct buf mail;
	struct spam_view v;
	(void)state;
	buf_init(&mail, 128 * 1024);
	for (int i = 0; i < 500; i++)
		buf_printf(&mail, "X-Field: %0100d\n", i);
	buf_add_text(&mail, "From: a@b.example\n\nbody\n");
	spam_view_of_mail(buf_slice(&mail), SLICE(OURS), arena, &v);
	check_bounds(&v);
	assert_true(v.cut);
	assert_slice(v.text, "body");
	assert_true(v.n_fields > 250 && v.n_fields < 500);
	buf_fini(&mail);
}

/* Text of one alternative cannot crowd the other out. */
static void
test_alternative_crowded(void **state)
{
	struct buf mail;
	struct spam_view v;
	(void)state;
	struct slice in = repeated(&mail, MULTI("alternative", "q") "\n--q\n\n", "good words ",
		2 * SPAM_TEXT_MOST);
	(void)in;
	buf_add_text(&mail, "\n--q\n" HTML("<b>" LONG_TEXT "</b>") "--q--\n");
	spam_view_of_mail(buf_slice(&mail), SLICE(OURS), arena, &v);
	assert_slice(v.text_as_is, LONG_TEXT);
	buf_fini(&mail);
}

/* No room: an empty view that says so, and not one byte taken. */
static void
test_full_arena(void **state)
{
	struct spam_view v;
	struct message m = {0};
	(void)state;
	struct arena *small = arena_new(SPAM_VIEW_BYTES - 1);
	spam_view_read(&m, SLICE("body"), SLICE_NONE, small, &v);
	assert_true(v.cut);
	assert_int_equal(v.raw.n + v.text.n + v.n_parts + v.n_fields, 0);
	assert_int_equal(arena_used(small), 0);
	arena_free(&small);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fields, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_hostname, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_gate_and_mailbox, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_raw, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bodies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_encoded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lower, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bounces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_html_only, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cut_anywhere, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bounds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long_header, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_alternative_crowded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_arena, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
