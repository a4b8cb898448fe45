/*
 * `postern queue list` and the summary by destination; see queue_priv.h. Pages come from the
 * keeper one after another and are printed, or counted, as they come.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "main/queue_priv.h"
#include "queue/hand_words.h"

enum { SUMS_ARENA = 256 * 1024 * 1024 };

/* ---- the list ---- */

static void
print_states(FILE *f, const struct hand_item *item)
{
	const char *comma = "";
	for (int s = 0; s < RCPT_STATES; s++) {
		if (item->states[s] == 0)
			continue;
		fprintf(f, "%s%s %u", comma, queue_state_text((enum rcpt_state)s),
			item->states[s]);
		comma = ", ";
	}
}

static uint32_t
rcpts_of(const struct hand_item *item)
{
	uint32_t n = 0;
	for (int s = 0; s < RCPT_STATES; s++)
		n += item->states[s];
	return n;
}

static void
print_item(const struct queue_tool *q, const struct hand_item *item)
{
	FILE *f = q->tool->out;
	char id[CUSTODY_ID_TEXT], span[HAND_SPAN_BYTES];
	custody_id_text(&item->id, id);
	if (!item->readable) {
		fprintf(f,
			"%s  cannot be read (damaged, or of a later release), %" PRIu64
			" bytes\n",
			id, item->bytes);
		return;
	}
	uint64_t age = q->now_ms > item->arrived_ms ? q->now_ms - item->arrived_ms : 0;
	fprintf(f, "%s  %-10s %8" PRIu64 "  <%.*s> ->", id, hand_span(age, span), item->bytes,
		SLICE_ARG(item->sender));
	for (size_t i = 0; i < item->n_rcpts; i++)
		fprintf(f, "%s <%.*s>", i == 0 ? "" : ",", SLICE_ARG(item->rcpts[i]));
	if (rcpts_of(item) > item->n_rcpts)
		fprintf(f, " and %u more", rcpts_of(item) - (uint32_t)item->n_rcpts);
	fputs("\n    ", f);
	if (item->kind == STORED_QUARANTINE)
		fprintf(f, "quarantine \"%.*s\" by %.*s%s%.*s", SLICE_ARG(item->quarantine),
			SLICE_ARG(item->reason), item->virus.n != 0 ? "; virus " : "",
			SLICE_ARG(item->virus));
	else
		print_states(f, item);
	if (item->held)
		fputs("; held by hand", f);
	else if (item->expire)
		fputs("; given up by hand", f);
	else if (item->kind == STORED_HOLD && item->hold_until_ms > q->now_ms)
		fprintf(f, "; held, sent %s", hand_until(item->hold_until_ms, q->now_ms, span));
	else if (item->kind != STORED_QUARANTINE)
		fprintf(f, "; due %s", hand_until(item->due_ms, q->now_ms, span));
	if (item->tried)
		fprintf(f, "; attempt %u %s: %.*s", item->attempts,
			failure_class_text(item->class), SLICE_ARG(item->words));
	fputc('\n', f);
}

static void
json_sites(struct json *j, const struct hand_item *item)
{
	json_begin(j, "destinations", '[');
	for (size_t i = 0; i < item->n_sites; i++) {
		const struct hand_site *s = &item->sites[i];
		json_begin(j, NULL, '{');
		json_text(j, "site", s->site);
		json_number(j, "recipients", s->waiting);
		json_time(j, "next", s->due_ms);
		if (s->tried)
			json_text(j, "reason", slice_of(failure_class_text(s->class)));
		json_end(j, '}');
	}
	json_end(j, ']');
	json_number(j, "more_destinations", item->more_sites);
}

static void
json_known(struct json *j, const struct hand_item *item)
{
	char ip[IP_TEXT_BYTES];
	json_text(j, "kind", slice_of(queue_kind_text(item->kind)));
	json_text(j, "direction",
		item->direction == INBOUND ? SLICE("inbound") : SLICE("outbound"));
	json_bool(j, "held", item->held);
	json_bool(j, "expire", item->expire);
	json_bool(j, "notice", item->notification);
	json_time(j, "arrived", item->arrived_ms);
	json_time(j, "hold_until", item->hold_until_ms);
	json_time(j, "next", item->due_ms);
	json_text(j, "sender", item->sender);
	json_begin(j, "first_recipients", '[');
	for (size_t i = 0; i < item->n_rcpts; i++)
		json_text(j, NULL, item->rcpts[i]);
	json_end(j, ']');
	json_begin(j, "recipients", '{');
	for (int s = 0; s < RCPT_STATES; s++)
		json_number(j, queue_state_text((enum rcpt_state)s), item->states[s]);
	json_end(j, '}');
	json_sites(j, item);
	if (item->kind == STORED_QUARANTINE)
		json_text(j, "quarantine", item->quarantine);
	if (item->reason.n != 0)
		json_text(j, "rule", item->reason);
	if (item->virus.n != 0)
		json_text(j, "virus", item->virus);
	if (item->client.family != 0)
		json_text(j, "client", ip_text(&item->client, ip));
	json_number(j, "attempts", item->attempts);
	if (!item->tried)
		return;
	json_time(j, "last", item->last_ms);
	json_text(j, "reason", slice_of(failure_class_text(item->class)));
	json_text(j, "words", item->words);
}

