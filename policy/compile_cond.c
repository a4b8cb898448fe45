/*
 * Conditions as written become nodes: facts are found by phrase or by name, `not` moves down to
 * the tests (De Morgan), chains of `and` and `or` become one node, and each use of a fact gets
 * its place in the policy's list. See logic.h for why no `not` is left above a test.
 */
#include <string.h>

#include "conf/habits.h"
#include "conf/words.h"
#include "policy/policy_priv.h"

/* Where a condition stands: under how many parentheses, in which `any LIST { }`. */
struct place {
	unsigned depth;
	bool negated;
	struct slice list; /* empty: none */
};

static const char *
op_word(enum cond_op op)
{
	switch (op) {
	case OP_IS: return "is";
	case OP_IN: return "in";
	case OP_MATCHES: return "matches";
	case OP_CONTAINS: return "contains";
	case OP_LT: return "<";
	case OP_LE: return "<=";
	case OP_GT: return ">";
	case OP_GE: return ">=";
	case OP_TRUE: break;
	}
	return "";
}

static uint16_t
add_node(struct compile *c, struct node node)
{
	struct policy *p = c->policy;
	p->nodes = compile_room(c, p->nodes, p->n_nodes, &p->room_nodes, sizeof(*p->nodes));
	p->nodes[p->n_nodes] = node;
	return (uint16_t)p->n_nodes++;
}

/* --- finding facts */

enum { NAMES_MOST = 600 };

static size_t
known_names(const struct compile *c, const char **names)
{
	size_t n = 0;
	names[n++] = "score";
	for (size_t i = 0; c->decls[i] != NULL && n + 1 < NAMES_MOST; i++) {
		names[n++] = c->decls[i]->name;
		if (c->decls[i]->phrase != NULL)
			names[n++] = c->decls[i]->phrase;
	}
	return n;
}

/* A phrase of one word is another name: client.ip for client. */
static const struct fact_decl *
decl_by_name(const struct compile *c, struct slice name)
{
	for (size_t i = 0; c->decls[i] != NULL; i++)
		if (slice_eq(name, slice_of(c->decls[i]->name)) ||
			slice_eq(name, slice_of(c->decls[i]->phrase)))
			return c->decls[i];
	return NULL;
}

static void
report_unknown(struct compile *c, const struct cond *cond, struct slice name)
{
	const char *names[NAMES_MOST];
	/* tls.version is not there yet, as tls.* is not; rate user is refused as rate. */
	struct slice stem = slice_first(name, slice_find(name, '.'));
	const char *later = words_later_fact(name);
	if (later == NULL)
		later = words_later_fact(stem);
	if (later == NULL && slice_starts(name, SLICE("tls.")))
		later = "is not there yet";
	if (later != NULL) {
		conf_error(c->report, cond->at, "the fact \"%.*s\" %s", SLICE_ARG(name), later);
		return;
	}
	/* `attachment name` for attachment.name */
	struct slice dotted =
		arena_printf(c->arena, "%.*s.%.*s", SLICE_ARG(name), SLICE_ARG(cond->arg.text));
	struct slice hint = words_hint(name, names, known_names(c, names), c->arena);
	if (cond->arg.kind == OPERAND_WORD && decl_by_name(c, dotted) != NULL)
		hint = arena_printf(c->arena, " (write %.*s)", SLICE_ARG(dotted));
	if (hint.n == 0)
		hint = habit_of_fact(name, c->arena);
	conf_error(c->report, cond->at, "there is no fact \"%.*s\"%.*s", SLICE_ARG(name),
		SLICE_ARG(hint));
}

/* A name of two words, "recipient known", which the parser takes for a fact and its argument.
 */
static const struct fact_decl *
decl_by_two_words(const struct compile *c, const struct cond *cond)
{
	if (cond->op != OP_TRUE || cond->arg.kind != OPERAND_WORD)
		return NULL;
	return decl_by_name(c, arena_printf(c->arena, "%.*s %.*s", SLICE_ARG(cond->fact),
				       SLICE_ARG(cond->arg.text)));
}

/* "client in dnsbl": fact, operator and word; "body contains": the word is the argument. */
static const struct fact_decl *
decl_by_phrase(const struct compile *c, const struct cond *cond, struct slice *arg_out)
{
	const struct operand *v = &cond->value;
	if (cond->op == OP_TRUE || cond->arg.kind != OPERAND_NONE)
		return NULL;
	bool word = v->kind == OPERAND_WORD || v->kind == OPERAND_WORD_ARG;
	struct slice two =
		arena_printf(c->arena, "%.*s %s", SLICE_ARG(cond->fact), op_word(cond->op));
	struct slice three =
		word ? arena_printf(c->arena, "%.*s %.*s", SLICE_ARG(two), SLICE_ARG(v->text))
		     : SLICE_NONE;
	for (size_t i = 0; c->decls[i] != NULL; i++) {
		const struct fact_decl *d = c->decls[i];
		struct slice phrase = slice_of(d->phrase);
		if (phrase.n == 0)
			continue;
		if (word && slice_eq(phrase, three)) {
			*arg_out = v->arg;
			return d;
		}
		if (slice_eq(phrase, two) && d->arg != FACT_ARG_NONE) {
			*arg_out = v->text;
			return d;
		}
	}
	return NULL;
}

