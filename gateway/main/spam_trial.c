/*
 * The trial itself; see spam_trial.h. One pass in the order of time judges in all modes and
 * teaches; another one judges the later mails by the models that were taught the earlier ones.
 */
#include "main/spam_trial.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "filters/spam_score.h"
#include "main/spam_trial_priv.h"

enum { MAIL_ARENA = 64 * 1024 * 1024, LINE_MOST = 64 * 1024, ROUNDING = 1000000 };

struct judge {
	const struct trial_wanted *wanted;
	struct trial *trial;
	struct trial_list list;
	struct arena *arena;
	struct spam_model *online, *early, *folders;
	struct buf line;
	/* the mail at hand */
	const struct trial_mail *at;
	struct corpus_mail mail;
	struct spam_view view;
	struct spam_features features;
	struct spam_found found;
};

const char *
trial_mode_text(enum trial_mode mode)
{
	static const char *const names[TRIAL_MODES] = {"day one", "this site", "online",
		"60/40", "folders", "evidence alone", "shipped alone", "raw view", "text view"};
	return names[mode];
}

/* ---- lines for people ---- */

/* Names of files and details of evidence are the work of strangers. */
static void
add_safe(struct buf *b, struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		bool control = (unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f;
		buf_add_byte(b, control ? '?' : s.p[i]);
	}
}

/* What does not fit is left out: a line is for reading. */
static struct slice
line_of(struct judge *j, enum trial_mode mode, const struct spam_judgement *v)
{
	struct buf *b = &j->line;
	buf_clear(b);
	buf_printf(b, "%s\t", trial_mode_text(mode));
	add_safe(b, slice_of(j->mail.path));
	if (j->mail.number != 0)
		buf_printf(b, ":%u", j->mail.number);
	buf_printf(
		b, "\t%s\t%.6f\t%+.6f\t", j->at->spam ? "spam" : "ham", v->probability, v->sum);
	for (size_t i = 0; i < v->n_why; i++) {
		const struct spam_piece *p = &v->why[i];
		buf_printf(b, "%s%s=%+.2f", i == 0 ? "" : "; ", p->name, p->weight);
		if (p->detail.n != 0) {
			buf_add_text(b, " (");
			add_safe(b, p->detail);
			buf_add_text(b, ")");
		}
	}
	return buf_slice(b);
}

/* Into the worst of its kind, in order: ham with the highest sums, spam with the lowest. */
static void
keep_worst(struct judge *j, struct trial_result *r, enum trial_mode mode,
	const struct spam_judgement *v)
{
	unsigned kind = j->at->spam;
	struct trial_worst *list = r->worst[kind];
	size_t most = j->wanted->worst, at = r->n_worst[kind];
	double sign = j->at->spam ? 1 : -1;
	while (at > 0 && sign * v->sum < sign * list[at - 1].sum)
		at--;
	if (at == most)
		return;
	if (r->n_worst[kind] == most)
		mem_free(list[--r->n_worst[kind]].line);
	memmove(&list[at + 1], &list[at], (r->n_worst[kind] - at) * sizeof(*list));
	struct slice line = line_of(j, mode, v);
	char *text = mem_new(line.n + 1);
	memcpy(text, line.p, line.n);
	list[at] = (struct trial_worst){v->sum, text};
	r->n_worst[kind]++;
}

/* ---- one mail ---- */

static void
judged(struct judge *j, enum trial_mode mode, const struct spam_judgement *v)
{
	struct trial_result *r = &j->trial->results[mode];
	/* The same weights in another order are one sum, and so they are in a line. */
	double sum = round(v->sum * ROUNDING) / ROUNDING;
	r->rows[r->n++] = (struct roc_row){sum, v->probability, j->at->spam};
	if (j->wanted->rows != NULL) {
		struct slice line = line_of(j, mode, v);
		fwrite(line.p, 1, line.n, j->wanted->rows);
		fputc('\n', j->wanted->rows);
	}
	if (j->wanted->worst != 0)
		keep_worst(j, r, mode, v);
	for (size_t i = 0; i < v->n_why && j->view.bounce; i++)
		j->trial->bounces_shipped += strcmp(v->why[i].name, "model.shipped") == 0;
}

static bool
read_one(struct judge *j, const struct trial_mail *m)
{
	struct spam_world world = {.wall_ms = m->received_ms > 0 ? m->received_ms : 0};
	j->at = m;
	if (!corpus_read(j->list.sources[m->source].corpus, m->place, &j->mail))
		return false;
	arena_reset(j->arena);
	spam_view_of_mail(j->mail.bytes, j->wanted->hostname, j->arena, &j->view);
	spam_features_of(&j->view, j->arena, &j->features);
	if (j->wanted->nothing_shipped)
		j->features.shipped = 0;
	spam_evidence_gather(&j->view, &world, j->arena, &j->found);
	spam_features_know(&j->features, &j->found, j->wanted->weights);
	return true;
}

static struct spam_judgement
by(struct judge *j, const struct spam_weights *own)
{
	struct spam_judgement v;
	struct spam_input in = {.view = &j->view,
		.features = &j->features,
		.found = &j->found,
		.weights = j->wanted->weights,
		.own = own};
	spam_judge(&in, &v);
	return v;
}

/* A view's logit as if it were all there is. */
static void
judge_alone(struct judge *j, enum trial_mode mode, const char *name, double logit)
{
	struct spam_judgement v = {.probability = 1 / (1 + exp(-logit)),
		.sum = logit,
		.why = {{name, logit, SLICE_NONE}},
		.n_why = 1};
	if (j->wanted->modes[mode])
		judged(j, mode, &v);
}

