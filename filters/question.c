/*
 * The questions of one scope: found by key or made, handed to the driver, answered. Answers
 * come from outside and are copied into the scope's arena only while it has room to spare, so
 * that a name server with much to say makes its own answer fail and nothing else.
 */
#include "filters/question.h"

#include "base/must.h"

enum { KEY_MOST = 512 };

void
questions_init(struct questions *q, struct arena *a)
{
	*q = (struct questions){.arena = a};
	TAILQ_INIT(&q->list);
}

static struct slice
without_final_dot(struct slice name)
{
	return name.n > 1 && name.p[name.n - 1] == '.' ? slice_first(name, name.n - 1) : name;
}

/* The type in front, letters in lower case. */
static struct slice
dns_key(char buf[KEY_MOST], struct slice name, enum dns_type type)
{
	must(name.n + 3 <= KEY_MOST);
	buf[0] = 'd';
	buf[1] = (char)((unsigned)type >> 8);
	buf[2] = (char)((unsigned)type & 0xff);
	for (size_t i = 0; i < name.n; i++)
		buf[3 + i] = ascii_lower(name.p[i]);
	return (struct slice){buf, 3 + name.n};
}

static struct question *
find(const struct questions *q, struct slice key)
{
	return q->by_key != NULL ? map_get(q->by_key, key) : NULL;
}

static struct question *
make(struct questions *q, enum question_kind kind)
{
	struct question *one = ARENA_NEW(q->arena, struct question);
	one->kind = kind;
	TAILQ_INSERT_TAIL(&q->list, one, link);
	q->count++;
	return one;
}

bool
questions_dns_has(const struct questions *q, struct slice name, enum dns_type type)
{
	char buf[KEY_MOST];
	return find(q, dns_key(buf, without_final_dot(name), type)) != NULL;
}

struct question *
questions_dns(struct questions *q, struct slice name, enum dns_type type)
{
	char buf[KEY_MOST];
	struct slice key = dns_key(buf, without_final_dot(name), type);
	struct question *one = find(q, key);
	if (one != NULL)
		return one;
	if (q->by_key == NULL)
		q->by_key = map_new(q->arena, false);
	one = make(q, QUESTION_DNS);
	one->key = arena_slice(q->arena, key);
	one->name = slice_from(one->key, 3);
	one->type = type;
	map_put(q->by_key, one->key, one);
	q->dns_count++;
	return one;
}

/* Few in any scope, so they are looked through. */
static struct question *
find_other(const struct questions *q, enum question_kind kind, struct slice name,
	struct slice input)
{
	struct question *one;
	TAILQ_FOREACH (one, &q->list, link) {
		if (one->kind == kind && slice_eq(one->name, name) &&
			slice_eq(one->input, input))
			return one;
	}
	return NULL;
}

bool
questions_has(const struct questions *q, enum question_kind kind, struct slice name,
	struct slice input)
{
	return find_other(q, kind, name, input) != NULL;
}

static struct question *
other(struct questions *q, enum question_kind kind, struct slice name, struct slice input)
{
	struct question *one = find_other(q, kind, name, input);
	if (one != NULL)
		return one;
	one = make(q, kind);
	one->name = arena_slice(q->arena, name);
	one->input = arena_slice(q->arena, input);
	return one;
}

struct question *
questions_known(struct questions *q, struct slice recipient)
{
	return other(q, QUESTION_KNOWN, recipient, SLICE_NONE);
}

struct question *
questions_scan(struct questions *q)
{
	return other(q, QUESTION_SCAN, SLICE_NONE, SLICE_NONE);
}

struct question *
questions_append(struct questions *q, struct slice text, struct slice html)
{
	return other(q, QUESTION_APPEND, text, html);
}

struct question *
questions_engine(struct questions *q, struct slice engine, struct slice input)
{
	return other(q, QUESTION_ENGINE, engine, input);
}

