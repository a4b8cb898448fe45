/*
 * Conditions of rules, as a tree (POLICY.md, "Facts" and "Three values"):
 *
 *     condition := all { "or" all }            all := term { "and" term }
 *     term      := "not" term | "(" condition ")" | "any" LIST "{" condition "}" | test
 *     test      := [ "every" ] FACT [ ARGUMENT ] [ comparison ] | limit
 *     limit     := ( "rate" | "quota" ) KEY ">" N [ "recipients" ] "/" SPAN
 *     comparison := "is" [ "not" ] V | [ "not" ] ( "in" | "matches" | "contains" ) V | < <= >
 * >= V
 *
 * Depth and number of terms are bounded: policy walks this tree by recursion.
 */
#include <string.h>

#include "conf/parse_priv.h"
#include "conf/words.h"

enum { DEPTH_MOST = 64, TERMS_MOST = 500, OPERAND_ITEMS_MOST = 10000 };

static struct cond *parse_or(struct parser *p, unsigned depth);
static bool parse_item(struct parser *p, bool in_set, struct operand *out);

static struct cond *
new_cond(struct parser *p, enum cond_kind kind, struct conf_at at)
{
	struct cond *c = ARENA_NEW(p->arena, struct cond);
	c->kind = kind;
	c->at = at;
	return c;
}

static struct cond *
negated(struct parser *p, struct cond *c)
{
	struct cond *n = new_cond(p, COND_NOT, c->at);
	n->a = c;
	return n;
}

static const char *const joints[] = {
	"is", "in", "matches", "contains", "not", "and", "or", "if"};
enum { JOINTS = sizeof(joints) / sizeof(joints[0]) };

static bool
at_joint(const struct parser *p)
{
	for (size_t i = 0; i < JOINTS; i++)
		if (parse_at(p, joints[i]))
			return true;
	return false;
}

static bool
add_operand(struct parser *p, void *arg)
{
	struct operand *set = arg, item;
	if (set->n_items == OPERAND_ITEMS_MOST)
		return parse_fail(p, p->tok.at,
			"a set in a rule holds at most %d items: use a table",
			OPERAND_ITEMS_MOST);
	if (p->tok.kind == TOK_OPEN)
		return parse_fail(p, p->tok.at, "a set holds no sets");
	if (!parse_item(p, true, &item))
		return false;
	set->items = parse_room(p, set->items, set->n_items, sizeof(item));
	set->items[set->n_items++] = item;
	return true;
}

static bool
parse_item(struct parser *p, bool in_set, struct operand *out)
{
	struct token tok = p->tok;
	*out = (struct operand){.at = tok.at,
		.text = tok.text,
		.number = tok.number,
		.unit = tok.unit,
		.span_ms = tok.span_ms};
	if (tok.kind == TOK_OPEN) {
		out->kind = OPERAND_SET;
		out->text = SLICE_NONE;
		if (!parse_set(p, "a set", add_operand, out))
			return false;
		return out->n_items != 0 || parse_fail(p, tok.at, "the set is empty");
	}
	if (tok.kind == TOK_STRING || tok.kind == TOK_NET)
		out->kind = OPERAND_STRING;
	else if (tok.kind == TOK_NUMBER)
		out->kind = OPERAND_NUMBER;
	else if (tok.kind == TOK_RATE)
		out->kind = OPERAND_RATE;
	else if (tok.kind == TOK_WORD && !at_joint(p))
		out->kind = OPERAND_WORD;
	else if (tok.kind == TOK_REGEX)
		return parse_fail(p, tok.at,
			"a regular expression has a name: declare pattern NAME /.../, and "
			"write "
			"matches NAME here");
	else
		return parse_expected(p, "a value (a string, a number, a word or a set)");
	parse_next(p);
	/* dnsbl "zone": but inside a set the next string is the next item. */
	if (out->kind == OPERAND_WORD && !in_set && p->tok.kind == TOK_STRING) {
		out->kind = OPERAND_WORD_ARG;
		out->arg = p->tok.text;
		parse_next(p);
	}
	return true;
}

static bool
parse_operand(struct parser *p, struct operand *out)
{
	return parse_item(p, false, out);
}

static bool
parse_number_operand(struct parser *p, struct operand *out)
{
	if (p->tok.kind != TOK_NUMBER && p->tok.kind != TOK_RATE)
		return parse_expected(p, "a number, size, duration or rate");
	return parse_operand(p, out);
}

/* `is in`, `is not in`: one operator is enough. */
static bool
no_second_operator(struct parser *p, bool turned)
{
	static const char *const words[] = {"in", "matches", "contains"};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (parse_at(p, words[i]))
			return parse_fail(p, p->tok.at,
				"\"is%s\" and \"%s\" are two operators: write \"%s%s\" alone",
				turned ? " not" : "", words[i], turned ? "not " : "", words[i]);
	return true;
}

