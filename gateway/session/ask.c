/*
 * The event loop's driver of questions: what filters could not answer is asked here, all open
 * ones at once, and each answer wakes the session. An ask lives in the arena of its question;
 * when that ends (the mail is over, the client gone) the ask is cancelled with it.
 */
#include "session/process_priv.h"

enum { ASK_DNS_MS = 8000 };

struct ask {
	struct connection *connection;
	struct questions *scope;
	struct question *question;
	struct dns_query *dns;
	struct relay_probe *probe;
};

static void
ask_cancel(void *arg)
{
	struct ask *a = arg;
	dns_cancel(&a->dns);
	relay_verify_cancel(&a->probe);
}

static void
on_dns(void *arg, const struct dns_answer *answer)
{
	struct ask *a = arg;
	a->dns = NULL;
	question_answer_dns(a->scope, a->question, answer);
	connection_wake(a->connection);
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
	connection_wake(a->connection);
}

static void
ask_known(struct ask *a)
{
	struct process *p = a->connection->process;
	struct address rcpt;
	const struct conf_domain *d = NULL;
	if (address_parse(a->question->name, true, a->scope->arena, &rcpt) == ADDRESS_OK)
		d = conf_domain_find(p->conf, rcpt.domain);
	if (d == NULL) {
		question_answer_known(
			a->scope, a->question, KNOWN_FAILED, SLICE("not a declared domain"));
		connection_wake(a->connection);
		return;
	}
	struct relay_way way = {.hops = &d->deliver};
	a->probe = relay_verify(p->pool, &way, &rcpt, &relay_times_inbound, on_known, a);
}

void
ask_world(struct connection *c, struct question *q, struct questions *scope)
{
	struct ask *a = ARENA_NEW(scope->arena, struct ask);
	*a = (struct ask){.connection = c, .scope = scope, .question = q};
	q->state = QUESTION_ASKED;
	arena_defer(scope->arena, ask_cancel, a);
	switch (q->kind) {
	case QUESTION_DNS:
		a->dns = dns_ask(c->process->dns, q->name, q->type, 0, ASK_DNS_MS, on_dns, a);
		break;
	case QUESTION_KNOWN: ask_known(a); break;
	case QUESTION_SCAN:
		question_answer_scan(scope, q,
			&(struct scan_report){.status = SCAN_FAILED,
				.why = SLICE("no scanner is configured")});
		connection_wake(c);
		break;
	case QUESTION_ENGINE:
		question_answer_engine(scope, q, SLICE_NONE);
		connection_wake(c);
		break;
	}
}
