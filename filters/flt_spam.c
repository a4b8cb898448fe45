/*
 * How likely a mail is spam, 0 to 1: reads the first of it as it streams by (spam_view.h), has
 * its features made for the models, gathers what the world knows as evidence (SPF, DKIM and
 * DMARC, the client's name, DNS lists, whether its sender has written before), and has it all
 * weighed (spam_score.h). Evidence that cannot be had is none: nothing here makes the fact
 * fail, and without any answer it is what the mail itself says. Of what our own people send the
 * mail and its links alone count.
 */
#include "filters/flt_spam.h"

#include <math.h>
#include <string.h>

#include "base/must.h"
#include "filters/psl.h"
#include "filters/spam_text.h"
#include "filters/whom.h"

enum {
	LINKS_ASKED_MOST = 20, /* registrable domains of one mail */
	ASKED_MOST = CONF_CLIENT_LISTS_MOST + LINKS_ASKED_MOST * CONF_LINK_LISTS_MOST,
	OWN_MOST = 32,       /* domains of ours that look-alikes are sought of */
	OWN_LOOKED_AT = 200, /* recipients and declared domains, to find so many */
	NETWORK4 = 24,
	BODY_FIRST = 8 * 1024,
};

static const uint64_t seen_ttl_ms = UINT64_C(60) * 86400 * 1000;

static const struct fact_decl facts[] = {
	{.name = "spam",
		.type = FACT_NUMBER,
		.scope = SCOPE_MAIL,
		.stage = STAGE_BODY,
		.cost = COST_CHEAP,
		.text = "How likely the mail is spam, 0 to 1, by evidence, the model that is "
			"shipped and the site's own."},
	{.name = "spam.domain",
		.type = FACT_NUMBER,
		.scope = SCOPE_RECIPIENT,
		.stage = STAGE_BODY,
		.cost = COST_CHEAP,
		.text = "The same with the model of the recipient's domain, where `filter "
			"spam` has a `model for` it."},
	{.name = "spam.why",
		.type = FACT_LIST_TEXT,
		.scope = SCOPE_MAIL,
		.stage = STAGE_BODY,
		.cost = COST_CHEAP,
		.text = "The ten strongest of what made `spam`, each as in \"dmarc.fail +1.20 "
			"(p=reject)\"; `postern facts spam` lists them all."},
	{.name = NULL},
};
enum { SPAM, SPAM_DOMAIN, SPAM_WHY };

/* One question to a DNS list. */
struct listed {
	const struct conf_spam_list *list;
	struct slice name;               /* what the DNS is asked for */
	struct slice what;               /* "bad.example on dbl.example" */
	const struct dns_answer *answer; /* once it is there */
};

struct state { /* of a mail */
	char *body;
	size_t body_bytes, body_room;
	struct listed asked[ASKED_MOST];
	size_t n_asked;
	bool viewed, judged;
	struct spam_view view;
	struct spam_features features;
	struct spam_found found;
	struct spam_judgement judgement;
	/* as facts have them; made once */
	struct value *why;
	struct slice why_text;
};

/* --- settings */

static void
unknown_evidence(const struct conf *c, const struct conf_weight *w, struct conf_report *r)
{
	struct slice hint = spam_evidence_hint(w->name, c->arena);
	conf_error(r, w->at, "there is no evidence \"%.*s\"%.*s%s",
		SLICE_ARG(slice_first(w->name, 60)), SLICE_ARG(hint),
		hint.n == 0 ? ": `postern facts spam` lists all there is" : "");
}

const struct conf_weight *
flt_spam_weights(const struct conf_filter *f, double weights_out[static SPAM_EVIDENCES])
{
	const struct conf_weight *unknown = NULL;
	for (size_t i = 0; i < SPAM_EVIDENCES; i++)
		weights_out[i] = spam_evidence_table[i].weight;
	for (size_t i = 0; f != NULL && i < f->n_weights; i++) {
		enum spam_evidence_id id = spam_evidence_find(f->weights[i].name);
		if (id != SPAM_EVIDENCES)
			weights_out[id] = f->weights[i].weight;
		else if (unknown == NULL)
			unknown = &f->weights[i];
	}
	return unknown;
}

/* The weights of all evidence, once for the configuration. */
static void
check(const struct conf *c, struct conf_filter *f, struct conf_report *r)
{
	double *weights = arena_array(c->arena, SPAM_EVIDENCES, sizeof(*weights));
	bool all = flt_spam_weights(f, weights) == NULL;
	for (size_t i = 0; !all && i < f->n_weights; i++)
		if (spam_evidence_find(f->weights[i].name) == SPAM_EVIDENCES)
			unknown_evidence(c, &f->weights[i], r);
	f->made = weights;
}

/* --- as the mail streams by */

