/*
 * The event loop's driver of questions: what filters could not answer is asked here, all open
 * ones at once, and each answer wakes the session. An ask lives in the arena of its question;
 * when that ends (the mail is over, the client gone) the ask is cancelled with it.
 */
#include "base/must.h"
#include "directory/directory.h"
#include "directory/messages.h"
#include "filters/filter.h"
#include "scan/append_messages.h"
#include "scan/messages.h"
#include "second/messages.h"
#include "session/neighbour.h"
#include "session/process_priv.h"

enum {
	ASK_DNS_MS = 8000,
	ASK_SCAN_MS = 5 * 60 * 1000, /* the scanner has its own, shorter, clock */
	ASK_ENGINE_MS = 60 * 1000,   /* likewise */
	ASK_LOOKUP_MORE_MS = 2000,   /* beyond the directory process's own */
};

struct ask {
	struct process *process;
	struct loop_task *wake;
	struct questions *scope;
	struct question *question;
	struct dns_query *dns;
	struct relay_probe *probe;
	uint32_t scan_id, engine_id, lookup_id;
	struct neighbour_ask *neighbour;
	uint64_t mail_bytes; /* that a plan may be about */
};

static void
ask_cancel(void *arg)
{
	struct ask *a = arg;
	dns_cancel(&a->dns);
	relay_verify_cancel(&a->probe);
	neighbours_cancel(&a->neighbour);
	if (a->scan_id != 0)
		peer_forget(a->process->peers[PROCESS_SCANNER][0], a->scan_id);
	if (a->engine_id != 0)
		peer_forget(a->process->peers[PROCESS_ENGINE][0], a->engine_id);
	if (a->lookup_id != 0)
		peer_forget(a->process->peers[PROCESS_DIRECTORY][0], a->lookup_id);
}

static void
on_dns(void *arg, const struct dns_answer *answer)
{
	struct ask *a = arg;
	a->dns = NULL;
	question_answer_dns(a->scope, a->question, answer);
	loop_task_queue(a->wake);
}

static void
on_known(void *arg, enum relay_known known, const struct smtp_reply *r)
{
	struct ask *a = arg;
	static const enum known_answer answers[] = {[RELAY_KNOWN] = KNOWN_YES,
		[RELAY_UNKNOWN] = KNOWN_NO,
		[RELAY_FAILED] = KNOWN_FAILED};
	a->probe = NULL;
	question_answer_known(
		a->scope, a->question, answers[known], r != NULL ? r->text : SLICE_NONE);
	loop_task_queue(a->wake);
}

static void
ask_known(struct ask *a)
{
	struct process *p = a->process;
	struct address rcpt;
	const struct conf_domain *d = NULL;
	if (address_parse(a->question->name, true, a->scope->arena, &rcpt) == ADDRESS_OK)
		d = conf_domain_find(p->conf, rcpt.domain);
	if (d == NULL) {
		question_answer_known(
			a->scope, a->question, KNOWN_FAILED, SLICE("not a declared domain"));
		loop_task_queue(a->wake);
		return;
	}
	struct relay_way way = {.hops = &d->deliver};
	a->probe = relay_verify(p->pool, &way, &rcpt, &relay_times_inbound, on_known, a);
}

static void
scan_failed(struct ask *a, const char *why)
{
	question_answer_scan(a->scope, a->question,
		&(struct scan_report){.status = SCAN_FAILED, .why = slice_of(why)});
	loop_task_queue(a->wake);
}

static void
on_scan(void *arg, struct ipc_msg *m)
{
	struct ask *a = arg;
	struct scan_report r;
	a->scan_id = 0;
	if (m == NULL || m->type != SCAN_MSG_REPORT ||
		!scan_report_unpack(m->payload, a->scope->arena, &r)) {
		scan_failed(a, "the scanner gave no report");
		return;
	}
	question_answer_scan(a->scope, a->question, &r);
	loop_task_queue(a->wake);
}

