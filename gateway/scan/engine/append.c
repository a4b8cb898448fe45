/*
 * The plan of an `append`, and its proof: the splices are made on a copy, the copy is parsed
 * again, and its body must decode to what was meant, with as many parts as before. See
 * append.h.
 */
#include "engine/append.h"

#include <string.h>

#include "engine/append_priv.h"

/* The mail with the splices made; ascending, as they are sorted. */
static struct slice
spliced(struct slice mail, const struct append_plan *plan, struct arena *a)
{
	size_t bytes = mail.n, done = 0, n = 0;
	for (size_t i = 0; i < plan->n; i++)
		bytes += plan->splices[i].insert.n;
	char *out = arena_try(a, bytes + 1);
	if (out == NULL)
		return SLICE_NONE;
	for (size_t i = 0; i <= plan->n; i++) {
		size_t at = i < plan->n ? plan->splices[i].at : mail.n;
		memcpy(out + n, mail.p + done, at - done);
		n += at - done;
		if (i == plan->n)
			break;
		memcpy(out + n, plan->splices[i].insert.p, plan->splices[i].insert.n);
		n += plan->splices[i].insert.n;
		done = at + plan->splices[i].cut;
	}
	return (struct slice){out, n};
}

/* The parts stand in the order of the mail, and so do their splices, but for the fields. */
static void
sort(struct append_plan *plan)
{
	for (size_t i = 1; i < plan->n; i++)
		for (size_t k = i; k > 0 && plan->splices[k].at < plan->splices[k - 1].at;
			k--) {
			struct append_splice s = plan->splices[k];
			plan->splices[k] = plan->splices[k - 1];
			plan->splices[k - 1] = s;
		}
}

static bool
is_proven(struct slice mail, const struct append_plan *plan, const struct slice expect[2],
	size_t n, unsigned parts, struct arena *a)
{
	struct append_body bodies[2];
	struct slice now = spliced(mail, plan, a);
	size_t n_now;
	unsigned parts_now;
	if (now.n == 0 || append_find(now, a, bodies, &n_now, &parts_now) != NULL ||
		n_now != n || parts_now != parts)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!slice_eq(bodies[i].decoded, expect[i]))
			return false;
	return true;
}

static bool
fits(const struct append_plan *plan)
{
	size_t bytes = 0;
	for (size_t i = 0; i < plan->n; i++)
		bytes += plan->splices[i].insert.n;
	return bytes <= APPEND_INSERT_MOST;
}

void
append_make(struct slice mail, struct slice text, struct slice html, struct arena *a,
	struct append_plan *plan)
{
	struct append_body bodies[2];
	struct slice expect[2];
	size_t n = 0;
	unsigned parts = 0;
	*plan = (struct append_plan){
		.splices = arena_array(a, APPEND_SPLICES_MOST, sizeof(*plan->splices))};
	const char *why = append_find(mail, a, bodies, &n, &parts);
	for (size_t i = 0; why == NULL && i < n; i++)
		why = bodies[i].html ? append_html(&bodies[i], html, a, plan, &expect[i])
				     : append_text(&bodies[i], text, a, plan, &expect[i]);
	sort(plan);
	if (why == NULL && !fits(plan))
		why = "too much of it would have to be written anew";
	if (why == NULL && !is_proven(mail, plan, expect, n, parts, a))
		why = "it would not be read as it is meant";
	if (why == NULL)
		return;
	*plan = (struct append_plan){.status = APPEND_NOT, .why = slice_of(why)};
}
