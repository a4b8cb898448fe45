/*
 * Faults in front of another engine; see fault.h. What is to fail as if it had been lost never
 * reaches the engine below; what is to be unknown although it is stored does. All answers are
 * copied and given later, in the order in which they were known: some may have to wait.
 */
#include "custody/fault.h"

#include <string.h>

#include "base/mem.h"
#include "base/must.h"

struct fault {
	struct custody custody;
	struct custody *below;
	struct loop *loop;
	struct fault_plan plan;
	unsigned counts[2]; /* commits, reads: calls since the plan was set */
	unsigned done;      /* of `times` */
	struct loop_timer timer;
	struct call *first, **last; /* answers that wait */
};

enum { SORT_COMMIT, SORT_READ };
enum call_kind { CALL_COMMIT, CALL_RESOLVE, CALL_BODY, CALL_SCAN };

/* One call under way, with a copy of its answer where that has to wait. */
struct call {
	struct fault *fault;
	struct call *next;
	uint64_t due_ms;
	enum call_kind kind;
	enum custody_result result;
	bool forced; /* result is the plan's */
	void *arg;
	union {
		custody_commit_fn *commit;
		custody_resolve_fn *resolve;
		custody_body_fn *body;
		custody_scan_fn *scan;
	} fn;
	char *text; /* why, or a body's bytes */
	size_t n;
	bool *there;
	struct custody_item *items;
	uint64_t next_item;
	bool end;
};

static void
call_answer(struct call *c)
{
	struct slice text = {c->text, c->n};
	switch (c->kind) {
	case CALL_COMMIT: c->fn.commit(c->arg, c->result, text); break;
	case CALL_RESOLVE: c->fn.resolve(c->arg, c->result, c->there, c->n); break;
	case CALL_BODY: c->fn.body(c->arg, c->result, text); break;
	case CALL_SCAN:
		c->fn.scan(c->arg, c->result, c->items, c->n, c->next_item, c->end);
		for (size_t i = 0; i < c->n; i++)
			mem_free((char *)(uintptr_t)c->items[i].envelope.p);
		break;
	}
	mem_free(c->text);
	mem_free(c->there);
	mem_free(c->items);
	mem_free(c);
}

static struct call *
take_first(struct fault *f)
{
	struct call *c = f->first;
	f->first = c->next;
	if (f->first == NULL)
		f->last = &f->first;
	return c;
}

static void
set_timer(struct fault *f)
{
	uint64_t now = loop_now(f->loop), due = f->first->due_ms;
	loop_timer_set(&f->timer, due > now ? due - now : 0);
}

/* One at a time: the callback may close us. */
static void
on_timer(void *arg)
{
	struct fault *f = arg;
	struct call *c = take_first(f);
	if (f->first != NULL)
		set_timer(f);
	call_answer(c);
}

static struct call *
call_new(struct custody *custody, enum call_kind kind, void *arg)
{
	struct call *c = MEM_NEW(struct call);
	c->fault = (struct fault *)custody;
	c->kind = kind;
	c->arg = arg;
	return c;
}

/* Its answer is known, and copied into it. */
static void
call_later(struct call *c)
{
	struct fault *f = c->fault;
	c->due_ms = loop_now(f->loop) + f->plan.delay_ms;
	*f->last = c;
	f->last = &c->next;
	if (f->first == c)
		set_timer(f);
}

static void
keep_text(struct call *c, struct slice text)
{
	c->text = mem_new(text.n);
	c->n = text.n;
	if (text.n > 0)
		memcpy(c->text, text.p, text.n);
}

static bool
strikes(struct fault *f, int sort, bool concerned)
{
	const struct fault_plan *p = &f->plan;
	if (f->below == NULL) /* closed: a callback of close calls once more */
		return true;
	if (p->kind == FAULT_NONE || !concerned || (p->times != 0 && f->done == p->times))
		return false;
	unsigned every = p->every != 0 ? p->every : 1;
	if (++f->counts[sort] % every != 0)
		return false;
	f->done++;
	return true;
}

static void
on_commit(void *arg, enum custody_result r, struct slice why)
{
	struct call *c = arg;
	if (!c->forced)
		c->result = r;
	keep_text(c, c->forced ? SLICE("a fault of the plan") : why);
	call_later(c);
}

static bool
has_put(const struct custody_change *changes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (changes[i].op == CUSTODY_PUT)
			return true;
	return false;
}

static void
fault_commit(struct custody *custody, const struct custody_change *changes, size_t n,
	custody_commit_fn *fn, void *arg)
{
	static const enum custody_result results[] = {[FAULT_FULL] = CUSTODY_FULL,
		[FAULT_SYNC] = CUSTODY_FAILED,
		[FAULT_UNKNOWN_STORED] = CUSTODY_UNKNOWN,
		[FAULT_UNKNOWN_LOST] = CUSTODY_UNKNOWN};
	struct fault *f = (struct fault *)custody;
	struct call *c = call_new(custody, CALL_COMMIT, arg);
	enum fault_kind kind = f->plan.kind;
	c->fn.commit = fn;
	c->forced = strikes(f, SORT_COMMIT,
		kind != FAULT_READ && (kind != FAULT_FULL || has_put(changes, n)));
	if (c->forced)
		c->result = f->below != NULL ? results[kind] : CUSTODY_FAILED;
	if (c->forced && (kind != FAULT_UNKNOWN_STORED || f->below == NULL))
		on_commit(c, c->result, SLICE_NONE);
	else
		custody_commit(f->below, changes, n, on_commit, c);
}

