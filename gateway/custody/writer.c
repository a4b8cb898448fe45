/*
 * The thread that writes: takes all commits that wait, puts them into the open segment and
 * syncs once for all of them. While it syncs, others gather: that is all the batching there is.
 *
 * What failed is never tried again on the same segment. It is cut where the last sync that
 * worked ended, and the head of the next segment says so too: nothing of what was answered
 * FAILED comes back after a restart, unless the disk takes neither, and nothing else after.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"
#include "custody/files.h"
#include "custody/store_priv.h"

enum { BATCH_BYTES = 8 * 1024 * 1024, SEGMENT_LEAST = 64 * 1024 };

static void
tell(struct store *s, enum job_kind kind, uint64_t end, bool failed)
{
	struct writer *w = &s->writer;
	struct job *j = job_new(kind, NULL);
	j->u.segment.sequence = w->sequence;
	j->u.segment.generation = w->generation;
	j->u.segment.bytes = w->bytes;
	j->u.segment.end = end;
	j->u.segment.failed = failed;
	job_done(s, j);
}

/* No more records behind end; its sidecar is the reader's to write. */
static void
seal(struct store *s, uint64_t end, bool failed)
{
	struct writer *w = &s->writer;
	/* Room that is left is not kept, where it is worth it: a larger commit came. */
	if (!failed && end < w->bytes / 2 && files_calls.truncate(w->fd, (off_t)end) == 0)
		w->bytes = end;
	struct job *j = job_new(JOB_SIDECAR, NULL);
	while (w->list.n > 0 && (uint64_t)w->list.p[w->list.n - 1].at * RECORD_ALIGN >= end)
		w->list.n--;
	j->u.segment.sidecar = (struct sidecar){.sequence = w->sequence,
		.generation = w->generation,
		.end = end,
		.list = w->list};
	w->list = (struct placed_list){0};
	close(w->fd);
	w->fd = -1;
	w->prior = w->sequence;
	w->prior_end = end;
	pthread_mutex_lock(&s->lock);
	s->account.active_room = 0;
	pthread_mutex_unlock(&s->lock);
	job_queue(s, &s->to_reader, j);
	tell(s, JOB_SEALED, end, failed);
}

/* A segment whose rest is not to be relied on. */
static void
give_up(struct store *s, uint64_t end)
{
	struct writer *w = &s->writer;
	struct err err;
	bool cut = files_cut(w->fd, end, &err) == 0;
	if (cut)
		w->bytes = end;
	seal(s, end, true);
	/* Else the next one's head must say so, before anybody is answered. */
	if (!cut)
		(void)writer_open(s, 0, &err);
}

static uint32_t
take_free(struct store *s, uint64_t bytes)
{
	struct account *a = &s->account;
	uint32_t sequence = 0;
	pthread_mutex_lock(&s->lock);
	if (a->n_free > 0 && bytes == s->segment_bytes)
		sequence = a->free[--a->n_free];
	pthread_mutex_unlock(&s->lock);
	return sequence;
}

static int
open_of_size(struct store *s, uint64_t bytes, struct err *err)
{
	struct writer *w = &s->writer;
	struct segment_head head = {
		.sequence = w->next_sequence++, .prior = w->prior, .prior_end = w->prior_end};
	must(getrandom(&head.generation, sizeof(head.generation), 0) ==
		(ssize_t)sizeof(head.generation));
	uint32_t recycled = take_free(s, bytes);
	int fd = files_segment_new(s->dir_fd, recycled, &head, bytes, err);
	if (fd < 0)
		return -1;
	w->fd = fd;
	w->sequence = head.sequence;
	w->generation = head.generation;
	w->bytes = bytes;
	w->at = w->buf_at = w->synced = SEGMENT_HEAD;
	w->commits = 0;
	w->write_failed = false;
	pthread_mutex_lock(&s->lock);
	struct account *a = &s->account;
	a->active_room = bytes - SEGMENT_HEAD;
	if (recycled == 0)
		a->fs_free -= bytes < a->fs_free ? bytes : a->fs_free;
	pthread_mutex_unlock(&s->lock);
	tell(s, JOB_OPENED, 0, false);
	return 0;
}

/* Free segments are of the usual size: they make room for one that is larger by going. */
static bool
free_ones_go(struct store *s)
{
	bool any = false;
	for (uint32_t sequence; (sequence = take_free(s, s->segment_bytes)) != 0; any = true)
		files_remove(s->dir_fd, FILE_FREE, sequence);
	return any;
}

