/*
 * An engine of the state with faults put in, around another one: what an engine that is
 * elsewhere can do to those that ask it. See state_lab.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/queue.h>

#include "base/mem.h"
#include "state_lab.h"

struct question {
	TAILQ_ENTRY(question) link;
	struct arena *arena;
	struct state_op ops[STATE_OPS_MOST];
	size_t n;
	state_fn *fn;
	void *arg;
};

struct fault {
	struct state state;
	struct state *below;
	enum state_fault fault;
	TAILQ_HEAD(, question) waiting;
};

static void
hold(struct fault *f, const struct state_op *ops, size_t n, state_fn *fn, void *arg)
{
	struct question *q = MEM_NEW(struct question);
	q->arena = arena_new(1 << 20);
	q->n = n;
	q->fn = fn;
	q->arg = arg;
	memcpy(q->ops, ops, n * sizeof(*ops));
	for (size_t i = 0; i < n; i++) {
		q->ops[i].key = arena_slice(q->arena, ops[i].key);
		q->ops[i].value = arena_slice(q->arena, ops[i].value);
		q->ops[i].passer = arena_slice(q->arena, ops[i].passer);
	}
	TAILQ_INSERT_TAIL(&f->waiting, q, link);
}

static void
fault_ask(struct state *s, const struct state_op *ops, size_t n, state_fn *fn, void *arg)
{
	struct fault *f = (struct fault *)s;
	struct state_answer failed[STATE_OPS_MOST];
	switch (f->fault) {
	case STATE_FAULT_NONE: f->below->calls->ask(f->below, ops, n, fn, arg); break;
	case STATE_FAULT_DELAY: hold(f, ops, n, fn, arg); break;
	case STATE_FAULT_FAIL:
		for (size_t i = 0; i < n; i++)
			failed[i] = (struct state_answer){.status = STATE_FAILED};
		if (fn != NULL)
			fn(arg, failed, n);
	}
}

static void
fault_list(struct state *s, enum state_space space, struct slice prefix, struct slice from,
	state_page_fn *fn, void *arg)
{
	struct fault *f = (struct fault *)s;
	if (f->fault == STATE_FAULT_FAIL)
		fn(arg, NULL, 0, SLICE_NONE, true);
	else
		f->below->calls->list(f->below, space, prefix, from, fn, arg);
}

static int
fault_flush(struct state *s, struct err *err)
{
	struct fault *f = (struct fault *)s;
	if (f->fault == STATE_FAULT_FAIL)
		return err_set(err, "state: a fault was put in");
	return f->below->calls->flush(f->below, err);
}

size_t
state_fault_release(struct state *s)
{
	struct fault *f = (struct fault *)s;
	struct question *q;
	size_t n = 0;
	while ((q = TAILQ_FIRST(&f->waiting)) != NULL) {
		TAILQ_REMOVE(&f->waiting, q, link);
		f->below->calls->ask(f->below, q->ops, q->n, q->fn, q->arg);
		arena_free(&q->arena);
		mem_free(q);
		n++;
	}
	return n;
}

static void
fault_close(struct state **sp)
{
	struct fault *f = (struct fault *)*sp;
	state_fault_release(*sp);
	f->below->calls->close(&f->below);
	mem_free(f);
	*sp = NULL;
}

struct state *
state_fault_new(struct state *below)
{
	static const struct state_calls calls = {.ask = fault_ask,
		.list = fault_list,
		.flush = fault_flush,
		.close = fault_close};
	struct fault *f = MEM_NEW(struct fault);
	f->state.calls = &calls;
	f->below = below;
	TAILQ_INIT(&f->waiting);
	return &f->state;
}

void
state_fault_set(struct state *s, enum state_fault fault)
{
	((struct fault *)s)->fault = fault;
}
