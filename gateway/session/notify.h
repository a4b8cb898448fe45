/*
 * When a rule's `notify` may write again: at most once in a minute for each rule and address,
 * over all session processes, so that a flood of mail makes no flood of notices; the next one
 * says how many were left out. One fixed table in shared memory; of two rules that meet in one
 * place the later begins anew, which costs a notice more, never one less.
 */
#ifndef SESSION_NOTIFY_H
#define SESSION_NOTIFY_H

#include "base/err.h"
#include "conf/rules.h"

enum { NOTICES_MOST = 1024, NOTICE_EVERY_MS = 60 * 1000 };

struct notices;

struct notices *notices_new(struct err *err); /* in the parent, before the first fork */
/*
 * True: one may be written now, and *left_out is how many were not since the last. now_ms:
 * monotonic. A notice whose mail is then not taken is not made up for: the next mail writes it
 * a minute later.
 */
bool
notices_take(struct notices *t, const struct rule *r, uint64_t now_ms, uint64_t *left_out_out);

#endif
