/*
 * The blocks `inbound { ... }` and `outbound { ... }`: one rule a line, an action and its
 * condition. What facts, words and texts mean is policy's affair. Actions that take custody of
 * a mail, or need what later issues bring, are refused by name.
 */
#include <string.h>

#include "conf/parse_priv.h"

enum { RULES_MOST = 10000 };

struct action_row {
	const char *words;
	enum action action;
	bool (*parse)(struct parser *p, struct rule *r); /* what may stand behind the words */
	const char *later;
};

/* What the texts must look like is checked by policy, for all who make rules. */
static bool
reply_text(struct parser *p, struct rule *r)
{
	return !parse_accept(p, "with") ||
	       parse_string(p, "the reply, as in \"550 5.7.1 text\"", &r->text);
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
	struct conf_at at = p->tok.at;
	struct slice text;
	struct address address;
	if (!parse_string(p, "an address, as in \"archive@example.com\"", &text))
		return false;
	if (address_parse(text, true, p->arena, &address) != ADDRESS_OK)
		return parse_fail(p, at,
			"\"%.*s\" is no address, as in \"archive@example.com\"",
			SLICE_ARG(slice_first(text, 80)));
	r->text = arena_slice(p->arena, address.text);
	return true;
}

static bool
log_words(struct parser *p, struct rule *r)
{
	return parse_string(p, "the text", &r->text);
}

static const struct action_row actions[] = {
	{"accept", ACTION_ACCEPT, NULL, NULL},
	{"reject", ACTION_REJECT, reply_text, NULL},
	{"defer", ACTION_DEFER, reply_text, NULL},
	{"quarantine", ACTION_QUARANTINE, NULL, "it needs the spool"},
	{"discard", ACTION_DISCARD, NULL, NULL},
	{"hold", ACTION_HOLD, NULL, "it needs the spool"},
	{"route to", ACTION_ROUTE, NULL, "it comes with the routes of the delivery"},
	{"send from", ACTION_SEND_FROM, NULL, "it comes with the pools of addresses"},
	{"tag", ACTION_TAG, tag_text, NULL},
	{"remove header", ACTION_REMOVE_HEADER, remove_name, NULL},
	{"sign", ACTION_SIGN, sign_domain, NULL},
	{"redirect to", ACTION_REDIRECT, rcpt_address, NULL},
	{"copy to", ACTION_COPY, rcpt_address, NULL},
	{"score", ACTION_SCORE, score_number, NULL},
	{"log", ACTION_LOG, log_words, NULL},
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
		parse_next(p);
		return !two || parse_word(p, second.p) ? &actions[i] : NULL;
	}
	names[ACTIONS] = "try";
	parse_expected_word(p, "an action (accept, reject, defer, ...)", names, ACTIONS + 1);
	return NULL;
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
	static const char *const words[] = {"if", "and", "or", "with", "as"};
	return parse_expected_word(p,
		r->cond->kind == COND_ALWAYS ? "\"if\" or the end of the rule"
					     : "\"and\", \"or\" or the end of the rule",
		words, 5);
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
