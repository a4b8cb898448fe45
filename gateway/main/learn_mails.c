/*
 * The ways of `postern learn` over the mails: one that teaches them and one that judges them
 * again, with a bar where somebody looks on. ^C ends either between two mails: what was taught
 * until then is kept.
 */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "main/bar.h"
#include "main/learn_priv.h"

enum { PATH_SHOWN = 200 };

static volatile sig_atomic_t interrupted;

static void
on_interrupt(int signo)
{
	(void)signo;
	interrupted = 1;
}

/* They come while a mail is read, which they end, and at no other time. */
struct interrupts {
	sigset_t both, before;
	struct sigaction was[2];
};

static void
interrupts_begin(struct interrupts *i)
{
	struct sigaction act = {.sa_handler = on_interrupt};
	interrupted = 0;
	sigemptyset(&act.sa_mask);
	sigemptyset(&i->both);
	sigaddset(&i->both, SIGINT);
	sigaddset(&i->both, SIGTERM);
	sigprocmask(SIG_BLOCK, &i->both, &i->before);
	sigaction(SIGINT, &act, &i->was[0]);
	sigaction(SIGTERM, &act, &i->was[1]);
}

static void
interrupts_end(struct interrupts *i)
{
	sigaction(SIGINT, &i->was[0], NULL);
	sigaction(SIGTERM, &i->was[1], NULL);
	sigprocmask(SIG_SETMASK, &i->before, NULL);
}

/* ---- the bar ---- */

struct pass { /* over the paths, once */
	struct bar bar;
	const char *doing;
	uint64_t began_ms;
	uint64_t mails;
	size_t path, n_paths;
};

static void
pass_begin(struct pass *p, const struct learn *l, const char *doing)
{
	*p = (struct pass){.doing = doing, .n_paths = l->n_paths};
	bar_init(&p->bar, l->tool->err);
	p->began_ms = p->bar.last_ms;
}

static void
pass_draw(struct pass *p, const struct corpus *c)
{
	uint64_t now = clock_ms();
	if (p->bar.f == NULL || now - p->bar.last_ms < BAR_EVERY_MS)
		return;
	struct corpus_progress at = corpus_progress(c);
	double part = at.bytes != 0 ? (double)at.bytes_done / (double)at.bytes : 0;
	double done = ((double)p->path + (part < 1 ? part : 1)) / (double)p->n_paths;
	bar_draw(&p->bar, (size_t)(done * BAR_WIDTH),
		"%s: %" PRIu64 " mails, %" PRIu64 " a second ", p->doing, p->mails,
		p->mails * 1000 / (now - p->began_ms));
}

/* ---- what is counted ---- */

void
learn_count(struct learn_shares *s, double probability)
{
	s->n++;
	s->above_90 += probability > 0.9;
	s->above_99 += probability > 0.99;
}

/* By the model that learns, as it was before this mail. */
void
learn_on_learned(void *arg, const struct hand_learned *d)
{
	struct learn *l = arg;
	if (d->result != SPAM_LEARNED && d->result != SPAM_CHANGED)
		return;
	double logit = ((double)d->raw + (double)d->text) / HAND_LOGIT_ONE;
	learn_count(&l->came, 1 / (1 + exp(-logit)));
}

static void
skip(struct learn *l, const struct corpus_mail *m)
{
	struct learn_skip *s = NULL;
	l->skipped++;
	for (size_t i = 0; i < l->n_skips && s == NULL; i++)
		if (strcmp(l->skips[i].why, m->wrong) == 0)
			s = &l->skips[i];
	if (s == NULL && l->n_skips == LEARN_SKIPS_MOST)
		return;
	if (s == NULL) {
		s = &l->skips[l->n_skips++];
		s->why = arena_text(l->arena, slice_of(m->wrong));
		s->first = arena_slice(l->arena, slice_first(slice_of(m->path), PATH_SHOWN));
	}
	s->mails++;
}

/* ---- the ways ---- */

/* One mail; 0, or -1 and err. */
typedef int each_fn(struct learn *l, const struct corpus_mail *m, struct err *err);

static bool
next(struct corpus *c, const struct interrupts *i, struct corpus_mail *m)
{
	sigprocmask(SIG_UNBLOCK, &i->both, NULL);
	bool more = !interrupted && corpus_next(c, m);
	sigprocmask(SIG_BLOCK, &i->both, NULL);
	return more && !interrupted;
}

static int
teach_one(struct learn *l, const struct corpus_mail *m, struct err *err)
{
	if (m->wrong != NULL) {
		skip(l, m);
		return 0;
	}
	l->mails++;
	const struct spam_features *f = mail_look_at(l->look, m->bytes);
	if (l->has_judged)
		learn_count(&l->judged, mail_look_judge(l->look));
	return teacher_teach(l->teacher, l->teach, f, err);
}

static int
judge_one(struct learn *l, const struct corpus_mail *m, struct err *err)
{
	(void)err;
	if (m->wrong != NULL)
		return 0;
	(void)mail_look_at(l->look, m->bytes);
	learn_count(&l->again, mail_look_judge(l->look));
	return 0;
}

/* A path that is none is told the first time, and the others are gone on with. */
static int
each(struct learn *l, struct pass *p, const struct interrupts *i, each_fn *fn, struct err *err)
{
	struct corpus_mail m;
	struct err why;
	struct corpus *c = corpus_open(l->paths[p->path], l->tool->in, &why);
	int result = 0;
	if (c == NULL && fn == teach_one) {
		fprintf(l->tool->err, "postern: %s\n", why.text);
		l->unopened++;
	}
	while (c != NULL && result == 0 && next(c, i, &m)) {
		p->mails++;
		result = fn(l, &m, err);
		pass_draw(p, c);
	}
	corpus_free(&c);
	return result;
}

int
learn_teach_all(struct learn *l, struct err *err)
{
	struct interrupts i;
	struct pass p;
	int result = 0;
	pass_begin(&p, l, l->teach == HAND_TEACH_UNLEARN ? "taking back" : "teaching");
	interrupts_begin(&i);
	for (; result == 0 && !interrupted && p.path < l->n_paths; p.path++)
		result = each(l, &p, &i, teach_one, err);
	if (result == 0) /* whatever stopped it */
		result = teacher_commit(l->teacher, &l->done, err);
	if (result == 0 && !l->done.stored)
		err_set(&l->why_not, "%.*s", SLICE_ARG(l->done.why));
	l->stopped = interrupted;
	interrupts_end(&i);
	l->ms = clock_ms() - p.began_ms;
	bar_end(&p.bar);
	return result;
}

int
learn_judge_again(struct learn *l, struct err *err)
{
	struct interrupts i;
	struct pass p;
	int result = 0;
	pass_begin(&p, l, "judging again");
	interrupts_begin(&i);
	for (; result == 0 && !interrupted && p.path < l->n_paths; p.path++)
		result = each(l, &p, &i, judge_one, err);
	l->stopped = interrupted;
	interrupts_end(&i);
	bar_end(&p.bar);
	return result;
}
