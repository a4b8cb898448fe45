/*
 * `postern queue hold, release, retry, expire, drop`: what the filter means is counted first,
 * and a person is asked; without a terminal --yes must stand for the person. --count N refuses
 * where it is another number: for scripts that know what they do.
 */
#include <inttypes.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "main/queue_priv.h"

enum { AT_ONCE = 200 };

/* ---- the bar ---- */

void
queue_bar_draw(struct bar *b, uint64_t done, uint64_t all)
{
	if (b->f == NULL || (b->shown ? clock_ms() - b->last_ms < BAR_EVERY_MS : done >= all))
		return; /* what is done in one step needs no bar */
	bar_draw(b, all == 0 || done >= all ? BAR_WIDTH : (size_t)(BAR_WIDTH * done / all),
		"%" PRIu64 " of %" PRIu64, done, all > done ? all : done);
}

/* ---- which mails ---- */

static void
on_items(void *arg, const struct hand_item *items, size_t n)
{
	struct queue_chosen *c = arg;
	if (c->n + n > c->room) {
		c->room = 2 * (c->room + n);
		c->ids = mem_resize(c->ids, c->room * sizeof(*c->ids));
	}
	for (size_t i = 0; i < n && (c->limit == 0 || c->n < c->limit); i++)
		c->ids[c->n++] = items[i].id;
}

static void
on_progress(void *arg, uint64_t seen)
{
	struct queue_chosen *c = arg;
	queue_bar_draw(c->bar, seen, c->all);
}

/* Each must be there, and what the filter asks for besides. */
static int
choose_by_id(struct queue_tool *q, struct queue_chosen *c, struct err *err)
{
	char id[CUSTODY_ID_TEXT];
	struct hand_filter f = q->words.filter;
	f.by_id = true;
	for (size_t i = 0; i < q->words.n_ids; i++) {
		size_t before = c->n;
		f.id = q->words.ids[i];
		if (hand_client_list_all(q->client, &f, on_items, NULL, c, err) < 0)
			return -1;
		if (c->n == before)
			return err_set(err, "%s is not there: nothing was done",
				custody_id_text(&f.id, id));
	}
	return 0;
}

int
queue_choose(struct queue_tool *q, struct queue_chosen *c, struct err *err)
{
	struct hand_state state;
	struct bar bar;
	*c = (struct queue_chosen){.limit = q->words.limit, .bar = &bar};
	if (q->words.n_ids != 0)
		return choose_by_id(q, c, err);
	if (hand_client_state(q->client, &state, err) < 0)
		return -1;
	c->all = state.space.items;
	bar_init(&bar, q->tool->err);
	int result = hand_client_list_all(
		q->client, &q->words.filter, on_items, on_progress, c, err);
	bar_end(&bar);
	c->bar = NULL;
	return result;
}

/* ---- shall it be ---- */

bool
queue_is_terminal(FILE *f)
{
	int fd = fileno(f);
	return fd >= 0 && isatty(fd);
}

static bool
ask_person(const struct tool *t, enum hand_action action, size_t n)
{
	char line[64];
	fprintf(t->err, "%zu mail%s: really %s %s? [y/N] ", n, n == 1 ? "" : "s",
		hand_action_text(action), n == 1 ? "it" : "them");
	fflush(t->err);
	if (fgets(line, sizeof(line), t->in) == NULL)
		return false;
	return line[0] == 'y' || line[0] == 'Y';
}

/* As many as --count says, and one at least. */
static int
check_count(const struct queue_tool *q, size_t n)
{
	FILE *f = q->tool->err;
	if (q->words.has_count && q->words.count != n)
		fprintf(f,
			"postern: the filter means %zu mails, not %" PRIu64
			": nothing was done\n",
			n, q->words.count);
	else if (n == 0)
		fputs("postern: the filter means no mail\n", f);
	else
		return 0;
	return 1;
}

static int
ask_for(const struct queue_tool *q, enum hand_action action, size_t n)
{
	const struct tool *t = q->tool;
	if (q->words.yes)
		return 0;
	if (!queue_is_terminal(t->in) || !queue_is_terminal(t->err)) {
		fprintf(t->err,
			"postern: %zu mails: say --yes to %s them without being asked\n", n,
			hand_action_text(action));
		return 2;
	}
	if (ask_person(t, action, n))
		return 0;
	fputs("postern: nothing was done\n", t->err);
	return 1;
}

