/*
 * The full scan of a segment; see walk.h. First every record whose header holds is found, then
 * it is judged which commits are there. A header that does not hold is searched for on each
 * multiple of RECORD_ALIGN; the generation, which nobody outside knows, keeps what a mail
 * contains from being found.
 */
#include "custody/walk.h"

#include <string.h>

#include "base/crc32c.h"
#include "base/little.h"
#include "base/mem.h"
#include "custody/files.h"

enum { WINDOW = 1024 * 1024, CHUNK = 64 * 1024, PIECE = 4096 };

struct window {
	int fd;
	uint64_t limit, start;
	size_t n;
	char *bytes;
	bool failed;
	struct err *err;
};

struct found {
	struct record r;
	uint64_t at, end;
	bool whole; /* its payload fits its checks */
};

struct found_list {
	struct found *p;
	size_t n, room;
};

/* What cannot be read is zero, so that the scan goes on behind it. */
static void
read_in_pieces(struct window *w, size_t n)
{
	struct err err;
	for (size_t at = 0; at < n; at += PIECE) {
		size_t part = n - at < PIECE ? n - at : PIECE;
		if (files_read(w->fd, w->bytes + at, part, w->start + at, &err) < 0)
			memset(w->bytes + at, 0, part);
	}
}

/* n bytes at `at`, below limit and at most WINDOW. */
static const char *
view(struct window *w, uint64_t at, size_t n)
{
	if (at < w->start || at + n > w->start + w->n) {
		uint64_t left = w->limit - at;
		w->start = at;
		w->n = left < WINDOW ? (size_t)left : WINDOW;
		if (files_read(w->fd, w->bytes, w->n, at, w->err) < 0) {
			w->failed = true;
			read_in_pieces(w, w->n);
		}
	}
	return w->bytes + (at - w->start);
}

static bool
check_range(struct window *w, uint64_t at, uint64_t n, uint32_t wanted)
{
	uint32_t crc = 0;
	while (n > 0) {
		size_t part = n < CHUNK ? (size_t)n : CHUNK;
		crc = crc32c(crc, view(w, at, part), part);
		at += part;
		n -= part;
	}
	return crc == wanted;
}

static bool
check_payload(struct window *w, uint64_t at, const struct record *r)
{
	at += RECORD_HEAD;
	if (!check_range(w, at, r->envelope_bytes, r->envelope_crc))
		return false;
	at += r->envelope_bytes;
	if (!check_range(w, at, r->note_bytes, r->note_crc))
		return false;
	at += r->note_bytes;
	for (uint64_t left = r->body_bytes; left > 0;) {
		size_t part = left < RECORD_BLOCK ? (size_t)left : RECORD_BLOCK;
		const char *p = view(w, at, part + RECORD_CHECK);
		if (crc32c(0, p, part) != little_get_u32(p + part))
			return false;
		at += part + RECORD_CHECK;
		left -= part;
	}
	return true;
}

static void
found_add(struct found_list *l, const struct found *f)
{
	if (l->n == l->room) {
		l->room = l->room != 0 ? l->room * 2 : 64;
		l->p = mem_resize(l->p, l->room * sizeof(*l->p));
	}
	l->p[l->n++] = *f;
}

/* All records up to the limit whose header holds. */
static void
find_all(struct window *w, uint64_t generation, struct found_list *l)
{
	for (uint64_t at = SEGMENT_HEAD; at + RECORD_HEAD <= w->limit;) {
		struct found f = {.at = at};
		if (!record_unpack(view(w, at, RECORD_HEAD), generation, &f.r) ||
			record_bytes_of(&f.r) > w->limit - at) {
			at += RECORD_ALIGN;
			continue;
		}
		f.whole = check_payload(w, at, &f.r);
		f.end = at + record_bytes_of(&f.r);
		found_add(l, &f);
		at = f.end;
	}
}

static void
take(struct walk *w, const struct found *f)
{
	struct placed p = {.id = f->r.id,
		.at = (uint32_t)(f->at / RECORD_ALIGN),
		.envelope_bytes = f->r.envelope_bytes,
		.note_bytes = f->r.note_bytes,
		.until = f->r.until,
		.body_bytes = f->r.body_bytes,
		.op = f->r.op};
	placed_add(&w->list, &p);
}

/* One commit, from l->p[i] on, whole and without a gap: the place behind it; else i. */
static size_t
whole_commit(const struct found_list *l, size_t i, uint64_t at)
{
	if ((l->p[i].r.flags & RECORD_FIRST) == 0)
		return i;
	for (size_t k = i; k < l->n; k++) {
		const struct found *f = &l->p[k];
		if (!f->whole || f->at != at || f->r.commit != l->p[i].r.commit)
			return i;
		if ((f->r.flags & RECORD_LAST) != 0)
			return k + 1;
		at = f->end;
	}
	return i;
}

static void
judge(const struct found_list *l, uint64_t limit, bool all_synced, struct walk *w)
{
	uint64_t synced = all_synced ? limit : SEGMENT_HEAD;
	for (size_t i = 0; i < l->n; i++)
		if (l->p[i].r.synced > synced && l->p[i].r.synced <= l->p[i].at)
			synced = l->p[i].r.synced;
	size_t i = 0;
	w->end = SEGMENT_HEAD;
	for (; i < l->n && l->p[i].at < synced; i++) {
		w->damaged += (l->p[i].at != w->end ? 1U : 0) + (l->p[i].whole ? 0 : 1U);
		if (l->p[i].whole)
			take(w, &l->p[i]);
		w->end = l->p[i].end;
	}
	if (w->end < synced) { /* headers up to there do not hold */
		w->damaged++;
		w->end = synced;
	}
	while (i < l->n) {
		size_t next = whole_commit(l, i, w->end);
		if (next == i)
			break;
		for (; i < next; i++)
			take(w, &l->p[i]);
		w->end = l->p[i - 1].end;
	}
	if (i < l->n)
		w->torn_bytes = l->p[l->n - 1].end - w->end;
}

int
walk_segment(int fd, uint64_t generation, uint64_t limit, bool all_synced,
	struct walk *walk_out, struct err *err)
{
	struct window w = {.fd = fd, .limit = limit, .bytes = mem_new(WINDOW), .err = err};
	struct found_list l = {0};
	*walk_out = (struct walk){0};
	if (limit > SEGMENT_HEAD)
		find_all(&w, generation, &l);
	judge(&l, limit > SEGMENT_HEAD ? limit : SEGMENT_HEAD, all_synced, walk_out);
	mem_free(l.p);
	mem_free(w.bytes);
	return w.failed ? -1 : 0;
}

void
walk_fini(struct walk *w)
{
	placed_fini(&w->list);
}
