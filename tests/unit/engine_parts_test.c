/*
 * The parts of a mail as the scanner sees them: every name that a reader of mail could take for
 * an attachment's is found (MIM-05), and what is over a bound is unscannable, not passed over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "engine/parts.h"

enum { ARENA_MOST = 256 << 20 };

static struct arena *arena;

static struct scan_report
scan(struct slice mail, const struct pattern_set *patterns)
{
	struct scan_report r = {.attachments = arena_array(
					arena, SCAN_ATTACHMENTS_MOST, sizeof(*r.attachments))};
	parts_scan(mail, SCAN_WANT_ATTACHMENTS | (patterns != NULL ? SCAN_WANT_PATTERNS : 0),
		patterns, 300000, arena, &r);
	return r;
}

static bool
has(const struct scan_report *r, const char *name)
{
	for (size_t i = 0; i < r->n_attachments; i++)
		if (slice_eq(r->attachments[i].name, slice_of(name)))
			return true;
	return false;
}

static struct slice
names(const struct scan_report *r)
{
	struct slice out = SLICE("");
	for (size_t i = 0; i < r->n_attachments; i++)
		out = arena_printf(arena, "%.*s [%.*s]", SLICE_ARG(out),
			SLICE_ARG(r->attachments[i].name));
	return out;
}

/* One part with these fields; each of the names must be found. */
static const struct {
	const char *what, *fields;
	const char *names[3];
} rows[] = {
	{"filename", "Content-Disposition: attachment; filename=run.exe\r\n", {"run.exe"}},
	{"quoted", "Content-Disposition: attachment; filename=\"a run.exe\"\r\n",
		{"a run.exe"}},
	{"inline", "Content-Disposition: inline; filename=run.exe\r\n", {"run.exe"}},
	{"name alone", "Content-Type: application/x; name=run.exe\r\n", {"run.exe"}},
	{"two names",
		"Content-Type: application/x; name=run.exe\r\n"
		"Content-Disposition: attachment; filename=letter.txt\r\n",
		{"run.exe", "letter.txt"}},
	{"RFC 2231, charset",
		"Content-Disposition: attachment; filename*=utf-8''r%C3%BCn.exe\r\n",
		{"r\xc3\xbcn.exe"}},
	{"RFC 2231, percent",
		"Content-Disposition: attachment; filename*=us-ascii''run%2Eexe\r\n",
		{"run.exe"}},
	{"RFC 2231, pieces",
		"Content-Disposition: attachment; filename*0=ru; filename*1=n.e; "
		"filename*2=xe\r\n",
		{"run.exe"}},
	{"RFC 2231, pieces out of order",
		"Content-Disposition: attachment; filename*1=n.exe; filename*0=ru\r\n",
		{"run.exe"}},
	{"RFC 2231, encoded pieces",
		"Content-Disposition: attachment; filename*0*=utf-8''ru%6E; "
		"filename*1*=%2Eexe\r\n",
		{"run.exe"}},
	{"RFC 2231, name", "Content-Type: application/x; name*0=ru; name*1=n.exe\r\n",
		{"run.exe"}},
	{"encoded word in filename",
		"Content-Disposition: attachment; filename=\"=?utf-8?B?cnVuLmV4ZQ==?=\"\r\n",
		{"run.exe"}},
	{"encoded word in name",
		"Content-Type: application/x; name=\"=?utf-8?Q?run=2Eexe?=\"\r\n", {"run.exe"}},
	{"trailing dot", "Content-Disposition: attachment; filename=\"run.exe.\"\r\n",
		{"run.exe"}},
	{"trailing blanks", "Content-Disposition: attachment; filename=\"run.exe  . \"\r\n",
		{"run.exe"}},
	{"path", "Content-Disposition: attachment; filename=\"../../bin/run.exe\"\r\n",
		{"run.exe"}},
	{"path of others",
		"Content-Disposition: attachment; filename=\"C:\\\\x\\\\run.exe\"\r\n",
		{"run.exe"}},
	{"mixed path", "Content-Disposition: attachment; filename=\"a/b\\\\run.exe\"\r\n",
		{"run.exe"}},
	{"folded", "Content-Disposition: attachment;\r\n\tfilename=\r\n\t\"run.exe\"\r\n",
		{"run.exe"}},
	{"filename twice",
		"Content-Disposition: attachment; filename=letter.txt; filename=run.exe\r\n",
		{"letter.txt", "run.exe"}},
	{"filename and filename*",
		"Content-Disposition: attachment; filename=letter.txt; "
		"filename*=utf-8''run.exe\r\n",
		{"letter.txt", "run.exe"}},
	{"case of the parameter", "Content-Disposition: ATTACHMENT; FileName=run.exe\r\n",
		{"run.exe"}},
	{"RFC 2231, a piece is missing",
		"Content-Disposition: attachment; filename*0=run; filename*2=.exe\r\n",
		{"run.exe"}},
	{"RFC 2231, endless index",
		"Content-Disposition: attachment; filename*99999999999=x; filename=run.exe\r\n",
		{"run.exe"}},
	{"field twice",
		"Content-Disposition: attachment; filename=letter.txt\r\n"
		"Content-Disposition: attachment; filename=run.exe\r\n",
		{"letter.txt", "run.exe"}},
	{"type twice",
		"Content-Type: application/x; name=letter.txt\r\n"
		"Content-Type: application/x; name=run.exe\r\n",
		{"letter.txt", "run.exe"}},
	{"right to left",
		"Content-Disposition: attachment; filename*=utf-8''x%E2%80%AEtxt.exe\r\n",
		{"xtxt.exe", "x\xe2\x80\xaetxt.exe"}},
	{"a character that is not seen",
		"Content-Disposition: attachment; filename*=utf-8''run.e%E2%80%8Bxe\r\n",
		{"run.exe"}},
	{"wide letters",
		"Content-Disposition: attachment; "
		"filename*=utf-8''run.%EF%BD%85%EF%BD%98%EF%BD%85"
		"\r\n",
		{"run.exe"}},
	{"NUL", "Content-Disposition: attachment; filename*=utf-8''run.exe%00.txt\r\n",
		{"run.exe"}},
	{"two endings", "Content-Disposition: attachment; filename=letter.pdf.exe\r\n",
		{"letter.pdf.exe"}},
	{"encoded words side by side",
		"Content-Type: application/x; name=\"=?utf-8?B?cnVu?= "
		"=?utf-8?B?LmV4ZQ==?=\"\r\n",
		{"run.exe"}},
	{"encoded word without quotes",
		"Content-Type: application/x; name==?utf-8?B?cnVuLmV4ZQ==?=\r\n", {"run.exe"}},
	{"name*0*", "Content-Type: application/x; name*0*=utf-8''r%75n; name*1=.exe\r\n",
		{"run.exe"}},
	{"blanks around =", "Content-Disposition: attachment; filename = \"run.exe\"\r\n",
		{"run.exe"}},
	{"a comment", "Content-Disposition: attachment (x); filename=run.exe\r\n", {"run.exe"}},
	{"percent in filename", "Content-Disposition: attachment; filename=\"a%2Fb\"\r\n",
		{"a%2Fb"}},
	{"no name", "Content-Disposition: attachment\r\n", {""}},
};