/* ---- doing it ---- */

static int
perform(struct queue_tool *q, enum hand_action action, const struct queue_chosen *c,
	struct hand_done *sum, struct err *err)
{
	struct bar bar;
	int result = 0;
	bar_init(&bar, q->tool->err);
	for (size_t at = 0; at < c->n && result == 0; at += AT_ONCE) {
		size_t n = c->n - at < AT_ONCE ? c->n - at : AT_ONCE;
		struct hand_act act = {.action = action,
			.unscannable = q->words.unscannable,
			.by = q->words.by,
			.to = q->words.to,
			.ids = c->ids + at,
			.n = n};
		struct hand_done d;
		if (q->lessons != NULL && quarantine_teach(q, c->ids + at, n, err) < 0)
			result = -1;
		else
			result = hand_client_act(q->client, &act, &d, err);
		if (result < 0)
			break;
		sum->done += d.done;
		sum->missing += d.missing;
		sum->failed += d.failed;
		sum->refused += d.refused;
		if (d.why.n != 0 && sum->why.n == 0)
			sum->why = arena_slice(q->words.arena, d.why);
		queue_bar_draw(&bar, at + n, c->n);
	}
	bar_end(&bar);
	return result;
}

static void
print_done(FILE *f, const char *name, const struct hand_done *sum)
{
	fprintf(f, "%s: %u mail%s done", name, sum->done, sum->done == 1 ? "" : "s");
	if (sum->missing != 0)
		fprintf(f, ", %u not there any more or nothing to do", sum->missing);
	if (sum->refused != 0)
		fprintf(f, ", %u refused", sum->refused);
	if (sum->failed != 0)
		fprintf(f, ", %u failed", sum->failed);
	if (sum->why.n != 0)
		fprintf(f, ": %.*s", SLICE_ARG(sum->why));
	fputc('\n', f);
}

static void
json_done(const struct queue_tool *q, const char *name, const struct hand_done *sum)
{
	struct json j;
	json_init(&j, q->tool->out);
	json_begin(&j, NULL, '{');
	json_text(&j, "action", slice_of(name));
	json_number(&j, "done", sum->done);
	json_number(&j, "missing", sum->missing);
	json_number(&j, "refused", sum->refused);
	json_number(&j, "failed", sum->failed);
	if (sum->why.n != 0)
		json_text(&j, "why", sum->why);
	if (q->lessons != NULL)
		quarantine_tell_json(q->lessons, &j);
	json_end(&j, '}');
	json_line(&j);
}

static int
act_on(struct queue_tool *q, enum hand_action action, const char *name,
	const struct queue_chosen *c)
{
	struct hand_done sum = {0};
	struct err err;
	/* While a person thought, the keeper may have let go of us. */
	hand_client_close(&q->client);
	q->client = hand_client_open(q->words.spool, &err);
	int result = q->client != NULL ? perform(q, action, c, &sum, &err) : -1;
	if (q->words.json)
		json_done(q, name, &sum);
	else
		print_done(q->tool->out, name, &sum);
	if (q->lessons != NULL && !q->words.json)
		quarantine_tell(q->lessons, q->tool);
	if (result < 0)
		fprintf(q->tool->err, "postern: %s\n", err.text);
	return result < 0 || sum.failed != 0 || sum.refused != 0 ? 1 : 0;
}

int
queue_act_if(struct queue_tool *q, enum hand_action action, const char *name, queue_may_fn *may)
{
	struct queue_chosen c;
	struct err err;
	int status = 1;
	if (queue_choose(q, &c, &err) < 0) {
		fprintf(q->tool->err, "postern: %s\n", err.text);
	} else {
		status = check_count(q, c.n);
		if (status == 0)
			status = may(q, action, c.n);
		if (status == 0)
			status = act_on(q, action, name, &c);
	}
	mem_free(c.ids);
	return status;
}

int
queue_act(struct queue_tool *q, enum hand_action action)
{
	return queue_act_if(q, action, hand_action_text(action), ask_for);
}
