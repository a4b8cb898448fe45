/*
 * A commit as records, into the writer's buffer, which goes to the file each time it is full:
 * a mail of a gigabyte needs no more memory than one of a kilobyte. Also the records that
 * collection copies; bodies then go over as they are, checks and all, so that what was damaged
 * stays known as damaged.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/little.h"
#include "base/must.h"
#include "custody/files.h"
#include "custody/store_priv.h"

void
encode_flush(struct writer *w)
{
	size_t n = (size_t)(w->at - w->buf_at);
	if (!w->write_failed && n > 0 &&
		files_write(w->fd, w->buf, n, w->buf_at, &w->write_err) < 0)
		w->write_failed = true;
	w->buf_at = w->at;
}

static void
add(struct writer *w, const void *bytes, size_t n)
{
	const char *p = bytes;
	while (n > 0) {
		size_t used = (size_t)(w->at - w->buf_at);
		size_t part = WRITER_BUFFER - used < n ? WRITER_BUFFER - used : n;
		memcpy(w->buf + used, p, part);
		w->at += part;
		p += part;
		n -= part;
		if (used + part == WRITER_BUFFER)
			encode_flush(w);
	}
}

static void
fill_up(struct writer *w)
{
	static const char zeros[RECORD_ALIGN];
	add(w, zeros, (size_t)(-w->at & (RECORD_ALIGN - 1)));
}

/* The header of the record that begins here; *at_out is its place. */
static void
begin(struct writer *w, struct record *r, uint32_t *at_out)
{
	char head[RECORD_HEAD];
	must(w->at % RECORD_ALIGN == 0);
	r->commit = w->commits;
	r->synced = w->synced;
	*at_out = (uint32_t)(w->at / RECORD_ALIGN);
	struct placed p = {.id = r->id,
		.at = *at_out,
		.envelope_bytes = r->envelope_bytes,
		.note_bytes = r->note_bytes,
		.until = r->until,
		.body_bytes = r->body_bytes,
		.op = r->op};
	placed_add(&w->list, &p);
	record_pack(r, w->generation, head);
	add(w, head, sizeof(head));
}

static int
add_body(struct writer *w, const struct relay_body *body, struct err *err)
{
	struct relay_reader reader;
	relay_reader_init(&reader, body);
	char check[RECORD_CHECK];
	for (uint64_t left = body->bytes; left > 0;) {
		size_t block = left < RECORD_BLOCK ? (size_t)left : RECORD_BLOCK;
		uint32_t crc = 0;
		left -= block;
		while (block > 0) {
			struct slice piece;
			if (relay_reader_next(&reader, block, &w->scratch, &piece, err) < 0)
				return -1;
			must(piece.n > 0);
			crc = crc32c(crc, piece.p, piece.n);
			add(w, piece.p, piece.n);
			block -= piece.n;
		}
		little_put_u32(check, crc);
		add(w, check, sizeof(check));
	}
	return 0;
}

static int
encode_change(struct writer *w, const struct custody_change *c, unsigned flags,
	uint32_t *at_out, struct err *err)
{
	static const enum record_op ops[] = {[CUSTODY_PUT] = RECORD_PUT,
		[CUSTODY_NOTE] = RECORD_NOTE,
		[CUSTODY_DROP] = RECORD_DROP};
	struct slice envelope = c->op == CUSTODY_PUT ? c->envelope : SLICE_NONE;
	struct slice note = c->op != CUSTODY_DROP ? c->note : SLICE_NONE;
	const struct relay_body *body = c->op == CUSTODY_PUT ? c->body : NULL;
	struct record r = {.op = ops[c->op],
		.flags = flags,
		.id = c->id,
		.envelope_bytes = (uint32_t)envelope.n,
		.note_bytes = (uint32_t)note.n,
		.body_bytes = body != NULL ? body->bytes : 0,
		.envelope_crc = crc32c(0, envelope.p, envelope.n),
		.note_crc = crc32c(0, note.p, note.n),
		.until = c->op == CUSTODY_DROP ? w->sequence : 0};
	begin(w, &r, at_out);
	add(w, envelope.p, envelope.n);
	add(w, note.p, note.n);
	if (body != NULL && add_body(w, body, err) < 0)
		return -1;
	fill_up(w);
	return 0;
}

/* Kept open from one copy to the next: most come from one segment. */
static int
source_open(struct store *s, uint32_t sequence)
{
	struct writer *w = &s->writer;
	struct err err;
	if (w->source == sequence && w->source_fd >= 0)
		return w->source_fd;
	if (w->source_fd >= 0)
		close(w->source_fd);
	w->source = sequence;
	w->source_fd = files_open(s->dir_fd, FILE_SEGMENT, sequence, O_RDONLY, &err);
	return w->source_fd;
}

static bool
source_record(struct store *s, uint32_t in, uint32_t at, uint64_t generation,
	const struct custody_id *id, struct record *r_out)
{
	char head[RECORD_HEAD];
	struct err err;
	int fd = source_open(s, in);
	return fd >= 0 &&
	       files_read(fd, head, sizeof(head), (uint64_t)at * RECORD_ALIGN, &err) == 0 &&
	       record_unpack(head, generation, r_out) && custody_id_eq(&r_out->id, id);
}