static void
json_item(struct json *j, const struct hand_item *item)
{
	char id[CUSTODY_ID_TEXT];
	json_begin(j, NULL, '{');
	json_text(j, "id", slice_of(custody_id_text(&item->id, id)));
	json_number(j, "bytes", item->bytes);
	json_bool(j, "readable", item->readable);
	if (item->readable)
		json_known(j, item);
	json_end(j, '}');
	json_line(j);
}

static void
on_items(void *arg, const struct hand_item *items, size_t n)
{
	struct queue_tool *q = arg;
	struct json j;
	json_init(&j, q->tool->out);
	for (size_t i = 0; i < n && (q->words.limit == 0 || q->listed < q->words.limit);
		i++, q->listed++) {
		if (q->words.json)
			json_item(&j, &items[i]);
		else
			print_item(q, &items[i]);
	}
}

int
queue_list(struct queue_tool *q, struct err *err)
{
	return hand_client_list_all(q->client, &q->words.filter, on_items, NULL, q, err);
}

/* ---- the summary ---- */

struct sum { /* of one destination, quarantine or hold */
	struct slice name;
	uint64_t mails, recipients, oldest_ms, next_ms;
	uint64_t reasons[FAILURE_CLASSES];
	bool planned; /* next_ms means something */
};

struct summary {
	const struct queue_tool *tool;
	struct arena *arena;
	struct map *sums;
	struct bar bar;
	uint64_t mails, bytes, unreadable, all;
};

static struct sum *
sum_of(struct summary *s, struct slice name)
{
	struct sum *sum = map_get(s->sums, name);
	if (sum == NULL) {
		sum = ARENA_NEW(s->arena, struct sum);
		sum->name = arena_slice(s->arena, name);
		map_put(s->sums, name, sum);
	}
	return sum;
}

static void
add_mail(struct sum *sum, const struct hand_item *item, uint32_t rcpts)
{
	sum->mails++;
	sum->recipients += rcpts;
	if (sum->oldest_ms == 0 || item->arrived_ms < sum->oldest_ms)
		sum->oldest_ms = item->arrived_ms;
}

static void
add_next(struct sum *sum, uint64_t next_ms)
{
	if (!sum->planned || next_ms < sum->next_ms)
		sum->next_ms = next_ms;
	sum->planned = true;
}

static void
add_item(struct summary *s, const struct hand_item *item)
{
	struct sum *sum;
	char label[600];
	s->mails++;
	s->bytes += item->bytes;
	if (!item->readable) {
		s->unreadable++;
		return;
	}
	if (item->kind == STORED_QUARANTINE) {
		snprintf(
			label, sizeof(label), "(quarantine %.*s)", SLICE_ARG(item->quarantine));
		add_mail(sum_of(s, slice_of(label)), item, rcpts_of(item));
		return;
	}
	if (item->held) {
		add_mail(sum_of(s, SLICE("(held by hand)")), item, rcpts_of(item));
		return;
	}
	if (item->kind == STORED_HOLD && item->hold_until_ms > s->tool->now_ms) {
		sum = sum_of(s, SLICE("(held by a rule)"));
		add_mail(sum, item, rcpts_of(item));
		add_next(sum, item->hold_until_ms);
		return;
	}
	for (size_t i = 0; i < item->n_sites; i++) {
		const struct hand_site *site = &item->sites[i];
		sum = sum_of(s, site->site);
		add_mail(sum, item, site->waiting);
		add_next(sum, site->due_ms);
		if (site->tried)
			sum->reasons[site->class]++;
	}
	if (item->more_sites != 0)
		add_mail(sum_of(s, SLICE("(further destinations)")), item, item->more_sites);
}

static void
on_summary_items(void *arg, const struct hand_item *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		add_item(arg, &items[i]);
}

static void
on_summary_progress(void *arg, uint64_t seen)
{
	struct summary *s = arg;
	queue_bar_draw(&s->bar, seen, s->all);
}

static int
by_mails(const void *a, const void *b)
{
	const struct sum *x = *(struct sum *const *)a, *y = *(struct sum *const *)b;
	if (x->mails != y->mails)
		return x->mails < y->mails ? 1 : -1;
	return slice_cmp(x->name, y->name);
}