/* What stands behind the fact. *not_out: the test is turned round. */
static bool
parse_comparison(struct parser *p, struct cond *c, bool *not_out)
{
	static const struct {
		enum token_kind kind;
		enum cond_op op;
	} signs[] = {
		{TOK_LT, OP_LT},
		{TOK_LE, OP_LE},
		{TOK_GT, OP_GT},
		{TOK_GE, OP_GE},
	};
	static const char *const words[] = {"in", "matches", "contains"};
	static const enum cond_op ops[] = {OP_IN, OP_MATCHES, OP_CONTAINS};
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
		if (!parse_accept_kind(p, signs[i].kind))
			continue;
		c->op = signs[i].op;
		return parse_number_operand(p, &c->value);
	}
	if (parse_accept(p, "is")) {
		c->op = OP_IS;
		*not_out = parse_accept(p, "not");
		return no_second_operator(p, *not_out) && parse_operand(p, &c->value);
	}
	*not_out = parse_accept(p, "not");
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!parse_accept(p, words[i]))
			continue;
		c->op = ops[i];
		return parse_operand(p, &c->value);
	}
	if (*not_out)
		return parse_expected_word(p,
			"\"in\", \"matches\" or \"contains\" (or \"is not\" in place of "
			"\"not\")",
			words, 3);
	c->op = OP_TRUE;
	return true;
}

/* header "X", rate user: a string, or a word that is no part of what follows. */
static bool
parse_argument(struct parser *p, struct operand *arg)
{
	if (p->tok.kind != TOK_STRING && (p->tok.kind != TOK_WORD || at_joint(p)))
		return true;
	/* `virus adn spam`: a slip in a joint would otherwise be an argument. */
	const char *meant = p->tok.kind == TOK_WORD && p->tok.text.n >= 3
				    ? words_nearest(p->tok.text, joints, JOINTS)
				    : NULL;
	if (meant != NULL)
		return parse_fail(p, p->tok.at,
			"\"%.*s\" is no word of a condition (did you mean \"%s\"?)",
			SLICE_ARG(p->tok.text), meant);
	*arg = (struct operand){
		.kind = p->tok.kind == TOK_STRING ? OPERAND_STRING : OPERAND_WORD,
		.at = p->tok.at,
		.text = p->tok.text};
	parse_next(p);
	return true;
}

/* --- limits: rate user > 200/hour, quota client > 1000 recipients/month */

/* What is said where "> 200/hour" is not what stands there. */
static bool
limit_wants(struct parser *p, const struct limit *l)
{
	const char *fact = l->quota ? "quota" : "rate", *key = limit_key_text(l->key);
	const char *count = l->quota ? "50000/month" : "200/hour";
	if (p->tok.kind == TOK_BAD)
		return false;
	return parse_fail(p, p->tok.at,
		"\"%s %s\" is over a limit or not: write \"%s %s > %s\", not %.*s", fact, key,
		fact, key, count, SLICE_ARG(token_describe(&p->tok, p->arena)));
}

static bool
parse_limit_count(struct parser *p, struct limit *l)
{
	bool whole = p->tok.number >= 1 && p->tok.number <= LIMIT_MOST && p->tok.unit == 0;
	l->n = whole ? (uint64_t)p->tok.number : 0;
	if (whole && (double)l->n >= p->tok.number)
		return true;
	return parse_fail(p, p->tok.at, "a limit is a whole number from 1 to %d", LIMIT_MOST);
}

static bool
parse_limit_span(struct parser *p, struct limit *l, struct slice word)
{
	if (!limit_span_find(word, &l->span))
		return parse_fail(p, p->tok.at, "\"%.*s\" is no span of a limit: %s",
			SLICE_ARG(word),
			l->quota ? "day, week or month" : "second, minute, hour or day");
	if (limit_span_fits(l->quota, l->span))
		return true;
	return parse_fail(p, p->tok.at,
		l->quota ? "a quota counts by calendar day, week or month: for a%s %s write "
			   "\"rate\""
			 : "a rate has second, minute, hour or day: for a%s calendar %s write "
			   "\"quota\"",
		l->span == SPAN_HOUR ? "n" : "", limit_span_text(l->span));
}

/* 200/hour, or 200 recipients/hour */
static bool
parse_limit_size(struct parser *p, struct limit *l)
{
	struct slice word, span;
	if (p->tok.kind != TOK_RATE && p->tok.kind != TOK_NUMBER)
		return limit_wants(p, l);
	if (!parse_limit_count(p, l))
		return false;
	l->recipients = p->tok.kind == TOK_NUMBER;
	if (l->recipients)
		parse_next(p);
	slice_cut(p->tok.text, '/', &word, &span);
	if (l->recipients && !(p->tok.kind == TOK_PER && slice_eq(word, SLICE("recipients"))))
		return parse_expected(
			p, l->quota ? "\"/month\" or \"recipients/month\" behind the number"
				    : "\"/hour\" or \"recipients/hour\" behind the number");
	if (!parse_limit_span(p, l, span))
		return false;
	parse_next(p);
	return true;
}

