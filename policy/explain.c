/*
 * Rules and facts as text, for `postern explain` and for logs; see explain.h. It prints what
 * the evaluation left behind and judges nothing again.
 */
#include "policy/explain.h"

#include <string.h>

#include "base/buf.h"
#include "policy/policy_priv.h"

enum {
	TEXT_MOST = 1024 * 1024,
	LINE_MOST = 2000,
	FACT_MOST = 8000,
	VALUE_MOST = 160,
	EVIDENCE_MOST = 1000, /* all that the spam filter has to say */
	ITEMS_MOST = 10,
};

static void
add_escaped(struct buf *out, struct slice s, size_t most)
{
	struct slice shown = slice_first(s, most);
	for (size_t i = 0; i < shown.n; i++) {
		unsigned char c = (unsigned char)shown.p[i];
		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c < ' ' || c > '~')
			buf_printf(out, "\\x%02x", c);
		else
			buf_add_byte(out, (char)c);
	}
	if (shown.n < s.n)
		buf_add_text(out, "...");
}

static void
add_one(struct buf *out, enum fact_type type, const struct value *v)
{
	if (type == FACT_FLAG || type == FACT_LIST_FLAG)
		buf_add_text(out, v->flag ? "yes" : "no");
	else if (type == FACT_NUMBER || type == FACT_LIST_NUMBER)
		buf_printf(out, "%.15g", v->number);
	else if (type == FACT_WORD)
		add_escaped(out, v->text, VALUE_MOST);
	else {
		buf_add_byte(out, '"');
		add_escaped(out, v->text, VALUE_MOST);
		buf_add_byte(out, '"');
	}
}

static void
add_list(struct buf *out, enum fact_type type, const struct value *v, bool whole)
{
	buf_add_byte(out, '[');
	for (size_t i = 0; i < v->n_items && i < ITEMS_MOST; i++) {
		buf_add_text(out, i != 0 ? ", " : "");
		add_one(out, type, &v->items[i]);
	}
	if (v->n_items > ITEMS_MOST)
		buf_printf(out, ", %zu more", v->n_items - ITEMS_MOST);
	buf_add_text(out, whole ? "]" : "] so far");
}

static const char *
state_text(enum fact_state s)
{
	switch (s) {
	case FACT_FAILED: return "failed";
	case FACT_OPEN: return "open";
	case FACT_UNASKED: return "not asked";
	case FACT_LATER: return "later";
	case FACT_KNOWN: break;
	}
	return "";
}

/* spf=fail ("v=spf1 -all"); virus=failed ("no scanner"); attachment.name=["a.exe"] */
static void
add_fact(struct buf *out, const struct policy *p, uint16_t fact, struct fact_source source)
{
	const struct fact_ref *ref = &p->facts[fact];
	struct value v = {0};
	enum fact_state state = source.get(source.arg, ref, COST_FREE, &v);
	buf_add_text(out, ref->decl->name);
	if (ref->arg.n != 0) {
		buf_add_text(out, " \"");
		add_escaped(out, ref->arg, VALUE_MOST);
		buf_add_byte(out, '"');
	}
	buf_add_byte(out, '=');
	bool list = fact_type_is_list(ref->decl->type);
	if (list && (state == FACT_KNOWN || v.n_items != 0))
		add_list(out, ref->decl->type, &v, state == FACT_KNOWN && !v.growing);
	else if (state == FACT_KNOWN)
		add_one(out, ref->decl->type, &v);
	if (state != FACT_KNOWN)
		buf_printf(out, "%s%s", list && v.n_items != 0 ? ", " : "", state_text(state));
	if (state == FACT_FAILED && p->skip[fact])
		buf_add_text(out, ", skipped");
	if (v.evidence.n == 0)
		return;
	buf_add_text(out, " (");
	add_escaped(out, v.evidence, EVIDENCE_MOST);
	buf_add_byte(out, ')');
}

static void
mark_facts(const struct policy *p, uint16_t node, bool *used)
{
	const struct node *n = &p->nodes[node];
	if (n->kind == NODE_TEST && p->tests[n->test].fact != POLICY_NONE)
		used[p->tests[n->test].fact] = true;
	for (uint16_t c = n->first; c != POLICY_NONE; c = p->nodes[c].next)
		mark_facts(p, c, used);
}