static size_t
add_pattern(struct compile *c, const struct conf_pattern *pattern)
{
	struct policy *p = c->policy;
	for (size_t i = 0; i < p->n_patterns; i++)
		if (p->patterns[i] == pattern)
			return i;
	p->patterns =
		compile_room(c, p->patterns, p->n_patterns, &p->room_patterns, sizeof(pattern));
	p->patterns[p->n_patterns] = pattern;
	return p->n_patterns++;
}

static size_t
word_count(const char *const *words)
{
	size_t n = 0;
	while (words[n] != NULL)
		n++;
	return n;
}

static bool
check_pattern_arg(struct compile *c, const struct cond *cond, struct slice arg)
{
	const struct conf_pattern *pattern = map_get(c->conf->patterns, arg);
	if (pattern == NULL) {
		compile_no_pattern(c, cond->value.at, arg);
		return false;
	}
	add_pattern(c, pattern);
	return true;
}

/* `spf fail`, `recipient unknown`: a comparison without its word. */
static struct slice
missing_is(struct compile *c, const struct fact_decl *d, struct slice arg)
{
	if (slice_eq(arg, SLICE("unknown")) && strcmp(d->name, "recipient") == 0)
		return SLICE(": write \"recipient is not known\"");
	for (size_t i = 0; d->words != NULL && d->words[i] != NULL; i++)
		if (slice_eq(arg, slice_of(d->words[i])))
			return arena_printf(
				c->arena, ": write \"%s is %s\"", d->name, d->words[i]);
	return SLICE("");
}

/* kind: of what was written as the argument. */
static bool
check_arg(struct compile *c, const struct cond *cond, const struct fact_decl *d,
	enum operand_kind kind, struct slice arg)
{
	if (d->arg == FACT_ARG_LIMIT) {
		compile_limit_wanted(c, cond, d);
		return false;
	}
	if (d->arg == FACT_ARG_NONE) {
		if (kind == OPERAND_NONE)
			return true;
		conf_error(c->report, cond->at, "\"%s\" takes no argument%.*s", d->name,
			SLICE_ARG(missing_is(c, d, arg)));
		return false;
	}
	if (kind == OPERAND_NONE || (d->arg == FACT_ARG_STRING) != (kind == OPERAND_STRING)) {
		const char *what = d->arg == FACT_ARG_STRING ? "a text in double quotes"
				   : d->words == NULL        ? "the name of a pattern"
							     : "a word";
		conf_error(c->report, cond->at, "\"%s\" wants %s behind it%s", d->name, what,
			d->words == NULL && d->arg == FACT_ARG_WORD
				? ": declare pattern NAME /.../"
				: "");
		return false;
	}
	if (d->arg == FACT_ARG_STRING)
		return true;
	if (d->words == NULL)
		return check_pattern_arg(c, cond, arg);
	for (size_t i = 0; d->words[i] != NULL; i++)
		if (slice_eq(arg, slice_of(d->words[i])))
			return true;
	struct slice hint = words_hint(arg, d->words, word_count(d->words), c->arena);
	conf_error(c->report, cond->at, "\"%s\" knows no \"%.*s\"%.*s", d->name, SLICE_ARG(arg),
		SLICE_ARG(hint));
	return false;
}

/* The settings of `filter NAME` hold for the facts NAME, NAME.x and `NAME x`; those of
 * `filter directory` for all look-ups, of `filter greylist` for greylisted. */
static struct slice
filter_name(const struct fact_decl *d)
{
	struct slice name = d->lookup != NULL ? SLICE("directory") : slice_of(d->name);
	struct slice stem = slice_first(name, slice_find(name, '.'));
	stem = slice_first(stem, slice_find(stem, ' '));
	return slice_eq(stem, SLICE("greylisted")) ? SLICE("greylist") : stem;
}

static const struct conf_filter *
settings_of(const struct compile *c, const struct fact_decl *d)
{
	return conf_filter_find(c->conf, arena_text(c->arena, filter_name(d)));
}

static bool
check_served(struct compile *c, const struct cond *cond, const struct fact_decl *d)
{
	const struct conf_filter *f = d->served ? settings_of(c, d) : NULL;
	if (!d->served || (f != NULL && f->n_servers != 0))
		return true;
	struct slice name = filter_name(d);
	conf_error(c->report, cond->at,
		"\"%s\" is asked of a server, and none is named: write filter %.*s { server "
		"\"127.0.0.1:%u\" }",
		d->name, SLICE_ARG(name), conf_server_port(name));
	return false;
}