static bool
same_state(const struct state_op *a, const struct state_op *b)
{
	return a->kind == b->kind && a->space == b->space && slice_eq(a->key, b->key);
}

static struct question *
find_state(const struct questions *q, const struct state_op *op)
{
	struct question *one;
	TAILQ_FOREACH (one, &q->list, link) {
		if (one->kind == QUESTION_STATE && same_state(&one->op, op))
			return one;
	}
	return NULL;
}

bool
questions_state_has(const struct questions *q, const struct state_op *op)
{
	const struct question *one = find_state(q, op);
	return one != NULL && one->state != QUESTION_SKIPPED;
}

/* What is asked for first comes first, whatever scope it is in: see ask_ahead of policy. */
static uint64_t
next_order(void)
{
	static uint64_t last;
	return ++last;
}

struct question *
questions_state(struct questions *q, const struct state_op *op)
{
	struct question *one = find_state(q, op);
	if (one != NULL && one->state == QUESTION_SKIPPED) {
		one->state = QUESTION_NEW;
		one->order = next_order();
	}
	if (one != NULL)
		return one;
	one = make(q, QUESTION_STATE);
	one->order = next_order();
	one->op = *op;
	one->op.key = arena_slice(q->arena, op->key);
	one->op.value = arena_slice(q->arena, op->value);
	one->op.passer = arena_slice(q->arena, op->passer);
	return one;
}

struct question *
questions_lookup(struct questions *q, struct slice table, struct slice value)
{
	return other(q, QUESTION_LOOKUP, table, value);
}

struct question *
questions_neighbour(struct questions *q, struct slice which, struct slice envelope)
{
	return other(q, QUESTION_NEIGHBOUR, which, envelope);
}

struct question *
questions_new(struct questions *q)
{
	struct question *one;
	TAILQ_FOREACH (one, &q->list, link) {
		if (one->state == QUESTION_NEW)
			return one;
	}
	return NULL;
}

unsigned
questions_open(const struct questions *q)
{
	return q->count - q->answered;
}

struct question *
questions_call_off(struct questions *q)
{
	struct question *one;
	TAILQ_FOREACH (one, &q->list, link) {
		if (one->state != QUESTION_ASKED)
			continue;
		one->state = QUESTION_NEW;
		return one;
	}
	return NULL;
}

static void
answered(struct questions *q, struct question *one, enum question_kind kind)
{
	must(one->kind == kind && one->state != QUESTION_ANSWERED);
	one->state = QUESTION_ANSWERED;
	q->answered++;
}

static bool
has_room(const struct questions *q, size_t bytes)
{
	return arena_room(q->arena) / 2 > bytes &&
	       arena_room(q->arena) - bytes > QUESTION_ARENA_RESERVE;
}

void
question_answer_dns(struct questions *q, struct question *one, const struct dns_answer *answer)
{
	answered(q, one, QUESTION_DNS);
	size_t bytes = 0;
	for (size_t i = 0; i < answer->n; i++)
		bytes += sizeof(*answer->rr) + answer->rr[i].text.n + 32;
	struct dns_answer *copy = ARENA_NEW(q->arena, struct dns_answer);
	one->dns = copy;
	if (!has_room(q, bytes)) {
		copy->status = DNS_FAIL;
		return;
	}
	*copy = *answer;
	copy->rr = arena_array(q->arena, answer->n, sizeof(*copy->rr));
	for (size_t i = 0; i < answer->n; i++) {
		copy->rr[i] = answer->rr[i];
		copy->rr[i].text = arena_slice(q->arena, answer->rr[i].text);
	}
}

void
question_answer_known(
	struct questions *q, struct question *one, enum known_answer known, struct slice words)
{
	answered(q, one, QUESTION_KNOWN);
	one->known = known;
	one->known_text = arena_slice(q->arena, slice_first(words, KEY_MOST));
}