int
writer_open(struct store *s, uint64_t need, struct err *err)
{
	uint64_t least = SEGMENT_HEAD + need;
	uint64_t bytes = s->segment_bytes > least ? s->segment_bytes : least;
	if (least < SEGMENT_LEAST)
		least = SEGMENT_LEAST;
	for (;;) {
		if (open_of_size(s, bytes, err) == 0)
			return 0;
		if (err->code != ENOSPC)
			return -1;
		/* Without room for a usual one a small one may do, for what makes room. */
		if (!free_ones_go(s) && (bytes /= 2) < least)
			return -1;
	}
}

static void
answer(struct store *s, struct job *j, enum custody_result r, const struct err *why)
{
	j->result = r;
	if (r != CUSTODY_OK)
		j->why = *why;
	job_done(s, j);
}

static void
set_failing(struct store *s, bool failing)
{
	pthread_mutex_lock(&s->lock);
	s->account.failing = failing;
	if (failing)
		s->account.failures++;
	else
		s->account.syncs++;
	s->account.active_room = s->writer.fd >= 0 ? s->writer.bytes - s->writer.at : 0;
	pthread_mutex_unlock(&s->lock);
}

/* Writes and syncs what is in the batch, and answers it: OK, all of it, or FAILED, all of it.
 */
static void
finish(struct store *s, struct job_list *batch)
{
	struct writer *w = &s->writer;
	if (batch->first == NULL)
		return;
	encode_flush(w);
	struct err err = w->write_err;
	bool good = !w->write_failed && files_sync(w->fd, &err) == 0;
	if (good)
		w->synced = w->at;
	else
		give_up(s, w->synced);
	set_failing(s, !good);
	for (struct job *j = job_list_take(batch), *next; j != NULL; j = next) {
		next = j->next;
		answer(s, j, good ? CUSTODY_OK : CUSTODY_FAILED, &err);
	}
}

/* Its body could not be read: it alone is FAILED, and leaves no trace. */
static void
take_back(struct store *s, struct job_list *batch, uint64_t begin)
{
	struct writer *w = &s->writer;
	while (w->list.n > 0 && (uint64_t)w->list.p[w->list.n - 1].at * RECORD_ALIGN >= begin)
		w->list.n--;
	bool written = w->buf_at > begin;
	w->at = begin;
	if (!written)
		return;
	/* A part of it is in the file, and may look like a commit one day. */
	w->buf_at = begin;
	finish(s, batch);
	if (w->fd >= 0)
		give_up(s, begin);
}

/* A segment with room for it is open; else it is answered, and false. */
static bool
room_for(struct store *s, struct job_list *batch, struct job *j)
{
	struct writer *w = &s->writer;
	uint64_t need = j->u.commit.bytes;
	if (w->fd >= 0 && w->bytes - w->at >= need)
		return true;
	finish(s, batch);
	if (w->fd >= 0 && w->bytes - w->at >= need)
		return true;
	if (w->fd >= 0)
		seal(s, w->synced, false);
	struct err err;
	if (writer_open(s, need, &err) == 0)
		return true;
	bool full = err.code == ENOSPC || err.code == EDQUOT;
	if (!full)
		set_failing(s, true);
	answer(s, j, full ? CUSTODY_FULL : CUSTODY_FAILED, &err);
	return false;
}

static void
write_all(struct store *s, struct job *j)
{
	struct writer *w = &s->writer;
	struct job_list batch;
	job_list_init(&batch);
	for (struct job *next; j != NULL; j = next) {
		next = j->next;
		struct err err;
		if (j->u.commit.copies != NULL && !encode_sources(s, j)) {
			answer(s, j, CUSTODY_OK, NULL);
			continue;
		}
		if (!room_for(s, &batch, j))
			continue;
		uint64_t begin = w->at;
		if (encode_commit(s, j, &err) < 0 && !w->write_failed) {
			take_back(s, &batch, begin);
			answer(s, j, CUSTODY_FAILED, &err);
			continue;
		}
		must(w->at <= w->bytes);
		job_list_add(&batch, j);
		if (w->write_failed || w->at - w->synced >= BATCH_BYTES)
			finish(s, &batch);
	}
	finish(s, &batch);
	if (w->source_fd >= 0) { /* it would keep a removed file's room */
		close(w->source_fd);
		w->source_fd = -1;
	}
}

void *
writer_main(void *store)
{
	struct store *s = store;
	struct writer *w = &s->writer;
	for (struct job *j; (j = lane_take(s, &s->to_writer)) != NULL;)
		write_all(s, j);
	struct err err;
	if (w->fd >= 0) {
		uint64_t end = w->synced;
		(void)files_cut(w->fd, end, &err); /* else it is only larger than needed */
		seal(s, end, false);
	}
	return NULL;
}
