/*
 * `postern explain`: one mail through the rules, stage by stage as a session would judge it,
 * and why: each rule with what its condition came to, each fact with its evidence, the
 * decision. The DNS is asked live, or answered from a file. Nothing is sent; call-outs and
 * scans are answered as --known and --scan say, and fail otherwise. Limits and the greylist are
 * not asked, since that would count the mail: none is used up and the sender is known, or as
 * --state says. What the site has taught the spam filter is read from the spool.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "conf/file.h"
#include "main/answers.h"
#include "main/generation.h"
#include "main/mail_look.h"
#include "main/tool.h"
#include "policy/explain.h"
#include "session/bounces.h"
#include "session/modes.h"
#include "session/refusal.h"

enum { RECIPIENTS_MOST = 100, LOOKUPS_MOST = 200, MAIL_ARENA = 16 << 20, ROUNDS_MOST = 1000 };

struct explain {
	const struct tool *tool;
	struct arena *arena; /* what the command line and the mail become */
	struct arena *eval;
	const struct conf *conf;
	const struct policy *policy;
	enum direction direction;
	struct answers *answers;
	struct mail_look *look; /* where the rules ask the spam filter: what the site taught */
	struct facts *facts;
	struct flt_session session;
	struct flt_mail mail;
	struct flt_recipient recipients[RECIPIENTS_MOST];
	struct message message;
	/* of the command line */
	const char *path, *dns, *known, *scan, *state, *client, *helo, *from, *user;
	const char *to[RECIPIENTS_MOST];
	size_t n_to;
	struct answers_lookup lookups[LOOKUPS_MOST];
	size_t n_lookups;
	struct neighbour_verdict neighbours[NEIGHBOURS];
	const char *rspamd[2], *spamassassin; /* the score, the action */
	bool outbound, tls;
};

static const char usage[] =
	"explain [--inbound | --outbound] --client ADDRESS [--helo NAME] [--tls] [--user "
	"NAME]\n"
	"           [--from ADDRESS] --to ADDRESS ... [--dns FILE] [--known yes | no]\n"
	"           [--scan clean | VIRUS] [--lookup TABLE VALUE yes | no ...]\n"
	"           [--state free | used] [--rspamd SCORE ACTION]\n"
	"           [--spamassassin SCORE] FILE";

/* The value of an option that takes one, or NULL. */
static const char **
valued(struct explain *e, const char *name)
{
	const struct {
		const char *name, **place;
	} options[] = {
		{"--client", &e->client},
		{"--helo", &e->helo},
		{"--from", &e->from},
		{"--user", &e->user},
		{"--dns", &e->dns},
		{"--known", &e->known},
		{"--scan", &e->scan},
		{"--state", &e->state},
		{"--spamassassin", &e->spamassassin},
	};
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (strcmp(options[i].name, name) == 0)
			return options[i].place;
	if (strcmp(name, "--to") == 0 && e->n_to < RECIPIENTS_MOST)
		return &e->to[e->n_to++];
	return NULL;
}

static bool
is_yes_or_no(const char *word)
{
	return strcmp(word, "yes") == 0 || strcmp(word, "no") == 0;
}

/* --lookup and its three words, n of which are there. */
static bool
read_lookup(struct explain *e, int n, char *const words[])
{
	if (n < 4 || e->n_lookups == LOOKUPS_MOST || !is_yes_or_no(words[3]))
		return false;
	e->lookups[e->n_lookups++] =
		(struct answers_lookup){words[1], words[2], strcmp(words[3], "yes") == 0};
	return true;
}

/* --rspamd and its two words. */
static bool
read_rspamd(struct explain *e, int n, char *const words[])
{
	if (n < 3)
		return false;
	e->rspamd[0] = words[1];
	e->rspamd[1] = words[2];
	return true;
}

/* A score as the caller says it, or a failure that says how to. */
static bool
read_score(const char *score, const char *option, struct neighbour_verdict *v)
{
	*v = (struct neighbour_verdict){.failed = score == NULL, .why = slice_of(option)};
	return score == NULL || neighbour_number(slice_of(score), &v->score);
}

static bool
read_neighbours(struct explain *e)
{
	struct neighbour_verdict *rspamd = &e->neighbours[NEIGHBOUR_RSPAMD];
	struct neighbour_verdict *spamd = &e->neighbours[NEIGHBOUR_SPAMD];
	if (!read_score(e->rspamd[0],
		    e->rspamd[0] != NULL ? "--rspamd"
					 : "nobody was asked; say --rspamd SCORE ACTION",
		    rspamd) ||
		!read_score(e->spamassassin,
			e->spamassassin != NULL ? "--spamassassin"
						: "nobody was asked; say --spamassassin SCORE",
			spamd))
		return false;
	rspamd->action = slice_of(e->rspamd[1]);
	return true;
}