static void
ask_about(struct state *s, const struct conf_spam_list *list, struct slice name,
	struct slice what, struct arena *a)
{
	if (s->n_asked == ASKED_MOST || !dns_name_ok(name))
		return;
	s->asked[s->n_asked++] = (struct listed){.list = list,
		.name = name,
		.what = arena_printf(
			a, "%.*s on %.*s", SLICE_ARG(what), SLICE_ARG(list->zone))};
}

static void
ask_about_client(struct flt_call *c, struct state *s)
{
	char text[IP_TEXT_BYTES];
	struct slice what = ip_text(&c->session->client, text);
	for (size_t i = 0; c->settings != NULL && i < c->settings->n_lists; i++) {
		const struct conf_spam_list *l = &c->settings->lists[i];
		if (!l->link)
			ask_about(s, l, ip_reverse(&c->session->client, l->zone, c->arena),
				what, c->arena);
	}
}

static bool
knows_client(const struct flt_call *c)
{
	return c->session->direction == INBOUND && c->session->client.family != 0;
}

static bool gather_world(struct flt_call *c, struct state *s, struct spam_world *w);

/* What can be asked already travels while the body is on its way. */
static void
header(struct flt_call *c)
{
	struct state *s = ARENA_NEW(c->arena, struct state);
	struct spam_world world;
	*c->mail_state = s;
	if (c->session->direction == INBOUND)
		facts_want(c->facts, "dmarc"); /* and with it DKIM */
	if (knows_client(c))
		ask_about_client(c, s);
	(void)gather_world(c, s, &world);
}

/* The first of it is kept: what pieces come in is gone when the next one comes. */
static void
body(struct flt_call *c, struct slice piece)
{
	struct state *s = *c->mail_state;
	piece = slice_first(piece, SPAM_BODY_MOST - s->body_bytes);
	if (piece.n == 0)
		return;
	if (s->body_bytes + piece.n > s->body_room) {
		size_t room = s->body_room != 0 ? s->body_room : BODY_FIRST;
		while (room < s->body_bytes + piece.n)
			room *= 2;
		char *more = arena_alloc(c->arena, room);
		if (s->body_bytes != 0)
			memcpy(more, s->body, s->body_bytes);
		s->body = more;
		s->body_room = room;
	}
	memcpy(s->body + s->body_bytes, piece.p, piece.n);
	s->body_bytes += piece.n;
}

/* --- what the world knows */

/* False: it is open, and was asked for. What has failed leaves *v empty. */
static bool
read_fact(struct flt_call *c, const char *name, struct value *v)
{
	enum fact_cost most = c->most < COST_CHEAP ? c->most : COST_CHEAP;
	enum fact_state state = facts_read(c->facts, name, SLICE_NONE, SIZE_MAX, most, v);
	if (state == FACT_UNASKED)
		flt_unasked(c, COST_CHEAP);
	if (state != FACT_KNOWN)
		*v = (struct value){0};
	return state == FACT_KNOWN || state == FACT_FAILED;
}

static bool
is_word(struct slice s, const char *word)
{
	return slice_eq(s, slice_of(word));
}

/* Whether the author's organisation stands behind the mail, by whatever it has proved. */
static void
align(struct flt_call *c, struct slice spf_domain, const struct value *domains,
	struct spam_world *w)
{
	struct slice from = c->mail->message->from_domain;
	bool later = w->spf.n == 0 || is_word(w->spf, "temperror") || w->dkim.n == 0 ||
		     is_word(w->dkim, "temperror");
	w->aligned = is_word(w->spf, "pass") && spf_domain.n != 0 && psl_same(from, spf_domain);
	for (size_t i = 0; i < domains->n_items; i++)
		w->aligned |= psl_same(from, domains->items[i].text);
	w->aligned_known = from.n != 0 && (w->aligned || !later);
}

static bool
read_authentication(struct flt_call *c, struct spam_world *w)
{
	struct value spf, spf_domain, dkim, domains, dmarc, policy;
	/* All ask before any is waited for. */
	bool known = read_fact(c, "spf", &spf);
	known &= read_fact(c, "spf.domain", &spf_domain);
	known &= read_fact(c, "dkim", &dkim);
	known &= read_fact(c, "dkim.domains", &domains);
	known &= read_fact(c, "dmarc", &dmarc);
	known &= read_fact(c, "dmarc.policy", &policy);
	w->spf = spf.text;
	w->dkim = dkim.text;
	w->dmarc = dmarc.text;
	w->dmarc_policy = policy.text;
	if (known)
		align(c, spf_domain.text, &domains, w);
	return known;
}

