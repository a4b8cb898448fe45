/*
 * Mails of one plain text, and what only looks like one: whatever another reader could take for
 * more goes to the MIME parser. Of a taken mail both ways find the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/plain.h"
#include "feed.h"

#define FROM "From: a@b.example\r\n"

static const struct {
	const char *mail, *subject, *body; /* subject NULL: not taken */
} rows[] = {
	{FROM "\r\nhello\r\n", "", "hello\r\n"},
	{FROM "\r\n", "", ""},
	{FROM "Subject: about it \r\nTo: x\r\n\r\nx", "about it", "x"},
	{FROM "Content-Type: text/plain\r\n\r\nx", "", "x"},
	{FROM "content-type:TEXT/PLAIN; charset=UTF-8\r\n\r\nx", "", "x"},
	{FROM "Content-Transfer-Encoding: 8bit\r\nContent-Type: text/plain; "
	      "charset=\"us-ascii\"\r\n\r\nx",
		"", "x"},
	{FROM "Received: from a\r\n\tby b;\r\n x\r\nMIME-Version: 1.0\r\n\r\nx", "", "x"},
	{"", NULL, NULL},
	{"\r\nx", "", "x"},
	{FROM, NULL, NULL},
	{FROM "\r\n"
	      "x",
		"", "x"},
	{"From: a\n\nx", NULL, NULL},
	{FROM "Subject: =?utf-8?q?x?=\r\n\r\nx", NULL, NULL},
	{FROM "Subject: a\r\n b\r\n\r\nx", NULL, NULL},
	{FROM "Subject: a\r\nSubject: b\r\n\r\nx", NULL, NULL},
	{FROM "Content-Type: text/html\r\n\r\nx", NULL, NULL},
	{FROM "Content-Type: text/plain; charset=utf-16\r\n\r\nx", NULL, NULL},
	{FROM "Content-Type: text/plain; name=a.exe\r\n\r\nx", NULL, NULL},
	{FROM "Content-Type: text/plain\r\n ; name=a.exe\r\n\r\nx", NULL, NULL},
	{FROM "Content-Type: text/plain\r\nContent-Type: text/plain\r\n\r\nx", NULL, NULL},
	{FROM "Content-Type : text/html\r\n\r\nx", NULL, NULL},
	{FROM "Content-Transfer-Encoding: base64\r\n\r\nx", NULL, NULL},
	{FROM "Content-Disposition: attachment\r\n\r\nx", NULL, NULL},
	{FROM "Content-MD5: x\r\n\r\nx", NULL, NULL},
	{FROM "no field\r\n\r\nx", NULL, NULL},
	{" x\r\n" FROM "\r\nx", NULL, NULL},
	{FROM "X-A: a\rContent-Type: text/html\r\n\r\nx", NULL, NULL},
	{": x\r\n\r\nx", NULL, NULL},
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice subject, body;
		struct guarded g = guarded_new(slice_of(rows[i].mail));
		bool taken = plain_mail(g.in, &subject, &body);
		if (taken != (rows[i].subject != NULL))
			fail_msg("row %zu: %d", i, taken);
		if (taken && (!slice_eq(subject, slice_of(rows[i].subject)) ||
				     !slice_eq(body, slice_of(rows[i].body))))
			fail_msg("row %zu: [%.*s] [%.*s]", i, SLICE_ARG(subject),
				SLICE_ARG(body));
		guarded_free(&g);
	}
	/* cut before the end of its header none is taken */
	struct slice whole = SLICE(FROM "Subject: a\r\nContent-Type: text/plain\r\n\r\n"), s, b;
	for (size_t cut = 0; cut < whole.n; cut++) {
		struct guarded g = guarded_new(slice_first(whole, cut));
		assert_false(plain_mail(g.in, &s, &b));
		guarded_free(&g);
	}
	static const char nul[] = "From: a\0b\r\n\r\nx";
	assert_false(plain_mail((struct slice){nul, sizeof(nul) - 1}, &s, &b));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
