/*
 * What the records of the log say, applied in its order: the index and what each segment is
 * needed for. The same code runs when a commit is on stable storage and when a start reads the
 * log again, so that both come to the same.
 */
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "custody/store_priv.h"

/* The first that is not below; n_segments: none. */
static size_t
place_of(const struct store *s, uint32_t sequence)
{
	size_t low = 0, high = s->n_segments;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (s->segments[middle]->sequence < sequence)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct segment *
state_segment(const struct store *s, uint32_t sequence)
{
	size_t i = place_of(s, sequence);
	if (i == s->n_segments || s->segments[i]->sequence != sequence)
		return NULL;
	return s->segments[i];
}

struct segment *
state_segment_add(struct store *s, uint32_t sequence, uint64_t generation)
{
	if (s->n_segments == s->segments_room) {
		s->segments_room = s->segments_room != 0 ? s->segments_room * 2 : 16;
		s->segments =
			mem_resize(s->segments, s->segments_room * sizeof(struct segment *));
	}
	must(s->n_segments == 0 || s->segments[s->n_segments - 1]->sequence < sequence);
	struct segment *g = MEM_NEW(struct segment);
	g->sequence = sequence;
	g->generation = generation;
	s->segments[s->n_segments++] = g;
	return g;
}

void
state_segment_remove(struct store *s, uint32_t sequence)
{
	size_t i = place_of(s, sequence);
	must(i < s->n_segments && s->segments[i]->sequence == sequence);
	mem_free(s->segments[i]);
	s->n_segments--;
	memmove(s->segments + i, s->segments + i + 1,
		(s->n_segments - i) * sizeof(struct segment *));
}

static void
need(struct store *s, uint32_t in, uint64_t bytes, bool more)
{
	struct segment *g = state_segment(s, in);
	must(g != NULL && (more || g->live >= bytes));
	g->live = more ? g->live + bytes : g->live - bytes;
}

static bool
note_apart(const struct entry *e)
{
	return e->note_in != e->put_in || e->note_at != e->put_at;
}

/* What an entry needs, counted in or out. */
static void
count_put(struct store *s, const struct entry *e, bool more)
{
	uint64_t body = entry_body_bytes(e), all = e->envelope_bytes + body;
	need(s, e->put_in, RECORD_HEAD + e->envelope_bytes + record_body_stored(body), more);
	s->live_bytes = more ? s->live_bytes + all : s->live_bytes - all;
	s->items = more ? s->items + 1 : s->items - 1;
}

static void
count_note(struct store *s, const struct entry *e, bool more)
{
	need(s, e->note_in, e->note_bytes + (note_apart(e) ? RECORD_HEAD : 0), more);
	s->live_bytes = more ? s->live_bytes + e->note_bytes : s->live_bytes - e->note_bytes;
}

static void
leave(struct store *s, struct entry *e)
{
	count_note(s, e, false);
	count_put(s, e, false);
	e->put_in = 0;
}

void
state_drop(struct store *s, struct entry *e)
{
	leave(s, e);
	if (e->busy == 0)
		index_remove(&s->index, e);
}

static void
enter(struct store *s, struct entry *e, uint32_t in, const struct placed *p)
{
	e->put_in = e->note_in = in;
	e->put_at = e->note_at = p->at;
	e->envelope_bytes = p->envelope_bytes;
	e->note_bytes = p->note_bytes;
	e->body_low = (uint32_t)p->body_bytes;
	e->body_high = (uint8_t)(p->body_bytes >> 32);
	count_put(s, e, true);
	count_note(s, e, true);
}

void
state_apply(struct store *s, uint32_t in, const struct placed *p)
{
	struct entry *e = index_find(&s->index, &p->id);
	bool there = e != NULL && e->put_in != 0;
	switch (p->op) {
	case RECORD_COPY:
		if (there)
			leave(s, e);
		there = false;
		/* fall through */
	case RECORD_PUT:
		if (!there)
			enter(s, e != NULL ? e : index_add(&s->index, &p->id), in, p);
		break;
	case RECORD_NOTE:
		if (!there)
			break;
		count_note(s, e, false);
		e->note_in = in;
		e->note_at = p->at;
		e->note_bytes = p->note_bytes;
		count_note(s, e, true);
		break;
	case RECORD_DROP:
		state_segment(s, in)->drops++;
		if (there)
			state_drop(s, e);
		break;
	case RECORD_MARK: break;
	}
}

struct entry *
state_busy(struct store *s, const struct custody_id *id, int change)
{
	struct entry *e = index_find(&s->index, id);
	if (e == NULL) {
		must(change > 0);
		e = index_add(&s->index, id);
	}
	must(change > 0 ? e->busy < INDEX_BUSY_MOST : e->busy > 0);
	e->busy = (e->busy + (unsigned)change) & INDEX_BUSY_MOST;
	if (e->busy != 0 || e->put_in != 0)
		return e;
	index_remove(&s->index, e);
	return NULL;
}

struct item_place
state_place(const struct store *s, const struct entry *e)
{
	return (struct item_place){.id = e->id,
		.put_in = e->put_in,
		.put_at = e->put_at,
		.note_in = e->note_in,
		.note_at = e->note_at,
		.put_generation = state_segment(s, e->put_in)->generation,
		.note_generation = state_segment(s, e->note_in)->generation,
		.envelope_bytes = e->envelope_bytes,
		.note_bytes = e->note_bytes,
		.body_bytes = entry_body_bytes(e)};
}