static struct cond *
parse_limit(struct parser *p, struct cond *c)
{
	const char *names[LIMIT_KEYS];
	struct limit *l = ARENA_NEW(p->arena, struct limit);
	l->quota = slice_eq(c->fact, SLICE("quota"));
	for (unsigned i = 0; i < LIMIT_KEYS; i++)
		names[i] = limit_key_text((enum limit_key)i);
	int key = parse_choice(p,
		"what is counted: user, client, sender, sender.domain, recipient or "
		"recipient.domain",
		names, LIMIT_KEYS);
	if (key < 0)
		return NULL;
	l->key = (enum limit_key)key;
	if (p->tok.kind != TOK_GT) {
		limit_wants(p, l);
		return NULL;
	}
	parse_next(p);
	if (!parse_limit_size(p, l))
		return NULL;
	if (c->every) {
		parse_fail(p, c->at, "\"every\" wants a list, and a limit is none");
		return NULL;
	}
	c->limit = l;
	return c;
}

static bool
is_limit(const struct cond *c)
{
	return slice_eq(c->fact, SLICE("rate")) || slice_eq(c->fact, SLICE("quota"));
}

static struct cond *
parse_test(struct parser *p)
{
	struct cond *c = new_cond(p, COND_TEST, p->tok.at);
	bool turned = false;
	c->every = parse_accept(p, "every");
	if (p->tok.kind != TOK_WORD || at_joint(p)) {
		parse_expected(p, "a fact (`postern facts` lists them)");
		return NULL;
	}
	c->fact = p->tok.text;
	parse_next(p);
	if (is_limit(c)) {
		parse_needs_spool(p, c->at, arena_text(p->arena, c->fact));
		return parse_limit(p, c);
	}
	if (slice_eq(c->fact, SLICE("greylisted")))
		parse_needs_spool(p, c->at, "greylisted");
	if (!parse_argument(p, &c->arg) || !parse_comparison(p, c, &turned))
		return NULL;
	if (c->every && c->op == OP_TRUE) {
		parse_fail(p, c->at, "\"every\" needs a comparison");
		return NULL;
	}
	return turned ? negated(p, c) : c;
}

static struct cond *
parse_any(struct parser *p, struct conf_at at, unsigned depth)
{
	struct cond *c = new_cond(p, COND_ANY, at);
	if (p->tok.kind != TOK_WORD) {
		parse_expected(p, "the name of a list, as in `any attachment { ... }`");
		return NULL;
	}
	c->fact = p->tok.text;
	parse_next(p);
	if (p->tok.kind != TOK_OPEN) {
		parse_expected(p, "\"{\"");
		return NULL;
	}
	p->nested++;
	parse_next(p);
	c->a = parse_or(p, depth + 1);
	if (c->a == NULL)
		return NULL;
	p->nested--;
	return parse_kind(p, TOK_CLOSE, "\"}\"") ? c : NULL;
}

static struct cond *
parse_term(struct parser *p, unsigned depth)
{
	struct conf_at at = p->tok.at;
	if (depth > DEPTH_MOST || ++p->terms > TERMS_MOST) {
		parse_fail(p, at, "the condition is too large: at most %d terms, %d deep",
			TERMS_MOST, DEPTH_MOST);
		return NULL;
	}
	if (parse_accept(p, "not")) {
		struct cond *c = parse_term(p, depth + 1);
		if (c == NULL)
			return NULL;
		struct cond *n = negated(p, c);
		n->at = at;
		return n;
	}
	if (parse_accept(p, "any"))
		return parse_any(p, at, depth);
	if (p->tok.kind != TOK_LEFT)
		return parse_test(p);
	p->nested++;
	parse_next(p);
	struct cond *c = parse_or(p, depth + 1);
	if (c == NULL)
		return NULL;
	p->nested--;
	if (p->tok.kind != TOK_RIGHT) {
		parse_fail(p, at, "this ( has no closing )");
		return NULL;
	}
	parse_next(p);
	return c;
}

static struct cond *
joined(struct parser *p, enum cond_kind kind, struct cond *a, struct cond *b, struct conf_at at)
{
	struct cond *c = new_cond(p, kind, at);
	c->a = a;
	c->b = b;
	return c;
}

static struct cond *
parse_and(struct parser *p, unsigned depth)
{
	struct cond *c = parse_term(p, depth);
	for (;;) {
		struct conf_at at = p->tok.at;
		if (c == NULL || !parse_accept(p, "and"))
			return c;
		struct cond *b = parse_term(p, depth);
		c = b != NULL ? joined(p, COND_AND, c, b, at) : NULL;
	}
}

static struct cond *
parse_or(struct parser *p, unsigned depth)
{
	struct cond *c = parse_and(p, depth);
	for (;;) {
		struct conf_at at = p->tok.at;
		if (c == NULL || !parse_accept(p, "or"))
			return c;
		struct cond *b = parse_and(p, depth);
		c = b != NULL ? joined(p, COND_OR, c, b, at) : NULL;
	}
}

struct cond *
parse_condition(struct parser *p)
{
	return parse_or(p, 0);
}
