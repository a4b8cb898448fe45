/*
 * The right-hand side of a test: which operators a type has, and its operand made ready to be
 * held against values (networks parsed, domains as A-labels, wildcards expanded, patterns
 * compiled).
 */
#include <string.h>

#include "base/buf.h"
#include "conf/habits.h"
#include "conf/words.h"
#include "policy/policy_priv.h"

/* As is, which ones: "spf is" one of "pass", "fail"... */
static bool
fail_expected(struct compile *c, struct conf_at at, const struct cond *cond, const char *what)
{
	conf_error(c->report, at, "\"%.*s\" wants %s here", SLICE_ARG(cond->fact), what);
	return false;
}

static const struct operand *
items_of(const struct operand *v, size_t *n_out)
{
	*n_out = v->kind == OPERAND_SET ? v->n_items : 1;
	return v->kind == OPERAND_SET ? v->items : v;
}

/* --- one operand of each type */

static bool
domain_text(struct compile *c, const struct operand *v, bool wildcard_ok, struct slice *out)
{
	bool wild = slice_starts(v->text, SLICE("*."));
	if (wild && !wildcard_ok) {
		conf_error(c->report, v->at, "\"is\" takes no wildcard: write in { \"%.*s\" }",
			SLICE_ARG(v->text));
		return false;
	}
	struct slice name = wild ? slice_from(v->text, 2) : v->text;
	if (v->text.n == 0 || (name.n != 0 && name.p[0] == '[')) {
		*out = arena_lower(c->arena, v->text);
		return true;
	}
	if (!domain_to_ascii(name, c->arena, &name)) {
		conf_error(c->report, v->at, "\"%.*s\" is no domain", SLICE_ARG(v->text));
		return false;
	}
	*out = wild ? arena_printf(c->arena, "*.%.*s", SLICE_ARG(name)) : name;
	return true;
}

/* "local@domain", "@domain" for all of it, "<>" or "" for the empty one. */
static bool
address_text(struct compile *c, const struct operand *v, struct slice *out)
{
	if (v->text.n == 0 || slice_eq(v->text, SLICE("<>"))) {
		*out = SLICE("");
		return true;
	}
	size_t at = slice_find_last(v->text, '@');
	struct slice local = slice_first(v->text, at), domain = slice_from(v->text, at + 1);
	bool several = slice_has(local, ',') && local.p[0] != '"';
	if (at == v->text.n || domain.n == 0 || slice_has(v->text, '*') || several) {
		conf_error(c->report, v->at,
			"\"%.*s\" is no address: \"user@domain\", \"@domain\" or \"<>\"%s",
			SLICE_ARG(v->text),
			slice_has(v->text, '*') ? " (\"matches\" has wildcards)"
			: several               ? " (several stand in { })"
						: "");
		return false;
	}
	if (domain.p[0] != '[' && !domain_to_ascii(domain, c->arena, &domain)) {
		conf_error(c->report, v->at, "\"%.*s\" is no domain", SLICE_ARG(domain));
		return false;
	}
	*out = arena_printf(c->arena, "%.*s@%.*s", SLICE_ARG(local), SLICE_ARG(domain));
	return true;
}

static bool
word_text(struct compile *c, const struct cond *cond, const struct fact_decl *d,
	const struct operand *v, struct slice *out)
{
	size_t n = 0;
	for (; d->words[n] != NULL; n++) {
		if (slice_eq(v->text, slice_of(d->words[n]))) {
			*out = slice_of(d->words[n]);
			return true;
		}
	}
	struct buf all;
	buf_init(&all, 4096);
	for (size_t i = 0; i < n; i++)
		buf_printf(&all, "%s%s", i != 0 ? ", " : "", d->words[i]);
	struct slice list = buf_slice(&all), hint = words_hint(v->text, d->words, n, c->arena);
	conf_error(c->report, v->at, "\"%.*s\" is one of %.*s, never \"%.*s\"%.*s",
		SLICE_ARG(cond->fact), SLICE_ARG(list), SLICE_ARG(v->text), SLICE_ARG(hint));
	buf_fini(&all);
	return false;
}

