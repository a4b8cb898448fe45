/*
 * The keeper's side of teaching (hand_spam.h): it holds the site's model and those of the
 * domains that have one, learns what it is told, publishes what it has learned to all processes
 * (filters/spam_shared.h) and keeps it in the folder "spam" of the spool (spam_files.h). While
 * lessons come it writes once a second, besides when somebody asks for it and at its end.
 *
 * A file that is damaged is set aside, and its model begins anew; a disk that takes nothing
 * leaves what was learned in memory, and is tried again. No mail waits for any of it.
 */
#ifndef QUEUE_SPAM_DESK_H
#define QUEUE_SPAM_DESK_H

#include "filters/spam_shared.h"
#include "io/loop.h"
#include "queue/hand.h"

struct spam_desk;

enum { SPAM_WRITE_MS = 1000, SPAM_AGAIN_MS = 5 * 1000 };

/* spool: the folder; stays the caller's. shared: what it publishes to; NULL: nothing. Within
 * the sandbox. NULL and err. */
struct spam_desk *
spam_desk_new(struct loop *l, int spool, struct spam_shared *shared, struct err *err);
/* With a last write. Who still waits for one hears of it. */
void spam_desk_free(struct spam_desk **d);
/* These domains have models of their own from now on, and no others. */
void spam_desk_domains(struct spam_desk *d, const struct slice *domains, size_t n);
/* hand_config's `other`. */
bool
spam_desk_hand(void *desk, uint32_t uid, const struct ipc_msg *m, hand_other_fn *fn, void *arg);

#endif
