/*
 * The blocks `inbound { ... }` and `outbound { ... }`: one rule a line, an action and its
 * condition. What facts, words and texts mean is policy's affair. Actions that take custody of
 * a mail need a spool; those that need what later issues bring are refused by name.
 */
#include <string.h>

#include "conf/habits.h"
#include "conf/parse_priv.h"

enum { RULES_MOST = 10000 };

static const double hold_ms_most = 30.0 * 86400000;

struct action_row {
	const char *words;
	enum action action;
	bool (*parse)(struct parser *p, struct rule *r); /* what may stand behind the words */
	bool spool;                                      /* refused where there is no `spool` */
	const char *later;
};

/* What the texts must look like is checked by policy, for all who make rules. */
static bool
reply_text(struct parser *p, struct rule *r)
{
	return !parse_accept(p, "with") ||
	       parse_string(
		       p, "the reply in double quotes, as in \"550 5.7.1 text\"", &r->text);
}

static bool
tag_text(struct parser *p, struct rule *r)
{
	return parse_string(p, "a header, as in \"X-Name: value\"", &r->text);
}

static bool
remove_name(struct parser *p, struct rule *r)
{
	return parse_string(p, "the header's name", &r->text);
}

static bool
sign_domain(struct parser *p, struct rule *r)
{
	return !parse_accept(p, "as") || parse_domain(p, "the domain to sign as", &r->text);
}

static bool
score_number(struct parser *p, struct rule *r)
{
	return parse_number(p, 0, "a number", &r->number);
}

static bool
rcpt_address(struct parser *p, struct rule *r)
{
	return parse_rcpt_address(p, &r->text);
}

static bool
append_texts(struct parser *p, struct rule *r)
{
	if (!parse_append_text(p, false, &r->text))
		return false;
	return !parse_accept(p, "html") || parse_append_text(p, true, &r->html);
}

static bool
log_words(struct parser *p, struct rule *r)
{
	return parse_string(p, "the text", &r->text);
}

static bool
quarantine_name(struct parser *p, struct rule *r)
{
	if (p->tok.kind != TOK_STRING && (p->tok.kind != TOK_WORD || parse_at(p, "if")))
		return true;
	return parse_string(p, "the quarantine's name or \"if\"", &r->text);
}

/* "HH:MM", of a day of 24 hours. */
static bool
clock_time(struct slice s, unsigned *minutes_out)
{
	uint64_t hours, minutes;
	if (s.n != 5 || s.p[2] != ':' || !slice_u64(slice_first(s, 2), &hours) ||
		!slice_u64(slice_from(s, 3), &minutes) || hours > 23 || minutes > 59)
		return false;
	*minutes_out = (unsigned)(hours * 60 + minutes);
	return true;
}

/* `hold for 2h`, `hold until "22:00"` */
static bool
hold_time(struct parser *p, struct rule *r)
{
	static const char *const words[] = {"for", "until"};
	int way = parse_choice(p, "\"for\" or \"until\"", words, 2);
	struct conf_at at = p->tok.at;
	struct slice text;
	unsigned minutes;
	double ms;
	if (way < 0)
		return false;
	if (way == 0) {
		if (!parse_number(p, 'd', "a duration, as in 2h", &ms))
			return false;
		if (ms < 1000 || ms > hold_ms_most)
			return parse_fail(p, at, "\"hold for\" must be 1s to 30d");
		r->hold_ms = (uint64_t)ms;
		return true;
	}
	if (!parse_string(p, "a time of the day, as in \"22:00\"", &text))
		return false;
	if (!clock_time(text, &minutes))
		return parse_fail(p, at, "\"%.*s\" is no time of the day, as in \"22:00\"",
			SLICE_ARG(slice_first(text, 80)));
	r->hold_until = minutes + 1;
	return true;
}

static bool
route_hop(struct parser *p, struct rule *r)
{
	return parse_route(p, &r->route, &r->text);
}

static const struct action_row actions[] = {
	{"accept", ACTION_ACCEPT, NULL, false, NULL},
	{"reject", ACTION_REJECT, reply_text, false, NULL},
	{"defer", ACTION_DEFER, reply_text, false, NULL},
	{"quarantine", ACTION_QUARANTINE, quarantine_name, false, NULL},
	{"discard", ACTION_DISCARD, NULL, false, NULL},
	{"hold", ACTION_HOLD, hold_time, true, NULL},
	{"route to", ACTION_ROUTE, route_hop, true, NULL},
	{"send from", ACTION_SEND_FROM, NULL, false, "it comes with the pools of addresses"},
	{"tag", ACTION_TAG, tag_text, false, NULL},
	{"remove header", ACTION_REMOVE_HEADER, remove_name, false, NULL},
	{"sign", ACTION_SIGN, sign_domain, false, NULL},
	{"redirect to", ACTION_REDIRECT, rcpt_address, false, NULL},
	{"copy to", ACTION_COPY, rcpt_address, false, NULL},
	{"append text", ACTION_APPEND, append_texts, false, NULL},
	{"notify", ACTION_NOTIFY, rcpt_address, true, NULL},
	{"score", ACTION_SCORE, score_number, false, NULL},
	{"log", ACTION_LOG, log_words, false, NULL},
};
enum { ACTIONS = sizeof(actions) / sizeof(actions[0]) };