static bool
operand_text(struct compile *c, const struct cond *cond, const struct test *t,
	const struct operand *v, struct slice *out)
{
	if (t->type == FACT_WORD) {
		if (v->kind != OPERAND_WORD)
			return fail_expected(c, v->at, cond, "a word without quotes");
		return word_text(c, cond, c->policy->facts[t->fact].decl, v, out);
	}
	if (v->kind != OPERAND_STRING)
		return fail_expected(c, v->at, cond, "a text in double quotes");
	if (t->type == FACT_DOMAIN)
		return domain_text(c, v, cond->op == OP_IN, out);
	if (t->type == FACT_ADDRESS)
		return address_text(c, v, out);
	*out = v->text;
	return true;
}

static enum match_kind
equality_of(enum fact_type t)
{
	if (t == FACT_WORD)
		return MATCH_WORD;
	if (t == FACT_DOMAIN)
		return MATCH_DOMAIN;
	return t == FACT_ADDRESS ? MATCH_ADDRESS : MATCH_TEXT;
}

static bool
match_texts(struct compile *c, const struct cond *cond, struct test *t)
{
	size_t n;
	const struct operand *items = items_of(&cond->value, &n);
	t->match.kind = equality_of(t->type);
	t->match.texts = arena_array(c->arena, n, sizeof(*t->match.texts));
	t->match.n = n;
	bool ok = true;
	for (size_t i = 0; i < n; i++)
		ok &= operand_text(c, cond, t, &items[i], &t->match.texts[i]);
	return ok;
}

/* --- networks */

static bool
network(struct compile *c, struct conf_at at, struct slice text, struct ip_net *out)
{
	if (ip_net_parse(text, out))
		return true;
	conf_error(c->report, at, "\"%.*s\" is no address and no network%.*s", SLICE_ARG(text),
		SLICE_ARG(habit_of_net(text, c->arena)));
	return false;
}

static bool
match_networks(struct compile *c, const struct cond *cond, struct test *t)
{
	size_t n;
	const struct operand *items = items_of(&cond->value, &n);
	t->match.kind = MATCH_NETWORK;
	t->match.nets = arena_array(c->arena, n, sizeof(*t->match.nets));
	t->match.n = n;
	bool ok = true;
	for (size_t i = 0; i < n; i++) {
		if (items[i].kind != OPERAND_STRING && items[i].kind != OPERAND_WORD)
			return fail_expected(c, items[i].at, cond, "an address or a network");
		ok &= network(c, items[i].at, items[i].text, &t->match.nets[i]);
	}
	return ok;
}

static bool
match_network_table(struct compile *c, const struct cond *cond, const struct conf_table *table,
	struct test *t)
{
	struct slice other;
	struct ip_net unused;
	t->match.kind = MATCH_TABLE;
	t->match.table = table;
	return conf_table_is_networks(table, &other) ||
	       network(c, cond->value.at, other, &unused);
}

/* --- operators */

void
compile_no_pattern(struct compile *c, struct conf_at at, struct slice name)
{
	bool table = map_get(c->conf->tables, name) != NULL;
	conf_error(c->report, at, "there is no pattern \"%.*s\"%s", SLICE_ARG(name),
		table ? ": it is a table, and tables go with \"in\"" : "");
}

static bool
report_no_table(struct compile *c, const struct operand *v)
{
	const char *names[100] = {"domains"};
	size_t n = 1;
	struct slice key;
	void *value;
	for (size_t i = 0; n < 100 && map_at(c->conf->tables, i, &key, &value); i++)
		names[n++] = arena_text(c->arena, key);
	struct slice hint = words_hint(v->text, names, n, c->arena);
	if (map_get(c->conf->patterns, v->text) != NULL)
		hint = SLICE(": it is a pattern, and patterns go with \"matches\" and \"body "
			     "contains\"");
	conf_error(c->report, v->at, "there is no table \"%.*s\"%.*s", SLICE_ARG(v->text),
		SLICE_ARG(hint));
	return false;
}

static bool
match_named(struct compile *c, const struct cond *cond, struct test *t)
{
	const struct operand *v = &cond->value;
	if (slice_eq(v->text, SLICE("domains"))) {
		t->match.kind = MATCH_OWN_DOMAIN;
		if (t->type == FACT_DOMAIN)
			return true;
		conf_error(c->report, v->at,
			"\"%.*s\" is no domain, and \"domains\" are the declared ones%s",
			SLICE_ARG(cond->fact),
			t->type == FACT_ADDRESS ? ": ask for its .domain" : "");
		return false;
	}
	const struct conf_table *table = map_get(c->conf->tables, v->text);
	if (table == NULL)
		return report_no_table(c, v);
	if (t->type == FACT_IP)
		return match_network_table(c, cond, table, t);
	t->match.kind = MATCH_TABLE;
	t->match.table = table;
	return true;
}

