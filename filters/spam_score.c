/*
 * The sum of what is known about a mail, and what it means. Each piece is a logit; the shipped
 * model is bounded and fades as the site's own learns, which was taught what the others did not
 * say (spam_model.c): that keeps the sum a logit too.
 */
#include "filters/spam_score.h"

#include <math.h>

#include "filters/spam_weigh.h"

enum {
	/* Logit of a model of the site, either way: at first, and more, by mails taught. */
	BOUND_LEAST = 2,
	BOUND_MORE = 10,
	BOUND_MAILS = 20,
	SURER_MAILS = 500,
	EVIDENCE_MOST = 10, /* of what a model is told of the evidence when it learns */
};

static const double sum_most = 30, surer_most = 0.3;

struct sum {
	struct spam_judgement *out;
	double total;
};

static double
within(double x, double most)
{
	return x > most ? most : x < -most ? -most : x == x ? x : 0;
}

/* Into the ten strongest, in order. */
static void
count(struct sum *s, const char *name, double weight, struct slice detail)
{
	struct spam_judgement *out = s->out;
	if (weight == 0)
		return;
	s->total += weight;
	size_t at = out->n_why;
	while (at > 0 && fabs(out->why[at - 1].weight) < fabs(weight))
		at--;
	if (at == SPAM_WHY_MOST)
		return;
	if (out->n_why < SPAM_WHY_MOST)
		out->n_why++;
	for (size_t i = out->n_why - 1; i > at; i--)
		out->why[i] = out->why[i - 1];
	out->why[at] = (struct spam_piece){name, weight, detail};
}

static void
count_evidence(struct sum *s, const struct spam_found *found, const double *weights)
{
	for (size_t i = 0; i < found->n; i++) {
		const struct spam_found_one *one = &found->items[i];
		const struct spam_evidence *e = &spam_evidence_table[one->id];
		double weight = weights != NULL ? weights[one->id] : e->weight;
		count(s, e->name, within(weight * one->times, sum_most), one->detail);
	}
}

/*
 * What a model says counts for one kind by how much of the other kind it was taught:
 * whoever has taught nothing but spam has a model that finds it everywhere. The bound is
 * approached, so that stronger stays stronger.
 */
static double
bounded(const struct spam_opinion *o)
{
	double logit = o->logits.raw + o->logits.text;
	double others = logit > 0 ? o->ham : o->spam;
	double most = BOUND_LEAST + BOUND_MORE * others / (others + BOUND_MAILS);
	return most * tanh(logit / most);
}

/* What the site's model says; false: it has learned nothing. */
static bool
ask_site(const struct spam_input *in, struct spam_opinion *out)
{
	if (in->own == NULL)
		return spam_shared_ask(in->shared, SLICE_NONE, in->features, out);
	*out = (struct spam_opinion){.logits = spam_weigh(in->own, in->features),
		.ham = in->own->ham,
		.spam = in->own->spam};
	return out->ham != 0 || out->spam != 0;
}

/*
 * A model that was taught in turns with being asked is surer than it says, the longer the more:
 * each mail stops teaching it once it is nearly right.
 */
static double
surer(const struct spam_opinion *o)
{
	double rarer = o->ham < o->spam ? o->ham : o->spam;
	return 1 + surer_most * rarer / (rarer + SURER_MAILS);
}

/*
 * Of two models each of which is right by itself: a mean, and the domain's is heard by half.
 * What comes back is what all of the sum is taken by.
 */
static double
count_models(struct sum *s, const struct spam_input *in)
{
	struct spam_opinion site = {.ham = 0}, domain = {.ham = 0};
	bool of_site = ask_site(in, &site);
	bool of_domain = in->domain.n > 0 &&
			 spam_shared_ask(in->shared, in->domain, in->features, &domain);
	double part = !of_domain ? 0 : !of_site ? 1 : 0.5;
	if (of_site)
		count(s, "model.site", (1 - part) * bounded(&site), SLICE_NONE);
	if (of_domain)
		count(s, "model.domain", part * bounded(&domain), in->domain);
	count(s, "model.shipped",
		spam_fade(site.ham, site.spam) * in->features->shipped / SPAM_ONE, SLICE_NONE);
	return surer(of_site ? &site : &domain);
}

void
spam_judge(const struct spam_input *in, struct spam_judgement *out)
{
	*out = (struct spam_judgement){.n_why = 0};
	struct sum s = {.out = out, .total = spam_bias};
	count_evidence(&s, in->found, in->weights);
	double by = count_models(&s, in);
	for (size_t i = 0; i < out->n_why; i++)
		out->why[i].weight *= by;
	out->sum = within(by * s.total, sum_most);
	out->probability = 1 / (1 + exp(-out->sum));
}

void
spam_features_know(
	struct spam_features *f, const struct spam_found *found, const double *weights)
{
	struct spam_judgement out = {.n_why = 0};
	struct sum s = {.out = &out};
	count_evidence(&s, found, weights);
	f->evidence = (int32_t)(within(s.total, EVIDENCE_MOST) * SPAM_ONE);
}
