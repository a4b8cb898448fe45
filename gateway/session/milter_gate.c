/*
 * The milter's gate from negotiation to the client's end: what is asked of the MTA, who the
 * client is, which rules judge its mail. The mail itself is in milter_gate_mail.c, its end in
 * milter_gate_end.c; the steps are the pipeline's, as for SMTP (gate.c).
 */
#include "session/milter_gate.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "session/milter_gate_priv.h"
#include "session/rights.h"

enum { QUEUE_ID_MOST = 64 };

/* --- what is asked of the MTA */

static bool
uses(const struct milter_gate_config *c, const char *const *facts)
{
	for (int d = INBOUND; d <= OUTBOUND; d++)
		for (size_t i = 0; c->side[d].policy != NULL && facts[i] != NULL; i++)
			if (policy_uses(c->side[d].policy, facts[i]))
				return true;
	return false;
}

static bool
acts(const struct policy *p, enum action action)
{
	for (size_t i = 0; p != NULL && i < policy_rules(p); i++)
		if (policy_rule(p, i)->action == action && !policy_rule(p, i)->try_only)
			return true;
	return false;
}

static bool
needs_body(const struct policy *p)
{
	for (size_t i = 0; p != NULL && i < policy_facts(p); i++)
		if (policy_fact(p, i)->decl->stage == STAGE_BODY)
			return true;
	return p != NULL && sign_is_used(p);
}

static uint32_t
steps_of(const struct milter_gate_config *c)
{
	static const char *const of_data[] = {"recipients", NULL};
	const struct policy *in = c->side[INBOUND].policy, *out = c->side[OUTBOUND].policy;
	uint32_t steps = MILTER_NO_UNKNOWN | MILTER_NO_HEADER_END | MILTER_NR_CONNECT |
			 MILTER_NR_HELO | MILTER_NR_HEADERS | MILTER_HEADER_SPACE |
			 MILTER_SKIP_BODY | MILTER_DATA_256K;
	if (!uses(c, of_data))
		steps |= MILTER_NO_DATA;
	/* else sender rights are held there */
	if (!rights_are_named(c->side[INBOUND].conf, LISTEN_MILTER))
		steps |= MILTER_NR_MAIL;
	/* Where one side alone looks into bodies, those of the other are skipped. */
	if (!needs_body(in) && !needs_body(out))
		steps |= MILTER_NO_BODY;
	else if (needs_body(in) && (out == NULL || needs_body(out)))
		steps |= MILTER_NR_BODY;
	return steps;
}

void
milter_gate_wants_of(const struct milter_gate_config *c, struct milter_wants *wants_out)
{
	static const char *const of_tls[] = {"tls", NULL};
	bool tls = uses(c, of_tls);
	*wants_out = (struct milter_wants){.steps = steps_of(c),
		.can = MILTER_CAN_ADD_HEADERS | MILTER_CAN_CHANGE_HEADERS};
	for (int d = INBOUND; d <= OUTBOUND; d++) {
		const struct policy *p = c->side[d].policy;
		if (acts(p, ACTION_REDIRECT))
			wants_out->can |= MILTER_CAN_DELETE_RCPT | MILTER_CAN_ADD_RCPT;
		if (acts(p, ACTION_COPY))
			wants_out->can |= MILTER_CAN_ADD_RCPT;
		/* Without it all other mail is judged still, and that one deferred. */
		if (acts(p, ACTION_QUARANTINE))
			wants_out->may |= MILTER_CAN_QUARANTINE;
	}
	for (size_t i = 0; i < MILTER_STAGES; i++)
		wants_out->macros[i] = SLICE("");
	if (tls)
		wants_out->macros[MILTER_AT_HELO] = SLICE("{tls_version} {cipher}");
	wants_out->macros[MILTER_AT_MAIL] =
		tls ? SLICE("i {auth_authen} {tls_version} {cipher}")
		    : SLICE("i {auth_authen}");
	wants_out->macros[MILTER_AT_END] = SLICE("i");
}

/* --- the session */

static void
client_begin(struct milter_gate *g)
{
	g->session = (struct flt_session){.esmtp = true,
		.wall_ms = g->session.wall_ms,
		.spam = g->config->side[INBOUND].spam};
	g->direction = INBOUND;
	g->heard_macros = g->outbound_network = g->marked = false;
	g->taken = g->refused = g->rcpts_refused = 0;
}

static void
drop_pipeline(struct milter_gate *g)
{
	if (g->pipeline != NULL)
		g->mails = pipeline_mails(g->pipeline);
	pipeline_free(&g->pipeline);
}

static void
client_end(struct milter_gate *g)
{
	milter_gate_mail_end(g);
	if (g->pipeline != NULL) {
		struct log_line l;
		log_begin(&l, EV_CLOSE, &g->log);
		log_ip(&l, "client", &g->session.client);
		log_number(&l, "taken", g->taken);
		log_number(&l, "refused", g->refused);
		log_number(&l, "recipients-refused", g->rcpts_refused);
		log_end(&l);
	}
	drop_pipeline(g);
}