static void
judge_parts(struct judge *j)
{
	const bool *modes = j->wanted->modes;
	if (modes[TRIAL_EVIDENCE]) {
		int32_t shipped = j->features.shipped;
		j->features.shipped = 0;
		struct spam_judgement v = by(j, NULL);
		j->features.shipped = shipped;
		judged(j, TRIAL_EVIDENCE, &v);
	}
	if (modes[TRIAL_SHIPPED]) {
		size_t n = j->found.n;
		j->found.n = 0;
		struct spam_judgement v = by(j, NULL);
		j->found.n = n;
		judged(j, TRIAL_SHIPPED, &v);
	}
	if (j->online != NULL) {
		struct spam_logits l = spam_weigh(spam_model_weights(j->online), &j->features);
		judge_alone(j, TRIAL_RAW, "raw", l.raw);
		judge_alone(j, TRIAL_TEXT, "text", l.text);
	}
}

static void
judge_one(struct judge *j)
{
	const struct trial_wanted *w = j->wanted;
	struct trial *t = j->trial;
	if (w->modes[TRIAL_DAY_ONE]) {
		struct spam_judgement v = by(j, NULL);
		judged(j, TRIAL_DAY_ONE, &v);
		for (unsigned i = 0; i < ROC_LEVELS; i++)
			t->bounces_over[i] +=
				j->view.bounce && !j->at->spam && v.probability > roc_levels[i];
	}
	if (w->modes[TRIAL_SITE]) {
		struct spam_judgement v = by(j, w->site);
		judged(j, TRIAL_SITE, &v);
	}
	if (w->modes[TRIAL_ONLINE]) {
		struct spam_judgement v = by(j, spam_model_weights(j->online));
		judged(j, TRIAL_ONLINE, &v);
	}
	judge_parts(j);
}

/* ---- all of them ---- */

static void
first_pass(struct judge *j)
{
	struct trial *t = j->trial;
	for (size_t i = 0; i < j->list.n; i++) {
		const struct trial_mail *m = &j->list.mails[i];
		if (!read_one(j, m)) {
			t->passed_over++;
			trial_passed_over(j->wanted, &j->mail, "has changed");
			continue;
		}
		t->mails++;
		t->bounces[m->spam] += j->view.bounce;
		judge_one(j);
		if (j->online != NULL)
			spam_model_learn(j->online, &j->features, m->spam);
		if (j->early != NULL && m->early)
			spam_model_learn(j->early, &j->features, m->spam);
	}
}

/* As a postmaster does on the first day: all his ham, then all his spam. */
static void
teach_folders(struct judge *j)
{
	for (int kind = 0; kind < 2; kind++)
		for (size_t i = 0; i < j->list.n; i++) {
			const struct trial_mail *m = &j->list.mails[i];
			if (m->early && m->spam == (kind == 1) && read_one(j, m))
				spam_model_learn(j->folders, &j->features, m->spam);
		}
}

static void
judge_later(struct judge *j)
{
	for (size_t i = 0; i < j->list.n; i++) {
		if (j->list.mails[i].early || !read_one(j, &j->list.mails[i]))
			continue;
		if (j->early != NULL) {
			struct spam_judgement v = by(j, spam_model_weights(j->early));
			judged(j, TRIAL_SPLIT, &v);
		}
		if (j->folders != NULL) {
			struct spam_judgement v = by(j, spam_model_weights(j->folders));
			judged(j, TRIAL_FOLDERS, &v);
		}
	}
}

static void
make_room(struct trial *t, const struct trial_wanted *w, size_t n)
{
	for (size_t i = 0; i < TRIAL_MODES; i++) {
		struct trial_result *r = &t->results[i];
		if (!w->modes[i])
			continue;
		r->rows = mem_array(n, sizeof(*r->rows));
		for (size_t kind = 0; kind < 2; kind++)
			r->worst[kind] = mem_array(w->worst + 1, sizeof(**r->worst));
	}
}

int
trial_run(const struct trial_wanted *w, struct trial *t_out, struct err *err)
{
	struct judge *j = MEM_NEW(struct judge);
	uint64_t begun = clock_ms();
	clock_t cpu = clock();
	*t_out = (struct trial){0};
	j->wanted = w;
	j->trial = t_out;
	j->arena = arena_new(MAIL_ARENA);
	buf_init(&j->line, LINE_MOST);
	int result = trial_list_make(w, &j->list, err);
	if (result == 0) {
		t_out->passed_over = j->list.passed_over;
		t_out->undated = j->list.undated;
		make_room(t_out, w, j->list.n);
		if (w->modes[TRIAL_ONLINE] || w->modes[TRIAL_RAW] || w->modes[TRIAL_TEXT])
			j->online = spam_model_new();
		if (w->modes[TRIAL_SPLIT])
			j->early = spam_model_new();
		if (w->modes[TRIAL_FOLDERS])
			j->folders = spam_model_new();
		first_pass(j);
		if (j->folders != NULL)
			teach_folders(j);
		if (j->early != NULL || j->folders != NULL)
			judge_later(j);
	}
	t_out->seconds = (double)(clock_ms() - begun) / 1000;
	t_out->cpu_seconds = (double)(clock() - cpu) / CLOCKS_PER_SEC;
	spam_model_free(&j->online);
	spam_model_free(&j->early);
	spam_model_free(&j->folders);
	trial_list_free(&j->list);
	buf_fini(&j->line);
	arena_free(&j->arena);
	mem_free(j);
	return result;
}

void
trial_free(struct trial *t)
{
	for (size_t i = 0; i < TRIAL_MODES; i++) {
		struct trial_result *r = &t->results[i];
		for (size_t kind = 0; kind < 2; kind++) {
			for (size_t k = 0; k < r->n_worst[kind]; k++)
				mem_free(r->worst[kind][k].line);
			mem_free(r->worst[kind]);
		}
		mem_free(r->rows);
	}
}