static void
copy_attachments(struct arena *a, struct scan_report *r)
{
	struct scan_attachment *copy = arena_array(a, r->n_attachments, sizeof(*copy));
	for (size_t i = 0; i < r->n_attachments; i++) {
		copy[i] = r->attachments[i];
		copy[i].name = arena_slice(a, copy[i].name);
		copy[i].type = arena_slice(a, copy[i].type);
	}
	r->attachments = copy;
}

void
question_answer_scan(struct questions *q, struct question *one, const struct scan_report *r)
{
	answered(q, one, QUESTION_SCAN);
	struct scan_report *copy = ARENA_NEW(q->arena, struct scan_report);
	one->scan = copy;
	size_t bytes = r->virus.n + r->why.n + r->unread_why.n;
	for (size_t i = 0; i < r->n_attachments; i++)
		bytes += sizeof(*r->attachments) + r->attachments[i].name.n +
			 r->attachments[i].type.n + 64;
	if (!has_room(q, bytes)) {
		*copy = (struct scan_report){
			.status = SCAN_FAILED, .why = SLICE("report too large")};
		return;
	}
	*copy = *r;
	copy->virus = arena_slice(q->arena, r->virus);
	copy->why = arena_slice(q->arena, r->why);
	copy->unread_why = arena_slice(q->arena, r->unread_why);
	copy_attachments(q->arena, copy);
}

void
question_answer_append(
	struct questions *q, struct question *one, const struct append_plan *plan)
{
	answered(q, one, QUESTION_APPEND);
	struct append_plan *copy = ARENA_NEW(q->arena, struct append_plan);
	one->plan = copy;
	size_t bytes = plan->why.n;
	for (size_t i = 0; i < plan->n; i++)
		bytes += sizeof(*plan->splices) + plan->splices[i].insert.n + 32;
	if (!has_room(q, bytes)) {
		*copy = (struct append_plan){
			.status = APPEND_FAILED, .why = SLICE("plan too large")};
		return;
	}
	*copy = *plan;
	copy->why = arena_slice(q->arena, plan->why);
	copy->splices = arena_array(q->arena, plan->n, sizeof(*copy->splices));
	for (size_t i = 0; i < plan->n; i++) {
		copy->splices[i] = plan->splices[i];
		copy->splices[i].insert = arena_slice(q->arena, plan->splices[i].insert);
	}
}

void
question_answer_engine(struct questions *q, struct question *one, struct slice output)
{
	answered(q, one, QUESTION_ENGINE);
	one->output = has_room(q, output.n) ? arena_slice(q->arena, output) : SLICE_NONE;
}

void
question_answer_state(
	struct questions *q, struct question *one, const struct state_answer *answer)
{
	answered(q, one, QUESTION_STATE);
	one->answer = *answer;
	one->answer.value = has_room(q, answer->value.n) ? arena_slice(q->arena, answer->value)
							 : SLICE_NONE;
}

void
question_skip_state(struct questions *q, struct question *one)
{
	must(one->kind == QUESTION_STATE && one->state == QUESTION_ASKED);
	one->state = QUESTION_SKIPPED;
	q->skipped++;
}

void
question_answer_lookup(struct questions *q, struct question *one, enum lookup_answer answer,
	struct slice words)
{
	answered(q, one, QUESTION_LOOKUP);
	one->lookup = answer;
	one->lookup_text = arena_slice(q->arena, slice_first(words, KEY_MOST));
}

void
question_answer_neighbour(
	struct questions *q, struct question *one, const struct neighbour_verdict *v)
{
	answered(q, one, QUESTION_NEIGHBOUR);
	struct neighbour_verdict *copy = ARENA_NEW(q->arena, struct neighbour_verdict);
	*copy = *v;
	copy->why = arena_slice(q->arena, slice_first(v->why, KEY_MOST));
	copy->action = arena_slice(q->arena, slice_first(v->action, KEY_MOST));
	one->neighbour = copy;
}