/* Small mails travel in the message, larger ones as their spill file. False: neither. */
static bool
attach(struct spill *spill, size_t inline_most, struct slice *body_out, int *fd_out)
{
	struct err err;
	*fd_out = -1;
	if (spill_memory(spill, body_out) && body_out->n <= inline_most)
		return true;
	*body_out = SLICE_NONE;
	*fd_out = spill_file(spill, &err);
	return *fd_out >= 0;
}

static void
ask_scan(struct ask *a, const struct asker *who)
{
	struct peer *scanner = a->process->peers[PROCESS_SCANNER][0];
	struct scan_job job = {.want = flt_scan_wants(who->config->policy),
		.set = who->config->direction,
		.bytes = spill_bytes(who->spill)};
	struct ipc_out out;
	struct slice payload;
	int fd;
	bool attached = attach(who->spill, SCAN_INLINE_BYTES, &job.body, &fd);
	ipc_out_init(&out);
	scan_job_pack(&job, &out);
	if (scanner != NULL && attached && ipc_out_ok(&out, &payload))
		a->scan_id = peer_ask(scanner, SCAN_MSG_SCAN, payload, &fd, fd >= 0 ? 1 : 0,
			ASK_SCAN_MS, on_scan, a);
	ipc_out_fini(&out);
	if (a->scan_id == 0)
		scan_failed(a, "no scanner is free");
}

static void
append_failed(struct ask *a, const char *why)
{
	question_answer_append(a->scope, a->question,
		&(struct append_plan){.status = APPEND_FAILED, .why = slice_of(why)});
	loop_task_queue(a->wake);
}

static void
on_plan(void *arg, struct ipc_msg *m)
{
	struct ask *a = arg;
	struct append_plan p;
	a->scan_id = 0;
	if (m == NULL || m->type != SCAN_MSG_PLAN ||
		!append_plan_unpack(m->payload, a->mail_bytes, a->scope->arena, &p)) {
		append_failed(a, "the scanner gave no plan");
		return;
	}
	question_answer_append(a->scope, a->question, &p);
	loop_task_queue(a->wake);
}

static void
ask_append(struct ask *a, const struct asker *who)
{
	struct peer *scanner = a->process->peers[PROCESS_SCANNER][0];
	struct append_job job = {.text = a->question->name,
		.html = a->question->input,
		.bytes = spill_bytes(who->spill)};
	struct ipc_out out;
	struct slice payload;
	int fd;
	bool attached = attach(who->spill, SCAN_INLINE_BYTES, &job.body, &fd);
	a->mail_bytes = job.bytes;
	ipc_out_init(&out);
	append_job_pack(&job, &out);
	if (scanner != NULL && attached && ipc_out_ok(&out, &payload))
		a->scan_id = peer_ask(scanner, SCAN_MSG_APPEND, payload, &fd, fd >= 0 ? 1 : 0,
			ASK_SCAN_MS, on_plan, a);
	ipc_out_fini(&out);
	if (a->scan_id == 0)
		append_failed(a, "no scanner is free");
}

static void
on_engine(void *arg, struct ipc_msg *m)
{
	struct ask *a = arg;
	struct slice output = SLICE_NONE;
	a->engine_id = 0;
	if (m != NULL &&
		(m->type != SECOND_MSG_OUTPUT || !second_output_unpack(m->payload, &output)))
		output = SLICE_NONE;
	question_answer_engine(a->scope, a->question, output);
	loop_task_queue(a->wake);
}

/* A library in a process of its own; no answer is an answer too, and empty. */
static void
ask_engine(struct ask *a, const struct asker *who)
{
	struct peer *engine = a->process->peers[PROCESS_ENGINE][0];
	struct second_job job = {.input = a->question->input};
	struct ipc_out out;
	struct slice payload;
	int fd = -1;
	bool ready = engine != NULL && second_engine_find(a->question->name, &job.engine);
	if (ready && job.engine == SECOND_OPENDKIM) {
		job.bytes = spill_bytes(who->spill);
		ready = attach(who->spill, SECOND_INLINE_BYTES, &job.body, &fd);
	}
	ipc_out_init(&out);
	second_job_pack(&job, &out);
	if (ready && ipc_out_ok(&out, &payload))
		a->engine_id = peer_ask(engine, SECOND_MSG_RUN, payload, &fd, fd >= 0 ? 1 : 0,
			ASK_ENGINE_MS, on_engine, a);
	ipc_out_fini(&out);
	if (a->engine_id == 0)
		on_engine(a, NULL);
}

