/*
 * The facts of one session. Between the driver and policy_eval: keeps what is known in four
 * scopes (session, greeting, mail, recipient), each with an arena and questions of its own that
 * end with it, runs a filter when a rule first asks for one of its facts, and runs it again
 * only after something was answered. Nothing of one mail can reach the next: the scope goes as
 * a whole.
 */
#include "filters/facts.h"

#include <string.h>

#include "base/mem.h"
#include "base/must.h"

enum {
	ARENA_SESSION_MOST = 16 * 1024 * 1024,
	ARENA_MAIL_MOST = 64 * 1024 * 1024,
	ARENA_RECIPIENT_MOST = 16 * 1024 * 1024,
	FACTS_MOST = 256,
	FILTERS_MOST = 64, /* bits of a mask */
};

/* One use of a fact in one scope. */
struct cell {
	struct cell *next; /* of those that no rule uses */
	const struct fact_decl *decl;
	struct slice arg;
	size_t filter;
	bool settled, running;
	enum fact_state state;
	struct value value;
	/* of the last run, where it is open: what it saw */
	bool ran;
	unsigned tick;
	enum fact_stage stage;
	enum fact_cost most, needs; /* needs: where it is FACT_UNASKED, else COST_FREE */
};

struct scope {
	struct arena *arena; /* NULL: nothing asked yet */
	size_t arena_most;
	struct questions questions;
	struct cell **cells; /* by the policy's index */
	struct cell *others;
	void **states;
};

struct rcpt {
	struct flt_recipient recipient;
	struct scope scope;
};

struct facts {
	const struct conf *conf;
	const struct policy *policy;
	const struct flt_session *session;
	const struct flt_mail *mail;
	enum fact_stage stage;
	struct scope of_session, of_helo, of_mail;
	struct rcpt **rcpts; /* pointers: a scope's questions must not move */
	size_t n_rcpts, room_rcpts;
	unsigned tick;         /* of scopes that have gone */
	uint64_t used, wanted; /* filters by bit: by rules, by facts_want */
	uint64_t hooked;       /* their header hook ran for this mail */
	bool streaming;        /* the body has begun */
};

static size_t
filters_count(void)
{
	size_t n = 0;
	while (filter_table[n] != NULL)
		n++;
	must(n <= FILTERS_MOST);
	return n;
}

static uint64_t
bit(size_t filter)
{
	return UINT64_C(1) << filter;
}

const struct fact_decl *const *
facts_all(void)
{
	static const struct fact_decl *all[FACTS_MOST + 1];
	if (all[0] != NULL)
		return all;
	size_t n = 0;
	for (size_t i = 0; filter_table[i] != NULL; i++) {
		for (const struct fact_decl *d = filter_table[i]->facts; d->name != NULL; d++) {
			must(n < FACTS_MOST);
			all[n++] = d;
		}
	}
	return all;
}

static size_t filter_find(const char *name);

static size_t
filter_of(const struct fact_decl *decl)
{
	if (decl->lookup != NULL)
		return filter_find("directory");
	for (size_t i = 0; filter_table[i] != NULL; i++)
		for (const struct fact_decl *d = filter_table[i]->facts; d->name != NULL; d++)
			if (d == decl)
				return i;
	must(false && "a fact of no filter");
	return 0;
}

static void
scope_init(struct scope *s, size_t arena_most)
{
	*s = (struct scope){.arena_most = arena_most};
	TAILQ_INIT(&s->questions.list);
}

/* Arenas come when first asked for: an idle connection costs none. */
static void
scope_open(struct scope *s)
{
	if (s->arena != NULL)
		return;
	s->arena = arena_new(s->arena_most);
	questions_init(&s->questions, s->arena);
}

static unsigned
ticks_of(const struct scope *s)
{
	return s->questions.answered + s->questions.skipped;
}

static void
scope_end(struct facts *f, struct scope *s)
{
	f->tick += ticks_of(s) + 1;
	arena_free(&s->arena);
	scope_init(s, s->arena_most);
}