static void
add_facts(struct buf *out, const struct policy *p, size_t rule, struct fact_source source,
	const char *before, const char *between, struct arena *a)
{
	bool *used = arena_array(a, p->n_facts, sizeof(*used));
	size_t n = 0;
	mark_facts(p, p->rules[rule].root, used);
	for (size_t i = 0; i < p->n_facts; i++) {
		if (!used[i])
			continue;
		buf_add_text(out, n++ == 0 ? before : between);
		add_fact(out, p, (uint16_t)i, source);
	}
}

struct slice
policy_explain_facts(const struct policy *p, const struct rule *rule, struct fact_source source,
	struct arena *a)
{
	struct buf out;
	buf_init(&out, LINE_MOST);
	for (size_t i = 0; i < p->n_rules; i++)
		if (p->rules[i].rule == rule)
			add_facts(&out, p, i, source, "", ", ", a);
	struct slice text = arena_slice(a, buf_slice(&out));
	buf_fini(&out);
	return text;
}

/* False: it does not fit any more. */
static bool
add_known(struct buf *out, const struct policy *p, uint16_t fact, struct fact_source source)
{
	struct value v = {0};
	struct buf line;
	enum fact_state state = source.get(source.arg, &p->facts[fact], COST_FREE, &v);
	if (state != FACT_KNOWN && state != FACT_FAILED && v.n_items == 0)
		return true;
	buf_init(&line, FACT_MOST);
	add_fact(&line, p, fact, source);
	struct slice bytes = buf_slice(&line);
	bool fits = buf_left(out) > bytes.n;
	if (fits) {
		buf_add(out, bytes);
		buf_add_byte(out, '\n');
	}
	buf_fini(&line);
	return fits;
}

struct slice
policy_explain_known(const struct policy *p, const struct rule *rule, struct fact_source source,
	size_t most, struct arena *a)
{
	bool *first = arena_array(a, p->n_facts, sizeof(*first));
	bool fits = true;
	struct buf out;
	buf_init(&out, most);
	for (size_t i = 0; i < p->n_rules; i++)
		if (p->rules[i].rule == rule)
			mark_facts(p, p->rules[i].root, first);
	for (unsigned round = 0; round < 2; round++)
		for (size_t i = 0; i < p->n_facts && fits; i++)
			if (first[i] == (round == 0))
				fits = add_known(&out, p, (uint16_t)i, source);
	struct slice text = arena_slice(a, buf_slice(&out));
	buf_fini(&out);
	return text;
}

static const char *
tri_text(enum tri t)
{
	switch (t) {
	case TRI_FALSE: return "false";
	case TRI_TRUE: return "true";
	case TRI_OPEN: return "open";
	case TRI_FAILED: return "failed";
	}
	return "";
}

static void
add_decision(struct buf *out, const struct verdict *v)
{
	if (!v->decided) {
		buf_printf(out, "not decided yet: %s\n",
			v->waits ? "answers are awaited" : "a later stage of the mail decides");
		return;
	}
	buf_printf(out, "decision: %s", action_text(v->action));
	if (v->rule != NULL)
		buf_printf(out, " by %s:%u", v->rule->at.file, v->rule->at.line);
	if (v->reply.n != 0) {
		buf_add_text(out, ", \"");
		add_escaped(out, v->reply, VALUE_MOST);
		buf_add_byte(out, '"');
	}
	buf_add_byte(out, '\n');
}

struct slice
policy_explain(const struct policy *p, const struct verdict *v, struct fact_source source,
	struct arena *a)
{
	struct buf out;
	bool reached = true;
	buf_init(&out, TEXT_MOST);
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *rule = &p->rules[i];
		buf_printf(&out, "%s:%-4u %-11s %s%s", rule->rule->at.file, rule->rule->at.line,
			reached ? tri_text(v->states[i]) : "not reached",
			rule->try_only ? "try " : "", action_text(rule->rule->action));
		if (rule->rule->text.n != 0) {
			buf_add_text(&out, " \"");
			add_escaped(&out, rule->rule->text, VALUE_MOST);
			buf_add_byte(&out, '"');
		}
		buf_add_byte(&out, '\n');
		if (reached) {
			size_t used = out.used;
			add_facts(&out, p, i, source, "\t", "\n\t", a);
			if (out.used != used)
				buf_add_byte(&out, '\n');
		}
		if (rule->ends && v->states[i] == TRI_TRUE)
			reached = false;
	}
	if (v->score_known && v->score != 0)
		buf_printf(&out, "score: %.15g\n", v->score);
	add_decision(&out, v);
	struct slice text = arena_slice(a, buf_slice(&out));
	buf_fini(&out);
	return text;
}