static void
lookup_answered(struct ask *a, enum lookup_answer answer, struct slice words)
{
	question_answer_lookup(a->scope, a->question, answer, words);
	loop_task_queue(a->wake);
}

static void
on_lookup(void *arg, struct ipc_msg *m)
{
	static const enum lookup_answer answers[] = {[DIRECTORY_YES] = LOOKUP_YES,
		[DIRECTORY_NO] = LOOKUP_NO,
		[DIRECTORY_FAILED] = LOOKUP_FAILED};
	struct ask *a = arg;
	struct directory_answer answer;
	a->lookup_id = 0;
	if (m == NULL || m->type != DIRECTORY_MSG_ANSWER ||
		!directory_answer_unpack(m->payload, &answer))
		lookup_answered(a, LOOKUP_FAILED, SLICE("the look-up was not answered"));
	else
		lookup_answered(a, answers[answer.found], answer.why);
}

static void
ask_lookup(struct ask *a)
{
	struct peer *directory = a->process->peers[PROCESS_DIRECTORY][0];
	struct directory_lookup l = {.table = a->question->name, .value = a->question->input};
	struct ipc_out out;
	struct slice payload;
	if (l.value.n > DIRECTORY_VALUE_MOST) {
		lookup_answered(a, LOOKUP_NO, SLICE_NONE);
		return;
	}
	ipc_out_init(&out);
	directory_lookup_pack(&l, &out);
	if (directory != NULL && ipc_out_ok(&out, &payload))
		a->lookup_id = peer_ask(directory, DIRECTORY_MSG_LOOKUP, payload, NULL, 0,
			directory_timeout_ms(a->process->conf) + ASK_LOOKUP_MORE_MS, on_lookup,
			a);
	ipc_out_fini(&out);
	if (a->lookup_id == 0)
		lookup_answered(a, LOOKUP_FAILED, SLICE("no directory process is free"));
}

static void
on_neighbour(void *arg, const struct neighbour_verdict *v)
{
	struct ask *a = arg;
	a->neighbour = NULL;
	question_answer_neighbour(a->scope, a->question, v);
	loop_task_queue(a->wake);
}

static void
ask_neighbour(struct ask *a, const struct asker *who)
{
	enum neighbour which;
	must(neighbour_find(a->question->name, &which) && who->spill != NULL);
	a->neighbour = neighbours_ask(
		a->process->neighbours, which, a->question->input, who->spill, on_neighbour, a);
}

void
ask_world(const struct asker *who, struct question *q, struct questions *scope)
{
	if (q->kind == QUESTION_STATE) {
		ask_state(who->process->state, who->wake, q, scope);
		return;
	}
	struct ask *a = ARENA_NEW(scope->arena, struct ask);
	*a = (struct ask){
		.process = who->process, .wake = who->wake, .scope = scope, .question = q};
	q->state = QUESTION_ASKED;
	arena_defer(scope->arena, ask_cancel, a);
	switch (q->kind) {
	case QUESTION_DNS:
		a->dns = dns_ask(a->process->dns, q->name, q->type, 0, ASK_DNS_MS, on_dns, a);
		break;
	case QUESTION_KNOWN: ask_known(a); break;
	case QUESTION_SCAN: ask_scan(a, who); break;
	case QUESTION_APPEND: ask_append(a, who); break;
	case QUESTION_ENGINE: ask_engine(a, who); break;
	case QUESTION_STATE: break;
	case QUESTION_LOOKUP: ask_lookup(a); break;
	case QUESTION_NEIGHBOUR: ask_neighbour(a, who); break;
	}
}
