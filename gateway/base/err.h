/*
 * What went wrong in the world (disk, DNS, fork), in words for the log. A function that can
 * fail so takes `struct err *err` last and returns 0 done, 1 later, negative failed with err
 * filled. What a peer does wrong is data, not an err; what we do wrong is must().
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

struct err {
	int code;       /* an errno value, or 0 where none applies */
	char text[500]; /* one line, no newline, cut when too long */
};

/* Both fill err and return -1, so that `return err_set(err, ...)` reads well. */
int err_set(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* As err_set, with errno kept in code and its words appended. */
int err_sys(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts words in front of what is there: "FMT: old text". Returns -1. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
