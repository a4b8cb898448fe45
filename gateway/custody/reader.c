/*
 * The thread that reads: bodies, items, sidecars, and what is done to segments that are no
 * longer needed, so that the loop never waits for the disk. Every byte that it hands out has
 * been checked.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/little.h"
#include "base/mem.h"
#include "custody/files.h"
#include "custody/store_priv.h"
#include "custody/walk.h"

enum { FILES_OPEN = 64, ITEMS_BYTES = 4 * 1024 * 1024 };

struct reader {
	struct store *s;
	uint32_t sequences[FILES_OPEN]; /* 0: unused */
	int fds[FILES_OPEN];
	char *block; /* RECORD_BLOCK and its check */
};

static void
close_file(struct reader *r, uint32_t sequence)
{
	unsigned i = sequence % FILES_OPEN;
	if (r->sequences[i] != sequence || sequence == 0)
		return;
	close(r->fds[i]);
	r->sequences[i] = 0;
}

static int
file_of(struct reader *r, uint32_t sequence, struct err *err)
{
	unsigned i = sequence % FILES_OPEN;
	if (r->sequences[i] == sequence)
		return r->fds[i];
	close_file(r, r->sequences[i]);
	int fd = files_open(r->s->dir_fd, FILE_SEGMENT, sequence, O_RDONLY, err);
	if (fd < 0)
		return -1;
	r->sequences[i] = sequence;
	r->fds[i] = fd;
	return fd;
}

static int
damaged(struct err *err)
{
	return err_set(err, "a record of the spool is damaged");
}

/* The blocks that hold the wanted part, each checked as a whole. */
static int
read_blocks(struct reader *r, int fd, uint64_t body_at, struct job_body *b, struct err *err)
{
	uint64_t all = b->place.body_bytes, at = b->offset;
	for (size_t done = 0; done < b->length;) {
		uint64_t number = at / RECORD_BLOCK, first = number * RECORD_BLOCK;
		size_t n = all - first < RECORD_BLOCK ? (size_t)(all - first) : RECORD_BLOCK;
		if (files_read(fd, r->block, n + RECORD_CHECK,
			    body_at + number * (RECORD_BLOCK + RECORD_CHECK), err) < 0)
			return -1;
		if (crc32c(0, r->block, n) != little_get_u32(r->block + n))
			return damaged(err);
		size_t skip = (size_t)(at - first);
		size_t part = n - skip < b->length - done ? n - skip : b->length - done;
		memcpy(b->bytes + done, r->block + skip, part);
		done += part;
		at += part;
	}
	return 0;
}

static int
read_body(struct reader *r, struct job_body *b, struct err *err)
{
	char head[RECORD_HEAD];
	struct record put;
	int fd = file_of(r, b->place.put_in, err);
	uint64_t at = (uint64_t)b->place.put_at * RECORD_ALIGN;
	if (fd < 0 || files_read(fd, head, sizeof(head), at, err) < 0)
		return -1;
	if (!record_unpack(head, b->place.put_generation, &put) ||
		!custody_id_eq(&put.id, &b->place.id) || put.body_bytes != b->place.body_bytes)
		return damaged(err);
	uint64_t left = put.body_bytes - b->offset;
	if (b->length > left)
		b->length = (size_t)left;
	b->bytes = mem_new(b->length);
	return read_blocks(
		r, fd, at + RECORD_HEAD + put.envelope_bytes + put.note_bytes, b, err);
}

/* A record's header and the n bytes behind it, into `to`; that it is the one meant is checked,
 * the bytes are not. */
static int
read_texts(struct reader *r, uint32_t in, uint32_t at, uint64_t generation,
	const struct custody_id *id, size_t n, char *to, struct record *r_out, struct err *err)
{
	int fd = file_of(r, in, err);
	if (fd < 0 || files_read(fd, to, RECORD_HEAD + n, (uint64_t)at * RECORD_ALIGN, err) < 0)
		return -1;
	if (!record_unpack(to, generation, r_out) || !custody_id_eq(&r_out->id, id))
		return damaged(err);
	return 0;
}