static bool
read_options(struct explain *e, int n, char *const words[])
{
	for (int i = 0; i < n; i++) {
		if (strcmp(words[i], "--lookup") == 0) {
			if (!read_lookup(e, n - i, &words[i]))
				return false;
			i += 3;
			continue;
		}
		if (strcmp(words[i], "--rspamd") == 0) {
			if (!read_rspamd(e, n - i, &words[i]))
				return false;
			i += 2;
			continue;
		}
		const char **place = valued(e, words[i]);
		if (place != NULL && i + 1 < n)
			*place = words[++i];
		else if (strcmp(words[i], "--outbound") == 0)
			e->outbound = true;
		else if (strcmp(words[i], "--tls") == 0)
			e->tls = true;
		else if (place == NULL && words[i][0] != '-' && e->path == NULL)
			e->path = words[i];
		else if (strcmp(words[i], "--inbound") != 0)
			return false;
	}
	bool known = e->known == NULL || is_yes_or_no(e->known);
	bool state = e->state == NULL || strcmp(e->state, "free") == 0 ||
		     strcmp(e->state, "used") == 0;
	return e->path != NULL && e->client != NULL && e->n_to != 0 && known && state &&
	       read_neighbours(e);
}

static int
read_address(struct explain *e, const char *text, struct address *out, struct err *err)
{
	enum address_error wrong = address_parse(slice_of(text), true, e->arena, out);
	if (wrong != ADDRESS_OK)
		return err_set(
			err, "\"%s\" is no address: %s", text, address_error_text(wrong));
	return 0;
}

static int
read_envelope(struct explain *e, struct err *err)
{
	if (!ip_parse(slice_of(e->client), &e->session.client))
		return err_set(err, "\"%s\" is no IP address", e->client);
	e->session.direction = e->direction;
	e->session.helo = slice_of(e->helo);
	e->session.esmtp = true;
	e->session.user = slice_of(e->user);
	e->session.tls_version = e->tls ? SLICE("TLSv1.3") : SLICE_NONE;
	e->session.wall_ms = clock_wall_ms();
	e->mail.sender.is_null = true;
	if (e->from != NULL && e->from[0] != '\0' && strcmp(e->from, "<>") != 0 &&
		read_address(e, e->from, &e->mail.sender, err) < 0)
		return -1;
	e->mail.recipients = e->recipients;
	e->mail.params.smtputf8 = true;
	for (size_t i = 0; i < e->n_to; i++) {
		struct flt_recipient *r = &e->recipients[i];
		if (read_address(e, e->to[i], &r->address, err) < 0)
			return -1;
		r->tagged = bounces_untag(e->conf, e->session.wall_ms, e->arena, &r->address);
		r->domain = conf_domain_find(e->conf, r->address.domain);
	}
	return 0;
}

/* A file has the line ends of its system; on the wire they are CRLF. */
static struct slice
with_crlf(struct slice text, struct arena *a)
{
	char *out = arena_alloc(a, 2 * text.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\n' && (i == 0 || text.p[i - 1] != '\r'))
			out[n++] = '\r';
		out[n++] = text.p[i];
	}
	return (struct slice){out, n};
}

static enum fact_state
known_fact(void *arg, const struct fact_ref *ref, enum fact_cost most, struct value *v_out)
{
	const struct {
		struct facts *facts;
		size_t rcpt;
	} *at = arg;
	(void)most;
	return facts_read_use(at->facts, ref, at->rcpt, COST_DEAR, v_out);
}

static const struct conf_listener *
listener_under(const struct explain *e, enum conf_mode mode)
{
	for (size_t i = 0; i < e->conf->n_listeners; i++) {
		const struct conf_listener *l = &e->conf->listeners[i];
		if (l->mode == mode && conf_listener_judges(l, e->direction == OUTBOUND))
			return l;
	}
	return NULL;
}

/* What becomes of the verdict where a listener's rules do not hold; nothing: the same. */
static void
print_mode(struct explain *e, size_t i, enum conf_mode mode, const struct verdict *v)
{
	struct verdict then = *v;
	FILE *f = e->tool->out;
	const struct conf_listener *l = listener_under(e, mode);
	if (l != NULL)
		modes_apply(mode, e->policy, e->eval, &then);
	if (then.mode == VERDICT_HOLDS)
		return;
	fprintf(f, "mode %s of the listener %s:%u: %s", conf_mode_text(mode), l->at.file,
		l->at.line, action_text(then.action));
	if (then.action == ACTION_DEFER) {
		struct smtp_reply r = modes_reply(
			mode, refusal_reply(&then, e->facts, i, "explain", e->eval));
		fprintf(f, ", \"%.*s\"", SLICE_ARG(smtp_reply_line(&r, e->eval)));
	} else {
		fprintf(f, ", with %s", MODES_FIELD);
	}
	for (size_t k = 0; k < then.n_effects; k++)
		fprintf(f, ", %s by %s:%u", action_text(then.effects[k]->action),
			then.effects[k]->at.file, then.effects[k]->at.line);
	fputc('\n', f);
}