static bool
read_client(struct flt_call *c, struct spam_world *w)
{
	struct value name;
	enum fact_cost most = c->most < COST_CHEAP ? c->most : COST_CHEAP;
	w->client = c->session->client;
	w->helo = c->session->helo;
	enum fact_state state =
		facts_read(c->facts, "client.name", SLICE_NONE, SIZE_MAX, most, &name);
	if (state == FACT_UNASKED)
		flt_unasked(c, COST_CHEAP);
	w->client_name_known = state == FACT_KNOWN;
	if (state == FACT_KNOWN)
		w->client_name = name.text;
	return state == FACT_KNOWN || state == FACT_FAILED;
}

/*
 * Whether the state remembers it; it will when this mail goes on (STATE_GET). False: open.
 * *known_out goes to false where nobody can say.
 */
static bool
is_new(struct flt_call *c, const char *what, struct slice who, bool *known_out, bool *new_out)
{
	struct state_op op = {.kind = STATE_GET,
		.space = STATE_MEMO,
		.key = slice_first(arena_printf(c->arena, "spam %s %.*s", what, SLICE_ARG(who)),
			STATE_KEY_MOST),
		.ttl_ms = seen_ttl_ms};
	const struct state_answer *answer = flt_state(c, &op);
	if (answer == NULL)
		return false;
	*known_out &= answer->status == STATE_OK;
	*new_out = answer->status == STATE_OK && !answer->yes;
	return true;
}

static bool
read_seen(struct flt_call *c, struct spam_world *w)
{
	const struct address *sender = &c->mail->sender;
	bool known = true, all = true;
	if (c->conf->spool.n == 0)
		return true;
	struct slice net = whom_network(&c->session->client, NETWORK4, c->arena);
	all &= is_new(c, "network", net, &known, &w->new_network);
	if (!sender->is_null) {
		struct slice domain = psl_registrable(sender->domain);
		if (domain.n == 0)
			domain = sender->domain;
		all &= is_new(c, "domain", domain, &known, &w->new_domain);
		all &= is_new(c, "sender", arena_lower(c->arena, sender->text), &known,
			&w->new_sender);
	}
	w->seen_known = known && all;
	return all;
}

/* A list that fails, or has died and answers anything, lists nobody. */
static bool
lists(const struct dns_answer *answer)
{
	if (answer->status != DNS_OK)
		return false;
	for (size_t i = 0; i < answer->n; i++)
		if (!flt_is_listing(&answer->rr[i].ip))
			return false;
	return answer->n != 0;
}

static bool
read_lists(struct flt_call *c, struct state *s, struct spam_world *w)
{
	bool known = true;
	for (size_t i = 0; i < s->n_asked; i++) {
		struct listed *one = &s->asked[i];
		if (one->answer == NULL)
			one->answer = flt_dns(c, one->name, DNS_A);
		if (one->answer == NULL)
			known = false;
		else if (lists(one->answer) && w->n_listings < SPAM_LISTINGS_MOST)
			w->listings[w->n_listings++] = (struct spam_listing){
				one->list->link, one->what, one->list->weight};
	}
	return known;
}

/* Those of the mail's recipients first, then as declared: what is held against each link is
 * bounded. */
static void
own_domains(struct flt_call *c, struct spam_world *w)
{
	struct slice *own = arena_array(c->arena, OWN_MOST, sizeof(*own));
	size_t to = c->mail->n_recipients, n = to + c->conf->n_domains;
	for (size_t i = 0; i < n && w->n_own_domains < OWN_MOST && i < OWN_LOOKED_AT; i++) {
		const struct conf_domain *d =
			i < to ? c->mail->recipients[i].domain : &c->conf->domains[i - to];
		bool has = d == NULL;
		for (size_t k = 0; !has && k < w->n_own_domains; k++)
			has = slice_eq(own[k], d->name);
		if (!has)
			own[w->n_own_domains++] = d->name;
	}
	w->own_domains = own;
}

/* False: some of it is open. */
static bool
gather_world(struct flt_call *c, struct state *s, struct spam_world *w)
{
	bool known = true;
	*w = (struct spam_world){.wall_ms = c->session->wall_ms, .sender = &c->mail->sender};
	if (c->session->direction == INBOUND)
		known &= read_authentication(c, w);
	if (knows_client(c)) {
		known &= read_client(c, w);
		known &= read_seen(c, w);
	}
	known &= read_lists(c, s, w);
	return known;
}

/* --- the mail itself */

/* The domain that lists of links know it by: what was registered, an address reversed. */
static void
ask_about_link(struct flt_call *c, struct state *s, struct slice what, const struct ip *ip)
{
	for (size_t i = 0; i < c->settings->n_lists; i++) {
		const struct conf_spam_list *l = &c->settings->lists[i];
		if (!l->link)
			continue;
		struct slice name = ip != NULL ? ip_reverse(ip, l->zone, c->arena)
					       : arena_printf(c->arena, "%.*s.%.*s",
							 SLICE_ARG(what), SLICE_ARG(l->zone));
		ask_about(s, l, name, what, c->arena);
	}
}

