/*
 * What becomes of a verdict under `mode observe` and `mode soft`; see modes.h. Runs right
 * behind each evaluation (pipeline_judge.c), so that all after it sees one kind of verdict.
 */
#include "session/modes.h"

enum { WORDS_MOST = 400, FILE_NAME_MOST = 255, RECIPIENTS_MOST = 20 };

/* The rules above the decision that would have been done to a mail that goes on. */
static void
take_effects(const struct policy *p, struct arena *a, struct verdict *v)
{
	size_t n = policy_rules(p);
	v->effects = arena_array(a, n, sizeof(*v->effects));
	v->n_effects = 0;
	for (size_t i = 0; i < n; i++) {
		const struct rule *r = policy_rule(p, i);
		if (r->try_only || v->states[i] != TRI_TRUE)
			continue;
		if (action_ends(r->action))
			break;
		v->effects[v->n_effects++] = r;
	}
}

static void
observe(const struct policy *p, struct arena *a, struct verdict *v)
{
	bool has_effects = v->action == ACTION_QUARANTINE || v->action == ACTION_HOLD;
	v->mode = VERDICT_OBSERVED;
	v->would = v->action;
	v->action = ACTION_ACCEPT;
	if (!has_effects)
		take_effects(p, a, v);
}

void
modes_apply(enum conf_mode mode, const struct policy *p, struct arena *a, struct verdict *v)
{
	if (!v->decided || v->action == ACTION_ACCEPT)
		return;
	if (mode == MODE_OBSERVE) {
		observe(p, a, v);
	} else if (mode == MODE_SOFT && v->action == ACTION_REJECT) {
		v->mode = VERDICT_SOFTENED;
		v->would = v->action;
		v->action = ACTION_DEFER;
	}
}

struct smtp_reply
modes_reply(enum conf_mode mode, struct smtp_reply r)
{
	if (mode != MODE_SOFT || smtp_reply_class(&r) != 5)
		return r;
	r.code = r.code == 521 ? 450 : r.code - 100; /* 421 would end the session */
	if (r.has_enhanced)
		r.enhanced[0] = 4;
	return r;
}

enum action
modes_action(const struct verdict *v)
{
	return v->mode == VERDICT_HOLDS ? v->action : v->would;
}

/* --- what is told of an observed one */

/* Without its folders, which are nobody's business in a mail. */
static struct slice
file_name(const char *path)
{
	struct slice s = slice_of(path);
	size_t slash = slice_find_last(s, '/');
	return slash < s.n ? slice_from(s, slash + 1) : s;
}

/* Printable ASCII in one line, whatever a rule's text holds. */
static void
add_words(struct buf *out, struct slice words)
{
	words = slice_first(words, WORDS_MOST);
	for (size_t i = 0; i < words.n; i++) {
		char c = words.p[i] == '\n' ? ' ' : words.p[i];
		(void)buf_add_byte(out, c < ' ' || c > '~' ? '?' : c);
	}
}

void
modes_place(const struct rule *r, struct buf *out)
{
	add_words(out, slice_first(file_name(r->at.file), FILE_NAME_MOST));
	(void)buf_printf(out, ":%u", r->at.line);
}

static void
add_field(const struct decision *d, struct arena *a, struct buf *out)
{
	const struct rule *r = d->verdict.rule;
	(void)buf_printf(out, MODES_FIELD ": %s ", action_text(d->verdict.would));
	if (r == NULL) {
		(void)buf_add_text(out, d->builtin != NULL ? d->builtin : "facts-failed");
	} else {
		modes_place(r, out);
	}
	struct slice words = SLICE_NONE;
	if (d->reply.code != 0)
		words = smtp_reply_line(&d->reply, a);
	else if (r != NULL && d->verdict.would == ACTION_QUARANTINE)
		words = r->text;
	if (words.n != 0)
		(void)buf_add_byte(out, ' ');
	add_words(out, words);
	(void)buf_add_text(out, "\r\n");
}

void
modes_fields(const struct decisions *d, size_t set, struct buf *out)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->list[i].set == set && d->list[i].verdict.mode == VERDICT_OBSERVED)
			add_field(&d->list[i], d->arena, out);
}

void
modes_log(const struct decisions *d, const struct flt_mail *mail, const struct log_context *log)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct decision *one = &d->list[i];
		size_t told = 0;
		struct log_line l;
		if (one->verdict.mode != VERDICT_OBSERVED)
			continue;
		log_begin(&l, EV_OBSERVE, log);
		log_text(&l, "action", action_text(one->verdict.would));
		if (one->verdict.rule != NULL) {
			log_text(&l, "file", one->verdict.rule->at.file);
			log_number(&l, "line", one->verdict.rule->at.line);
		} else {
			log_text(&l, "rule", "facts-failed");
		}
		if (one->reply.code != 0)
			log_slice(&l, "reply",
				slice_first(
					smtp_reply_line(&one->reply, d->arena), WORDS_MOST));
		log_number(&l, "recipients", (int64_t)one->n);
		for (size_t k = 0; k < d->n_of && told < RECIPIENTS_MOST; k++)
			if (d->of[k] == i && told++ < RECIPIENTS_MOST)
				log_slice(&l, "recipient", mail->recipients[k].address.text);
		log_end(&l);
	}
}
