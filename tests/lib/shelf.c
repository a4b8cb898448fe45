/*
 * A store in memory, for tests; see shelf.h. Each call is kept as it came and answered in the
 * order of the calls, never from inside one.
 */
#include "shelf.h"

#include "base/mem.h"

struct shelf_call {
	struct shelf_call *next;
	struct custody_id id;
	bool by_id, is_body;
	uint64_t from;
	size_t most;
	custody_scan_fn *scan_fn;
	custody_body_fn *body_fn;
	void *arg;
};

static void
shelf_call(struct shelf *s, struct shelf_call call)
{
	struct shelf_call *c = MEM_NEW(struct shelf_call);
	*c = call;
	*s->last = c;
	s->last = &c->next;
	if (!s->wait)
		loop_task_queue(&s->task);
}

static void
answer_one(struct shelf *s, const struct shelf_call *c)
{
	for (size_t i = 0; i < s->n; i++) {
		if (!custody_id_eq(&c->id, &s->items[i].id))
			continue;
		if (c->is_body)
			c->body_fn(c->arg, CUSTODY_OK,
				slice_first(slice_from(s->body, (size_t)c->from), c->most));
		else
			c->scan_fn(c->arg, CUSTODY_OK, &s->items[i], 1, 0, true);
		return;
	}
	if (c->is_body)
		c->body_fn(c->arg, CUSTODY_FAILED, SLICE_NONE);
	else
		c->scan_fn(c->arg, CUSTODY_OK, NULL, 0, 0, true);
}

void
shelf_answer(struct shelf *s)
{
	struct shelf_call *c;
	loop_task_clear(&s->task);
	while ((c = s->first) != NULL) {
		s->first = c->next;
		if (s->first == NULL)
			s->last = &s->first;
		size_t left = s->n - (size_t)(c->from < s->n ? c->from : s->n);
		size_t n = left < c->most ? left : c->most;
		if (s->fails && c->is_body)
			c->body_fn(c->arg, CUSTODY_FAILED, SLICE_NONE);
		else if (s->fails)
			c->scan_fn(c->arg, CUSTODY_FAILED, NULL, 0, 0, true);
		else if (c->by_id)
			answer_one(s, c);
		else
			c->scan_fn(c->arg, CUSTODY_OK, s->items + c->from, n, c->from + n,
				n == left);
		mem_free(c);
	}
}

static void
shelf_get(struct custody *c, const struct custody_id *id, custody_scan_fn *fn, void *arg)
{
	shelf_call((struct shelf *)c,
		(struct shelf_call){.id = *id, .by_id = true, .scan_fn = fn, .arg = arg});
}

static void
shelf_scan(struct custody *c, uint64_t from, size_t most, custody_scan_fn *fn, void *arg)
{
	struct shelf *s = (struct shelf *)c;
	s->scans++;
	s->largest = most > s->largest ? most : s->largest;
	shelf_call(
		s, (struct shelf_call){.from = from, .most = most, .scan_fn = fn, .arg = arg});
}

static void
shelf_body(struct custody *c, const struct custody_id *id, uint64_t offset, size_t length,
	custody_body_fn *fn, void *arg)
{
	shelf_call((struct shelf *)c, (struct shelf_call){.id = *id,
					      .by_id = true,
					      .is_body = true,
					      .from = offset,
					      .most = length,
					      .body_fn = fn,
					      .arg = arg});
}

static void
shelf_space(struct custody *c, struct custody_space *out)
{
	*out = (struct custody_space){.items = ((struct shelf *)c)->n, .free_bytes = 12345};
}

static const struct custody_ops shelf_ops = {
	.get = shelf_get, .scan = shelf_scan, .body_read = shelf_body, .space = shelf_space};

static void
on_task(void *arg)
{
	shelf_answer(arg);
}

void
shelf_init(struct shelf *s, struct loop *l)
{
	s->custody.ops = &shelf_ops;
	s->last = &s->first;
	loop_task_init(&s->task, l, on_task, s);
}