static bool
match_in(struct compile *c, const struct cond *cond, struct test *t)
{
	const struct operand *v = &cond->value;
	bool set = v->kind == OPERAND_SET;
	if (t->type == FACT_IP) {
		struct ip_net net;
		if (v->kind == OPERAND_WORD && !ip_net_parse(v->text, &net))
			return match_named(c, cond, t);
		return match_networks(c, cond, t);
	}
	if (v->kind == OPERAND_WORD && t->type != FACT_WORD)
		return match_named(c, cond, t);
	if (!set)
		return fail_expected(c, v->at, cond,
			t->type == FACT_WORD ? "a set of words, { a, b }"
			: slice_has(v->text, '*')
				? "a table or a set, { \"a\", \"b\" } (one wildcard "
				  "goes with \"matches\")"
				: "a table, \"domains\" or a set, { \"a\", \"b\" }");
	return match_texts(c, cond, t);
}

/* `is "*.exe"` is right and means nothing that anybody wants. */
static void
warn_wildcard(struct compile *c, const struct test *t, const struct operand *v)
{
	if (t->type == FACT_TEXT && v->kind == OPERAND_STRING && slice_has(v->text, '*'))
		conf_warn(c->report, v->at,
			"\"%.*s\" is compared as it stands, with its *: wildcards go with "
			"\"matches\"",
			SLICE_ARG(slice_first(v->text, 80)));
}

static bool
match_is(struct compile *c, const struct cond *cond, struct test *t)
{
	const struct operand *v = &cond->value;
	if (v->kind == OPERAND_SET)
		return fail_expected(c, v->at, cond, "one value (\"in\" takes a set)");
	if (v->kind == OPERAND_WORD && t->type != FACT_WORD &&
		(slice_eq(v->text, SLICE("domains")) ||
			map_get(c->conf->tables, v->text) != NULL))
		return fail_expected(c, v->at, cond, "one value (\"in\" takes a table)");
	if (v->kind == OPERAND_WORD && slice_eq(v->text, SLICE("unknown")) &&
		(t->type == FACT_TEXT || t->type == FACT_DOMAIN))
		return fail_expected(c, v->at, cond, "\"\" for what is unknown");
	warn_wildcard(c, t, v);
	if (t->type != FACT_IP)
		return match_texts(c, cond, t);
	struct ip ip;
	if (!ip_parse(v->text, &ip)) {
		conf_error(c->report, v->at,
			"\"%.*s\" is no IP address; networks go with \"in\"",
			SLICE_ARG(v->text));
		return false;
	}
	return match_networks(c, cond, t);
}

/* `subject matches cards`: a declared pattern instead of a wildcard. */
static bool
match_pattern(struct compile *c, const struct cond *cond, struct test *t)
{
	const struct operand *v = &cond->value;
	const struct conf_pattern *pattern = map_get(c->conf->patterns, v->text);
	if (pattern == NULL) {
		compile_no_pattern(c, v->at, v->text);
		return false;
	}
	if (pattern->check == PATTERN_WORDS) {
		conf_error(c->report, v->at,
			"the pattern \"%.*s\" is a list of words, which is there for \"body "
			"contains\" only: write an expression, as in /\\b(?:one|two)\\b/i",
			SLICE_ARG(v->text));
		return false;
	}
	if (pattern->check != PATTERN_PLAIN) {
		conf_error(c->report, v->at,
			"the pattern \"%.*s\" has a check of digits, which is there for \"body "
			"contains\" only",
			SLICE_ARG(v->text));
		return false;
	}
	char why[160];
	t->match.kind = MATCH_PATTERN;
	t->match.pattern =
		pattern_compile(pattern->regex, pattern->nocase, c->arena, why, sizeof(why));
	if (t->match.pattern != NULL)
		return true;
	conf_error(c->report, pattern->at, "the pattern \"%.*s\": %s", SLICE_ARG(v->text), why);
	return false;
}

