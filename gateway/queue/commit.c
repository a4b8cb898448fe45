/*
 * Commits that put something, whose outcome may be unknown (custody.h): nothing is said and
 * nothing is sent until the store has told whether it is there. A commit is there as a whole or
 * not at all, so one of its ids answers for all. Commits of notes and drops alone need none of
 * this: they are made again, and then it does not matter whether they had been.
 */
#include "base/mem.h"
#include "base/must.h"
#include "queue/keeper_priv.h"

struct doubt { /* of one commit */
	LIST_ENTRY(doubt) link;
	struct keeper *keeper;
	struct custody_id id; /* that it puts */
	custody_commit_fn *fn;
	void *arg;
	bool asking;
	struct loop_timer again;
};

static void
end(struct doubt *d, enum custody_result r, struct slice why)
{
	custody_commit_fn *fn = d->fn;
	void *arg = d->arg;
	LIST_REMOVE(d, link);
	loop_timer_clear(&d->again);
	mem_free(d);
	fn(arg, r, why);
}

static void
on_resolved(void *arg, enum custody_result r, const bool *there, size_t n)
{
	struct doubt *d = arg;
	d->asking = false;
	if (r == CUSTODY_OK && n == 1)
		end(d, there[0] ? CUSTODY_OK : CUSTODY_FAILED,
			there[0] ? SLICE_NONE : SLICE("it was not stored, as is known now"));
	else if (d->keeper->closing)
		end(d, CUSTODY_FAILED, SLICE("nobody knows whether it was stored"));
	else
		loop_timer_set(&d->again, KEEPER_AGAIN_MS);
}

static void
ask(void *arg)
{
	struct doubt *d = arg;
	d->asking = true;
	custody_resolve(d->keeper->custody, &d->id, 1, on_resolved, d);
}

static void
on_commit(void *arg, enum custody_result r, struct slice why)
{
	struct doubt *d = arg;
	if (r != CUSTODY_UNKNOWN) {
		end(d, r, why);
		return;
	}
	store_failed(d->keeper, why);
	ask(d);
}

void
store_commit(struct keeper *k, const struct custody_change *changes, size_t n,
	custody_commit_fn *fn, void *arg)
{
	size_t put = 0;
	while (put < n && changes[put].op != CUSTODY_PUT)
		put++;
	must(put < n);
	struct doubt *d = MEM_NEW(struct doubt);
	d->keeper = k;
	d->id = changes[put].id;
	d->fn = fn;
	d->arg = arg;
	d->asking = true; /* the commit itself */
	loop_timer_init(&d->again, k->loop, ask, d);
	LIST_INSERT_HEAD(&k->doubts, d, link);
	custody_commit(k->custody, changes, n, on_commit, d);
}

/* The process ends: what waits to ask again will not; the store answers the others. */
void
store_commits_close(struct keeper *k)
{
	struct doubt *d, *next;
	k->closing = true;
	for (d = LIST_FIRST(&k->doubts); d != NULL; d = next) {
		next = LIST_NEXT(d, link);
		if (!d->asking)
			end(d, CUSTODY_FAILED, SLICE("nobody knows whether it was stored"));
	}
}