static void
ask_about_links(struct flt_call *c, struct state *s)
{
	struct slice seen[LINKS_ASKED_MOST];
	size_t n = 0;
	bool any = false;
	for (size_t i = 0; c->settings != NULL && i < c->settings->n_lists; i++)
		any |= c->settings->lists[i].link;
	for (size_t i = 0; any && i < s->view.n_links && n < LINKS_ASKED_MOST; i++) {
		struct slice host = s->view.links[i].host;
		struct ip ip;
		bool is_ip = ip_parse(host, &ip), known = false;
		struct slice what = is_ip ? host : psl_registrable(host);
		for (size_t k = 0; k < n; k++)
			known |= slice_eq(seen[k], what);
		if (what.n == 0 || known || conf_domain_find(c->conf, what) != NULL)
			continue;
		seen[n++] = what;
		ask_about_link(c, s, what, is_ip ? &ip : NULL);
	}
}

static void
view(struct flt_call *c, struct state *s)
{
	if (s->viewed)
		return;
	s->viewed = true;
	spam_view_read(c->mail->message, (struct slice){s->body, s->body_bytes},
		c->conf->hostname, c->arena, &s->view);
	spam_features_of(&s->view, c->arena, &s->features);
	ask_about_links(c, s);
}

static const double *
weights_of(const struct flt_call *c)
{
	if (c->settings == NULL)
		return NULL;
	must(c->settings->made != NULL); /* filters_check */
	return c->settings->made;
}

static void
judge(struct flt_call *c, const struct state *s, struct slice domain,
	struct spam_judgement *out)
{
	struct spam_input in = {.view = &s->view,
		.features = &s->features,
		.found = &s->found,
		.weights = weights_of(c),
		.shared = c->session->spam,
		.domain = domain};
	spam_judge(&in, out);
}

/* The mail's judgement, made once; false: what it needs is open. */
static bool
judge_mail(struct flt_call *c, struct state *s)
{
	struct spam_world world;
	if (s->judged)
		return true;
	view(c, s);
	if (!gather_world(c, s, &world))
		return false;
	own_domains(c, &world);
	spam_evidence_gather(&s->view, &world, c->arena, &s->found);
	judge(c, s, SLICE_NONE, &s->judgement);
	s->why = arena_array(c->arena, SPAM_WHY_MOST, sizeof(*s->why));
	for (size_t i = 0; i < s->judgement.n_why; i++)
		s->why[i].text = spam_piece_text(&s->judgement.why[i], c->arena);
	s->why_text = spam_why_text(&s->judgement, c->arena);
	s->judged = true;
	return true;
}

/* As it is compared and shown: to a millionth. */
static double
rounded(double probability)
{
	return round(probability * 1e6) / 1e6;
}

static bool
has_model(const struct flt_call *c, struct slice domain)
{
	for (size_t i = 0; c->settings != NULL && i < c->settings->n_models; i++)
		if (slice_eq(c->settings->models[i].domain, domain))
			return true;
	return false;
}

/* All but the domain's own model was weighed for the mail. */
static enum fact_state
of_domain(struct flt_call *c, const struct state *s, struct value *v)
{
	struct value mail;
	struct slice domain = c->recipient->address.domain;
	if (!read_fact(c, "spam", &mail))
		return FACT_OPEN;
	must(s->judged);
	v->number = rounded(s->judgement.probability);
	v->evidence = s->why_text;
	if (has_model(c, domain)) {
		struct spam_judgement j;
		judge(c, s, domain, &j);
		v->number = rounded(j.probability);
		v->evidence = spam_why_text(&j, c->arena);
	}
	return FACT_KNOWN;
}

static enum fact_state
gather(struct flt_call *c, const struct fact_ref *ref, struct value *v)
{
	struct state *s = *c->mail_state;
	if (s == NULL)
		return flt_failed(c, v, "the mail went by without being read");
	if (ref->decl - facts == SPAM_DOMAIN)
		return of_domain(c, s, v);
	if (!judge_mail(c, s))
		return FACT_OPEN;
	if (ref->decl - facts == SPAM_WHY) {
		v->items = s->why;
		v->n_items = s->judgement.n_why;
		return FACT_KNOWN;
	}
	v->number = rounded(s->judgement.probability);
	v->evidence = s->why_text;
	return FACT_KNOWN;
}

const struct filter flt_spam = {.name = "spam",
	.facts = facts,
	.gather = gather,
	.header = header,
	.body = body,
	.check = check};

const struct spam_judgement *
flt_spam_judgement(struct facts *f)
{
	const struct state *s = facts_mail_state(f, &flt_spam);
	return s != NULL && s->judged ? &s->judgement : NULL;
}