static bool
skips_failure(const struct compile *c, const struct fact_decl *d)
{
	const struct conf_filter *f = settings_of(c, d);
	if (f == NULL || f->on_failure == ON_FAILURE_DEFAULT)
		return d->skip;
	return f->on_failure == ON_FAILURE_SKIP;
}

uint16_t
compile_add_fact(struct compile *c, const struct fact_decl *d, struct slice arg)
{
	struct policy *p = c->policy;
	for (size_t i = 0; i < p->n_facts; i++)
		if (p->facts[i].decl == d && slice_eq(p->facts[i].arg, arg))
			return (uint16_t)i;
	size_t room = p->room_facts;
	p->facts = compile_room(c, p->facts, p->n_facts, &room, sizeof(*p->facts));
	p->skip = compile_room(c, p->skip, p->n_facts, &p->room_facts, sizeof(*p->skip));
	p->facts[p->n_facts] = (struct fact_ref){d, arg, (unsigned)p->n_facts};
	p->skip[p->n_facts] = skips_failure(c, d);
	return (uint16_t)p->n_facts++;
}

/* --- tests */

static const struct fact_decl score_decl = {
	.name = "score",
	.type = FACT_NUMBER,
	.scope = SCOPE_RECIPIENT,
	.text = "The sum of the scores of the rules above that hold for this recipient.",
};

static enum fact_type
element_type(enum fact_type t)
{
	switch (t) {
	case FACT_LIST_TEXT: return FACT_TEXT;
	case FACT_LIST_DOMAIN: return FACT_DOMAIN;
	case FACT_LIST_ADDRESS: return FACT_ADDRESS;
	case FACT_LIST_NUMBER: return FACT_NUMBER;
	case FACT_LIST_FLAG: return FACT_FLAG;
	case FACT_FLAG:
	case FACT_NUMBER:
	case FACT_TEXT:
	case FACT_DOMAIN:
	case FACT_ADDRESS:
	case FACT_IP:
	case FACT_WORD: break;
	}
	return t;
}

/* A phrase has swallowed operator and operand: the fact itself is the answer. */
static bool
phrase_match(struct compile *c, const struct cond *cond, struct test *t)
{
	if (t->type == FACT_FLAG) {
		t->match.kind = MATCH_FLAG;
		return true;
	}
	if (t->type == FACT_NUMBER) {
		t->match = (struct match){.kind = MATCH_NUMBER, .op = OP_GT};
		return true;
	}
	conf_error(c->report, cond->at, "\"%.*s\" cannot be asked so", SLICE_ARG(cond->fact));
	return false;
}

/* The fact that a test asks for; phrase_out: its phrase was written. */
static const struct fact_decl *
find_decl(struct compile *c, const struct cond *cond, struct slice name, struct slice list,
	struct slice *arg, bool *phrase_out)
{
	const struct fact_decl *d = NULL;
	*phrase_out = false;
	if (cond->limit != NULL && list.n == 0)
		return compile_limit(c, cond, arg);
	if (list.n == 0)
		d = decl_by_phrase(c, cond, arg);
	if (d != NULL) {
		*phrase_out = true;
		enum operand_kind kind = cond->value.kind;
		if (kind == OPERAND_WORD_ARG)
			kind = OPERAND_STRING;
		else if (kind == OPERAND_WORD && d->arg != FACT_ARG_WORD)
			kind = OPERAND_NONE;
		return check_arg(c, cond, d, kind, *arg) ? d : NULL;
	}
	d = list.n == 0 ? decl_by_two_words(c, cond) : NULL;
	if (d != NULL)
		return check_arg(c, cond, d, OPERAND_NONE, SLICE_NONE) ? d : NULL;
	if (slice_eq(name, SLICE("score")) && cond->arg.kind == OPERAND_NONE)
		return &score_decl;
	d = decl_by_name(c, name);
	*arg = cond->arg.text;
	if (d == NULL)
		report_unknown(c, cond, name);
	else if (!check_arg(c, cond, d, cond->arg.kind, *arg))
		return NULL;
	return d;
}

static bool
check_list(struct compile *c, const struct cond *cond, const struct fact_decl *d,
	struct slice list)
{
	bool is_list = fact_type_is_list(d->type);
	if (list.n != 0 && (!is_list || cond->every)) {
		conf_error(c->report, cond->at,
			is_list ? "\"every\" has no meaning inside \"any\": each test is of "
				  "one element"
				: "\"%s\" is no list: it cannot stand inside \"any\"",
			d->name);
		return false;
	}
	if (cond->every && !is_list) {
		conf_error(c->report, cond->at, "\"every\" wants a list, and \"%s\" is a %s",
			d->name, fact_type_text(d->type));
		return false;
	}
	return true;
}

