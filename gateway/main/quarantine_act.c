/*
 * `postern quarantine release, forward, delete`: one mail, or mails named one by one, at once.
 * Of several that a filter means, the number has to be typed, or said by --count: who says a
 * filter should know how much it means before it is done.
 */
#include <inttypes.h>

#include "main/queue_priv.h"

static const char *
verb_of(enum hand_action action)
{
	return action == HAND_DROP ? "delete" : hand_action_text(action);
}

static bool
ask_count(const struct tool *t, enum hand_action action, size_t n)
{
	char line[64];
	uint64_t typed;
	fprintf(t->err, "This %ss %zu mails. Type %zu to go on: ", verb_of(action), n, n);
	fflush(t->err);
	return fgets(line, sizeof(line), t->in) != NULL &&
	       slice_u64(slice_trim(slice_of(line)), &typed) && typed == n;
}

static int
may(const struct queue_tool *q, enum hand_action action, size_t n)
{
	const struct tool *t = q->tool;
	if (n == 1 || q->words.has_count || q->words.n_ids != 0)
		return 0;
	if (!queue_is_terminal(t->in) || !queue_is_terminal(t->err)) {
		fprintf(t->err,
			"postern: %zu mails: say --count %zu to %s them without being asked\n",
			n, n, verb_of(action));
		return 2;
	}
	if (ask_count(t, action, n))
		return 0;
	fputs("postern: nothing was done\n", t->err);
	return 1;
}

int
quarantine_act(struct queue_tool *q, enum hand_action action)
{
	return queue_act_if(q, action, verb_of(action), may);
}
