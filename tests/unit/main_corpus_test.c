/*
 * Mails out of files of all kinds: what is one mail, what an mbox holds, folders and Maildirs
 * in order, what is passed over and why; every mail read once more by its place, in any order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "main/corpus.h"

enum { TEXT_MOST = 1 << 20, MAILS_MOST = 100 };

#define CTIME "From a@b.example Sat Jan  1 09:05:00 2005\n"

struct file_case {
	const char *label, *bytes;
	const char *want; /* "number:wrong or bytes" of each, with '|' behind it */
};

static const struct file_case cases[] = {
	{"one mail", "Subject: x\n\nhello\n", "0:Subject: x\n\nhello\n|"},
	{"CRLF, no line end", "Subject: x\r\n\r\nhello", "0:Subject: x\r\n\r\nhello|"},
	{"header alone", "Subject: x\n", "0:Subject: x\n|"},
	{"empty lines first", "\n\nSubject: x\n", "0:\n\nSubject: x\n|"},
	{"a line of no use first", "garbage\nSubject: x\n\nhello\n",
		"0:garbage\nSubject: x\n\nhello\n|"},
	{"blank before the colon", "Subject : x\n\n", "0:Subject : x\n\n|"},
	{"empty", "", "0:is empty|"},
	{"empty lines", "\r\n \n", "0:is empty|"},
	{"no mail", "mv 1 2\nmv 2 3\n", "0:is no mail: there is no header field|"},
	{"no mail: a colon behind the header", "hello\n\nSubject: x\n",
		"0:is no mail: there is no header field|"},
	{"mbox", CTIME "A: 1\n\none\n\n" CTIME "B: 2\n\ntwo\n",
		"1:A: 1\n\none\n|2:B: 2\n\ntwo\n|"},
	{"mbox, CRLF",
		"From a Sat Jan  1 09:05:00 2005\r\nA: 1\r\n\r\none\r\n\r\n"
		"From - Mon, bad\r\nFrom b Mon Feb 12 19:05 2005\r\n\r\n",
		"1:A: 1\r\n\r\none\r\n\r\nFrom - Mon, bad\r\n"
		"From b Mon Feb 12 19:05 2005\r\n|"},
	{"mboxrd", CTIME "A: 1\n\n>From x\n>>From y\n> From z\n>Fro\n",
		"1:A: 1\n\nFrom x\n>From y\n> From z\n>Fro\n|"},
	{"text that begins with From", CTIME "A: 1\n\nhello\n\nFrom here on\n",
		"1:A: 1\n\nhello\n\nFrom here on\n|"},
	{"no empty line before", CTIME "A: 1\n\nhello\n" CTIME "B: 2\n",
		"1:A: 1\n\nhello\n" CTIME "B: 2\n|"},
	{"dates of another kind", "From a@b\nA: 1\n\none\n\nFrom b@c\nB: 2\n",
		"1:A: 1\n\none\n|2:B: 2\n|"},
	{"empty ones in an mbox", CTIME "\n" CTIME CTIME "\n\n" CTIME "B: 2\n",
		"1:is empty|2:is no mail: there is no header field|3:B: 2\n|"},
	{"From line alone", "From ", "1:is empty|"},
};

static void
add_mail(struct buf *b, const struct corpus_mail *m)
{
	buf_printf(b, "%u:", m->number);
	buf_add(b, m->wrong != NULL ? slice_of(m->wrong) : m->bytes);
	buf_add_text(b, "|");
}

/* All mails in order; those of files once more from the last to the first, which are equal. */
static void
read_all(struct corpus *c, bool again, struct buf *out)
{
	struct corpus_mail m;
	struct corpus_place places[MAILS_MOST];
	struct buf copies[MAILS_MOST];
	size_t n = 0;
	while (corpus_next(c, &m)) {
		add_mail(out, &m);
		if (m.wrong != NULL || !again)
			continue;
		assert_true(n < MAILS_MOST);
		places[n] = m.place;
		buf_init(&copies[n], TEXT_MOST);
		add_mail(&copies[n++], &m);
	}
	assert_false(corpus_next(c, &m));
	while (n-- > 0) {
		struct buf b;
		buf_init(&b, TEXT_MOST);
		assert_true(corpus_read(c, places[n], &m));
		add_mail(&b, &m);
		assert_true(slice_eq(buf_slice(&b), buf_slice(&copies[n])));
		buf_fini(&b);
		buf_fini(&copies[n]);
	}
}