const char *
action_text(enum action a)
{
	for (size_t i = 0; i < ACTIONS; i++)
		if (actions[i].action == a)
			return actions[i].words;
	return "";
}

static const struct action_row *
parse_action(struct parser *p)
{
	const char *names[ACTIONS + 1];
	for (size_t i = 0; i < ACTIONS; i++) {
		struct slice first, second;
		bool two = slice_cut(slice_of(actions[i].words), ' ', &first, &second);
		names[i] = arena_text(p->arena, first);
		if (!parse_at(p, names[i]))
			continue;
		if (actions[i].later != NULL) {
			parse_fail(p, p->tok.at, "\"%s\" is not there yet: %s",
				actions[i].words, actions[i].later);
			return NULL;
		}
		if (actions[i].spool)
			parse_needs_spool(p, p->tok.at, actions[i].words);
		parse_next(p);
		return !two || parse_word(p, second.p) ? &actions[i] : NULL;
	}
	names[ACTIONS] = "try";
	struct slice habit =
		p->tok.kind == TOK_WORD ? habit_of_word(p->tok.text, p->arena) : SLICE("");
	if (habit.n != 0) {
		parse_fail(p, p->tok.at, "\"%.*s\" is no action%.*s",
			SLICE_ARG(slice_first(p->tok.text, 60)), SLICE_ARG(habit));
		return NULL;
	}
	parse_expected_word(p, "an action (accept, reject, defer, ...)", names, ACTIONS + 1);
	return NULL;
}

/* What stands where the rule should end, and what may have been meant. */
static bool
expected_end(struct parser *p, const struct rule *r)
{
	static const char *const words[] = {"if", "and", "or", "with", "as", "html"};
	static const char *const units[] = {
		"K", "M", "G", "KB", "MB", "GB", "s", "m", "h", "d"};
	bool refuses = r->action == ACTION_REJECT || r->action == ACTION_DEFER;
	bool always = r->cond->kind == COND_ALWAYS;
	const char *what = always ? "\"if\" or the end of the rule"
				  : "\"and\", \"or\" or the end of the rule";
	struct slice word = p->tok.text;
	if (always && refuses && (p->tok.kind == TOK_STRING || p->tok.kind == TOK_NUMBER))
		return parse_fail(p, p->tok.at,
			"a reply stands behind \"with\": %s with \"%s text\"",
			action_text(r->action),
			r->action == ACTION_REJECT ? "550 5.7.1" : "451 4.7.1");
	if (p->tok.kind != TOK_WORD)
		return parse_expected(p, what);
	if (slice_eq(word, SLICE("unless")) || slice_eq(word, SLICE("when")))
		return parse_fail(p, p->tok.at, "expected %s, found \"%.*s\": write \"if%s\"",
			what, SLICE_ARG(word), word.p[0] == 'u' ? " not" : "");
	for (size_t i = 0; !always && i < sizeof(units) / sizeof(units[0]); i++)
		if (slice_eq(word, slice_of(units[i])))
			return parse_fail(p, p->tok.at,
				"a unit stands right behind its number, as in 25M or 10s");
	if (!always && slice_has(word, '.'))
		return parse_fail(p, p->tok.at,
			"expected %s, found \"%.*s\": strings stand in "
			"double quotes",
			what, SLICE_ARG(slice_first(word, 60)));
	return parse_expected_word(p, what, words, 6);
}

static bool
parse_rule(struct parser *p, struct rule *r)
{
	r->at = p->tok.at;
	r->try_only = parse_accept(p, "try");
	const struct action_row *row = parse_action(p);
	if (row == NULL)
		return false;
	r->action = row->action;
	if (row->parse != NULL && !row->parse(p, r))
		return false;
	r->cond = ARENA_NEW(p->arena, struct cond);
	r->cond->at = p->tok.at;
	p->terms = 0;
	if (parse_accept(p, "if") && (r->cond = parse_condition(p)) == NULL)
		return false;
	if (p->tok.kind == TOK_NEWLINE || p->tok.kind == TOK_CLOSE)
		return true;
	return expected_end(p, r);
}

static bool
parse_block(struct parser *p, struct conf_at at, struct rule_block *b)
{
	b->at = at;
	if (!parse_kind(p, TOK_OPEN, "\"{\""))
		return false;
	while (p->tok.kind != TOK_CLOSE) {
		struct rule r = {0};
		if (p->tok.kind == TOK_END)
			return parse_fail(p, at, "the block has no closing }");
		if (p->tok.kind == TOK_NEWLINE) {
			parse_next(p);
			continue;
		}
		if (b->n_rules == RULES_MOST)
			return parse_fail(
				p, p->tok.at, "a block has at most %d rules", RULES_MOST);
		if (!parse_rule(p, &r)) {
			if (!parse_recover_in_block(p))
				return parse_fail(p, at, "the block has no closing }");
			continue;
		}
		b->rules = parse_room(p, b->rules, b->n_rules, sizeof(r));
		b->rules[b->n_rules++] = r;
	}
	parse_next(p);
	return true;
}

bool
parse_inbound(struct parser *p, struct conf_at at, void *target)
{
	return parse_block(p, at, &((struct conf *)target)->inbound);
}

bool
parse_outbound(struct parser *p, struct conf_at at, void *target)
{
	return parse_block(p, at, &((struct conf *)target)->outbound);
}