struct facts *
facts_new(
	const struct conf *conf, const struct policy *policy, const struct flt_session *session)
{
	struct facts *f = MEM_NEW(struct facts);
	f->conf = conf;
	f->policy = policy;
	f->session = session;
	f->stage = STAGE_CONNECT;
	scope_init(&f->of_session, ARENA_SESSION_MOST);
	scope_init(&f->of_helo, ARENA_SESSION_MOST);
	scope_init(&f->of_mail, ARENA_MAIL_MOST);
	for (size_t i = 0; i < policy_facts(policy); i++)
		f->used |= bit(filter_of(policy_fact(policy, i)->decl));
	return f;
}

void
facts_free(struct facts **f)
{
	if (*f == NULL)
		return;
	facts_mail_end(*f);
	scope_end(*f, &(*f)->of_helo);
	scope_end(*f, &(*f)->of_session);
	mem_free((*f)->rcpts);
	mem_free(*f);
	*f = NULL;
}

void
facts_helo(struct facts *f)
{
	must(f->mail == NULL);
	scope_end(f, &f->of_helo);
	f->stage = f->session->helo.n != 0 ? STAGE_HELO : STAGE_CONNECT;
}

void
facts_mail(struct facts *f, const struct flt_mail *mail)
{
	must(f->mail == NULL && f->stage <= STAGE_HELO);
	f->mail = mail;
	f->stage = STAGE_MAIL;
}

size_t
facts_rcpt(struct facts *f, const struct flt_recipient *r)
{
	must(f->mail != NULL && f->stage <= STAGE_RCPT);
	f->stage = STAGE_RCPT;
	if (f->n_rcpts == f->room_rcpts) {
		f->room_rcpts = f->room_rcpts != 0 ? f->room_rcpts * 2 : 4;
		f->rcpts = mem_resize(f->rcpts, f->room_rcpts * sizeof(struct rcpt *));
	}
	struct rcpt *one = MEM_NEW(struct rcpt);
	one->recipient = *r;
	scope_init(&one->scope, ARENA_RECIPIENT_MOST);
	f->rcpts[f->n_rcpts] = one;
	return f->n_rcpts++;
}

static void
rcpt_end(struct facts *f)
{
	struct rcpt *one = f->rcpts[--f->n_rcpts];
	scope_end(f, &one->scope);
	mem_free(one);
}

void
facts_rcpt_drop(struct facts *f)
{
	must(f->n_rcpts > 0 && f->stage == STAGE_RCPT);
	rcpt_end(f);
}

void
facts_data(struct facts *f)
{
	must(f->stage == STAGE_RCPT);
	f->stage = STAGE_DATA;
}

void
facts_mail_end(struct facts *f)
{
	while (f->n_rcpts > 0)
		rcpt_end(f);
	mem_free(f->rcpts);
	f->rcpts = NULL;
	f->room_rcpts = 0;
	scope_end(f, &f->of_mail);
	f->wanted = f->hooked = 0;
	f->streaming = false;
	f->mail = NULL;
	if (f->stage > STAGE_HELO)
		f->stage = f->session->helo.n != 0 ? STAGE_HELO : STAGE_CONNECT;
}

/* NULL: the fact's scope is not there yet. */
static struct scope *
scope_find(struct facts *f, enum fact_scope scope, size_t rcpt)
{
	switch (scope) {
	case SCOPE_SESSION: return &f->of_session;
	case SCOPE_HELO: return &f->of_helo;
	case SCOPE_MAIL: return f->mail != NULL ? &f->of_mail : NULL;
	case SCOPE_RECIPIENT: return rcpt < f->n_rcpts ? &f->rcpts[rcpt]->scope : NULL;
	}
	return NULL;
}

static void **
state_of(struct scope *s, size_t filter)
{
	scope_open(s);
	if (s->states == NULL)
		s->states = arena_array(s->arena, filters_count(), sizeof(void *));
	return &s->states[filter];
}