/* The reason of the most; "-": none was tried. */
static const char *
reason_of(const struct sum *sum)
{
	int most = 0;
	for (int c = 1; c < FAILURE_CLASSES; c++)
		if (sum->reasons[c] > sum->reasons[most])
			most = c;
	return sum->reasons[most] != 0 ? failure_class_text((enum failure_class)most) : "-";
}

static void
print_sums(const struct summary *s, struct sum *const *sums, size_t n)
{
	FILE *f = s->tool->tool->out;
	char age[HAND_SPAN_BYTES], next[HAND_SPAN_BYTES];
	uint64_t now = s->tool->now_ms;
	if (n != 0)
		fprintf(f, "%8s %10s  %-12s %-14s %-14s %s\n", "MAILS", "RECIPIENTS", "OLDEST",
			"DUE", "REASON", "DESTINATION");
	for (size_t i = 0; i < n; i++) {
		const struct sum *sum = sums[i];
		uint64_t old = now > sum->oldest_ms ? now - sum->oldest_ms : 0;
		fprintf(f, "%8" PRIu64 " %10" PRIu64 "  %-12s %-14s %-14s %.*s\n", sum->mails,
			sum->recipients, hand_span(old, age),
			sum->planned ? hand_until(sum->next_ms, now, next) : "-",
			reason_of(sum), SLICE_ARG(sum->name));
	}
}

static void
print_totals(const struct summary *s, const struct hand_state *state)
{
	FILE *f = s->tool->tool->out;
	fprintf(f,
		"%" PRIu64 " mails, %" PRIu64 " bytes; %zu attempts under way, %zu sites back "
		"off; the way out is %s\n",
		s->mails, s->bytes, state->schedule.in_flight,
		state->schedule.sites_backing_off, egress_state_text(state->egress));
	if (s->unreadable != 0)
		fprintf(f, "%" PRIu64 " of them cannot be read: postern queue list\n",
			s->unreadable);
	if (state->space.full || state->space.failing)
		fprintf(f, "the spool is %s: postern doctor\n",
			state->space.full ? "full" : "failing");
}

static void
json_sums(const struct summary *s, struct sum *const *sums, size_t n,
	const struct hand_state *state)
{
	struct json j;
	json_init(&j, s->tool->tool->out);
	json_begin(&j, NULL, '{');
	json_number(&j, "mails", s->mails);
	json_number(&j, "bytes", s->bytes);
	json_number(&j, "unreadable", s->unreadable);
	json_number(&j, "attempts_under_way", state->schedule.in_flight);
	json_number(&j, "sites_backing_off", state->schedule.sites_backing_off);
	json_text(&j, "egress", slice_of(egress_state_text(state->egress)));
	json_bool(&j, "spool_full", state->space.full);
	json_bool(&j, "spool_failing", state->space.failing);
	json_begin(&j, "destinations", '[');
	for (size_t i = 0; i < n; i++) {
		json_begin(&j, NULL, '{');
		json_text(&j, "destination", sums[i]->name);
		json_number(&j, "mails", sums[i]->mails);
		json_number(&j, "recipients", sums[i]->recipients);
		json_time(&j, "oldest", sums[i]->oldest_ms);
		json_time(&j, "next", sums[i]->next_ms);
		json_text(&j, "reason", slice_of(reason_of(sums[i])));
		json_end(&j, '}');
	}
	json_end(&j, ']');
	json_end(&j, '}');
	json_line(&j);
}

int
queue_summary(struct queue_tool *q, struct err *err)
{
	struct summary s = {.tool = q, .arena = arena_new(SUMS_ARENA)};
	struct hand_state state;
	void *value;
	struct slice key;
	bar_init(&s.bar, q->tool->err);
	s.sums = map_new(s.arena, true);
	int result = hand_client_state(q->client, &state, err);
	s.all = state.space.items;
	if (result == 0)
		result = hand_client_list_all(q->client, &(struct hand_filter){0},
			on_summary_items, on_summary_progress, &s, err);
	bar_end(&s.bar);
	if (result == 0) {
		size_t n = map_count(s.sums);
		struct sum **sums = arena_array(s.arena, n + 1, sizeof(*sums));
		for (size_t i = 0; map_at(s.sums, i, &key, &value); i++)
			sums[i] = value;
		qsort(sums, n, sizeof(*sums), by_mails);
		if (q->words.json)
			json_sums(&s, sums, n, &state);
		else
			print_sums(&s, sums, n);
		if (!q->words.json)
			print_totals(&s, &state);
	}
	arena_free(&s.arena);
	return result;
}