static void
write_bytes(const char *path, struct slice bytes)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes.p, 1, bytes.n, f), bytes.n);
	assert_int_equal(fclose(f), 0);
}

static void
want_of(const char *path, FILE *in, const char *label, const char *want)
{
	struct err err;
	struct buf b;
	struct corpus *c = corpus_open(path, in, &err);
	assert_non_null(c);
	buf_init(&b, TEXT_MOST);
	read_all(c, in == NULL, &b);
	if (!slice_eq(buf_slice(&b), slice_of(want)))
		fail_msg(
			"%s: got \"%.*s\", want \"%s\"", label, SLICE_ARG(buf_slice(&b)), want);
	struct corpus_progress p = corpus_progress(c);
	assert_int_equal(p.files_done, p.files);
	assert_int_equal(p.bytes_done, p.bytes);
	buf_fini(&b);
	corpus_free(&c);
	assert_null(c);
}

static void
test_files(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct file_case *k = &cases[i];
		write_bytes("one", slice_of(k->bytes));
		want_of("one", NULL, k->label, k->want);
		FILE *in = fopen("one", "r");
		assert_non_null(in);
		want_of("-", in, k->label, k->want);
		fclose(in);
	}
}

/* The second mail begins at each place around the end of the window that is read through. */
static void
test_window(void **state)
{
	(void)state;
	struct buf file, want;
	buf_init(&file, TEXT_MOST);
	buf_init(&want, TEXT_MOST);
	for (size_t at = 65536 - 80; at < 65536 + 80; at++) {
		buf_clear(&file);
		buf_clear(&want);
		buf_add_text(&file, CTIME "A: 1\n\n");
		while (buf_slice(&file).n < at)
			buf_add_byte(&file, buf_slice(&file).n % 61 == 0 ? '\n' : 'x');
		struct slice body = slice_from(buf_slice(&file), strlen(CTIME));
		buf_printf(&want, "1:%.*s\n>From y\n|2:B: 2\n|", SLICE_ARG(body));
		buf_add_text(&file, "\n>>From y\n\n" CTIME "B: 2\n");
		write_bytes("one", buf_slice(&file));
		buf_add_byte(&want, '\0');
		want_of("one", NULL, "window", buf_slice(&want).p);
	}
	buf_fini(&file);
	buf_fini(&want);
}

/* Of a long mail the first bytes; a line without an end is one too; what follows is found. */
static void
test_long(void **state)
{
	(void)state;
	struct corpus_mail m;
	struct err err;
	struct buf file;
	buf_init(&file, 4 << 20);
	for (unsigned lines = 0; lines < 2; lines++) {
		buf_clear(&file);
		buf_add_text(&file, CTIME "A: 1\n\n");
		while (buf_slice(&file).n < 2 << 20)
			buf_add_text(&file, lines != 0 ? "xxxxxxx\n" : "xxxxxxxx");
		buf_add_text(&file, "\n\n" CTIME "B: 2\n");
		write_bytes("one", buf_slice(&file));
		struct corpus *c = corpus_open("one", NULL, &err);
		assert_true(corpus_next(c, &m));
		assert_int_equal(m.bytes.n, CORPUS_MAIL_MOST);
		assert_true(slice_eq(
			m.bytes, slice_first(slice_from(buf_slice(&file), strlen(CTIME)),
					 CORPUS_MAIL_MOST)));
		assert_true(corpus_next(c, &m));
		assert_true(slice_eq(m.bytes, SLICE("B: 2\n")));
		corpus_free(&c);
		write_bytes("one", slice_from(buf_slice(&file), strlen(CTIME)));
		c = corpus_open("one", NULL, &err);
		assert_true(corpus_next(c, &m));
		assert_int_equal(m.bytes.n, CORPUS_MAIL_MOST);
		assert_false(corpus_next(c, &m));
		corpus_free(&c);
	}
	buf_fini(&file);
}