static void
every_name_is_found(void **state)
{
	unsigned wrong = 0;
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice mail = arena_printf(arena,
			"From: a@b.example\r\nMIME-Version: 1.0\r\n%s\r\nbody\r\n",
			rows[i].fields);
		struct scan_report r = scan(mail, NULL);
		for (size_t k = 0; k < 3 && rows[i].names[k] != NULL; k++) {
			if (has(&r, rows[i].names[k]))
				continue;
			struct slice found = names(&r);
			print_error("%s: no [%s] in%.*s\n", rows[i].what, rows[i].names[k],
				SLICE_ARG(found));
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
}

/* A long name keeps its end: rules look at that. */
static void
long_names_keep_their_end(void **state)
{
	(void)state;
	for (size_t n = SCAN_NAME_MOST - 6; n < SCAN_NAME_MOST + 100; n++) {
		struct slice mail = arena_printf(arena,
			"From: a@b.example\r\nContent-Disposition: attachment; "
			"filename=\"%0*d.exe  .\""
			"\r\n\r\n",
			(int)n, 0);
		struct scan_report r = scan(mail, NULL);
		assert_int_equal(r.n_attachments, 1);
		struct slice name = r.attachments[0].name;
		assert_int_equal(name.n, n + 4 < SCAN_NAME_MOST ? n + 4 : SCAN_NAME_MOST);
		assert_memory_equal(name.p + name.n - 5, "0.exe", 5);
	}
}

/* `n` times one text between two others, `#` in it is which. */
static struct slice
repeated(const char *before, const char *text, size_t n, const char *after)
{
	struct buf b;
	buf_init(&b, 16 << 20);
	buf_add_text(&b, before);
	for (size_t i = 0; i < n; i++)
		for (const char *c = text; *c != '\0'; c++) {
			if (*c == '#')
				buf_printf(&b, "%zu", i);
			else
				buf_add_byte(&b, *c);
		}
	buf_add_text(&b, after);
	struct slice out = arena_slice(arena, buf_slice(&b));
	buf_fini(&b);
	return out;
}

static void
bounds_make_it_unscannable(void **state)
{
	static const char head[] = "From: a@b.example\r\nMIME-Version: 1.0\r\n"
				   "Content-Type: multipart/mixed; boundary=x\r\n\r\n";
	static const char part[] =
		"--x\r\nContent-Disposition: attachment; filename=#\r\n\r\n\r\n";
	static const struct {
		const char *before, *text, *after;
		size_t n;
		enum scan_status status;
		size_t attachments;
	} shapes[] = {
		{head, part, "--x--\r\n", 500, SCAN_CLEAN, 500},
		{head, part, "--x--\r\n", PARTS_MOST - 1, SCAN_CLEAN, PARTS_MOST - 1},
		{head, part, "--x--\r\n", PARTS_MOST, SCAN_UNSCANNABLE, PARTS_MOST - 1},
		{"From: a@b.example\r\nMIME-Version: 1.0\r\n",
			"Content-Type: multipart/mixed; boundary=b#\r\n\r\n--b#\r\n",
			"Content-Disposition: attachment; filename=in\r\n\r\n",
			PARTS_DEPTH_MOST, SCAN_CLEAN, 1},
		{"From: a@b.example\r\nMIME-Version: 1.0\r\n",
			"Content-Type: multipart/mixed; boundary=b#\r\n\r\n--b#\r\n",
			"Content-Disposition: attachment; filename=in\r\n\r\n",
			PARTS_DEPTH_MOST + 1, SCAN_UNSCANNABLE, 0},
		{"From: a@b.example\r\n", "Content-Type: message/rfc822\r\n\r\n",
			"Content-Disposition: attachment; filename=in\r\n\r\n",
			PARTS_DEPTH_MOST, SCAN_CLEAN, 1},
		{"From: a@b.example\r\n", "Content-Type: message/rfc822\r\n\r\n",
			"Content-Disposition: attachment; filename=in\r\n\r\n", 200,
			SCAN_UNSCANNABLE, 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct scan_report r = scan(repeated(shapes[i].before, shapes[i].text,
						    shapes[i].n, shapes[i].after),
			NULL);
		print_message("shape %zu: status %d, %zu attachments\n", i, (int)r.status,
			r.n_attachments);
		assert_int_equal(r.status, shapes[i].status);
		assert_int_equal(r.n_attachments, shapes[i].attachments);
	}
}

int
main(void)
{
	look_init();
	arena = arena_new(ARENA_MOST);
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_name_is_found),
		cmocka_unit_test(long_names_keep_their_end),
		cmocka_unit_test(bounds_make_it_unscannable)};
	int result = cmocka_run_group_tests(tests, NULL, NULL);
	arena_free(&arena);
	return result;
}
