/*
 * The ways of `postern learn` over the mails: one that teaches them and one that judges them
 * again, with a bar where somebody looks on. ^C ends either between two mails: what was taught
 * until then is kept.
 */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "main/learn_priv.h"

enum { BAR_EVERY_MS = 100, BAR_WIDTH = 30, PATH_SHOWN = 200 };

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

struct bar {
	FILE *f; /* NULL: nobody looks on */
	const char *doing;
	uint64_t began_ms, last_ms;
	uint64_t mails;
	size_t path, n_paths;
};

static void
bar_begin(struct bar *b, const struct learn *l, const char *doing)
{
	int fd = fileno(l->tool->err);
	*b = (struct bar){.f = fd >= 0 && isatty(fd) ? l->tool->err : NULL,
		.doing = doing,
		.began_ms = clock_ms(),
		.n_paths = l->n_paths};
	b->last_ms = b->began_ms;
}

static void
bar_draw(struct bar *b, const struct corpus *c)
{
	char bar[BAR_WIDTH + 1];
	uint64_t now = clock_ms();
	if (b->f == NULL || now - b->last_ms < BAR_EVERY_MS)
		return;
	struct corpus_progress p = corpus_progress(c);
	double part = p.bytes != 0 ? (double)p.bytes_done / (double)p.bytes : 0;
	double done = ((double)b->path + (part < 1 ? part : 1)) / (double)b->n_paths;
	size_t full = (size_t)(done * BAR_WIDTH);
	memset(bar, '#', full);
	memset(bar + full, '.', BAR_WIDTH - full);
	bar[BAR_WIDTH] = '\0';
	fprintf(b->f, "\r[%s] %s: %" PRIu64 " mails, %" PRIu64 " a second ", bar, b->doing,
		b->mails, b->mails * 1000 / (now - b->began_ms));
	fflush(b->f);
	b->last_ms = now;
}

static void
bar_end(struct bar *b)
{
	if (b->f != NULL && b->last_ms != b->began_ms)
		fprintf(b->f, "\r%*s\r", BAR_WIDTH + 60, "");
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
each(struct learn *l, struct bar *b, const struct interrupts *i, each_fn *fn, struct err *err)
{
	struct corpus_mail m;
	struct err why;
	struct corpus *c = corpus_open(l->paths[b->path], l->tool->in, &why);
	int result = 0;
	if (c == NULL && fn == teach_one) {
		fprintf(l->tool->err, "postern: %s\n", why.text);
		l->unopened++;
	}
	while (c != NULL && result == 0 && next(c, i, &m)) {
		b->mails++;
		result = fn(l, &m, err);
		bar_draw(b, c);
	}
	corpus_free(&c);
	return result;
}

int
learn_teach_all(struct learn *l, struct err *err)
{
	struct interrupts i;
	struct bar b;
	int result = 0;
	bar_begin(&b, l, l->teach == HAND_TEACH_UNLEARN ? "taking back" : "teaching");
	interrupts_begin(&i);
	for (; result == 0 && !interrupted && b.path < l->n_paths; b.path++)
		result = each(l, &b, &i, teach_one, err);
	if (result == 0) /* whatever stopped it */
		result = teacher_commit(l->teacher, &l->done, err);
	if (result == 0 && !l->done.stored)
		err_set(&l->why_not, "%.*s", SLICE_ARG(l->done.why));
	l->stopped = interrupted;
	interrupts_end(&i);
	l->ms = clock_ms() - b.began_ms;
	bar_end(&b);
	return result;
}

int
learn_judge_again(struct learn *l, struct err *err)
{
	struct interrupts i;
	struct bar b;
	int result = 0;
	bar_begin(&b, l, "judging again");
	interrupts_begin(&i);
	for (; result == 0 && !interrupted && b.path < l->n_paths; b.path++)
		result = each(l, &b, &i, judge_one, err);
	l->stopped = interrupted;
	interrupts_end(&i);
	bar_end(&b);
	return result;
}