/* What a scope does not reach is not shown: a fact of the session cannot hang on one mail. */
static struct flt_call
call_of(struct facts *f, struct scope *s, enum fact_scope scope, size_t rcpt, size_t filter)
{
	void **state = state_of(s, filter); /* opens the scope */
	struct flt_call c = {
		.conf = f->conf,
		.settings = conf_filter_find(f->conf, filter_table[filter]->name),
		.policy = f->policy,
		.stage = f->stage,
		.session = f->session,
		.state = state,
		.questions = &s->questions,
		.arena = s->arena,
		.facts = f,
		.rcpt = scope == SCOPE_RECIPIENT ? rcpt : SIZE_MAX,
		.most = COST_CHEAP, /* of hooks; get() says its own */
	};
	if (scope >= SCOPE_MAIL) {
		c.mail = f->mail;
		c.mail_state = state_of(&f->of_mail, filter);
	}
	if (scope == SCOPE_RECIPIENT)
		c.recipient = &f->rcpts[rcpt]->recipient;
	return c;
}

static struct cell *
cell_new(struct scope *s, const struct fact_decl *decl, struct slice arg)
{
	struct cell *c = ARENA_NEW(s->arena, struct cell);
	c->decl = decl;
	c->arg = arg;
	c->filter = filter_of(decl);
	return c;
}

static bool
same_use(const struct fact_decl *d, struct slice arg, const struct fact_decl *e,
	struct slice arg2)
{
	return d == e && slice_eq(arg, arg2);
}

/* index: of the policy's uses, or SIZE_MAX where the use is not the policy's. */
static struct cell *
cell_find(struct facts *f, struct scope *s, const struct fact_ref *ref, size_t index)
{
	scope_open(s);
	if (index != SIZE_MAX) {
		if (s->cells == NULL)
			s->cells = arena_array(
				s->arena, policy_facts(f->policy), sizeof(*s->cells));
		if (s->cells[index] == NULL)
			s->cells[index] = cell_new(s, ref->decl, ref->arg);
		return s->cells[index];
	}
	for (struct cell *c = s->others; c != NULL; c = c->next)
		if (same_use(c->decl, c->arg, ref->decl, ref->arg))
			return c;
	struct cell *c = cell_new(s, ref->decl, arena_slice(s->arena, ref->arg));
	c->next = s->others;
	s->others = c;
	return c;
}

/*
 * Grows with every answer and every end of a scope that a fact of scope s may look into:
 * unchanged means that another run would say the same.
 */
static unsigned
tick_now(const struct facts *f, const struct scope *s)
{
	unsigned tick = f->tick + ticks_of(&f->of_session) + ticks_of(&f->of_helo) +
			ticks_of(&f->of_mail);
	bool shared = s == &f->of_session || s == &f->of_helo || s == &f->of_mail;
	return shared ? tick : tick + ticks_of(s);
}

/*
 * What was asked at a dearer level is there at a cheaper one too, and what waits for a question
 * of some cost waits for it at all levels below.
 */
static bool
would_say_the_same(
	const struct facts *f, const struct scope *s, const struct cell *c, enum fact_cost most)
{
	bool level = most == c->most || (most < c->most && c->state == FACT_OPEN) ||
		     (most < c->needs && c->state == FACT_UNASKED);
	return level && c->ran && c->tick == tick_now(f, s) && c->stage == f->stage;
}

/* Once in its scope: a failed fact is settled. */
static void
log_failed(const struct facts *f, const struct cell *cell)
{
	struct log_line l;
	if (f->mail == NULL || f->mail->log == NULL)
		return;
	log_begin(&l, EV_FACT_FAILED, f->mail->log);
	log_text(
		&l, "fact", cell->decl->phrase != NULL ? cell->decl->phrase : cell->decl->name);
	if (cell->arg.n != 0)
		log_slice(&l, "of", cell->arg);
	log_slice(&l, "error", cell->value.evidence);
	log_end(&l);
}

static void
cell_run(struct facts *f, const struct scope *s, struct cell *cell, struct flt_call *call)
{
	must(!cell->running); /* a fact that waits for itself */
	struct fact_ref ref = {.decl = cell->decl, .arg = cell->arg};
	cell->running = true;
	cell->value = (struct value){0};
	cell->state = filter_table[cell->filter]->gather(call, &ref, &cell->value);
	cell->running = false;
	cell->needs = COST_FREE;
	if (cell->state == FACT_OPEN && call->unasked) {
		cell->state = FACT_UNASKED;
		cell->needs = call->needs;
	}
	cell->settled = cell->state == FACT_FAILED ||
			(cell->state == FACT_KNOWN && !cell->value.growing);
	if (cell->state == FACT_FAILED)
		log_failed(f, cell);
	cell->ran = true;
	cell->tick = tick_now(f, s);
	cell->stage = f->stage;
	cell->most = call->most;
}

