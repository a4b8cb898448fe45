/*
 * A mail as text for a terminal: parts, encodings and character sets; what is hostile or broken
 * is shown as it stands, with nothing in it that a terminal would obey.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "feed.h"
#include "main/mail_text.h"

struct text_case {
	const char *label, *mail, *want;
};

#define HEAD  "Subject: x\r\n"
#define MIXED "Content-Type: multipart/mixed;\r\n\tboundary=\"b;1\"\r\n"

static const struct text_case cases[] = {
	{"plain", HEAD "\r\nhello\r\n", "Subject: x\n\nhello\n"},
	{"no line end", HEAD "\r\nhello", "Subject: x\n\nhello\n"},
	{"no body", HEAD, "Subject: x\n\n"},
	{"nothing", "", "\n"},
	{"no header", "\r\nhello\r\n", "\nhello\n"},
	{"quoted-printable",
		"Content-Transfer-Encoding: Quoted-Printable\r\n\r\na=3Db=\r\nc =C3=BC "
		"=zz=\r\n",
		"Content-Transfer-Encoding: Quoted-Printable\n\na=bc \xc3\xbc =zz\n"},
	{"base64", "Content-Transfer-Encoding: base64\r\n\r\naGVs\r\nbG8=\r\n",
		"Content-Transfer-Encoding: base64\n\nhello\n"},
	{"base64 that is none", "Content-Transfer-Encoding: base64\r\n\r\n***\r\n",
		"Content-Transfer-Encoding: base64\n\n***\n"},
	{"latin", "Content-Type: text/plain; charset=ISO-8859-1\r\n\r\n\xfc\x9b\r\n",
		"Content-Type: text/plain; charset=ISO-8859-1\n\n\xc3\xbc?\n"},
	{"controls", HEAD "\r\n\x1b]0;x\x07 \xc2\x9b \x7f a\rb\xff\xc0\x80\r\n",
		"Subject: x\n\n?]0;x? ? ? ab???\n"},
	{"what turns the writing",
		HEAD "\r\n\xe2\x80\xae"
		     "cod.exe \xe2\x82\xac\r\n",
		"Subject: x\n\n?cod.exe \xe2\x82\xac\n"},
	{"controls in the header", "Subject: \x1b[2J\r\n\r\n", "Subject: ?[2J\n\n"},
	{"parts",
		MIXED
		"\r\nbefore\r\n--b;1\r\n\r\none\r\n--b;1x\r\n--b;1\r\n"
		"Content-Type: application/pdf; name=\"a \x1b.pdf\"\r\n\r\n%PDF\r\n--b;1\r\n"
		"Content-Type: TEXT/html\r\n\r\n<p>\r\n--b;1--\r\nbehind\r\n",
		"Content-Type: multipart/mixed;\n\tboundary=\"b;1\"\n\none\n--b;1x\n"
		"[application/pdf, 6 bytes as sent, \"a ?.pdf\"]\n<p>\n"},
	{"a part that never ends", MIXED "\r\n--b;1\r\n\r\none",
		"Content-Type: multipart/mixed;\n\tboundary=\"b;1\"\n\none\n"},
	{"a mail within", "Content-Type: message/rfc822\r\n\r\nFrom: x\r\n\r\nin\r\n",
		"Content-Type: message/rfc822\n\n[a mail within the mail]\nFrom: x\n\nin\n"},
	{"the name in the disposition",
		"Content-Type: image/png\r\nContent-Disposition: attachment; filename=p.png\r\n"
		"\r\nx",
		"Content-Type: image/png\nContent-Disposition: attachment; filename=p.png\n\n"
		"[image/png, 1 bytes as sent, \"p.png\"]\n"},
};

static char *
text_of(struct slice mail)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);
	struct guarded g = guarded_new(mail);
	mail_text(f, g.in);
	guarded_free(&g);
	fclose(f);
	return text;
}

static void
test_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *got = text_of(slice_of(cases[i].mail));
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s:\n%s", cases[i].label, got);
		free(got);
	}
}

/* Cut anywhere it is no fault, and never a control. */
static void
test_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice mail = slice_of(cases[i].mail);
		for (size_t n = 0; n <= mail.n; n++) {
			char *got = text_of(slice_first(mail, n));
			for (const char *c = got; *c != '\0'; c++)
				assert_true(
					(unsigned char)*c >= ' ' || *c == '\n' || *c == '\t');
			free(got);
		}
	}
}

static void
test_bounds(void **state)
{
	(void)state;
	struct buf mail;
	buf_init(&mail, 200000);
	buf_add_text(&mail, MIXED "\r\n");
	for (unsigned i = 0; i < 1000; i++)
		buf_printf(&mail, "--b;1\r\n\r\npart %u\r\n", i);
	char *got = text_of(buf_slice(&mail));
	assert_non_null(strstr(got, "part 198\n[more parts than are shown]\n"));
	assert_null(strstr(got, "part 199"));
	assert_null(strstr(strstr(got, "[more") + 1, "[more"));
	free(got);
	buf_clear(&mail);
	for (unsigned i = 0; i < 1000; i++)
		buf_add_text(&mail, "Content-Type: message/rfc822\r\n\r\n");
	got = text_of(buf_slice(&mail));
	assert_non_null(strstr(got, "[more parts than are shown]\n"));
	free(got);
	buf_fini(&mail);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_bounds),
	};
	return cmocka_run_group_tests_name("main_mail_text", tests, NULL, NULL);
}
