/*
 * Commands of `postern` for the tests of main; see tooling.h.
 */
#include "tooling.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"

enum { WORDS_MOST = 24, ARENA_MOST = 64 * 1024 };

struct run
tool_run(tool_fn *fn, const char *words, const char *in)
{
	struct run r = {0};
	struct tool t = {.config = "test.conf"};
	char *list[WORDS_MOST + 1] = {NULL};
	size_t out_bytes, err_bytes;
	int n = 0;
	struct arena *a = arena_new(ARENA_MOST);
	struct slice word, rest = slice_of(words);
	while (rest.n != 0) {
		slice_cut(rest, ' ', &word, &rest);
		assert_true(n < WORDS_MOST);
		list[n++] = arena_text(a, word);
	}
	t.in = fmemopen(arena_text(a, slice_of(in)), strlen(in), "r");
	t.out = open_memstream(&r.out, &out_bytes);
	t.err = open_memstream(&r.err, &err_bytes);
	assert_true(t.in != NULL && t.out != NULL && t.err != NULL);
	r.status = fn(&t, n, list);
	fclose(t.in);
	fclose(t.out);
	fclose(t.err);
	arena_free(&a);
	return r;
}

void
tool_run_free(struct run *r)
{
	free(r->out);
	free(r->err);
	*r = (struct run){0};
}

void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

void
write_config(const char *text)
{
	write_file("test.conf", text);
}

void
write_config_least(const char *before)
{
	FILE *f = fopen("test.conf", "w");
	assert_non_null(f);
	fprintf(f,
		"hostname \"mx.example.com\"\n%s"
		"listen inbound on \"127.0.0.1:25\"\n"
		"domain \"example.com\" deliver to \"127.0.0.1:26\"\n"
		"inbound { accept }\n",
		before);
	assert_int_equal(fclose(f), 0);
}
