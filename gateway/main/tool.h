/*
 * The commands of `postern`, one file each. A command reads its words, writes what it has found
 * to out and what is wrong to err, and returns the exit status: 0 done, 1 something is wrong
 * with what it looked at, 2 it was called wrongly.
 */
#ifndef MAIN_TOOL_H
#define MAIN_TOOL_H

#include <stdbool.h>
#include <stdio.h>

#include "base/slice.h"

struct tool {
	const char *config; /* -f FILE */
	bool config_given;
	FILE *in, *out, *err;
};

/* words: what stands behind the command's name. */
int tool_check(const struct tool *t, int n, char *const words[]);
int tool_facts(const struct tool *t, int n, char *const words[]);
int tool_sample(const struct tool *t, int n, char *const words[]);
int tool_manual(const struct tool *t, int n, char *const words[]);
int tool_explain(const struct tool *t, int n, char *const words[]);
int tool_dkim(const struct tool *t, int n, char *const words[]);
int tool_passwd(const struct tool *t, int n, char *const words[]);
int tool_limits(const struct tool *t, int n, char *const words[]);
int tool_queue(const struct tool *t, int n, char *const words[]);
int tool_learn(const struct tool *t, int n, char *const words[]);
int tool_unlearn(const struct tool *t, int n, char *const words[]);
int tool_spam(const struct tool *t, int n, char *const words[]);
int tool_quarantine(const struct tool *t, int n, char *const words[]);
/* 0 well, 1 warnings, 2 something is wrong, 64 called wrongly: the worst of what it saw. */
int tool_doctor(const struct tool *t, int n, char *const words[]);

/* "usage: postern ..." to err; returns 2. */
int tool_usage(const struct tool *t, const char *text);
void tool_print(FILE *f, struct slice text);

#endif