static void
print_verdict(struct explain *e, size_t i, const char *stage, const struct verdict *v)
{
	struct {
		struct facts *facts;
		size_t rcpt;
	} at = {e->facts, i};
	struct fact_source source = {known_fact, &at};
	fprintf(e->tool->out, "recipient %.*s, at %s:\n",
		SLICE_ARG(e->recipients[i].address.text), stage);
	tool_print(e->tool->out, policy_explain(e->policy, v, source, e->eval));
	print_mode(e, i, MODE_OBSERVE, v);
	print_mode(e, i, MODE_SOFT, v);
}

/* All questions that this stage can ask are asked. True: refused, and said so. */
static bool
judge(struct explain *e, size_t i, const char *stage, bool last)
{
	const struct flt_recipient *r = &e->recipients[i];
	struct policy_subject subject = {
		.postmaster = r->domain != NULL &&
			      (slice_eq_nocase(r->address.local, SLICE("postmaster")) ||
				      slice_eq_nocase(r->address.local, SLICE("abuse")))};
	struct verdict v;
	for (unsigned round = 0; round < ROUNDS_MOST; round++) {
		arena_reset(e->eval);
		facts_eval(e->facts, i, &subject, e->eval, &v);
		if (v.decided || !v.waits || !answers_give(e->answers, e->facts))
			break;
	}
	bool refused = v.decided && (v.action == ACTION_REJECT || v.action == ACTION_DEFER);
	if (refused || last)
		print_verdict(e, i, stage, &v);
	return refused;
}

/* The recipients that are left after RCPT TO; those refused are printed. */
static size_t
judge_recipients(struct explain *e)
{
	size_t left = 0;
	for (size_t i = 0; i < e->n_to; i++) {
		struct flt_recipient *r = &e->recipients[left];
		*r = e->recipients[i];
		if (e->direction == INBOUND && r->domain == NULL) {
			fprintf(e->tool->out,
				"recipient %.*s, at rcpt:\ndecision: reject, built in: "
				"its domain is not declared\n",
				SLICE_ARG(r->address.text));
			continue;
		}
		must(facts_rcpt(e->facts, r) == left);
		if (judge(e, left, "rcpt", false))
			facts_rcpt_drop(e->facts);
		else
			e->mail.n_recipients = ++left;
	}
	return left;
}

static bool
judge_all(struct explain *e, const char *stage, bool last)
{
	bool refused = false;
	for (size_t i = 0; i < e->mail.n_recipients; i++)
		refused = judge(e, i, stage, last) || refused;
	return refused;
}

static void
judge_body(struct explain *e, struct slice text, const struct conf_listener *l)
{
	size_t header = message_header_end(text, 0);
	struct slice head = header != 0 ? slice_first(text, header) : text;
	message_parse(head, e->conf->hostname, true, e->arena, &e->message);
	e->mail.message = &e->message;
	e->mail.bytes = text.n;
	facts_header(e->facts);
	facts_body(e->facts, slice_from(text, head.n));
	facts_body_end(e->facts);
	struct smtp_reply refusal = message_refusal(&e->message, e->direction == OUTBOUND,
		(unsigned)e->conf->limits.received, e->arena);
	if (refusal.code != 0 && (l == NULL || l->header_rules))
		fprintf(e->tool->out, "decision: reject, built in: %u %.*s\n", refusal.code,
			SLICE_ARG(refusal.text));
	else
		judge_all(e, "body", true);
}

static const struct conf_listener *
listener_of(const struct conf *c, enum direction d)
{
	for (size_t i = 0; i < c->n_listeners; i++)
		if (conf_listener_judges(&c->listeners[i], d == OUTBOUND))
			return &c->listeners[i];
	return NULL;
}