static void
on_resolve(void *arg, enum custody_result r, const bool *there, size_t n)
{
	struct call *c = arg;
	c->result = r;
	c->n = n;
	c->there = mem_array(n, sizeof(*there));
	if (n > 0)
		memcpy(c->there, there, n * sizeof(*there));
	call_later(c);
}

static void
fault_resolve(struct custody *custody, const struct custody_id *ids, size_t n,
	custody_resolve_fn *fn, void *arg)
{
	struct call *c = call_new(custody, CALL_RESOLVE, arg);
	c->fn.resolve = fn;
	if (c->fault->below == NULL)
		on_resolve(c, CUSTODY_FAILED, NULL, 0);
	else
		custody_resolve(c->fault->below, ids, n, on_resolve, c);
}

static void
on_body(void *arg, enum custody_result r, struct slice bytes)
{
	struct call *c = arg;
	c->result = r;
	keep_text(c, bytes);
	call_later(c);
}

static void
fault_body_read(struct custody *custody, const struct custody_id *id, uint64_t offset,
	size_t length, custody_body_fn *fn, void *arg)
{
	struct call *c = call_new(custody, CALL_BODY, arg);
	c->fn.body = fn;
	if (strikes(c->fault, SORT_READ, c->fault->plan.kind == FAULT_READ))
		on_body(c, CUSTODY_FAILED, SLICE_NONE);
	else
		custody_body_read(c->fault->below, id, offset, length, on_body, c);
}

static void
on_scan(void *arg, enum custody_result r, const struct custody_item *items, size_t n,
	uint64_t next, bool end)
{
	struct call *c = arg;
	c->result = r;
	c->next_item = next;
	c->end = end;
	c->n = n;
	c->items = mem_array(n, sizeof(*items));
	for (size_t i = 0; i < n; i++) {
		struct custody_item *to = &c->items[i];
		*to = items[i];
		char *text = mem_new(to->envelope.n + to->note.n);
		if (to->envelope.n > 0)
			memcpy(text, items[i].envelope.p, to->envelope.n);
		if (to->note.n > 0)
			memcpy(text + to->envelope.n, items[i].note.p, to->note.n);
		to->envelope.p = text;
		to->note.p = text + to->envelope.n;
	}
	call_later(c);
}

static void
fault_get(struct custody *custody, const struct custody_id *id, custody_scan_fn *fn, void *arg)
{
	struct call *c = call_new(custody, CALL_SCAN, arg);
	c->fn.scan = fn;
	if (strikes(c->fault, SORT_READ, c->fault->plan.kind == FAULT_READ))
		on_scan(c, CUSTODY_FAILED, NULL, 0, 0, true);
	else
		custody_get(c->fault->below, id, on_scan, c);
}

static void
fault_scan(struct custody *custody, uint64_t from, size_t most, custody_scan_fn *fn, void *arg)
{
	struct call *c = call_new(custody, CALL_SCAN, arg);
	c->fn.scan = fn;
	if (c->fault->below == NULL)
		on_scan(c, CUSTODY_FAILED, NULL, 0, from, true);
	else
		custody_scan(c->fault->below, from, most, on_scan, c);
}

static void
fault_space(struct custody *custody, struct custody_space *space_out)
{
	struct fault *f = (struct fault *)custody;
	bool on = f->plan.times == 0 || f->done < f->plan.times;
	custody_space(f->below, space_out);
	space_out->full = space_out->full || (on && f->plan.kind == FAULT_FULL);
	space_out->failing = space_out->failing || (on && f->plan.kind == FAULT_SYNC);
}

static void
fault_close(struct custody *custody)
{
	struct fault *f = (struct fault *)custody;
	custody_close(&f->below); /* its answers now all wait here */
	while (f->first != NULL)
		call_answer(take_first(f));
	loop_timer_clear(&f->timer);
	mem_free(f);
}

static const struct custody_ops fault_ops = {.commit = fault_commit,
	.resolve = fault_resolve,
	.body_read = fault_body_read,
	.get = fault_get,
	.scan = fault_scan,
	.space = fault_space,
	.close = fault_close};

struct custody *
fault_new(struct loop *l, struct custody *below)
{
	struct fault *f = MEM_NEW(struct fault);
	f->custody.ops = &fault_ops;
	f->below = below;
	f->loop = l;
	f->last = &f->first;
	loop_timer_init(&f->timer, l, on_timer, f);
	return &f->custody;
}

void
fault_set(struct custody *fault, const struct fault_plan *plan)
{
	struct fault *f = (struct fault *)fault;
	must(fault->ops == &fault_ops);
	f->plan = *plan;
	f->done = 0;
	memset(f->counts, 0, sizeof(f->counts));
}
