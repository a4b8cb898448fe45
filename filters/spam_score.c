/*
 * The sum of what is known about a mail, and what it means. Each piece is a logit; a model that
 * was taught little is heard little, the shipped one is bounded and fades as the site's own
 * learns, and the sum is damped, since its pieces say in part the same.
 */
#include "filters/spam_score.h"

#include <math.h>

enum {
	SHIPPED_MOST = 4, /* logit of the shipped model, either way */
	MODEL_MOST = 12,
	FADE_MAILS = 200, /* of the rarer kind: what the shipped model fades over */
};

static const double damping = 0.8, bias = -0.5, sum_most = 30;

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
count_evidence(struct sum *s, const struct spam_input *in)
{
	for (size_t i = 0; i < in->found->n; i++) {
		const struct spam_found_one *one = &in->found->items[i];
		const struct spam_evidence *e = &spam_evidence_table[one->id];
		double weight = in->weights != NULL ? in->weights[one->id] : e->weight;
		count(s, e->name, within(weight * one->times, sum_most), one->detail);
	}
}

static uint32_t
rarer(const struct spam_opinion *o)
{
	return o->ham < o->spam ? o->ham : o->spam;
}

/* What the site's model says; false: it has learned nothing. */
static bool
ask_site(const struct spam_input *in, struct spam_opinion *out)
{
	if (in->own == NULL)
		return spam_shared_ask(in->shared, SLICE_NONE, in->features, out);
	*out = (struct spam_opinion){
		spam_weigh(in->own, in->features), in->own->ham, in->own->spam};
	return out->ham != 0 || out->spam != 0;
}

static void
count_models(struct sum *s, const struct spam_input *in)
{
	struct spam_opinion site = {.ham = 0}, domain = {.ham = 0};
	double fade = 1;
	if (ask_site(in, &site)) {
		count(s, "model.site", within(site.logits.raw + site.logits.text, MODEL_MOST),
			SLICE_NONE);
		fade -= (double)rarer(&site) / FADE_MAILS;
	}
	if (in->domain.n > 0 && spam_shared_ask(in->shared, in->domain, in->features, &domain))
		count(s, "model.domain",
			within(domain.logits.raw + domain.logits.text, MODEL_MOST), in->domain);
	if (fade > 0 && !in->view->bounce)
		count(s, "model.shipped",
			fade * within(spam_shipped(in->features), SHIPPED_MOST), SLICE_NONE);
}

void
spam_judge(const struct spam_input *in, struct spam_judgement *out)
{
	*out = (struct spam_judgement){.n_why = 0};
	struct sum s = {.out = out};
	count_evidence(&s, in);
	count_models(&s, in);
	out->sum = within(damping * s.total + bias, sum_most);
	out->probability = 1 / (1 + exp(-out->sum));
}