/* What stands behind the fact: swallowed by its phrase, looked up elsewhere, or held against
 * it.
 */
static bool
compile_operand(
	struct compile *c, const struct cond *cond, bool phrase, bool in_any, struct test *t)
{
	const struct conf_table *table = compile_lookup_table(c, cond, t);
	if (phrase)
		return phrase_match(c, cond, t);
	if (table != NULL)
		return compile_lookup(c, cond, table, in_any, t);
	return compile_match(c, cond, t);
}

static uint16_t
compile_test(struct compile *c, const struct cond *cond, struct place at)
{
	struct slice name = cond->fact, arg = SLICE_NONE;
	if (at.list.n != 0)
		name = arena_printf(
			c->arena, "%.*s.%.*s", SLICE_ARG(at.list), SLICE_ARG(cond->fact));
	bool phrase;
	const struct fact_decl *d = find_decl(c, cond, name, at.list, &arg, &phrase);
	if (d == NULL || !check_list(c, cond, d, at.list) || !check_served(c, cond, d))
		return POLICY_NONE;
	struct test t = {
		.list = fact_type_is_list(d->type) && at.list.n == 0,
		.every = cond->every,
		.type = element_type(d->type),
		.fact = POLICY_NONE,
	};
	if (d != &score_decl)
		t.fact = compile_add_fact(c, d, arg);
	if (cond->limit != NULL)
		t.match.kind = MATCH_FLAG;
	else if (!compile_operand(c, cond, phrase, at.list.n != 0, &t))
		return POLICY_NONE;
	struct policy *p = c->policy;
	p->tests = compile_room(c, p->tests, p->n_tests, &p->room_tests, sizeof(*p->tests));
	p->tests[p->n_tests] = t;
	return add_node(c, (struct node){.kind = NODE_TEST,
				   .negated = at.negated,
				   .test = (uint16_t)p->n_tests++,
				   .first = POLICY_NONE,
				   .next = POLICY_NONE});
}

/* --- trees */

static uint16_t compile_at(struct compile *c, const struct cond *cond, struct place at);

/* A chain of the same operator, which the parser hangs on its left arm. */
static uint16_t
compile_chain(struct compile *c, const struct cond *cond, struct place at)
{
	enum cond_kind kind = cond->kind;
	bool is_and = (kind == COND_AND) != at.negated;
	uint16_t first = POLICY_NONE;
	bool failed = false;
	at.depth++;
	for (const struct cond *arm = cond;; arm = arm->a) {
		bool last = arm->kind != kind;
		uint16_t node = compile_at(c, last ? arm : arm->b, at);
		if (node == POLICY_NONE)
			failed = true;
		else {
			c->policy->nodes[node].next = first;
			first = node;
		}
		if (last)
			break;
	}
	if (failed)
		return POLICY_NONE;
	return add_node(c, (struct node){.kind = is_and ? NODE_AND : NODE_OR,
				   .first = first,
				   .next = POLICY_NONE,
				   .test = POLICY_NONE});
}

static uint16_t
compile_any(struct compile *c, const struct cond *cond, struct place at)
{
	if (at.list.n != 0) {
		conf_error(c->report, cond->at, "\"any\" cannot stand inside another");
		return POLICY_NONE;
	}
	at.list = cond->fact;
	at.depth++;
	uint16_t child = compile_at(c, cond->a, at);
	if (child == POLICY_NONE)
		return POLICY_NONE;
	return add_node(c, (struct node){.kind = at.negated ? NODE_ALL : NODE_ANY,
				   .first = child,
				   .next = POLICY_NONE,
				   .test = POLICY_NONE});
}

static uint16_t
compile_at(struct compile *c, const struct cond *cond, struct place at)
{
	if (at.depth > POLICY_DEPTH_MOST || c->policy->n_nodes >= POLICY_NODES_MOST) {
		conf_error(
			c->report, cond->at, "the rules are nested too deeply or are too many");
		return POLICY_NONE;
	}
	switch (cond->kind) {
	case COND_ALWAYS:
		return add_node(c, (struct node){.kind = NODE_TRUE,
					   .first = POLICY_NONE,
					   .next = POLICY_NONE,
					   .test = POLICY_NONE});
	case COND_TEST: return compile_test(c, cond, at);
	case COND_NOT:
		at.negated = !at.negated;
		at.depth++;
		return compile_at(c, cond->a, at);
	case COND_AND:
	case COND_OR: return compile_chain(c, cond, at);
	case COND_ANY: return compile_any(c, cond, at);
	}
	return POLICY_NONE;
}

uint16_t
compile_cond(struct compile *c, const struct cond *cond)
{
	return compile_at(c, cond, (struct place){0});
}