struct milter_gate *
milter_gate_new(const struct milter_gate_config *c, const char *id, int64_t now_ms)
{
	struct milter_gate *g = MEM_NEW(struct milter_gate);
	g->config = c;
	g->log.key = "session";
	snprintf(g->log.value, sizeof(g->log.value), "%.16s", id);
	g->session.wall_ms = now_ms;
	client_begin(g);
	return g;
}

void
milter_gate_free(struct milter_gate **g)
{
	if (*g == NULL)
		return;
	client_end(*g);
	mem_free(*g);
	*g = NULL;
}

void
milter_gate_agreed(struct milter_gate *g, const struct milter_offer *agreed)
{
	g->agreed = agreed->steps;
	g->mta_keeps = (agreed->can & MILTER_CAN_QUARANTINE) != 0;
	g->macros_chosen = (agreed->can & MILTER_CAN_CHOOSE_MACROS) != 0;
}

void
milter_gate_say(struct milter_gate *g, enum milter_verdict v)
{
	must(!g->ready);
	g->answer = (struct milter_answer){.verdict = v};
	g->ready = true;
}

void
milter_gate_refuse(struct milter_gate *g, struct smtp_reply r)
{
	milter_gate_say(g, MILTER_REPLY);
	g->answer.reply = r;
}

/* --- who the client is */

static struct slice
macro_of(const struct milter_event *ev, struct slice name)
{
	for (size_t i = 0; i < ev->n_macros; i++)
		if (slice_eq(ev->macros[i].name, name))
			return ev->macros[i].value;
	return SLICE_NONE;
}

/* In the gate's own room, cut where it is longer than any such word. */
static struct slice
keep(char *room, size_t bytes, struct slice text)
{
	text = slice_first(text, bytes);
	if (text.n != 0)
		memcpy(room, text.p, text.n);
	return (struct slice){room, text.n};
}

/* What may change with each step: the last word counts (MLT-07). */
static void
take_macros(struct milter_gate *g, const struct milter_event *ev)
{
	struct slice tls = macro_of(ev, SLICE("tls_version"));
	g->heard_macros = g->heard_macros || ev->has_macros;
	if (tls.n != 0 && g->session.tls_version.n == 0) {
		g->session.tls_version = keep(g->tls_version, sizeof(g->tls_version), tls);
		g->session.tls_cipher = keep(
			g->tls_cipher, sizeof(g->tls_cipher), macro_of(ev, SLICE("cipher")));
	}
}

/* The MTA's name for the mail, for the log: Postfix has it after RCPT, Sendmail at MAIL. */
static void
take_queue(struct milter_gate *g, const struct milter_event *ev)
{
	struct slice queue = macro_of(ev, SLICE("i"));
	if (queue.n != 0 && g->in_mail && g->queue.n == 0)
		g->queue = arena_slice(
			pipeline_arena(g->pipeline), slice_first(queue, QUEUE_ID_MOST));
}

/* The pipeline of one direction; connect facts are asked for anew where it changes. */
static void
judged_as(struct milter_gate *g, enum direction d)
{
	if (g->pipeline != NULL && g->direction == d)
		return;
	g->direction = d;
	g->session.direction = d;
	drop_pipeline(g);
	g->pipeline = pipeline_new(&g->config->side[d], &g->session, &g->log);
	pipeline_mails_before(g->pipeline, g->mails);
	if (g->session.helo.n != 0)
		pipeline_helo(g->pipeline);
}

static void
on_connect(struct milter_gate *g, const struct milter_event *ev)
{
	const struct conf_listener *l = g->config->listener;
	struct account *account = g->config->side[INBOUND].account;
	struct log_line line;
	struct ip ip = ev->ip;
	g->session.client = ev->ip;
	g->session.client_port = ev->port;
	if (ip.family == 0) /* a program on the MTA's own machine */
		must(ip_parse(SLICE("127.0.0.1"), &ip));
	g->outbound_network = ip_in_nets(&ip, l->outbound_from, l->n_outbound_from);
	g->marked = account != NULL && account_is_marked(account, &ev->ip, clock_ms());
	log_begin(&line, EV_CONNECT, &g->log);
	log_ip(&line, "client", &ev->ip);
	log_number(&line, "port", ev->port);
	log_slice(&line, "listener", l->text);
	log_end(&line);
	judged_as(g, g->outbound_network ? OUTBOUND : INBOUND);
	milter_gate_say(g, MILTER_CONTINUE);
}

static void
on_helo(struct milter_gate *g, const struct milter_event *ev)
{
	g->session.helo = keep(g->helo, sizeof(g->helo), ev->name);
	if (g->pipeline != NULL)
		pipeline_helo(g->pipeline);
	milter_gate_say(g, MILTER_CONTINUE);
}

