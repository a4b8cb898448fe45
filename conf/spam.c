/*
 * What `filter spam { ... }` has of its own: weights of evidence, DNS lists of clients and of
 * names in links, domains with a model beside the site's. Which evidence there is the filter
 * knows (filters_check); here a name is a text.
 */
#include "conf/parse_priv.h"

enum { WEIGHTS_MOST = 200 };

static bool
of_spam(struct parser *p, struct conf_at at, const struct conf_filter *f, const char *setting)
{
	return slice_eq(f->name, SLICE("spam")) ||
	       parse_fail(p, at, "only \"filter spam\" has \"%s\"", setting);
}

/* A logit. What is out of bounds is reported, and the rest of the line read. */
static bool
weight(struct parser *p, double *out)
{
	struct conf_at at = p->tok.at;
	if (!parse_number(p, 0, "a weight from -10 to 10", out))
		return false;
	if (*out < -10 || *out > 10)
		parse_fail(p, at, "a weight is from -10 to 10");
	return true;
}

bool
parse_spam_weight(struct parser *p, struct conf_at at, void *target)
{
	struct conf_filter *f = target;
	struct conf_weight w = {.at = p->tok.at};
	if (!of_spam(p, at, f, "weight") ||
		!parse_string(p, "the name of a piece of evidence", &w.name) ||
		!weight(p, &w.weight))
		return false;
	for (size_t i = 0; i < f->n_weights; i++)
		if (slice_eq(f->weights[i].name, w.name))
			return parse_fail(p, w.at,
				"the weight of \"%.*s\" stands a second time, first in line %u",
				SLICE_ARG(slice_first(w.name, 60)), f->weights[i].at.line);
	if (f->n_weights == WEIGHTS_MOST)
		return parse_fail(p, at, "at most %d weights", WEIGHTS_MOST);
	f->weights = parse_room(p, f->weights, f->n_weights, sizeof(w));
	f->weights[f->n_weights++] = w;
	return true;
}

static bool
list(struct parser *p, struct conf_at at, struct conf_filter *f, bool link)
{
	const char *setting = link ? "link list" : "client list";
	size_t most = link ? CONF_LINK_LISTS_MOST : CONF_CLIENT_LISTS_MOST, n = 0;
	struct conf_spam_list l = {.link = link};
	if (!of_spam(p, at, f, setting))
		return false;
	struct conf_at zone_at = p->tok.at;
	if (!parse_domain(p, "the zone of a DNS list", &l.zone) || !parse_word(p, "weight") ||
		!weight(p, &l.weight))
		return false;
	if (l.zone.n == 0) /* reported where it was read */
		return true;
	for (size_t i = 0; i < f->n_lists; i++) {
		if (f->lists[i].link != link)
			continue;
		n++;
		if (slice_eq(f->lists[i].zone, l.zone))
			return parse_fail(p, zone_at, "the %s \"%.*s\" stands a second time",
				setting, SLICE_ARG(slice_first(l.zone, 80)));
	}
	if (n == most)
		return parse_fail(p, at, "at most %zu of \"%s\"", most, setting);
	f->lists = parse_room(p, f->lists, f->n_lists, sizeof(l));
	f->lists[f->n_lists++] = l;
	return true;
}

bool
parse_spam_client_list(struct parser *p, struct conf_at at, void *target)
{
	return list(p, at, target, false);
}

bool
parse_spam_link_list(struct parser *p, struct conf_at at, void *target)
{
	return list(p, at, target, true);
}

static bool
model(struct parser *p, void *arg)
{
	struct conf_filter *f = arg;
	struct conf_model m = {.at = p->tok.at};
	if (!parse_domain(p, "a domain in double quotes", &m.domain))
		return false;
	if (m.domain.n == 0) /* reported where it was read */
		return true;
	for (size_t i = 0; i < f->n_models; i++)
		if (slice_eq(f->models[i].domain, m.domain))
			return parse_fail(p, m.at, "\"%.*s\" stands a second time",
				SLICE_ARG(slice_first(m.domain, 80)));
	if (f->n_models == CONF_MODELS_MOST)
		return parse_fail(p, m.at, "at most %d domains have a model", CONF_MODELS_MOST);
	f->models = parse_room(p, f->models, f->n_models, sizeof(m));
	f->models[f->n_models++] = m;
	return true;
}

bool
parse_spam_models(struct parser *p, struct conf_at at, void *target)
{
	struct conf_filter *f = target;
	return of_spam(p, at, f, "model for") && parse_set(p, "{ \"DOMAIN\" ... }", model, f);
}

void
check_spam(struct parser *p)
{
	const struct conf *c = p->conf;
	const struct conf_filter *f = conf_filter_find(c, "spam");
	for (size_t i = 0; f != NULL && i < f->n_models; i++)
		if (conf_domain_find(c, f->models[i].domain) == NULL)
			parse_fail(p, f->models[i].at, "\"%.*s\" is no declared domain",
				SLICE_ARG(slice_first(f->models[i].domain, 80)));
}