static enum fact_state
get(struct facts *f, const struct fact_ref *ref, size_t index, size_t rcpt, enum fact_cost most,
	struct value *value_out)
{
	*value_out = (struct value){0};
	struct scope *s = scope_find(f, ref->decl->scope, rcpt);
	if (s == NULL || f->stage < ref->decl->stage)
		return FACT_LATER;
	struct cell *cell = cell_find(f, s, ref, index);
	if (!cell->settled && !would_say_the_same(f, s, cell, most)) {
		struct flt_call call = call_of(f, s, ref->decl->scope, rcpt, cell->filter);
		call.most = most;
		cell_run(f, s, cell, &call);
	}
	*value_out = cell->value;
	return cell->state;
}

/* One evaluation: for which recipient facts are asked. */
struct eval {
	struct facts *facts;
	size_t rcpt;
};

static enum fact_state
eval_get(void *arg, const struct fact_ref *ref, enum fact_cost most, struct value *value_out)
{
	const struct eval *e = arg;
	return get(e->facts, ref, ref->index, e->rcpt, most, value_out);
}

void
facts_eval(struct facts *f, size_t rcpt, const struct policy_subject *subject, struct arena *a,
	struct verdict *verdict_out)
{
	must(rcpt == SIZE_MAX || rcpt < f->n_rcpts);
	struct eval e = {f, rcpt};
	policy_eval(f->policy, subject, (struct fact_source){eval_get, &e}, a, verdict_out);
}

static struct question *
next_of(struct scope *s, struct questions **scope_out)
{
	struct question *one = questions_new(&s->questions);
	if (one != NULL)
		*scope_out = &s->questions;
	return one;
}

struct question *
facts_question(struct facts *f, struct questions **scope_out)
{
	struct scope *fixed[] = {&f->of_session, &f->of_helo, &f->of_mail};
	struct question *one = NULL;
	for (size_t i = 0; i < 3 && one == NULL; i++)
		one = next_of(fixed[i], scope_out);
	for (size_t i = 0; i < f->n_rcpts && one == NULL; i++)
		one = next_of(&f->rcpts[i]->scope, scope_out);
	return one;
}

struct question *
facts_call_off(struct facts *f, enum fact_scope scope)
{
	struct question *one = NULL;
	if (scope == SCOPE_SESSION)
		one = questions_call_off(&f->of_session.questions);
	if (one == NULL && (scope == SCOPE_SESSION || scope == SCOPE_HELO))
		one = questions_call_off(&f->of_helo.questions);
	if (one == NULL && (scope == SCOPE_SESSION || scope == SCOPE_MAIL))
		one = questions_call_off(&f->of_mail.questions);
	size_t first = scope == SCOPE_HELO ? f->n_rcpts : 0;
	if (scope == SCOPE_RECIPIENT && f->n_rcpts > 0)
		first = f->n_rcpts - 1;
	for (size_t i = first; i < f->n_rcpts && one == NULL; i++)
		one = questions_call_off(&f->rcpts[i]->scope.questions);
	return one;
}

void
facts_keep(struct facts *f, size_t rcpt, bool goes_on)
{
	struct scope *s = rcpt == SIZE_MAX ? &f->of_mail : &f->rcpts[rcpt]->scope;
	struct question *one;
	must(f->mail != NULL && (rcpt == SIZE_MAX || rcpt < f->n_rcpts));
	TAILQ_FOREACH (one, &s->questions.list, link)
		one->kept = goes_on || one->op.kind != STATE_GET;
}

void
facts_prefetch(struct facts *f)
{
	for (size_t i = 0; i < policy_facts(f->policy); i++) {
		const struct fact_ref *ref = policy_fact(f->policy, i);
		struct value v;
		if (ref->decl->scope == SCOPE_SESSION && ref->decl->cost <= COST_CHEAP)
			get(f, ref, i, SIZE_MAX, COST_CHEAP, &v);
	}
}