/* An account is known at MAIL only: from there on the other rules may be the ones. */
static void
on_mail(struct milter_gate *g, const struct milter_event *ev)
{
	struct slice user = macro_of(ev, SLICE("auth_authen"));
	milter_gate_mail_end(g); /* one that was refused at MAIL has no ABORT */
	g->session.user = keep(g->user, sizeof(g->user), user);
	g->session.user_unknown = !g->macros_chosen && !ev->has_macros;
	g->session.tls_unknown = !g->macros_chosen && !g->heard_macros;
	bool outbound = g->outbound_network ||
			(g->config->listener->outbound_authenticated && user.n != 0);
	judged_as(g, outbound ? OUTBOUND : INBOUND);
	milter_gate_mail(g, ev);
}

static void
on_body(struct milter_gate *g, const struct milter_event *ev)
{
	if (!g->in_mail || !needs_body(g->config->side[g->direction].policy) ||
		(g->text_lost && (g->agreed & MILTER_NR_BODY) == 0)) {
		milter_gate_say(g, MILTER_SKIP);
		return;
	}
	milter_gate_text(g, ev->value);
	milter_gate_say(g, MILTER_CONTINUE);
}

/* Answered with CONTINUE in every case: the mail was refused before, or is none of ours. */
static bool
is_out_of_turn(const struct milter_gate *g, enum milter_event_type t)
{
	bool of_mail = t == MILTER_EV_RCPT || t == MILTER_EV_DATA || t == MILTER_EV_HEADER ||
		       t == MILTER_EV_HEADER_END || t == MILTER_EV_END;
	return of_mail && !g->in_mail;
}

static void
dispatch(struct milter_gate *g, const struct milter_event *ev)
{
	switch (ev->type) {
	case MILTER_EV_CONNECT: on_connect(g, ev); break;
	case MILTER_EV_HELO: on_helo(g, ev); break;
	case MILTER_EV_MAIL: on_mail(g, ev); break;
	case MILTER_EV_RCPT: milter_gate_rcpt(g, ev); break;
	case MILTER_EV_DATA: milter_gate_data(g); break;
	case MILTER_EV_HEADER: milter_gate_header(g, ev); break;
	case MILTER_EV_BODY: on_body(g, ev); break;
	case MILTER_EV_END: milter_gate_end(g); break;
	case MILTER_EV_HEADER_END:
	case MILTER_EV_UNKNOWN: milter_gate_say(g, MILTER_CONTINUE); break;
	case MILTER_EV_ABORT: milter_gate_mail_end(g); break;
	case MILTER_EV_NEXT:
		client_end(g);
		client_begin(g);
		break;
	case MILTER_EV_NONE:
	case MILTER_EV_NEGOTIATE:
	case MILTER_EV_QUIT:
	case MILTER_EV_BAD:
	case MILTER_EVENTS: break; /* the driver's */
	}
}

void
milter_gate_event(struct milter_gate *g, const struct milter_event *ev)
{
	must(!g->waiting && !g->signing && !g->ready);
	take_macros(g, ev);
	if (ev->type != MILTER_EV_MAIL) /* it may end the mail and tell of it */
		take_queue(g, ev);
	if (is_out_of_turn(g, ev->type))
		milter_gate_say(g, MILTER_CONTINUE);
	else
		dispatch(g, ev);
	if (ev->type == MILTER_EV_MAIL)
		take_queue(g, ev);
}

bool
milter_gate_answer(struct milter_gate *g, struct milter_answer *answer_out)
{
	if (!g->ready)
		return false;
	g->ready = false;
	*answer_out = g->answer;
	return true;
}

void
milter_gate_settled(struct milter_gate *g)
{
	if (g->over)
		milter_gate_mail_end(g);
}

bool
milter_gate_in_mail(const struct milter_gate *g)
{
	return g->in_mail;
}

/* --- the driver's side */

struct question *
milter_gate_question(struct milter_gate *g, struct questions **scope_out)
{
	return g->pipeline != NULL ? pipeline_question(g->pipeline, scope_out) : NULL;
}

void
milter_gate_answered(struct milter_gate *g)
{
	if (g->waiting)
		milter_gate_step(g, pipeline_again(g->pipeline));
}

bool
milter_gate_wants_signatures(struct milter_gate *g)
{
	bool wants = g->signing && !g->signing_told;
	g->signing_told = g->signing;
	return wants;
}

const struct sign_request *
milter_gate_signs(const struct milter_gate *g, size_t *n_out)
{
	*n_out = pipeline_outcome(g->pipeline)->sets[0].n_signs;
	return pipeline_outcome(g->pipeline)->sets[0].signs;
}

struct pipeline *
milter_gate_pipeline(struct milter_gate *g)
{
	return g->pipeline;
}

const struct gate_config *
milter_gate_side(const struct milter_gate *g)
{
	return &g->config->side[g->direction];
}

void
milter_gate_clock(struct milter_gate *g, int64_t now_ms)
{
	g->session.wall_ms = now_ms;
}

const struct ip *
milter_gate_client(const struct milter_gate *g)
{
	return &g->session.client;
}
