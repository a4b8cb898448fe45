/* Within the folder: the tables of system calls, and how a sandbox is put together. */
#ifndef IO_SANDBOX_PRIV_H
#define IO_SANDBOX_PRIV_H

#include <seccomp.h>

#include "io/sandbox.h"

/* In sanitizer builds the sandbox must leave their runtime what it needs. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANDBOX_SANITIZED 1
#endif
#endif
#ifndef SANDBOX_SANITIZED
#define SANDBOX_SANITIZED 0
#endif

/* sandbox_calls.c: the rules of these groups; 0 or a negative errno of libseccomp. */
int sandbox_calls_add(scmp_filter_ctx ctx, unsigned groups);

/* sandbox_paths.c: Landlock. 1: not in this kernel. */
int sandbox_paths_enter(
	const struct sandbox_spec *spec, struct sandbox_missing *missing, struct err *err);
int sandbox_paths_abi(void);
void sandbox_lacks(struct sandbox_missing *missing, const char *what);

#endif
