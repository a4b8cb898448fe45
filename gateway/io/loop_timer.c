/*
 * Timers: a binary heap by time, embedded entries. A deadline that moves on to a later time
 * only changes due_ms; the entry sinks to its new place when its old time comes. Thousands of
 * sessions that push their deadline on with each command thus cost one heap step every few
 * minutes each.
 */
#include "base/mem.h"
#include "base/must.h"
#include "io/loop_priv.h"

static void
heap_put(struct loop_heap *h, size_t slot, struct loop_timer *t)
{
	h->at[slot] = t;
	t->slot = slot;
}

static void
heap_up(struct loop_heap *h, size_t slot)
{
	struct loop_timer *t = h->at[slot];
	for (; slot > 1 && h->at[slot / 2]->heap_ms > t->heap_ms; slot /= 2)
		heap_put(h, slot, h->at[slot / 2]);
	heap_put(h, slot, t);
}

static void
heap_down(struct loop_heap *h, size_t slot)
{
	struct loop_timer *t = h->at[slot];
	for (;;) {
		size_t child = slot * 2;
		if (child > h->n)
			break;
		if (child < h->n && h->at[child + 1]->heap_ms < h->at[child]->heap_ms)
			child++;
		if (h->at[child]->heap_ms >= t->heap_ms)
			break;
		heap_put(h, slot, h->at[child]);
		slot = child;
	}
	heap_put(h, slot, t);
}

static void
heap_add(struct loop_heap *h, struct loop_timer *t)
{
	if (h->n + 1 >= h->room) {
		h->room = h->room != 0 ? h->room * 2 : 64;
		h->at = mem_resize(h->at, h->room * sizeof(struct loop_timer *));
	}
	h->at[++h->n] = t;
	heap_up(h, h->n);
}

static void
heap_remove(struct loop_heap *h, struct loop_timer *t)
{
	size_t slot = t->slot;
	struct loop_timer *last = h->at[h->n--];
	t->slot = 0;
	if (last == t)
		return;
	h->at[slot] = last;
	heap_up(h, slot);
	heap_down(h, last->slot);
}

void
loop_heap_run(struct loop_heap *h, uint64_t now_ms)
{
	while (h->n != 0 && h->at[1]->heap_ms <= now_ms) {
		struct loop_timer *t = h->at[1];
		if (t->due_ms > now_ms) {
			t->heap_ms = t->due_ms;
			heap_down(h, 1);
			continue;
		}
		heap_remove(h, t);
		t->due_ms = 0;
		t->fn(t->arg);
	}
}

uint64_t
loop_heap_next(const struct loop_heap *h)
{
	return h->n != 0 ? h->at[1]->heap_ms : 0;
}

void
loop_timer_init(struct loop_timer *t, struct loop *l, loop_fn *fn, void *arg)
{
	*t = (struct loop_timer){.loop = l, .fn = fn, .arg = arg};
}

void
loop_timer_set(struct loop_timer *t, uint64_t after_ms)
{
	struct loop_heap *h = loop_heap_of(t->loop);
	/* At least 1: a timer that sets itself to 0 must not hold the loop within one turn. */
	t->due_ms = loop_now(t->loop) + (after_ms != 0 ? after_ms : 1);
	if (t->slot == 0) {
		t->heap_ms = t->due_ms;
		heap_add(h, t);
	} else if (t->due_ms < t->heap_ms) {
		t->heap_ms = t->due_ms;
		heap_up(h, t->slot);
	}
}

void
loop_timer_clear(struct loop_timer *t)
{
	t->due_ms = 0;
	if (t->slot != 0)
		heap_remove(loop_heap_of(t->loop), t);
}

bool
loop_timer_is_set(const struct loop_timer *t)
{
	return t->due_ms != 0;
}
