/*
 * One model on its way to the disk, by a thread of its own: some megabytes and a sync would
 * hold up the mails of the keeper's loop. One at a time; a thread lives as long as one write.
 */
#ifndef QUEUE_SPAM_WRITER_H
#define QUEUE_SPAM_WRITER_H

#include "io/loop.h"
#include "queue/spam_files.h"

struct spam_writer;

/* err: NULL, it is on stable storage. In the loop's thread. */
typedef void spam_written_fn(void *arg, const struct err *err);

struct spam_writer *
spam_writer_new(struct loop *l, spam_written_fn *fn, void *arg, struct err *err);
void spam_writer_free(struct spam_writer **w); /* not while it is busy */
void spam_writer_wait(struct spam_writer *w);  /* for the write under way; fn is called in it */
/* Not while it is busy. dir: the caller's, until the end of it; bytes: of mem_new, the writer's
 * from here on; name is copied. */
void spam_writer_start(struct spam_writer *w, int dir, const char *name, void *bytes, size_t n);

#endif
