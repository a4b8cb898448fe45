/*
 * A command of `postern` as a person calls it: words, what is typed, and what came of it. Is
 * compiled into the tests of main, which know struct tool.
 */
#ifndef LIB_TOOLING_H
#define LIB_TOOLING_H

#include "main/tool.h"

struct run {
	int status;
	char *out, *err;
};

typedef int tool_fn(const struct tool *t, int n, char *const words[]);

/* By test.conf; the words are cut at spaces, `in` is what is typed, on no terminal. */
struct run tool_run(tool_fn *fn, const char *words, const char *in);
void tool_run_free(struct run *r);

void write_file(const char *path, const char *text);
void write_config(const char *text); /* test.conf */
/* The least that a configuration needs before its blocks. */
#define RIGHT                                                               \
	"hostname \"mx.example.com\"\nlisten inbound on \"127.0.0.1:25\"\n" \
	"domain \"example.com\" deliver to \"127.0.0.1:26\"\n"
/* test.conf with `before` and the least that a gateway needs, which accepts everything. */
void write_config_least(const char *before);

#endif