/* Are the n bytes there that the check says? */
static bool
source_fits(struct store *s, uint32_t in, uint64_t offset, uint32_t n, uint32_t crc)
{
	char part[4096];
	struct err err;
	int fd = source_open(s, in);
	uint32_t sum = 0;
	for (size_t m; n > 0; n -= (uint32_t)m, offset += m) {
		m = n < sizeof(part) ? n : sizeof(part);
		if (fd < 0 || files_read(fd, part, m, offset, &err) < 0)
			return false;
		sum = crc32c(sum, part, m);
	}
	return sum == crc;
}

static bool
source_copy(struct store *s, struct copy *c)
{
	const struct item_place *from = &c->from;
	struct record put, note;
	if (!source_record(
		    s, from->put_in, from->put_at, from->put_generation, &from->id, &put) ||
		!source_record(s, from->note_in, from->note_at, from->note_generation,
			&from->id, &note) ||
		put.envelope_bytes != from->envelope_bytes ||
		put.body_bytes != from->body_bytes || note.note_bytes != from->note_bytes)
		return false;
	uint64_t put_offset = (uint64_t)from->put_at * RECORD_ALIGN + RECORD_HEAD;
	c->envelope_crc = put.envelope_crc;
	c->note_crc = note.note_crc;
	c->note_offset =
		(uint64_t)from->note_at * RECORD_ALIGN + RECORD_HEAD + note.envelope_bytes;
	c->payload_offset = put_offset + put.envelope_bytes + put.note_bytes;
	return source_fits(s, from->note_in, c->note_offset, note.note_bytes, note.note_crc) &&
	       (c->op == RECORD_NOTE || source_fits(s, from->put_in, put_offset,
						put.envelope_bytes, put.envelope_crc));
}

bool
encode_sources(struct store *s, struct job *j)
{
	bool any = false;
	for (size_t i = 0; i < j->u.commit.n; i++) {
		struct copy *c = &j->u.commit.copies[i];
		c->lost = c->op != RECORD_DROP && !source_copy(s, c);
		any = any || !c->lost;
	}
	return any;
}

static int
add_source(struct store *s, uint32_t in, uint64_t offset, uint64_t n, struct err *err)
{
	static const size_t most = 64 * 1024;
	struct writer *w = &s->writer;
	while (n > 0) {
		size_t part = n < most ? (size_t)n : most;
		char *to = buf_reserve(&w->scratch, part);
		int fd = source_open(s, in);
		if (fd < 0)
			return err_set(err, "a segment cannot be opened for its collection");
		if (files_read(fd, to, part, offset, err) < 0)
			return -1;
		add(w, to, part);
		offset += part;
		n -= part;
	}
	return 0;
}

static int
encode_copy(struct store *s, const struct copy *c, unsigned flags, uint32_t *at_out,
	struct err *err)
{
	const struct item_place *from = &c->from;
	struct record r = {.op = c->op, .flags = flags, .id = from->id, .until = c->until};
	if (c->op != RECORD_DROP) {
		r.note_bytes = from->note_bytes;
		r.note_crc = c->note_crc;
	}
	if (c->op == RECORD_COPY) {
		r.envelope_bytes = from->envelope_bytes;
		r.envelope_crc = c->envelope_crc;
		r.body_bytes = from->body_bytes;
	}
	begin(&s->writer, &r, at_out);
	uint64_t put_offset = (uint64_t)from->put_at * RECORD_ALIGN + RECORD_HEAD;
	if (add_source(s, from->put_in, put_offset, r.envelope_bytes, err) < 0 ||
		add_source(s, from->note_in, c->note_offset, r.note_bytes, err) < 0 ||
		add_source(s, from->put_in, c->payload_offset, record_body_stored(r.body_bytes),
			err) < 0)
		return -1;
	fill_up(&s->writer);
	return 0;
}

static size_t
last_copy(const struct job_commit *c)
{
	size_t last = c->n;
	while (c->copies[--last].lost)
		;
	return last;
}

static int
encode_copies(struct store *s, struct job *j, struct err *err)
{
	struct job_commit *c = &j->u.commit;
	unsigned flags = RECORD_FIRST;
	size_t last = last_copy(c);
	for (size_t i = 0; i <= last; i++) {
		if (c->copies[i].lost)
			continue;
		if (i == last)
			flags |= RECORD_LAST;
		if (encode_copy(s, &c->copies[i], flags, &c->at[i], err) < 0)
			return -1;
		flags = 0;
	}
	return 0;
}

int
encode_commit(struct store *s, struct job *j, struct err *err)
{
	struct job_commit *c = &j->u.commit;
	struct writer *w = &s->writer;
	w->commits++;
	c->in = w->sequence;
	if (c->copies != NULL)
		return encode_copies(s, j, err);
	if (c->n == 0) {
		struct record mark = {.op = RECORD_MARK, .flags = RECORD_FIRST | RECORD_LAST};
		uint32_t at;
		begin(w, &mark, &at);
		fill_up(w);
	}
	for (size_t i = 0; i < c->n; i++) {
		unsigned flags =
			(i == 0 ? RECORD_FIRST : 0) | (i + 1 == c->n ? RECORD_LAST : 0);
		if (encode_change(w, &c->changes[i], flags, &c->at[i], err) < 0)
			return -1;
	}
	return 0;
}