static const struct fact_decl *
decl_find(const char *name)
{
	const struct fact_decl *const *all = facts_all();
	for (size_t i = 0; all[i] != NULL; i++)
		if (strcmp(all[i]->name, name) == 0)
			return all[i];
	return NULL;
}

enum fact_state
facts_read(struct facts *f, const char *name, struct slice arg, size_t rcpt,
	enum fact_cost most, struct value *value_out)
{
	struct fact_ref ref = {.decl = decl_find(name), .arg = arg};
	must(ref.decl != NULL);
	return facts_read_use(f, &ref, rcpt, most, value_out);
}

enum fact_state
facts_read_use(struct facts *f, const struct fact_ref *ref, size_t rcpt, enum fact_cost most,
	struct value *value_out)
{
	size_t index = SIZE_MAX;
	for (size_t i = 0; i < policy_facts(f->policy) && index == SIZE_MAX; i++) {
		const struct fact_ref *use = policy_fact(f->policy, i);
		if (same_use(use->decl, use->arg, ref->decl, ref->arg))
			index = i;
	}
	return get(f, ref, index, rcpt, most, value_out);
}

static size_t
filter_find(const char *name)
{
	size_t i = 0;
	while (filter_table[i] != NULL && strcmp(filter_table[i]->name, name) != 0)
		i++;
	must(filter_table[i] != NULL);
	return i;
}

const struct append_plan *
facts_append(struct facts *f, struct slice text, struct slice html)
{
	must(f->stage == STAGE_BODY);
	scope_open(&f->of_mail);
	const struct question *one = questions_append(&f->of_mail.questions, text, html);
	return one->state == QUESTION_ANSWERED ? one->plan : NULL;
}

const struct scan_report *
facts_scan(struct facts *f)
{
	if (!questions_has(&f->of_mail.questions, QUESTION_SCAN, SLICE_NONE, SLICE_NONE))
		return NULL;
	const struct question *one = questions_scan(&f->of_mail.questions);
	return one->state == QUESTION_ANSWERED ? one->scan : NULL;
}

void *
facts_mail_state(struct facts *f, const struct filter *filter)
{
	return f->of_mail.states != NULL ? f->of_mail.states[filter_find(filter->name)] : NULL;
}

void
facts_want(struct facts *f, const char *filter_name)
{
	must(f->mail != NULL && !f->streaming);
	f->wanted |= bit(filter_find(filter_name));
	if (f->stage == STAGE_HEADER)
		facts_header(f);
}

/* A hook may want another filter's and come here again: none runs twice. */
void
facts_header(struct facts *f)
{
	must(f->mail != NULL && f->mail->message != NULL && !f->streaming);
	f->stage = STAGE_HEADER;
	for (size_t i = 0; filter_table[i] != NULL; i++) {
		uint64_t due = (f->used | f->wanted) & ~f->hooked;
		if ((due & bit(i)) == 0)
			continue;
		f->hooked |= bit(i);
		if (filter_table[i]->header == NULL)
			continue;
		struct flt_call c = call_of(f, &f->of_mail, SCOPE_MAIL, SIZE_MAX, i);
		filter_table[i]->header(&c);
	}
}

void
facts_body(struct facts *f, struct slice piece)
{
	must(f->stage == STAGE_HEADER);
	f->streaming = true;
	for (size_t i = 0; filter_table[i] != NULL; i++) {
		if ((f->hooked & bit(i)) == 0 || filter_table[i]->body == NULL)
			continue;
		struct flt_call c = call_of(f, &f->of_mail, SCOPE_MAIL, SIZE_MAX, i);
		filter_table[i]->body(&c, piece);
	}
}

void
facts_body_end(struct facts *f)
{
	must(f->stage == STAGE_HEADER);
	f->streaming = true;
	for (size_t i = 0; filter_table[i] != NULL; i++) {
		if ((f->hooked & bit(i)) == 0 || filter_table[i]->body_end == NULL)
			continue;
		struct flt_call c = call_of(f, &f->of_mail, SCOPE_MAIL, SIZE_MAX, i);
		filter_table[i]->body_end(&c);
	}
	f->stage = STAGE_BODY;
}
