/*
 * Answers questions while the caller waits: all that are open are asked at once, and the loop
 * runs until the last answer is in. See answers.h.
 */
#include "main/answers.h"

#include "base/mem.h"
#include "base/must.h"
#include "io/dns.h"
#include "main/answers_file.h"
#include "main/runner.h"

enum { ARENA_MOST = 64 << 20, ASK_DNS_MS = 8000, DAY_MS = 24 * 3600 * 1000 };

struct answers {
	struct answers_config config;
	struct arena *arena;
	struct dns_file file;
	struct loop *loop;
	struct dns *dns;
	struct runner *runner;
	struct slice mail;
	unsigned waiting, asked, state_asked;
};

struct ask {
	struct answers *answers;
	struct questions *scope;
	struct question *question;
};

static int
open_dns(struct answers *a, struct err *err)
{
	const struct conf_resolver *r = &a->config.conf->resolver;
	struct dns_config dc = {.insecure = r->insecure};
	if (r->trust.n != 0)
		dc.trust_file = arena_text(a->arena, r->trust);
	for (size_t i = 0; i < r->n_servers && i < DNS_SERVERS_MOST; i++)
		dc.servers[dc.n++] = (struct dns_server){r->servers[i].ip, r->servers[i].port};
	a->loop = loop_new(err);
	if (a->loop == NULL)
		return -1;
	a->dns = dns_open(a->loop, &dc, err);
	return a->dns != NULL ? 0 : -1;
}

struct answers *
answers_new(const struct answers_config *config, struct err *err)
{
	struct answers *a = MEM_NEW(struct answers);
	a->config = *config;
	a->arena = arena_new(ARENA_MOST);
	a->runner = runner_new();
	int result = config->dns_file != NULL
			     ? dns_file_read(config->dns_file, a->arena, &a->file, err)
			     : open_dns(a, err);
	if (result < 0)
		answers_free(&a);
	return a;
}

void
answers_free(struct answers **a)
{
	if (*a == NULL)
		return;
	runner_free(&(*a)->runner);
	dns_close(&(*a)->dns);
	loop_free(&(*a)->loop);
	arena_free(&(*a)->arena);
	mem_free(*a);
	*a = NULL;
}

static void
on_dns(void *arg, const struct dns_answer *answer)
{
	struct ask *ask = arg;
	question_answer_dns(ask->scope, ask->question, answer);
	if (--ask->answers->waiting == 0)
		loop_stop(ask->answers->loop);
}

static void
ask_dns(struct answers *a, struct questions *scope, struct question *q)
{
	a->asked++;
	if (a->config.dns_file != NULL) {
		question_answer_dns(scope, q, dns_file_look_up(&a->file, q->name, q->type));
		return;
	}
	struct ask *ask = ARENA_NEW(scope->arena, struct ask);
	*ask = (struct ask){a, scope, q};
	a->waiting++;
	dns_ask(a->dns, q->name, q->type, 0, ASK_DNS_MS, on_dns, ask);
}

/* Nothing is asked or changed: as the caller was told, all is free or all is used up. */
static void
answer_state(struct answers *a, struct questions *scope, struct question *q)
{
	const struct state_op *op = &q->op;
	struct state_answer answer = {.status = STATE_OK, .yes = !a->config.state_used};
	a->state_asked++;
	if (!answer.yes)
		answer.wait_ms = op->kind == STATE_SEEN   ? op->delay_ms
				 : op->kind == STATE_TAKE ? op->span_ms / op->limit
							  : DAY_MS;
	answer.count = answer.yes ? 1 : op->limit;
	question_answer_state(scope, q, &answer);
}

/* As the caller says; else nobody knows. The last word about a value counts. */
static void
answer_lookup(struct answers *a, struct questions *scope, struct question *q)
{
	enum lookup_answer found = LOOKUP_FAILED;
	for (size_t i = 0; i < a->config.n_lookups; i++) {
		const struct answers_lookup *l = &a->config.lookups[i];
		if (slice_eq(q->name, slice_of(l->table)) &&
			slice_eq_nocase(q->input, slice_of(l->value)))
			found = l->found ? LOOKUP_YES : LOOKUP_NO;
	}
	struct slice why =
		arena_printf(scope->arena, "nobody was asked; say --lookup %.*s %.*s yes or no",
			SLICE_ARG(q->name), SLICE_ARG(q->input));
	question_answer_lookup(scope, q, found, found == LOOKUP_FAILED ? why : SLICE_NONE);
}

static void
answer_neighbour(struct answers *a, struct questions *scope, struct question *q)
{
	enum neighbour which;
	must(neighbour_find(q->name, &which));
	question_answer_neighbour(scope, q, &a->config.neighbours[which]);
}

void
answers_mail(struct answers *a, struct slice mail)
{
	a->mail = mail;
}

bool
answers_give(struct answers *a, struct facts *f)
{
	struct questions *scope;
	struct question *q;
	struct err err;
	bool any = false;
	while ((q = facts_question(f, &scope)) != NULL) {
		any = true;
		q->state = QUESTION_ASKED;
		switch (q->kind) {
		case QUESTION_DNS: ask_dns(a, scope, q); break;
		case QUESTION_KNOWN:
			question_answer_known(
				scope, q, a->config.known, slice_of(a->config.known_text));
			break;
		case QUESTION_SCAN: question_answer_scan(scope, q, &a->config.scan); break;
		case QUESTION_APPEND: /* explain decides, and puts nothing under a mail */
			question_answer_append(scope, q,
				&(struct append_plan){
					.status = APPEND_NOT, .why = SLICE("not asked")});
			break;
		case QUESTION_ENGINE:
			question_answer_engine(scope, q,
				runner_run(
					a->runner, q->name, q->input, a->mail, scope->arena));
			break;
		case QUESTION_STATE: answer_state(a, scope, q); break;
		case QUESTION_LOOKUP: answer_lookup(a, scope, q); break;
		case QUESTION_NEIGHBOUR: answer_neighbour(a, scope, q); break;
		}
	}
	if (a->waiting != 0)
		loop_run(a->loop, &err);
	return any;
}

bool
answers_dns(struct answers *a, struct questions *scope)
{
	struct question *q;
	struct err err;
	bool any = false;
	while ((q = questions_new(scope)) != NULL) {
		must(q->kind == QUESTION_DNS);
		any = true;
		q->state = QUESTION_ASKED;
		ask_dns(a, scope, q);
	}
	if (a->waiting != 0)
		loop_run(a->loop, &err);
	return any;
}

unsigned
answers_dns_count(const struct answers *a)
{
	return a->asked;
}

bool
answers_state_assumed(const struct answers *a)
{
	return a->state_asked != 0;
}