static bool
match_glob(struct compile *c, const struct cond *cond, struct test *t)
{
	const struct operand *v = &cond->value;
	if (v->kind == OPERAND_WORD)
		return match_pattern(c, cond, t);
	if (v->kind != OPERAND_STRING)
		return fail_expected(c, v->at, cond, "a text in double quotes, or a pattern");
	const char *why;
	if (t->type == FACT_DOMAIN && slice_has(v->text, '@'))
		conf_warn(c->report, v->at,
			"\"%.*s\" matches no domain, which has no @: take what stands behind "
			"it",
			SLICE_ARG(slice_first(v->text, 80)));
	t->match.kind = MATCH_GLOB;
	t->match.glob = glob_compile(v->text, c->arena, &why);
	if (t->match.glob != NULL)
		return true;
	conf_error(c->report, v->at, "\"%.*s\" does not work: %s", SLICE_ARG(v->text), why);
	return false;
}

static bool
match_contains(struct compile *c, const struct cond *cond, struct test *t)
{
	const struct operand *v = &cond->value;
	if (v->kind == OPERAND_WORD)
		return match_pattern(c, cond, t);
	size_t n;
	const struct operand *items = items_of(v, &n);
	t->match.kind = MATCH_PART;
	t->match.texts = arena_array(c->arena, n, sizeof(*t->match.texts));
	t->match.n = n;
	for (size_t i = 0; i < n; i++) {
		if (items[i].kind != OPERAND_STRING || items[i].text.n == 0)
			return fail_expected(c, items[i].at, cond, "a text in double quotes");
		warn_wildcard(c, t, &items[i]);
		t->match.texts[i] = arena_lower(c->arena, items[i].text);
	}
	return true;
}

static bool
match_number(struct compile *c, const struct cond *cond, struct test *t)
{
	const struct operand *v = &cond->value;
	if (v->kind != OPERAND_NUMBER)
		return fail_expected(c, v->at, cond, "a number");
	/* No fact is a time so far: 25m for 25M would be 1,500,000. */
	if (v->unit == 'd') {
		conf_error(c->report, v->at,
			"\"%.*s\" is no time, and this is one: sizes are written as 25M",
			SLICE_ARG(cond->fact));
		return false;
	}
	t->match = (struct match){.kind = MATCH_NUMBER, .op = cond->op, .number = v->number};
	return true;
}

/* --- which operators a type has */

static const char *
operators_of(enum fact_type t)
{
	switch (t) {
	case FACT_NUMBER: return "is, <, <=, >, >=";
	case FACT_WORD:
	case FACT_IP: return "is, in";
	case FACT_FLAG:
	case FACT_TEXT:
	case FACT_DOMAIN:
	case FACT_ADDRESS:
	case FACT_LIST_TEXT:
	case FACT_LIST_DOMAIN:
	case FACT_LIST_ADDRESS:
	case FACT_LIST_NUMBER:
	case FACT_LIST_FLAG: break;
	}
	return "is, in, matches, contains";
}

static bool
has_operator(enum fact_type t, enum cond_op op)
{
	if (op == OP_TRUE)
		return t == FACT_FLAG;
	if (t == FACT_NUMBER)
		return op == OP_IS || op >= OP_LT;
	if (t == FACT_FLAG || op >= OP_LT)
		return false;
	return op == OP_IS || op == OP_IN || (t != FACT_WORD && t != FACT_IP);
}

bool
compile_match(struct compile *c, const struct cond *cond, struct test *t)
{
	t->match.op = cond->op;
	if (!has_operator(t->type, cond->op) && t->type == FACT_FLAG) {
		conf_error(c->report, cond->at,
			"\"%.*s\" is a flag: it stands alone, as in \"if %.*s\"",
			SLICE_ARG(cond->fact), SLICE_ARG(cond->fact));
		return false;
	}
	if (!has_operator(t->type, cond->op)) {
		conf_error(c->report, cond->at, "\"%.*s\" is %s %s; it can be compared with %s",
			SLICE_ARG(cond->fact), t->list ? "a list of type" : "of type",
			fact_type_text(t->type), operators_of(t->type));
		return false;
	}
	if (t->type == FACT_NUMBER)
		return match_number(c, cond, t);
	switch (cond->op) {
	case OP_IS: return match_is(c, cond, t);
	case OP_IN: return match_in(c, cond, t);
	case OP_MATCHES: return match_glob(c, cond, t);
	case OP_CONTAINS: return match_contains(c, cond, t);
	case OP_TRUE: t->match.kind = MATCH_FLAG; return true;
	case OP_LT:
	case OP_LE:
	case OP_GT:
	case OP_GE: break;
	}
	return false;
}