static void
make_folders(void)
{
	static const char *const folders[] = {"box", "box/b", "box/b/cur", "box/b/new",
		"box/b/tmp", "box/b/.Sent", "box/.hidden", "box/empty", "box/d", "box/d/e"};
	static const char *const files[][2] = {{"box/c", "C: 1\n"}, {"box/10", "N: 10\n"},
		{"box/9", "N: 9\n"}, {"box/a.mbox", CTIME "A: 1\n\n\n" CTIME "A: 2\n"},
		{"box/b/cur/2:2,S", "B: 2\n"}, {"box/b/cur/1:2,", "B: 1\n"},
		{"box/b/new/0", "B: 3\n"}, {"box/b/tmp/5", "B: 5\n"},
		{"box/b/.Sent/6", "B: 6\n"}, {"box/.hidden/7", "B: 7\n"},
		{"box/d/e/f", "F: 1\n"}, {"box/d/none", ""}, {"box/d/\xff\n odd", "O: 1\n"}};
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		assert_int_equal(mkdir(folders[i], 0700), 0);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		write_bytes(files[i][0], slice_of(files[i][1]));
	assert_int_equal(mkfifo("box/pipe", 0600), 0);
	assert_int_equal(symlink("..", "box/up"), 0);
	assert_int_equal(symlink("c", "box/x"), 0);
	assert_int_equal(symlink("nowhere", "box/y"), 0);
}

static void
test_folders(void **state)
{
	(void)state;
	make_folders();
	want_of("box", NULL, "a folder",
		"0:N: 10\n|0:N: 9\n|1:A: 1\n\n|2:A: 2\n|0:B: 1\n|0:B: 2\n|0:B: 3\n|0:C: 1\n|"
		"0:F: 1\n|0:is empty|0:O: 1\n|0:is no regular file|0:is a link to a folder|"
		"0:C: 1\n|0:cannot be read: No such file or directory|");
	want_of("box/b", NULL, "a Maildir", "0:B: 1\n|0:B: 2\n|0:B: 3\n|");
	want_of("box/b/", NULL, "with a slash", "0:B: 1\n|0:B: 2\n|0:B: 3\n|");
	want_of("box/empty", NULL, "nothing in it", "");
	want_of("box/up/box/b", NULL, "a link on the way", "0:B: 1\n|0:B: 2\n|0:B: 3\n|");
}

static void
test_depth(void **state)
{
	(void)state;
	char path[100] = "deep";
	struct buf want;
	buf_init(&want, TEXT_MOST);
	for (unsigned depth = 0; depth <= CORPUS_DEPTH_MOST + 1; depth++) {
		char file[120];
		assert_int_equal(mkdir(path, 0700), 0);
		snprintf(file, sizeof(file), "%s/0", path);
		write_bytes(file, SLICE("A: 1\n"));
		if (depth <= CORPUS_DEPTH_MOST)
			buf_add_text(&want, "0:A: 1\n|");
		snprintf(path + strlen(path), sizeof(path) - strlen(path), "/1");
	}
	buf_add_text(&want, "0:is too deep|");
	buf_add_byte(&want, '\0');
	want_of("deep", NULL, "depth", buf_slice(&want).p);
	buf_fini(&want);
}

/* What went away, or turned into something else, after the folder was listed. */
static void
test_changes(void **state)
{
	(void)state;
	struct corpus_mail m;
	struct err err;
	assert_int_equal(mkdir("live", 0700), 0);
	write_bytes("live/1", SLICE("A: 1\n"));
	write_bytes("live/2", SLICE("A: 2\n"));
	struct corpus *c = corpus_open("live", NULL, &err);
	assert_int_equal(corpus_progress(c).files, 2);
	assert_int_equal(corpus_progress(c).bytes, 10);
	assert_true(corpus_next(c, &m));
	struct corpus_place place = m.place;
	assert_int_equal(unlink("live/1"), 0);
	assert_int_equal(unlink("live/2"), 0);
	assert_int_equal(mkfifo("live/2", 0600), 0);
	assert_true(corpus_next(c, &m));
	assert_string_equal(m.path, "live/2");
	assert_string_equal(m.wrong, "is no regular file");
	assert_false(corpus_read(c, place, &m));
	corpus_free(&c);
	assert_null(corpus_open("nowhere", NULL, &err));
	assert_non_null(strstr(err.text, "nowhere: No such file"));
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static char folder[] = "/tmp/corpus.XXXXXX";

static int
set_up(void **state)
{
	(void)state;
	return mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	return chdir("/") == 0 ? nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) : -1;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_folders),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_changes),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