static int
open_answers(struct explain *e, struct err *err)
{
	struct answers_config config = {.conf = e->conf,
		.dns_file = e->dns,
		.known = KNOWN_FAILED,
		.known_text = "nobody was asked; say --known yes or no",
		.lookups = e->lookups,
		.n_lookups = e->n_lookups,
		.scan = {.status = SCAN_FAILED,
			.why = SLICE("nothing was scanned; say --scan")}};
	if (e->known != NULL) {
		config.known = strcmp(e->known, "yes") == 0 ? KNOWN_YES : KNOWN_NO;
		config.known_text = "as --known says";
	}
	memcpy(config.neighbours, e->neighbours, sizeof(config.neighbours));
	config.state_used = e->state != NULL && strcmp(e->state, "used") == 0;
	if (e->scan != NULL && strcmp(e->scan, "clean") == 0)
		config.scan = (struct scan_report){.status = SCAN_CLEAN};
	else if (e->scan != NULL)
		config.scan = (struct scan_report){
			.status = SCAN_INFECTED, .virus = slice_of(e->scan)};
	e->answers = answers_new(&config, err);
	return e->answers != NULL ? 0 : -1;
}

static bool
asks_spam(const struct policy *p)
{
	return policy_uses(p, "spam") || policy_uses(p, "spam.domain") ||
	       policy_uses(p, "spam.why");
}

/* What the gateway has learned so far; one that cannot be read is told, and left out. */
static void
read_models(struct explain *e)
{
	const struct slice spool = e->conf->spool;
	struct err err = {0};
	if (spool.n == 0 || !asks_spam(e->policy))
		return;
	e->look = mail_look_new(e->conf->hostname);
	int result = mail_look_models(e->look, spool, SLICE_NONE, &err);
	const struct conf_filter *set = conf_filter_find(e->conf, "spam");
	for (size_t i = 0; set != NULL && i < set->n_models && result == 0; i++)
		for (size_t k = 0; k < e->n_to && result == 0; k++)
			if (slice_eq(set->models[i].domain, e->recipients[k].address.domain))
				result = mail_look_models(
					e->look, spool, set->models[i].domain, &err);
	if (result < 0 && err.code != ENOENT)
		fprintf(e->tool->out, "what was taught is left out: %s\n", err.text);
	e->session.spam = mail_look_shared(e->look);
}

static int
explain(struct explain *e, struct err *err)
{
	struct slice text;
	if (read_envelope(e, err) < 0 || open_answers(e, err) < 0)
		return -1;
	size_t most = (size_t)e->conf->limits.mail_bytes;
	struct arena *a = arena_new(3 * most + (1 << 20));
	int result = file_read(e->path, most, a, &text, err);
	if (result == 0) {
		text = with_crlf(text, a);
		read_models(e);
		answers_mail(e->answers, text);
		e->facts = facts_new(e->conf, e->policy, &e->session);
		facts_helo(e->facts);
		facts_mail(e->facts, &e->mail);
		if (judge_recipients(e) != 0) {
			facts_data(e->facts);
			if (!judge_all(e, "data", false))
				judge_body(e, text, listener_of(e->conf, e->direction));
		}
		if (answers_state_assumed(e->answers))
			fprintf(e->tool->out, "%s\n",
				e->state == NULL
					? "assumed: no limit is used up and the sender is "
					  "known; --state used says the opposite"
				: strcmp(e->state, "free") == 0
					? "as --state says: no limit is used up and the "
					  "sender is known"
					: "as --state says: every limit is used up and the "
					  "sender is not known");
		fprintf(e->tool->out, "DNS questions: %u\n", answers_dns_count(e->answers));
		facts_mail_end(e->facts);
		facts_free(&e->facts);
	}
	arena_free(&a);
	return result;
}

int
tool_explain(const struct tool *t, int n, char *const words[])
{
	struct explain *e = MEM_NEW(struct explain);
	struct conf_report report;
	struct err err;
	int status = 1;
	e->tool = t;
	if (!read_options(e, n, words)) {
		mem_free(e);
		return tool_usage(t, usage);
	}
	e->arena = arena_new(MAIL_ARENA);
	e->eval = arena_new(MAIL_ARENA);
	e->direction = e->outbound ? OUTBOUND : INBOUND;
	conf_report_init(&report);
	struct generation *g = generation_read(t->config, &report);
	if (g == NULL) {
		tool_print(t->err, conf_report_text(&report, e->arena));
	} else if (g->policy[e->direction] == NULL) {
		fprintf(t->err, "postern: %s has no %s listener\n", t->config,
			e->outbound ? "outbound" : "inbound");
	} else {
		e->conf = g->conf;
		e->policy = g->policy[e->direction];
		status = explain(e, &err) == 0 ? 0 : 1;
		if (status != 0)
			fprintf(t->err, "postern: %s\n", err.text);
	}
	mail_look_free(&e->look);
	answers_free(&e->answers);
	if (g != NULL)
		generation_free(&g, NULL);
	conf_report_fini(&report);
	arena_free(&e->eval);
	arena_free(&e->arena);
	mem_free(e);
	return status;
}