static int
read_item(struct reader *r, const struct item_place *p, char *text,
	struct custody_item *item_out, struct err *err)
{
	struct record put, note;
	bool apart = p->note_in != p->put_in || p->note_at != p->put_at;
	size_t own = p->envelope_bytes + (apart ? 0 : p->note_bytes);
	if (read_texts(r, p->put_in, p->put_at, p->put_generation, &p->id, own, text, &put,
		    err) < 0)
		return -1;
	char *envelope = text + RECORD_HEAD, *note_text = envelope + p->envelope_bytes;
	if (put.envelope_bytes != p->envelope_bytes || put.body_bytes != p->body_bytes)
		return damaged(err);
	note = put;
	if (apart) {
		char *second = text + RECORD_HEAD + own;
		if (read_texts(r, p->note_in, p->note_at, p->note_generation, &p->id,
			    p->note_bytes, second, &note, err) < 0)
			return -1;
		note_text = second + RECORD_HEAD;
	}
	if (note.note_bytes != p->note_bytes ||
		crc32c(0, envelope, p->envelope_bytes) != put.envelope_crc ||
		crc32c(0, note_text, p->note_bytes) != note.note_crc)
		return damaged(err);
	*item_out = (struct custody_item){.id = p->id,
		.envelope = {envelope, p->envelope_bytes},
		.note = {note_text, p->note_bytes},
		.body_bytes = p->body_bytes};
	return 0;
}

static enum custody_result
read_items(struct reader *r, struct job_items *i, struct err *err)
{
	size_t used = 0;
	i->items = mem_array(i->n, sizeof(*i->items));
	i->texts = mem_array(i->n, sizeof(*i->texts));
	for (; i->done < i->n && used < ITEMS_BYTES; i->done++) {
		const struct item_place *p = &i->places[i->done];
		size_t n = 2 * RECORD_HEAD + (size_t)p->envelope_bytes + p->note_bytes;
		char *text = mem_new(n);
		used += n;
		if (read_item(r, p, text, &i->items[i->n_items], err) == 0) {
			i->texts[i->n_items++] = text;
		} else {
			mem_free(text);
			i->damaged++;
		}
	}
	if (i->done < i->n)
		i->end = false;
	if (i->done > 0)
		i->next = i->after[i->done - 1];
	return i->one && i->damaged > 0 ? CUSTODY_FAILED : CUSTODY_OK;
}

static int
load(struct reader *r, struct job *j)
{
	uint32_t sequence = j->u.segment.sequence;
	struct sidecar *sidecar = &j->u.segment.sidecar;
	if (sidecar_read(r->s->dir_fd, sequence, sidecar) &&
		sidecar->generation == j->u.segment.generation)
		return 0;
	placed_fini(&sidecar->list);
	int fd = file_of(r, sequence, &j->why);
	if (fd < 0)
		return -1;
	struct walk w;
	int result =
		walk_segment(fd, j->u.segment.generation, j->u.segment.end, true, &w, &j->why);
	sidecar->list = w.list;
	return result;
}

static void
forget(struct reader *r, struct job *j)
{
	struct store *s = r->s;
	uint32_t sequence = j->u.segment.sequence;
	close_file(r, sequence);
	pthread_mutex_lock(&s->lock);
	bool wanted = s->account.n_free < FREE_MOST;
	pthread_mutex_unlock(&s->lock);
	if (j->u.segment.failed || j->u.segment.bytes > s->segment_bytes || !wanted) {
		files_remove(s->dir_fd, FILE_SIDECAR, sequence);
		files_remove(s->dir_fd, FILE_SEGMENT, sequence);
		return;
	}
	if (!files_recycle(s->dir_fd, sequence))
		return;
	pthread_mutex_lock(&s->lock);
	s->account.free[s->account.n_free++] = sequence; /* we alone add */
	pthread_mutex_unlock(&s->lock);
}

static void
do_job(struct reader *r, struct job *j)
{
	int result = 0;
	switch (j->kind) {
	case JOB_BODY: result = read_body(r, &j->u.body, &j->why); break;
	case JOB_ITEMS:
		j->result = read_items(r, &j->u.items, &j->why);
		job_done(r->s, j);
		return;
	case JOB_SIDECAR:
		result = sidecar_write(r->s->dir_fd, &j->u.segment.sidecar, &j->why);
		break;
	case JOB_LOAD: result = load(r, j); break;
	case JOB_FORGET: forget(r, j); break;
	case JOB_COMMIT:
	case JOB_RESOLVE:
	case JOB_OPENED:
	case JOB_SEALED: break;
	}
	j->result = result == 0 ? CUSTODY_OK : CUSTODY_FAILED;
	job_done(r->s, j);
}

void *
reader_main(void *store)
{
	struct reader r = {.s = store, .block = mem_new(RECORD_BLOCK + RECORD_CHECK)};
	for (struct job *j; (j = lane_take(r.s, &r.s->to_reader)) != NULL;)
		for (struct job *next; j != NULL; j = next) {
			next = j->next;
			do_job(&r, j);
		}
	for (unsigned i = 0; i < FILES_OPEN; i++)
		close_file(&r, r.sequences[i]);
	mem_free(r.block);
	return NULL;
}
